/** What `sql.prepare()` returns. */
import { runtimeClass } from './platform-class.js';
import { type Cursor, giveUp } from './sql-cursor.js';
import type { Row, SqlValue } from './sql-shape.js';
import type { SqlTarget } from './sql.js';
import { illegalConstructor, illegalInvocation, isObject } from './web-idl.js';

type Call = (...bindings: unknown[]) => Cursor;

/** Lets a class have instances that are functions: the one it is given. */
class Callable {
  constructor(call: Call) {
    return Object.setPrototypeOf(call, new.target.prototype) as object;
  }
}
Object.setPrototypeOf(Callable.prototype, Object.prototype);

/**
 * A statement to run again and again. Called with bindings it is exec() of its query; without, it takes those of
 * bind(), as run(), all(), first() and raw() do. The query is looked at when it runs, not before.
 */
export interface Statement {
  (...bindings: unknown[]): Cursor;
}

export class Statement extends Callable {
  readonly #execute: Call;
  #bound: unknown[] = [];

  /** Made by `sql.prepare()` only. */
  constructor(engine: SqlTarget, query: string) {
    if (query === undefined) throw illegalConstructor();
    const execute: Call = (...bindings) => engine.exec(query, bindings.length > 0 ? bindings : [...this.#bound]);
    super(execute);
    this.#execute = execute;
    for (const name of ['name', 'length']) delete (execute as unknown as Record<string, unknown>)[name];
  }

  static {
    runtimeClass(this, 'Statement');
  }

  static #checkThis(self: unknown): void {
    if (!isObject(self) || !(#execute in self)) throw illegalInvocation();
  }

  /** Sets the values of the query's parameters, in the place of those set before; returns the statement. */
  bind(...values: unknown[]): this {
    Statement.#checkThis(this);
    this.#bound = values;
    return this;
  }

  /** Runs it to its end and forgets its rows; the cursor that it returns has the counts. */
  run(): Cursor {
    Statement.#checkThis(this);
    const cursor = this.#execute();
    cursor.toArray();
    return cursor;
  }

  all(): Row[] {
    Statement.#checkThis(this);
    return this.#execute().toArray();
  }

  /** The first row, or what it has in `column`; null when there is no row. */
  first(column?: string): Row | SqlValue {
    Statement.#checkThis(this);
    const cursor = this.#execute();
    const { value } = cursor.next();
    giveUp(cursor);
    if (value === undefined) return null;
    if (column === undefined) return value;
    if (!Object.hasOwn(value, column)) throw new TypeError(`The result has no column "${column}".`);
    return value[column]!;
  }

  /** All rows, as arrays. */
  raw(): SqlValue[][] {
    Statement.#checkThis(this);
    return this.#execute().raw().toArray();
  }
}
