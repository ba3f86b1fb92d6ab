/** ctx.storage. */
import { type Exchange, OUT_BEGAN } from './exchange.js';
import { KeyValue, SyncKvStorage } from './kv.js';
import type { NativeShard } from './native.js';
import { runtimeClass } from './platform-class.js';
import { SqlEngine, type SqlOwner, SqlStorage } from './sql.js';
import { ownOperations, type PutOptions, StorageOperations } from './storage-operations.js';
import { refusedKv, refusedSql } from './refused.js';
import { type TransactionBody, type TransactionHost, Transactions } from './transaction.js';
import { checkOptions, illegalConstructor, illegalInvocation, isObject, timeParameter, wrongParameter } from './web-idl.js';

/** What the storage needs of the object's host. */
export interface StorageHost extends TransactionHost {
  readonly slot: number;
  readonly native: NativeShard;
  readonly exchange: Exchange;
  readonly storageKind: 'sqlite' | 'kv';
  /** Has the implicit transaction committed when the synchronous run ends. */
  scheduleCommit(): void;
  /** Resets the object: its storage is not what its code believes any more. */
  breakDown(error: Error): void;
  /** Resolves once everything that the object has written is durable. */
  durable(): Promise<void>;
  /** What was noted for the object beside its own commits goes to the disk. */
  flushSoon(): void;
  /** The class has alarm(). */
  readonly hasAlarmHandler: boolean;
  readonly deleteAllDeletesAlarm: boolean;
}

/** Values of `action` of native.savepoint(). */
const OPEN = 0;
const RELEASE = 1;
const ROLL_BACK = 2;

/** One instance's view of its database: the transaction, and whether the instance is still there. */
export class StorageCore implements SqlOwner {
  readonly slot: number;
  readonly native: NativeShard;
  readonly exchange: Exchange;
  readonly storageKind: 'sqlite' | 'kv';
  readonly #host: StorageHost;
  alive = true;
  /** The implicit transaction is open: it commits when the synchronous run ends. */
  dirty = false;
  /** Writes of the open transaction that said `allowUnconfirmed`. */
  unconfirmedWrites = 0;
  /** How many transactions are open inside the database's one. */
  savepoints = 0;
  /** The open transaction has set or deleted the alarm. */
  alarmTouched = false;
  /** How often what was written has been taken back, or all emptied. */
  rollbacks = 0;
  #transactions: Transactions | undefined;
  #commit: Promise<void> | undefined;
  #resolve: (() => void) | undefined;
  #reject: ((error: Error) => void) | undefined;

  constructor(host: StorageHost) {
    this.#host = host;
    this.slot = host.slot;
    this.native = host.native;
    this.exchange = host.exchange;
    this.storageKind = host.storageKind;
  }

  check(): void {
    if (!this.alive) throw new Error('This Durable Object has been reset or evicted; this reference to its storage is not valid any more.');
  }

  began(): void {
    this.dirty = true;
    this.#host.scheduleCommit();
  }

  failed(message: string): void {
    // Only what operators run is interrupted. It takes along a transaction that is theirs alone: no reason for a reset.
    if (message.endsWith(': SQLITE_INTERRUPT')) return;
    if (this.alive && this.native.transactionLost(this.slot)) this.#host.breakDown(new Error(message));
  }

  /** Settles when the implicit transaction that is open now commits; at once when none is. */
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

