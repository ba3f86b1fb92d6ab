/** What the commands for operators print: row by row, however many there are. */
import stringWidth from 'string-width';
import type { ViewValue } from '../runtime/native.js';

/** Whoever read the output has enough (`| head`). */
export class ReaderGone extends Error {}

/** Rows of which a table takes the widths of its columns, and that are laid out together. */
const TABLE_ROWS = 1_000;

let watched = false;

/** Resolves when it has been handed on, so that no more gathers than that. Throws ReaderGone. */
export function print(text: string): Promise<void> {
  const { stdout } = process;
  if (!watched) stdout.on('error', () => {}); // who writes is told
  watched = true;
  return new Promise((resolve, reject) => {
    stdout.write(text, (error) => {
      if (error === undefined || error === null) resolve();
      else reject((error as NodeJS.ErrnoException).code === 'EPIPE' ? new ReaderGone() : error);
    });
  });
}

/** What prints rows of one query, in one of the formats. */
export interface RowPrinter {
  rows(rows: ViewValue[][]): Promise<void>;
  /** After the last row. */
  end(): Promise<void>;
}

export type Format = 'table' | 'json' | 'csv';

export function rowPrinter(format: Format, columns: string[]): RowPrinter {
  if (format === 'json') return new JsonPrinter(columns);
  return format === 'csv' ? new CsvPrinter(columns) : TablePrinter.ofQuery(columns);
}

const hex = (bytes: ArrayBuffer): string => Buffer.from(bytes).toString('hex');

/** A text on one line, and without what a terminal would obey. */
export function plain(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (character) => {
    const known = { '\n': '\\n', '\t': '\\t', '\r': '\\r' }[character];
    return known ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}

function cell(value: ViewValue): string {
  if (value === null) return 'NULL';
  if (value instanceof ArrayBuffer) return `x'${hex(value)}'`;
  return typeof value === 'string' ? plain(value) : String(value);
}

/** Columns on a terminal. Nearly every text is ASCII, whose width is its length. */
const widthOf = (text: string): number => (/^[ -~]*$/.test(text) ? text.length : stringWidth(text));

/** Columns with a heading. Their widths are those of the first rows; what is wider later moves the rest of its row. */
export class TablePrinter implements RowPrinter {
  #rows: string[][];
  #widths: number[] | undefined;

  private constructor(heading: string[]) {
    this.#rows = [heading];
  }

  /** Of columns that we have named. */
  static ofOurs(columns: string[]): TablePrinter {
    return new TablePrinter(columns.map((name) => name.toUpperCase()));
  }

  /** Of columns that a query has named: SQL tells 'a' from 'A'. */
  static ofQuery(columns: string[]): TablePrinter {
    return new TablePrinter(columns.map(plain));
  }

  async rows(rows: ViewValue[][]): Promise<void> {
    for (const row of rows) {
      this.#rows.push(row.map(cell));
      if (this.#rows.length === TABLE_ROWS) await this.#flush();
    }
  }

  async end(): Promise<void> {
    if (this.#rows.length > 0) await this.#flush();
  }

  async #flush(): Promise<void> {
    const rows = this.#rows;
    this.#rows = [];
    const widths = (this.#widths ??= rows[0]!.map((_, i) => rows.reduce((most, row) => Math.max(most, widthOf(row[i]!)), 0)));
    const lines = rows.map((row) => row.map((text, i) => text + ' '.repeat(Math.max(0, widths[i]! - widthOf(text)))).join('  ').trimEnd());
    await print(`${lines.join('\n')}\n`);
  }
}

/** JSON has no integers beyond a number's and no infinity, but its texts do. */
function jsonOf(value: ViewValue): string {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof ArrayBuffer) return JSON.stringify({ hex: hex(value) });
  // Valid JSON, which is Infinity again for those who read numbers as doubles (JSON.parse(), Python); as sqlite3 writes it.
  if (typeof value === 'number' && !Number.isFinite(value)) return value > 0 ? '9e999' : '-9e999';
  return JSON.stringify(value);
}

/** The items of one array, each on a line of its own. */
export class JsonArray {
  #any = false;

  async add(items: string[]): Promise<void> {
    if (items.length === 0) return;
    await print(`${this.#any ? ',\n' : '[\n'}${items.join(',\n')}`);
    this.#any = true;
  }

  end(): Promise<void> {
    return print(this.#any ? '\n]\n' : '[]\n');
  }
}

/** Objects with the columns' names; a name that is there twice gets a number. */
class JsonPrinter implements RowPrinter {
  readonly #names: string[];
  readonly #array = new JsonArray();

  constructor(columns: string[]) {
    const used = new Set<string>();
    this.#names = columns.map((column) => {
      let name = column;
      for (let n = 1; used.has(name); n++) name = `${column}:${n}`;
      used.add(name);
      return JSON.stringify(name);
    });
  }

  rows(rows: ViewValue[][]): Promise<void> {
    return this.#array.add(rows.map((row) => `{${row.map((value, i) => `${this.#names[i]}:${jsonOf(value)}`).join()}}`));
  }

  end(): Promise<void> {
    return this.#array.end();
  }
}

/** As RFC 4180 has it, with line feeds; NULL is nothing, an empty text is "". */
class CsvPrinter implements RowPrinter {
  readonly #heading: string;
  #begun = false;

  constructor(columns: string[]) {
    this.#heading = `${columns.map(quoted).join()}\n`;
  }

  async rows(rows: ViewValue[][]): Promise<void> {
    await print(`${this.#begun ? '' : this.#heading}${rows.map((row) => `${row.map(csvOf).join()}\n`).join('')}`);
    this.#begun = true;
  }

  async end(): Promise<void> {
    if (!this.#begun) await print(this.#heading);
  }
}

const quoted = (text: string): string => (text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function csvOf(value: ViewValue): string {
  if (value === null) return '';
  if (value instanceof ArrayBuffer) return hex(value);
  return typeof value === 'string' ? quoted(value) : String(value);
}

/** 1 object, 2 objects */
export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** 4.0 KiB */
export function sizeText(bytes: number): string {
  let unit = 0;
  let size = bytes;
  for (; size >= 1024 && unit < UNITS.length - 1; unit++) size /= 1024;
  return `${unit === 0 ? size : size.toFixed(1)} ${UNITS[unit]}`;
}

/** ISO 8601, UTC, without milliseconds. */
export const timeText = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+/, '');
