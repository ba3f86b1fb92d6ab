/**
 * ctx.storage.sql. The hot path: a Map from query text to prepared statement, parameters and cells
 * through the exchange buffer, rows fetched in batches, row objects made by a function that is
 * generated once for each statement.
 */
import {
  CELLS_MAX, DONE, EXTRA, type Exchange, FAILED, IN_PARAMETERS, IN_ROWS_MAX, IN_STATEMENT, NULL, NUMBER, OUT_BEGAN,
  OUT_HAS_EXTRAS, OUT_REPREPARED, OUT_ROWS, OUT_STATUS, ROWS_MAX, TEXT, TEXT_BYTES_MAX,
} from './exchange.js';
import type { NativeShard } from './native.js';
import { runtimeClass } from './platform-class.js';
import { Cursor, keepRowsRead } from './sql-cursor.js';
import { Shape, type SqlValue } from './sql-shape.js';
import { Statement } from './sql-statement.js';
import { illegalConstructor, illegalInvocation, isObject, wrongParameter } from './web-idl.js';

/** What the SQL interface needs of the object that it belongs to. */
export interface SqlOwner {
  readonly slot: number;
  readonly native: NativeShard;
  readonly exchange: Exchange;
  /** False when the instance is gone, and its database and statements with it. */
  readonly alive: boolean;
  /** Throws when it is not alive. */
  check(): void;
  /** The implicit transaction has begun: commit it when the synchronous run ends. */
  began(): void;
  /** A statement failed; SQLite may have rolled the transaction back by itself. */
  failed(message: string): void;
}

/** Texts up to this many characters go through the exchange buffer; longer ones as a Node-API string. */
const INLINE_TEXT_MAX = 64;
/** Rows that exec() fetches at once; most queries end within them. */
const FIRST_ROWS = 16;
/**
 * What one object keeps prepared: this much SQL text, and this many statements (about 1.5 KB each). What
 * exceeds a limit goes together with a part of what is left, the least recently used first, so that
 * the search for them is rare.
 */
const CACHED_SQL_CHARS_MAX = 1 << 20;
const CACHED_STATEMENTS_MAX = 1000;
const KEPT_PART = 3 / 4;

export const batchRows = (shape: Shape): number => Math.min(ROWS_MAX, Math.floor(CELLS_MAX / shape.names.length));

/** One prepared statement of an object. */
export class Prepared {
  /** A cursor that is not at its end uses the statement. */
  busy = false;
  /** When it was used last, in executions of its object. */
  used = 0;
  shape: Shape;
  /** How often SQLite had prepared it anew when its shape was looked at. */
  reprepared = 0;

  constructor(
    readonly id: number,
    readonly parameters: number,
    readonly writes: boolean,
    names: string[],
    /** How often the database had been emptied; another count means that the statement is gone. */
    readonly generation: number,
  ) {
    this.shape = new Shape(names);
  }
}

/** Rows of a write that wait to be handed out, with what `exchange.rowsRead` said of them. */
export interface Batch {
  values: SqlValue[];
  rowsRead: Uint32Array;
}

/** What ingest() has done. */
export interface Ingested {
  remainder: string;
  rowsRead: number;
  rowsWritten: number;
  statementCount: number;
}

/** Gives up the statements of cursors that nobody holds any more. */
const abandoned = new FinalizationRegistry<{ sql: SqlEngine; prepared: Prepared; once: boolean }>(({ sql, prepared, once }) =>
  sql.abandon(prepared, once),
);

const NO_VALUES: SqlValue[] = [];

/** workerd binds objects as their text. */
function bindable(value: unknown): unknown {
  if (value instanceof SharedArrayBuffer) return new Uint8Array(value).slice(); // Node-API takes ordinary buffers only
  return value === null || value instanceof ArrayBuffer || ArrayBuffer.isView(value) ? value : `${value as string}`;
}

/** Prepares and runs for one database; SqlStorage and its cursors are what the user sees of it. */
export class SqlEngine {
  readonly #owner: SqlOwner;
  readonly #cache = new Map<string, Prepared>();
  #cachedChars = 0;
  #uses = 0;
  #generation = 0;