  /** Told by the host once the transaction is committed, or the instance is gone. */
  settle(error: Error | undefined): void {
    this.dirty = false;
    this.unconfirmedWrites = 0;
    if (this.#commit === undefined) return;
    if (error === undefined) this.#resolve!();
    else this.#reject!(error);
    this.#commit = undefined;
  }

  durable(): Promise<void> {
    return this.#host.durable();
  }

  get hasAlarmHandler(): boolean {
    return this.#host.hasAlarmHandler;
  }

  setAlarm(timeMs: number): void {
    this.#touchAlarm(() => this.native.setAlarm(this.slot, timeMs, Date.now()));
  }

  deleteAlarm(): void {
    this.#touchAlarm(() => this.native.deleteAlarm(this.slot));
  }

  /** The alarm goes, or stays, as the compatibility date says. */
  deleteAll(): void {
    this.rollbacks++;
    this.#touchAlarm(() => this.native.deleteAll(this.slot, this.#host.deleteAllDeletesAlarm));
  }

  restoreAtNextSession(bookmark: string): string {
    const undo = this.native.restoreAtNextSession(this.slot, bookmark);
    this.#host.flushSoon();
    return undo;
  }

  #touchAlarm(write: () => void): void {
    this.check();
    this.exchange.header[OUT_BEGAN] = 0;
    this.alarmTouched = true;
    try {
      write();
    } finally {
      if (this.exchange.header[OUT_BEGAN] === 1) this.began();
    }
  }

  openSavepoint(): number {
    this.native.savepoint(this.slot, OPEN, this.savepoints);
    return this.savepoints++;
  }

  releaseSavepoint(depth: number): void {
    this.savepoints = depth;
    this.native.savepoint(this.slot, RELEASE, depth);
  }

  rollBackSavepoint(depth: number): void {
    this.savepoints = depth;
    this.rollbacks++;
    this.native.savepoint(this.slot, ROLL_BACK, depth);
  }

  transactionSync<T>(body: () => T): T {
    this.check();
    if (this.native.begin(this.slot)) this.began();
    const depth = this.openSavepoint();
    let result: T;
    try {
      result = body.call(globalThis); // as workerd calls it
      if (result instanceof Promise) {
        result.catch(() => {});
        throw new TypeError('The callback of transactionSync() must be synchronous, but it returned a promise.');
      }
    } catch (error) {
      if (this.alive && !this.native.transactionLost(this.slot)) this.rollBackSavepoint(depth);
      throw error;
    }
    this.check();
    this.releaseSavepoint(depth);
    return result;
  }

  /** When a failure has taken the open transaction along: all that is left of it goes, and the instance goes on. */
  forgetLostTransaction(): void {
    if (!this.alive || !this.native.transactionLost(this.slot)) return;
    this.savepoints = 0;
    this.unconfirmedWrites = 0;
    this.native.rollback(this.slot);
  }

  get transactions(): Transactions {
    return (this.#transactions ??= new Transactions(this, this.#host));
  }

  /** True inside transaction() and transactionSync(). */
  get inTransaction(): boolean {
    return this.savepoints > 0 || this.#transactions?.open === true;
  }
}

const NAME = 'DurableObjectStorage';

/** What storage without point-in-time recovery has for a bookmark. */
const NO_BOOKMARK = '00000000-00000000-00000000-00000000000000000000000000000000';

export class DurableObjectStorage extends StorageOperations {
  readonly #core: StorageCore;
  readonly #keyValue: KeyValue;
  readonly #sqlEngine: SqlEngine;
  readonly sql: SqlStorage;
  readonly kv: SyncKvStorage;

  constructor(core: StorageCore) {
    if (!(core instanceof StorageCore)) throw illegalConstructor();
    const keyValue = new KeyValue(core);
    super(core, keyValue, NAME);
    this.#core = core;
    this.#keyValue = keyValue;
    this.#sqlEngine = new SqlEngine(core);
    const hasDatabase = core.storageKind === 'sqlite';
    this.sql = hasDatabase ? new SqlStorage(this.#sqlEngine) : refusedSql();
    this.kv = hasDatabase ? new SyncKvStorage(keyValue) : refusedKv();
  }

  static #checkThis(self: unknown): void {
    if (!isObject(self) || !(#sqlEngine in self)) throw illegalInvocation();
  }

  /** Throws what is wrong with the arguments at once, where other methods reject; so does workerd. */
  override delete(key: string | string[], options?: PutOptions): Promise<boolean | number> {
    DurableObjectStorage.#checkThis(this);
    if (arguments.length === 0) throw wrongParameter('delete', NAME, 1, 'string or Array');
    checkOptions(options, 'delete', NAME, 2, 'PutOptions');
    return super.delete(Array.isArray(key) ? Array.from(key, (each) => `${each}`) : `${key}`, options);
  }

  deleteAll(options?: PutOptions): Promise<void> {
    DurableObjectStorage.#checkThis(this);
    return this.#deleteAll(options);
  }

  async #deleteAll(options: PutOptions | undefined): Promise<void> {
    checkOptions(options, 'deleteAll', NAME, 1, 'PutOptions');
    const core = this.#core;
    core.check();
    if (core.inTransaction) throw new Error('Cannot call deleteAll() within a transaction');
    this.#sqlEngine.forget();
    core.deleteAll();
    if (options?.allowUnconfirmed) core.unconfirmedWrites++;
    return core.committed();
  }

  /** Resolves when everything written so far is on stable storage. */
  sync(): Promise<void> {
    DurableObjectStorage.#checkThis(this);
    return this.#sync();
  }

  async #sync(): Promise<void> {
    this.#core.check();
    await this.#core.committed();
    return this.#core.durable();
  }

