/** ctx.storage. */
import { type Exchange, OUT_BEGAN } from './exchange.js';
import { KeyValue, type ListOptions, SyncKvStorage, checkKey, listOptions } from './kv.js';
import type { NativeShard } from './native.js';
import { SqlEngine, type SqlOwner, SqlStorage } from './sql.js';
import { decodeValue } from './values.js';

/** What the storage needs of the object's host. */
export interface StorageHost {
  readonly slot: number;
  readonly native: NativeShard;
  readonly exchange: Exchange;
  /** Has the implicit transaction committed when the synchronous run ends. */
  scheduleCommit(): void;
  /** Resets the object: its storage is not what its code believes any more. */
  breakDown(error: Error): void;
  /** Resolves once everything that the object has written is durable. */
  durable(): Promise<void>;
}

const PAIRS_MAX = 128;

/** For what programs of Cloudflare may use and Perdure does not have yet. */
export const absent = (what: string): Error => new Error(`${what} is not served by this version of Perdure.`);

/** One instance's view of its database: the implicit transaction, and whether the instance is still there. */
export class StorageCore implements SqlOwner {
  readonly slot: number;
  readonly native: NativeShard;
  readonly exchange: Exchange;
  readonly #host: StorageHost;
  alive = true;
  /** A transaction is open. */
  dirty = false;
  #commit: Promise<void> | undefined;
  #resolve: (() => void) | undefined;
  #reject: ((error: Error) => void) | undefined;
  #savepoints = 0;

  constructor(host: StorageHost) {
    this.#host = host;
    this.slot = host.slot;
    this.native = host.native;
    this.exchange = host.exchange;
  }

  check(): void {
    if (!this.alive) throw new Error('This Durable Object has been reset or evicted; this reference to its storage is not valid any more.');
  }

  began(): void {
    this.dirty = true;
    this.#host.scheduleCommit();
  }

  failed(message: string): void {
    if (this.alive && this.native.transactionLost(this.slot)) this.#host.breakDown(new Error(message));
  }

  /** Settles when the transaction that is open now commits; at once when none is. */
  committed(): Promise<void> {
    if (!this.dirty) return Promise.resolve();
    if (this.#commit === undefined) {
      this.#commit = new Promise<void>((resolve, reject) => {
        this.#resolve = resolve;
        this.#reject = reject;
      });
      // A put() that nobody awaits must not count as an unhandled rejection: the object is reset.
      this.#commit.catch(() => {});
    }
    return this.#commit;
  }

  /** Told by the host once the transaction is committed, or could not be. */
  settle(error: Error | undefined): void {
    this.dirty = false;
    if (this.#commit === undefined) return;
    if (error === undefined) this.#resolve!();
    else this.#reject!(error);
    this.#commit = undefined;
  }

  durable(): Promise<void> {
    return this.#host.durable();
  }

  transactionSync<T>(body: () => T): T {
    this.check();
    if (this.native.begin(this.slot)) this.began();
    const depth = this.#savepoints++;
    this.native.savepoint(this.slot, 0, depth);
    let result: T;
    try {
      result = body();
      if (result instanceof Promise) {
        result.catch(() => {});
        throw new TypeError('The callback of transactionSync() must be synchronous, but it returned a promise.');
      }
    } catch (error) {
      this.#savepoints = depth;
      if (this.alive && !this.native.transactionLost(this.slot)) this.native.savepoint(this.slot, 2, depth);
      throw error;
    }
    this.#savepoints = depth;
    this.check();
    this.native.savepoint(this.slot, 1, depth);
    return result;
  }
}

export class DurableObjectStorage {
  readonly #core: StorageCore;
  readonly #keyValue: KeyValue;
  readonly #sqlEngine: SqlEngine;
  readonly sql: SqlStorage;
  readonly kv: SyncKvStorage;

