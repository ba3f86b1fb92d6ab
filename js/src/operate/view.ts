/** A committed state that is read beside the objects, which do not wait: see src/node/admin_binding.h. */
import type { NativeEngine, ViewValue } from '../runtime/native.js';
import type { Place, Space } from './places.js';
import { stoppable } from './stoppable.js';

/** Rows that are read at once. */
export const ROWS_MAX = 256;
/** Bytes of pages that are read at once. */
const PAGES_BYTES_MAX = 1 << 20;

/** Pages that are checked at once. */
const CHECKED_PAGES = 4096;
/** Of the damaged pages of a file, the first. */
const DAMAGED_PAGES_MAX = 20;

/** What the checksums of a file's pages say. */
export interface PageCheck {
  /** The first of them. */
  damaged: number[];
  damagedCount: number;
  /** Pages that have no checksum. */
  unknown: number;
}

/** The namespace number of the catalog. */
const CATALOG = -1;

/** One thing at a time; close() ends it, whatever it does. */
export class View {
  readonly #engine: NativeEngine;
  readonly #signal: AbortSignal;
  readonly #number: number;
  readonly #onAbort: () => void;
  /** What runs now; it has to end before the view may be closed. */
  #running: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(
    engine: NativeEngine,
    signal: AbortSignal,
    number: number,
    readonly pageSize: number,
    readonly pages: number,
  ) {
    this.#engine = engine;
    this.#signal = signal;
    this.#number = number;
    this.#onAbort = () => engine.interruptView(number);
    signal.addEventListener('abort', this.#onAbort);
  }

  static async #open(engine: NativeEngine, signal: AbortSignal, namespace: number, id: string, bookmark = '', anySize = false): Promise<View> {
    const [number, pageSize, pages] = await stoppable(signal, (work) => engine.openView(namespace, id, bookmark, anySize, work));
    return new View(engine, signal, number, pageSize, pages);
  }

  /** Of what the object has stored: its database, or the file that objects with key-value storage share. */
  static ofObject(engine: NativeEngine, signal: AbortSignal, { space, id }: Place): Promise<View> {
    return View.#open(engine, signal, space.number, id);
  }

  /** In the state that the bookmark names. */
  static ofPast(engine: NativeEngine, signal: AbortSignal, { space, id }: Place, bookmark: string): Promise<View> {
    return View.#open(engine, signal, space.number, id, bookmark);
  }

  /** To be checked: with values that are larger than those of objects. */
  static toCheck(engine: NativeEngine, signal: AbortSignal, { space, id }: Place): Promise<View> {
    return View.#open(engine, signal, space.number, id, '', true);
  }

  static ofKeyValues(engine: NativeEngine, signal: AbortSignal, space: Space): Promise<View> {
    return View.#open(engine, signal, space.number, '');
  }

  static ofCatalog(engine: NativeEngine, signal: AbortSignal): Promise<View> {
    return View.#open(engine, signal, CATALOG, '');
  }

  #run<T>(start: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new Error('The view is closed.');
    this.#signal.throwIfAborted();
    const running = start();
    this.#running = running.catch(() => {});
    return running;
  }

  /** Starts a query; -> the names of its columns. */
  start(sql: string, ...parameters: (string | number)[]): Promise<string[]> {
    return this.#run(() => this.#engine.viewQuery(this.#number, sql, parameters));
  }

  /** The next values of the query, row by row; none at its end. */
  next(): Promise<ViewValue[]> {
    return this.#run(() => this.#engine.viewRows(this.#number, ROWS_MAX));
  }

  /** The rows of a query, in batches. */
  async *rows(sql: string, ...parameters: (string | number)[]): AsyncGenerator<ViewValue[][]> {
    const { length } = await this.start(sql, ...parameters);
    for (;;) {
      const values = await this.next();
      if (values.length === 0) return;
      const rows: ViewValue[][] = [];
      for (let i = 0; i < values.length; i += length) rows.push(values.slice(i, i + length));
      yield rows;
    }
  }

  async first(sql: string, ...parameters: (string | number)[]): Promise<ViewValue[] | undefined> {
    const { length } = await this.start(sql, ...parameters);
    const values = await this.next();
    return values.length === 0 ? undefined : values.slice(0, length);
  }

  async hasTable(name: string): Promise<boolean> {
    return (await this.first("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", name)) !== undefined;
  }

  /** All of its file, from the start. */
  async *content(): AsyncGenerator<ArrayBuffer> {
    const step = Math.max(1, Math.floor(PAGES_BYTES_MAX / this.pageSize));
    for (let first = 1; first <= this.pages; first += step) {
      const count = Math.min(step, this.pages - first + 1);
      yield await this.#run(() => this.#engine.viewPages(this.#number, first, count));
    }
  }

  /** Compares the pages of the file that it is of with their checksums. */
  async checkPages(): Promise<PageCheck> {
    const found: PageCheck = { damaged: [], damagedCount: 0, unknown: 0 };
    for (let first = 1; ; first += CHECKED_PAGES) {
      const [reachedEnd, unknown, damagedCount, ...damaged] = await this.#run(() => this.#engine.checkPages(this.#number, first, CHECKED_PAGES));
      found.damaged.push(...damaged.slice(0, DAMAGED_PAGES_MAX - found.damaged.length));
      found.damagedCount += damagedCount;
      found.unknown += unknown;
      if (reachedEnd === 1) return found;
    }
  }

  /** Pages that do not match their checksums count from now on as they are. -> how many. */
  acceptPages(): Promise<number> {
    return this.#run(() => this.#engine.acceptPages(this.#number));
  }

  /** Writes the pairs of an object of key-value storage into a SQLite file. */
  writePairs({ space, id }: Place, file: string): Promise<void> {
    return this.#run(() => this.#engine.viewPairs(this.#number, space.number, id, file));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#signal.removeEventListener('abort', this.#onAbort);
    await this.#running;
    this.#engine.closeView(this.#number);
  }
}

/** Calls `use` with a view, and closes it. */
export async function* withView<T>(opening: Promise<View>, use: (view: View) => AsyncGenerator<T>): AsyncGenerator<T> {
  const view = await opening;
  try {
    yield* use(view);
  } finally {
    await view.close();
  }
}