  constructor(owner: SqlOwner) {
    this.#owner = owner;
  }

  exec(query: string, bindings: unknown[]): Cursor {
    const owner = this.#owner;
    // First of all, as it may run code of the user: a toString() that uses this very object.
    for (let i = 0; i < bindings.length; i++) {
      if (typeof bindings[i] === 'object' || typeof bindings[i] === 'function') bindings[i] = bindable(bindings[i]);
    }
    owner.check();
    let prepared = this.#cache.get(query);
    let cached = true;
    if (prepared === undefined || prepared.busy) {
      const [id, parameters, writes, single, ...names] = this.#prepare(query);
      // While an open cursor keeps the statement of this text busy, this one is used once.
      cached = single && prepared === undefined;
      prepared = new Prepared(id, parameters, writes, names, this.#generation);
      if (cached) this.#remember(query, prepared);
    }
    prepared.used = ++this.#uses;
    const header = owner.exchange.header;
    let values: SqlValue[];
    let later: Batch[] | undefined;
    try {
      if (bindings.length !== prepared.parameters) throw new Error('Wrong number of parameter bindings for SQL query.');
      const extras = bindings.length === 0 ? undefined : this.#bind(bindings);
      header[IN_PARAMETERS] = bindings.length;
      values = this.#fetch(prepared, prepared.shape.names.length === 0 ? 1 : FIRST_ROWS, extras);
      if (prepared.writes && header[OUT_STATUS] !== DONE) later = this.#rest(prepared);
    } catch (error) {
      if (!cached) this.#finalize(prepared);
      throw error;
    }
    const cursor = new Cursor(this, prepared, values, later, !cached);
    if (header[OUT_STATUS] === DONE) {
      if (!cached) this.#finalize(prepared);
    } else {
      prepared.busy = true;
      abandoned.register(cursor, { sql: this, prepared, once: !cached }, cursor);
    }
    return cursor;
  }

  /**
   * A write that returns rows has done its work at the first of them, and no commit is possible while it is
   * open: its rows are taken at once. The addon limits their size. The last batch comes first, without
   * the values of the one that was fetched already.
   */
  #rest(prepared: Prepared): Batch[] {
    const { rowsRead } = this.#owner.exchange;
    const batches: Batch[] = [{ values: NO_VALUES, rowsRead: rowsRead.slice() }];
    while (!this.done()) {
      const values = this.more(prepared, batchRows(prepared.shape));
      batches.push({ values, rowsRead: rowsRead.slice() });
    }
    return batches.reverse();
  }

  /** The next rows of an open cursor, flat; done() tells whether they were the last. */
  more(prepared: Prepared, rows: number): SqlValue[] {
    this.#owner.check();
    this.checkNotDeleted(prepared);
    this.#owner.exchange.header[IN_PARAMETERS] = -1;
    return this.#fetch(prepared, rows, undefined);
  }

  checkNotDeleted(prepared: Prepared): void {
    if (prepared.generation !== this.#generation) throw new Error('SQLite query was canceled because the database was deleted.');
  }

  done(): boolean {
    return this.#owner.exchange.header[OUT_STATUS] === DONE;
  }

  get exchange(): Exchange {
    return this.#owner.exchange;
  }

  get countsRows(): boolean {
    return this.#owner.native.countsRows;
  }

  ingest(script: string): Ingested {
    const owner = this.#owner;
    owner.check();
    try {
      const [statementCount, rowsRead, rowsWritten, remainder] = owner.native.ingest(owner.slot, script);
      return { remainder, rowsRead, rowsWritten, statementCount };
    } catch (error) {
      owner.failed((error as Error).message);
      throw error;
    } finally {
      if (owner.exchange.header[OUT_BEGAN] === 1) owner.began();
    }
  }

  databaseSize(): number {
    const owner = this.#owner;
    owner.check();
    return owner.native.databaseSize(owner.slot);
  }

  /** An open cursor has ended, by its last row or an error. */
  release(cursor: Cursor, prepared: Prepared, once: boolean): void {
    abandoned.unregister(cursor);
    this.#release(prepared, once);
  }

  #release(prepared: Prepared, once: boolean): void {
    prepared.busy = false;
    if (once) this.#finalize(prepared);
  }

