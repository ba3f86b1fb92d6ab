/** The rows of a statement that runs: what `sql.exec()` returns. */
import { OUT_ROWS_READ, OUT_ROWS_WRITTEN } from './exchange.js';
import { isIterator, runtimeClass } from './platform-class.js';
import type { Row, Shape, SqlValue } from './sql-shape.js';
import { type Batch, batchRows, type Prepared, type SqlEngine } from './sql.js';
import { illegalConstructor, illegalInvocation, isObject } from './web-idl.js';

const NO_VALUES: SqlValue[] = [];

/** For the engine: another statement is about to use the exchange buffer. */
export let keepRowsRead: (cursor: Cursor) => void;
/** Nobody wants the rest of its rows. */
export let giveUp: (cursor: Cursor) => void;

export class Cursor {
  readonly #sql: SqlEngine;
  readonly #prepared: Prepared;
  readonly #shape: Shape;
  /** The statement is this cursor's alone and goes with it. */
  readonly #once: boolean;
  /** Cells that were fetched and not yet handed out start at #at. */
  #values: SqlValue[];
  #at = 0;
  /** Batches that were fetched and follow, the last one first. */
  readonly #later: Batch[] | undefined;
  #open: boolean;
  #names: string[] | undefined;
  /** Counts of all that was fetched. */
  #rowsRead: number;
  #rowsWritten: number;
  /** What `exchange.rowsRead` says of this batch, once another statement takes its place. */
  #rowsReadOfBatch: Uint32Array | undefined;

  /** Made by the engine, whose last fetch is this cursor's, only. */
  constructor(sql: SqlEngine, prepared: Prepared, values: SqlValue[], later: Batch[] | undefined, once: boolean) {
    if (prepared === undefined) throw illegalConstructor();
    this.#sql = sql;
    this.#prepared = prepared;
    this.#shape = prepared.shape;
    this.#values = values;
    this.#later = later;
    this.#once = once;
    this.#open = !sql.done();
    const { exchange } = sql;
    this.#rowsRead = exchange.header[OUT_ROWS_READ]!;
    this.#rowsWritten = exchange.header[OUT_ROWS_WRITTEN]!;
    if (later !== undefined) this.#rowsReadOfBatch = later.pop()!.rowsRead;
    else if (values.length > 0) exchange.unread = this;
  }

  static {
    runtimeClass(this, 'Cursor', 'columnNames', 'rowsRead', 'rowsWritten');
    keepRowsRead = (cursor) => cursor.#keepRowsRead();
    giveUp = (cursor) => cursor.#giveUp();
  }

  static #checkThis(self: unknown): void {
    if (!isObject(self) || !(#prepared in self)) throw illegalInvocation();
  }

  /** Makes sure that a row is there to hand out; false at the end. */
  #fill(): boolean {
    if (this.#at < this.#values.length) {
      this.#sql.checkNotDeleted(this.#prepared);
      return true;
    }
    const { exchange } = this.#sql;
    if (exchange.unread === this) exchange.unread = undefined;
    if (!this.#open) return this.#fillFromLater();
    this.#fetch();
    // A batch without rows and without an end: the next one fails.
    if (this.#values.length === 0 && this.#open) this.#fetch();
    return this.#values.length > 0;
  }

  #fetch(): void {
    const { exchange } = this.#sql;
    this.#at = 0;
    this.#rowsReadOfBatch = undefined;
    try {
      this.#values = this.#sql.more(this.#prepared, batchRows(this.#shape));
    } catch (error) {
      this.#values = NO_VALUES;
      this.#close();
      throw error;
    }
    this.#rowsRead = exchange.header[OUT_ROWS_READ]!;
    if (this.#sql.done()) this.#close();
    if (this.#values.length > 0) exchange.unread = this;
  }

  #fillFromLater(): boolean {
    const batch = this.#later?.pop();
    if (batch === undefined) return false;
    this.#values = batch.values;
    this.#rowsReadOfBatch = batch.rowsRead;
    this.#at = 0;
    return batch.values.length > 0;
  }

  #close(): void {
    this.#open = false;
    this.#sql.release(this, this.#prepared, this.#once);
  }

  #take(): Row {
    const row = this.#shape.makeRow(this.#values, this.#at);
    this.#at += this.#shape.names.length;
    return row;
  }

