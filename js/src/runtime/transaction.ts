/**
 * storage.transaction(): a critical section (sections.ts), and all that the object's storage is asked
 * for while its callback runs belongs to it, by whatever interface. Transactions that are asked for
 * while another one runs wait for it, except those that its own callback asks for: they are nested.
 */
import type { KeyValue } from './kv.js';
import { runtimeClass } from './platform-class.js';
import type { Section } from './sections.js';
import type { StorageCore } from './storage.js';
import { ownOperations, StorageOperations } from './storage-operations.js';
import { illegalConstructor, illegalInvocation, isObject } from './web-idl.js';

/** What transactions need of the object's host. */
export interface TransactionHost {
  /** Runs `body` as a critical section. When that fails, the object is reset, and the promise never settles. */
  transaction<T>(core: StorageCore, body: (section: Section) => Promise<T>): Promise<T>;
  /** Commits what is open; a failure resets the object. */
  commitNow(): void;
}

export type TransactionBody<T> = (txn: DurableObjectTransaction) => T | Promise<T>;

type Outcome<T> = { value: T } | { thrown: unknown };

/** One transaction that has begun. */
class Transaction {
  state: 'open' | 'rolled back' | 'committed' = 'open';

  constructor(
    /** What it is part of in the database: nothing that has been rolled back. */
    readonly enclosing: Transaction | undefined,
    /** The depth of its savepoint; undefined: it is the database's transaction itself. */
    readonly savepoint: number | undefined,
  ) {}

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
  /** The innermost one that has begun, and has neither ended nor been rolled back. */
  #innermost: Transaction | undefined;

  constructor(core: StorageCore, host: TransactionHost) {
    this.#core = core;
    this.#host = host;
  }

  get open(): boolean {
    return this.#innermost !== undefined;
  }

  async run<T>(body: TransactionBody<T>, keyValue: KeyValue): Promise<T> {
    const outcome = await this.#host.transaction(this.#core, (section) => this.#perform(section, body, keyValue));
    if ('thrown' in outcome) throw outcome.thrown;
    return outcome.value;
  }

  /** What it throws, other than by the callback, resets the object. */
  async #perform<T>(section: Section, body: TransactionBody<T>, keyValue: KeyValue): Promise<Outcome<T>> {
    const transaction = this.#begin();
    const txn = new DurableObjectTransaction(this.#core, keyValue, this, transaction);
    let outcome: Outcome<T>;
    try {
      outcome = { value: await body(txn) };
    } catch (thrown) {
      outcome = { thrown };
    }
    await section.empty(); // of those that the callback did not wait for
    this.#core.check();
    this.#end(transaction, 'value' in outcome);
    return outcome;
  }

  #begin(): Transaction {
    const core = this.#core;
    // What was written before is no part of it.
    if (core.dirty) this.#host.commitNow();
    core.check();
    const enclosing = this.#innermost;
    if (enclosing === undefined) core.native.beginExplicit(core.slot);
    const savepoint = enclosing === undefined ? undefined : core.openSavepoint();
    const transaction = new Transaction(enclosing, savepoint);
    this.#innermost = transaction;
    return transaction;
  }

  #end(transaction: Transaction, commits: boolean): void {
    if (!commits) this.rollBack(transaction);
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
}

ownOperations(DurableObjectTransaction);
runtimeClass(DurableObjectTransaction, 'DurableObjectTransaction');