  /** Nobody holds the open cursor any more. */
  abandon(prepared: Prepared, once: boolean): void {
    if (!this.#owner.alive || prepared.generation !== this.#generation) return;
    this.#owner.native.resetStatement(prepared.id);
    this.#release(prepared, once);
  }

  /** The rest of an open cursor's rows is not wanted. */
  giveUp(cursor: Cursor, prepared: Prepared, once: boolean): void {
    abandoned.unregister(cursor);
    this.abandon(prepared, once);
  }

  /** The statements are gone: the database was emptied. Open cursors end with an error. */
  forget(): void {
    this.#cache.clear();
    this.#cachedChars = 0;
    this.#generation++;
  }

  /** Nothing stays prepared: no cursor is open. */
  close(): void {
    for (const prepared of this.#cache.values()) this.#finalize(prepared);
    this.forget();
  }

  #finalize(prepared: Prepared): void {
    if (this.#owner.alive && prepared.generation === this.#generation) this.#owner.native.finalize(prepared.id);
  }

  #prepare(query: string): ReturnType<NativeShard['prepare']> {
    const owner = this.#owner;
    try {
      return owner.native.prepare(owner.slot, query);
    } catch (error) {
      owner.failed((error as Error).message);
      throw error;
    } finally {
      if (owner.exchange.header[OUT_BEGAN] === 1) owner.began();
    }
  }

  #remember(query: string, prepared: Prepared): void {
    this.#cache.set(query, prepared);
    this.#cachedChars += query.length;
    if (this.#cachedChars > CACHED_SQL_CHARS_MAX || this.#cache.size > CACHED_STATEMENTS_MAX) this.#shrink(prepared);
  }

  #shrink(newest: Prepared): void {
    const oldestFirst = [...this.#cache].sort(([, a], [, b]) => a.used - b.used);
    for (const [query, prepared] of oldestFirst) {
      if (this.#cachedChars <= CACHED_SQL_CHARS_MAX * KEPT_PART && this.#cache.size <= CACHED_STATEMENTS_MAX * KEPT_PART) return;
      // One that runs in an open cursor stays.
      if (prepared.busy || prepared === newest) continue;
      this.#cache.delete(query);
      this.#cachedChars -= query.length;
      this.#finalize(prepared);
    }
  }

  /** Puts the parameters into the exchange buffer; what does not fit there is returned. */
  #bind(bindings: unknown[]): unknown[] | undefined {
    const { kinds, numbers, lengths, text } = this.#owner.exchange;
    this.#owner.exchange.textUses++;
    let textAt = 0;
    let extras: unknown[] | undefined;
    for (let i = 0; i < bindings.length; i++) {
      let value = bindings[i];
      if (typeof value === 'number') {
        kinds[i] = NUMBER;
        numbers[i] = value;
        continue;
      }
      if (value === null || value === undefined) {
        kinds[i] = NULL;
        continue;
      }
      if (typeof value !== 'string') {
        if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
          kinds[i] = EXTRA;
          (extras ??= []).push(value);
          continue;
        }
        if (typeof value === 'bigint') throw new TypeError('Cannot convert a BigInt value to a number');
        // A boolean, as its text; a Symbol throws here.
        value = `${value as string}`;
      }
      const string = value as string;
      const length = string.length;
      if (length <= INLINE_TEXT_MAX && textAt + length <= TEXT_BYTES_MAX) {
        let j = 0;
        for (; j < length; j++) {
          const code = string.charCodeAt(j);
          if (code > 127) break;
          text[textAt + j] = code;
        }
        if (j === length) {
          kinds[i] = TEXT;
          lengths[i] = length;
          textAt += length;
          continue;
        }
      }
      kinds[i] = EXTRA;
      (extras ??= []).push(string);
    }
    return extras;
  }

