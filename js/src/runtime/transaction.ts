/**
 * storage.transaction(): the input gate is held while its callback runs, and all that the object's
 * storage is asked for meanwhile belongs to it, by whatever interface. Transactions that are asked for
 * while another one runs wait for it, except those that its own callback asks for: they are nested.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { absent } from './absent.js';
import type { KeyValue } from './kv.js';
import { runtimeClass } from './platform-class.js';
import type { StorageCore } from './storage.js';
import { ownOperations, StorageOperations } from './storage-operations.js';
import { illegalConstructor, illegalInvocation, isObject } from './web-idl.js';

/** What transactions need of the object's host. */
export interface TransactionHost {
  /** Holds the input gate until `body` has settled. When that fails, the object is reset, and the promise never settles. */
  blockConcurrencyWhile<T>(core: StorageCore, body: () => Promise<T>): Promise<T>;
  /** Commits what is open; a failure resets the object. */
  commitNow(): void;
}

export type TransactionBody<T> = (txn: DurableObjectTransaction) => T | Promise<T>;

type Outcome<T> = { value: T } | { thrown: unknown };

/**
 * Tells the code of a callback from other code of the object that runs at the same time. It makes every
 * promise of the process several times slower on Node.js 20, so it is switched off when it is not needed.
 */
const running = new AsyncLocalStorage<Transaction>();
/** Transactions of all objects that have begun and not ended. */
let begun = 0;

function ended(count: number): void {
  begun -= count;
  if (begun === 0) running.disable();
}

/** Where transactions are asked for: another one, or the storage as such. Those of one place run one after the other. */
class Place {
  #last: Promise<unknown> = Promise.resolve();

  enqueue<T>(run: () => Promise<T>): Promise<T> {
    const outcome = this.#last.then(run);
    this.#last = outcome.catch(() => {});
    return outcome;
  }

  /** Resolves when all that were asked for have ended. */
  async drained(): Promise<void> {
    for (let last: Promise<unknown> | undefined; last !== this.#last; ) {
      last = this.#last;
      await last;
    }
  }
}

/** One transaction that has begun. */
class Transaction extends Place {
  state: 'open' | 'rolled back' | 'committed' = 'open';
  /** Its callback has returned, and it is over. */
  ended = false;

  constructor(
    readonly owner: Transactions,
    /** Where it was asked for; undefined: not in another transaction. */
    readonly outer: Transaction | undefined,
    /** What it is part of in the database; not `outer` when that one has been rolled back. */
    readonly enclosing: Transaction | undefined,
    /** The depth of its savepoint; undefined: it is the database's transaction itself. */
    readonly savepoint: number | undefined,
  ) {
    super();
  }

  /** How many savepoints are open when none is inside this one. */
  get savepoints(): number {
    return this.savepoint === undefined ? 0 : this.savepoint + 1;
  }

  /** Throws when `method` comes too late. */
  check(method: string): void {
    if (this.state === 'rolled back') throw new Error(`Cannot ${method}() on rolled back transaction`);
    if (this.state === 'open') return;
    throw new Error(`Cannot call ${method}() on transaction that has already committed: did you move \`txn\` outside of the closure?`);
  }
}

/** The transactions of one instance of an object. */
export class Transactions {
  readonly #core: StorageCore;
  readonly #host: TransactionHost;
  readonly #outside = new Place();
  /** The innermost one that has begun, and has neither ended nor been rolled back. */
  #innermost: Transaction | undefined;
  #begun = 0;

  constructor(core: StorageCore, host: TransactionHost) {
    this.#core = core;
    this.#host = host;
  }

  get open(): boolean {
    return this.#innermost !== undefined;
  }

  async run<T>(body: TransactionBody<T>, keyValue: KeyValue): Promise<T> {
    this.#core.check();
    const outer = this.#caller();
    const outcome = await (outer ?? this.#outside).enqueue(() =>
      this.#host.blockConcurrencyWhile(this.#core, () => this.#perform(outer, body, keyValue)),
    );
    if ('thrown' in outcome) throw outcome.thrown;
    return outcome.value;
  }