  constructor(core: StorageCore) {
    this.#core = core;
    this.#keyValue = new KeyValue(core);
    this.#sqlEngine = new SqlEngine(core);
    this.sql = new SqlStorage(this.#sqlEngine, core);
    this.kv = new SyncKvStorage(this.#keyValue);
  }

  async get(key: string | string[]): Promise<unknown> {
    if (!Array.isArray(key)) return this.#keyValue.get(text('get', key, arguments.length));
    if (key.length > PAIRS_MAX) throw new RangeError(`Maximum number of keys is ${PAIRS_MAX}.`);
    const found = new Map<string, unknown>();
    for (const each of sortedByUtf8(new Set(key.map(String)))) {
      const value = this.#keyValue.get(each);
      if (value !== undefined) found.set(each, value);
    }
    return found;
  }

  /** Not an async function: the promise is the one of the commit, without steps in between. */
  put(key: string | Record<string, unknown>, value?: unknown): Promise<void> {
    try {
      if (typeof key === 'object' && key !== null && value === undefined) this.#putAll(key);
      else {
        const name = text('put', key, arguments.length);
        if (value === undefined) throw new TypeError('put() called with undefined value.');
        this.#keyValue.put(name, value);
      }
    } catch (error) {
      return Promise.reject(error as Error);
    }
    return this.#core.committed();
  }

  #putAll(entries: Record<string, unknown>): void {
    const pairs = Object.entries(entries).filter(([, value]) => value !== undefined);
    if (pairs.length > PAIRS_MAX) throw new RangeError(`Maximum number of key value pairs is ${PAIRS_MAX}.`);
    this.#core.check();
    // All are encoded before the first is written: a value that can not be writes nothing.
    const encoded = pairs.map(([key, value]) => [key, this.#keyValue.encode(key, value)] as const);
    for (const [key, value] of encoded) this.#keyValue.putEncoded(key, value);
  }

  async delete(key: string | string[]): Promise<boolean | number> {
    let result: boolean | number;
    if (Array.isArray(key)) {
      if (key.length > PAIRS_MAX) throw new RangeError(`Maximum number of keys is ${PAIRS_MAX}.`);
      result = 0;
      for (const each of key) if (this.#keyValue.delete(String(each))) result++;
    } else {
      const name = text('delete', key, arguments.length);
      checkKey(name);
      result = this.#keyValue.delete(name);
    }
    await this.#core.committed();
    return result;
  }

  async list(options?: ListOptions): Promise<Map<string, unknown>> {
    const checked = listOptions(options);
    const flat = this.#keyValue.list(checked, checked.limit ?? -1);
    const found = new Map<string, unknown>();
    for (let i = 0; i < flat.length; i += 2) found.set(flat[i] as string, decodeValue(flat[i + 1]!));
    return found;
  }

  async deleteAll(): Promise<void> {
    this.#core.check();
    this.#sqlEngine.forget();
    const core = this.#core;
    core.exchange.header[OUT_BEGAN] = 0;
    try {
      core.native.deleteAll(core.slot);
    } finally {
      if (core.exchange.header[OUT_BEGAN] === 1) core.began();
    }
    return this.#core.committed();
  }

  /** Resolves when everything written so far is on stable storage. */
  async sync(): Promise<void> {
    this.#core.check();
    await this.#core.committed();
    return this.#core.durable();
  }

  transactionSync<T>(body: () => T): T {
    if (typeof body !== 'function')
      throw new TypeError("Failed to execute 'transactionSync' on 'DurableObjectStorage': parameter 1 is not of type 'function'.");
    return this.#core.transactionSync(body);
  }

  async transaction(): Promise<never> {
    throw absent('storage.transaction()');
  }
  async getAlarm(): Promise<never> {
    throw absent('storage.getAlarm()');
  }
  async setAlarm(): Promise<never> {
    throw absent('storage.setAlarm()');
  }
  async deleteAlarm(): Promise<never> {
    throw absent('storage.deleteAlarm()');
  }
  async getCurrentBookmark(): Promise<never> {
    throw absent('storage.getCurrentBookmark()');
  }
  async getBookmarkForTime(): Promise<never> {
    throw absent('storage.getBookmarkForTime()');
  }
  async onNextSessionRestoreBookmark(): Promise<never> {
    throw absent('storage.onNextSessionRestoreBookmark()');
  }
}

function text(method: string, key: unknown, given: number): string {
  if (typeof key === 'string') return key;
  const type = method === 'put' ? 'string or object' : 'string or Array';
  if (given === 0) throw new TypeError(`Failed to execute '${method}' on 'DurableObjectStorage': parameter 1 is not of type '${type}'.`);
  return `${key as string}`;
}

function sortedByUtf8(keys: Set<string>): string[] {
  return [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