  /** The schema has changed since the statement was prepared, and so may its columns have. */
  #reshape(prepared: Prepared): void {
    prepared.reprepared = this.#owner.exchange.header[OUT_REPREPARED]!;
    prepared.shape = new Shape(this.#owner.native.columnNames(prepared.id));
  }

  /** Runs a batch and returns its cells, one row after the other. */
  #fetch(prepared: Prepared, rows: number, extras: unknown[] | undefined): SqlValue[] {
    const owner = this.#owner;
    const exchange = owner.exchange;
    const header = exchange.header;
    if (exchange.unread !== undefined) keepRowsRead(exchange.unread);
    header[IN_STATEMENT] = prepared.id;
    header[IN_ROWS_MAX] = rows;
    const result = extras === undefined ? owner.native.run() : owner.native.run(extras);
    if (header[OUT_BEGAN] === 1) owner.began();
    if (header[OUT_STATUS] === FAILED) {
      prepared.busy = false;
      owner.failed(result as string);
      throw new Error(result as string);
    }
    if (header[OUT_REPREPARED] !== prepared.reprepared) this.#reshape(prepared);
    const count = header[OUT_ROWS]! * prepared.shape.names.length;
    return count === 0 ? NO_VALUES : readCells(exchange, count, result);
  }
}

function readCells(exchange: Exchange, count: number, result: string | unknown[] | undefined): SqlValue[] {
  const { kinds, numbers, lengths, header } = exchange;
  const values = new Array<SqlValue>(count);
  let extras: unknown[] | undefined;
  let text = '';
  if (header[OUT_HAS_EXTRAS] === 1) {
    extras = result as unknown[];
    text = extras[0] as string;
  } else if (result !== undefined) {
    text = result as string;
  }
  let textAt = 0;
  let extraAt = 1;
  for (let i = 0; i < count; i++) {
    switch (kinds[i]) {
      case NUMBER:
        values[i] = numbers[i]!;
        break;
      case TEXT: {
        const end = textAt + lengths[i]!;
        values[i] = text.substring(textAt, end);
        textAt = end;
        break;
      }
      case EXTRA:
        values[i] = extras![extraAt++] as SqlValue;
        break;
      default:
        values[i] = null;
    }
  }
  return values;
}

/** What SqlStorage passes its calls on to. */
export type SqlTarget = Pick<SqlEngine, 'exec' | 'ingest' | 'databaseSize'>;

export class SqlStorage {
  readonly #engine: SqlTarget;

  constructor(engine: SqlTarget) {
    if (engine === undefined) throw illegalConstructor();
    this.#engine = engine;
  }

  static {
    runtimeClass(this, 'SqlStorage', 'databaseSize');
  }

  static #checkThis(self: unknown): void {
    if (!isObject(self) || !(#engine in self)) throw illegalInvocation();
  }

  exec(query: string, ...bindings: unknown[]): Cursor {
    SqlStorage.#checkThis(this);
    return this.#engine.exec(typeof query === 'string' ? query : queryText('exec', 'String', query, arguments.length), bindings);
  }

  /** A statement to run again and again; `stmt(...bindings)` is exec(), and it binds ahead as well. */
  prepare(query: string): Statement {
    SqlStorage.#checkThis(this);
    return new Statement(this.#engine, queryText('prepare', 'String', query, arguments.length));
  }

  /**
   * Runs the statements of a script that comes in parts: those that are complete, each ended by its `;`.
   * `remainder` is what follows them, to be put in front of the next part.
   */
  ingest(script: string): Ingested {
    SqlStorage.#checkThis(this);
    return this.#engine.ingest(queryText('ingest', 'string', script, arguments.length));
  }

  /** Bytes in use: pages that are not free, times the page size. */
  get databaseSize(): number {
    SqlStorage.#checkThis(this);
    return this.#engine.databaseSize();
  }

  get Cursor(): typeof Cursor {
    return Cursor;
  }

  get Statement(): typeof Statement {
    return Statement;
  }
}

function queryText(method: string, type: string, query: unknown, given: number): string {
  if (given === 0) throw wrongParameter(method, 'SqlStorage', 1, type);
  return `${query as string}`; // throws for a symbol
}