  /** No other event is delivered until `body` has ended; then all that was written meanwhile commits, or nothing. */
  transaction<T>(body: TransactionBody<T>, options?: object): Promise<T> {
    DurableObjectStorage.#checkThis(this);
    return this.#transaction(body, options);
  }

  async #transaction<T>(body: TransactionBody<T>, options: object | undefined): Promise<T> {
    if (typeof body !== 'function') throw wrongParameter('transaction', NAME, 1, 'function');
    checkOptions(options, 'transaction', NAME, 2, 'TransactionOptions');
    return this.#core.transactions.run(body, this.#keyValue);
  }

  transactionSync<T>(body: () => T): T {
    DurableObjectStorage.#checkThis(this);
    if (typeof body !== 'function') throw wrongParameter('transactionSync', NAME, 1, 'function');
    return this.#core.transactionSync(body);
  }

  // Point-in-time recovery. What the code has written before it asks is committed first; inside transaction() that
  // is what was written before the transaction.

  /** Names the state that the object has now. */
  getCurrentBookmark(): Promise<string> {
    DurableObjectStorage.#checkThis(this);
    if (!this.#hasHistory) return Promise.resolve(NO_BOOKMARK);
    return this.#afterCommit((core) => core.native.currentBookmark(core.slot));
  }

  /** Names the state that the object had at that time, within what is kept. */
  getBookmarkForTime(timestamp: number | Date): Promise<string> {
    DurableObjectStorage.#checkThis(this);
    return this.#getBookmarkForTime(timestamp);
  }

  async #getBookmarkForTime(timestamp: number | Date): Promise<string> {
    const timeMs = timeParameter(timestamp, 'getBookmarkForTime', NAME);
    this.#requireHistory();
    return this.#afterCommit((core) => core.native.bookmarkForTime(core.slot, timeMs));
  }

  /** Has the object start with this state when it starts next; -> the bookmark that takes that back. */
  onNextSessionRestoreBookmark(bookmark: string): Promise<string> {
    DurableObjectStorage.#checkThis(this);
    return this.#onNextSessionRestoreBookmark(arguments.length, bookmark);
  }

  async #onNextSessionRestoreBookmark(given: number, bookmark: string): Promise<string> {
    if (given === 0) throw wrongParameter('onNextSessionRestoreBookmark', NAME, 1, 'string');
    const text = `${bookmark}`;
    this.#requireHistory();
    return this.#afterCommit((core) => core.restoreAtNextSession(text));
  }

  get #hasHistory(): boolean {
    return this.#core.storageKind === 'sqlite';
  }

  #requireHistory(): void {
    if (!this.#hasHistory) throw new Error("This Durable Object's storage back-end does not implement point-in-time recovery.");
  }

  async #afterCommit<T>(ask: (core: StorageCore) => T): Promise<T> {
    const core = this.#core;
    core.check();
    if (core.dirty) {
      await core.committed();
      core.check();
    }
    return ask(core);
  }
}

ownOperations(DurableObjectStorage);
runtimeClass(DurableObjectStorage, 'DurableObjectStorage');