  #giveUp(): void {
    this.#values = NO_VALUES;
    this.#at = 0;
    if (this.#later !== undefined) this.#later.length = 0;
    if (!this.#open) return;
    this.#open = false;
    this.#sql.giveUp(this, this.#prepared, this.#once);
  }

  #keepRowsRead(): void {
    const { exchange } = this.#sql;
    this.#rowsReadOfBatch = exchange.rowsRead.slice(0, this.#values.length / this.#shape.names.length);
    exchange.unread = undefined;
  }

  next(): IteratorResult<Row, undefined> {
    Cursor.#checkThis(this);
    return this.#fill() ? { done: false, value: this.#take() } : { done: true, value: undefined };
  }

  toArray(): Row[] {
    Cursor.#checkThis(this);
    const rows: Row[] = [];
    while (this.#fill()) rows.push(this.#take());
    return rows;
  }

  one(): Row {
    Cursor.#checkThis(this);
    if (!this.#fill()) throw new Error('Expected exactly one result from SQL query, but got no results.');
    const row = this.#take();
    if (!this.#fill()) return row;
    this.#giveUp();
    throw new Error('Expected exactly one result from SQL query, but got multiple results.');
  }

  raw(): RawIterator {
    Cursor.#checkThis(this);
    return new RawIterator(() => {
      if (!this.#fill()) return undefined;
      const width = this.#shape.names.length;
      const row = this.#values.slice(this.#at, this.#at + width);
      this.#at += width;
      return row;
    });
  }

  get columnNames(): string[] {
    Cursor.#checkThis(this);
    return (this.#names ??= [...this.#shape.names]);
  }

  /** Rows that SQLite has looked at so far. Like workerd, it is one row ahead of what was handed out. */
  get rowsRead(): number {
    Cursor.#checkThis(this);
    if (!this.#sql.countsRows) throw new Error(NO_COUNTS);
    if (!this.#fill()) return this.#rowsRead;
    return (this.#rowsReadOfBatch ?? this.#sql.exchange.rowsRead)[this.#at / this.#shape.names.length]!;
  }

  get rowsWritten(): number {
    Cursor.#checkThis(this);
    if (!this.#sql.countsRows) throw new Error(NO_COUNTS);
    return this.#rowsWritten;
  }

  [Symbol.iterator](): RowIterator {
    Cursor.#checkThis(this);
    return new RowIterator(this);
  }
}

const NO_COUNTS = 'rowsRead and rowsWritten need the SQLite that Perdure brings along; this build uses the one of the system.';

export class RowIterator implements IterableIterator<Row> {
  readonly #cursor: Cursor;

  constructor(cursor: Cursor) {
    this.#cursor = cursor;
  }

  static {
    isIterator(this);
    runtimeClass(this, 'RowIterator');
  }

  static #checkThis(self: unknown): void {
    if (!isObject(self) || !(#cursor in self)) throw illegalInvocation();
  }

  next(): IteratorResult<Row, undefined> {
    RowIterator.#checkThis(this);
    return this.#cursor.next();
  }

  toArray(): Row[] {
    RowIterator.#checkThis(this);
    return this.#cursor.toArray();
  }

  [Symbol.iterator](): this {
    return this;
  }
}

export class RawIterator implements IterableIterator<SqlValue[]> {
  readonly #nextRow: () => SqlValue[] | undefined;

  constructor(nextRow: () => SqlValue[] | undefined) {
    this.#nextRow = nextRow;
  }

  static {
    isIterator(this);
    runtimeClass(this, 'RawIterator');
  }

  static #checkThis(self: unknown): void {
    if (!isObject(self) || !(#nextRow in self)) throw illegalInvocation();
  }

  next(): IteratorResult<SqlValue[], undefined> {
    RawIterator.#checkThis(this);
    const value = this.#nextRow();
    return value === undefined ? { done: true, value } : { done: false, value };
  }

  toArray(): SqlValue[][] {
    RawIterator.#checkThis(this);
    const rows: SqlValue[][] = [];
    for (let row = this.#nextRow(); row !== undefined; row = this.#nextRow()) rows.push(row);
    return rows;
  }

  [Symbol.iterator](): this {
    return this;
  }
}