  /** The transaction in whose callback this code runs. */
  #caller(): Transaction | undefined {
    let found = running.getStore();
    while (found !== undefined && (found.owner !== this || found.ended)) found = found.outer;
    return found;
  }

  /** What it throws, other than by the callback, resets the object. */
  async #perform<T>(outer: Transaction | undefined, body: TransactionBody<T>, keyValue: KeyValue): Promise<Outcome<T>> {
    const transaction = this.#begin(outer);
    const txn = new DurableObjectTransaction(this.#core, keyValue, this, transaction);
    let outcome: Outcome<T>;
    try {
      outcome = { value: await running.run(transaction, body, txn) };
    } catch (thrown) {
      outcome = { thrown };
    }
    await transaction.drained(); // of those that the callback did not wait for
    this.#core.check();
    this.#end(transaction, 'value' in outcome);
    return outcome;
  }

  #begin(outer: Transaction | undefined): Transaction {
    const core = this.#core;
    // What was written before is no part of it.
    if (core.dirty) this.#host.commitNow();
    core.check();
    const enclosing = this.#innermost;
    if (enclosing === undefined) core.native.begin(core.slot);
    const savepoint = enclosing === undefined ? undefined : core.openSavepoint();
    const transaction = new Transaction(this, outer, enclosing, savepoint);
    this.#innermost = transaction;
    this.#begun++;
    begun++;
    return transaction;
  }

  #end(transaction: Transaction, commits: boolean): void {
    if (!commits) this.rollBack(transaction);
    transaction.ended = true;
    this.#begun--;
    ended(1);
    if (transaction.state === 'rolled back') return;
    transaction.state = 'committed';
    this.#innermost = transaction.enclosing;
    if (transaction.savepoint === undefined) {
      this.#host.commitNow();
      this.#core.check();
    } else this.#core.releaseSavepoint(transaction.savepoint);
  }

  #undo(transaction: Transaction): void {
    const core = this.#core;
    transaction.state = 'rolled back';
    this.#innermost = transaction.enclosing;
    if (transaction.savepoint !== undefined) core.rollBackSavepoint(transaction.savepoint);
    else {
      core.unconfirmedWrites = 0;
      core.rollbacks++;
      core.native.rollback(core.slot);
    }
  }

  rollBack(transaction: Transaction): void {
    if (transaction.state === 'rolled back') return;
    this.#core.check();
    if (this.#innermost !== transaction || this.#core.savepoints !== transaction.savepoints)
      throw new Error('Cannot roll back an outer transaction while a nested transaction is still running.');
    this.#undo(transaction);
  }

  /** The instance is gone, and what was open with it. */
  abandon(): void {
    ended(this.#begun);
    this.#begun = 0;
  }
}

export class DurableObjectTransaction extends StorageOperations {
  readonly #transactions: Transactions;
  readonly #transaction: Transaction;

  constructor(core: StorageCore, keyValue: KeyValue, transactions: Transactions, transaction: Transaction) {
    if (!(transactions instanceof Transactions)) throw illegalConstructor();
    super(core, keyValue, 'DurableObjectTransaction', (method) => transaction.check(method));
    this.#transactions = transactions;
    this.#transaction = transaction;
  }

  static #checkThis(self: unknown): void {
    if (!isObject(self) || !(#transaction in self)) throw illegalInvocation();
  }

  /** Takes back what the transaction has written; its callback goes on. */
  rollback(): void {
    DurableObjectTransaction.#checkThis(this);
    if (this.#transaction.state === 'rolled back') return;
    this.#transaction.check('rollback');
    this.#transactions.rollBack(this.#transaction);
  }

  deleteAll(): Promise<never> {
    DurableObjectTransaction.#checkThis(this);
    return Promise.reject(new Error('Cannot call deleteAll() within a transaction'));
  }

  async getAlarm(): Promise<never> {
    return this.#absent('getAlarm');
  }
  async setAlarm(): Promise<never> {
    return this.#absent('setAlarm');
  }
  async deleteAlarm(): Promise<never> {
    return this.#absent('deleteAlarm');
  }

  #absent(method: string): never {
    this.#transaction.check(method);
    throw absent(`txn.${method}()`);
  }
}

ownOperations(DurableObjectTransaction);
runtimeClass(DurableObjectTransaction, 'DurableObjectTransaction');
