/**
 * One object on its shard: runs the class's code when the object core (src/object, in C++) says so, and
 * tells it what happened.
 */
import { setTimeout } from 'node:timers'; // user code may replace the globals
import { DurableObject } from './entrypoints.js';
import type { DurableObjectId } from './ids.js';
import { CONSTRUCT, DELIVER } from './native.js';
import type { ObjectNamespace } from './namespace.js';
import type { Shard } from './shard.js';
import { DurableObjectState, type StateHost } from './state.js';
import { DurableObjectStorage, StorageCore, type StorageHost } from './storage.js';
import { passThrown } from './values.js';

/** Something to be delivered to the object, and where its outcome goes. */
export interface Delivery {
  /** Runs user code; what it returns or throws is the outcome. */
  run(instance: object, host: ObjectHost): unknown;
  /** Makes the caller's copy of the result. */
  pass(result: unknown): unknown;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  /** The outcome was a reset of the object, and whoever made the call knows now. */
  resetSeen(resets: number): void;
}

const BLOCK_TIMEOUT_MS = 30_000;
const resolved = Promise.resolve();

const drainTurn = (host: ObjectHost): void => host.runNext();

/** What user code returned, when it is a promise of some kind. */
export function asPromise(value: unknown): Promise<unknown> | undefined {
  if (value instanceof Promise) return value;
  if ((typeof value !== 'object' || value === null) && typeof value !== 'function') return undefined;
  return typeof (value as { then?: unknown }).then === 'function' ? Promise.resolve(value) : undefined;
}

/** The copy of something thrown; user code may throw what no one can read. */
function copyThrown(thrown: unknown, properties: Record<string, unknown>): unknown {
  try {
    return passThrown(thrown, properties);
  } catch {
    return Object.assign(new Error('Something was thrown that cannot be passed on.'), properties);
  }
}

export class ObjectHost implements StateHost, StorageHost {
  readonly slot: number;
  readonly native: Shard['native'];
  readonly exchange: Shard['exchange'];
  /** It has left the shard's memory; a later call gets a new one. */
  forgotten = false;
  /** How often the object was reset, and why the last time. */
  resets = 0;
  resetError: unknown;
  #instance: object | undefined;
  #storage: StorageCore | undefined;
  readonly #waiting = new Map<number, Delivery>();
  readonly #running = new Set<Delivery>();
  /** A turn for the next waiting event is on its way. */
  #draining = false;

  constructor(
    readonly shard: Shard,
    readonly namespace: ObjectNamespace,
    readonly id: DurableObjectId,
  ) {
    this.native = shard.native;
    this.exchange = shard.exchange;
    this.slot = this.native.add(namespace.number, id.toString(), id.name ?? '');
  }

  /** Called in a turn of its own (Shard.turn), which is the event's if the gate is open. */
  deliver(delivery: Delivery): void {
    const event = this.shard.nextEvent();
    let admission: number;
    try {
      admission = this.native.arrive(this.slot, event);
    } catch (error) {
      delivery.reject(Object.assign(error as Error, { overloaded: true }));
      return;
    }
    if (admission === DELIVER) {
      this.#run(delivery);
      return;
    }
    this.#waiting.set(event, delivery);
    if (admission === CONSTRUCT) this.#construct();
  }

  #construct(): void {
    const storage = new StorageCore(this);
    this.#storage = storage;
    const state = new DurableObjectState(this, storage, this.id, new DurableObjectStorage(storage));
    try {
      this.#instance = new this.namespace.objectClass(state, this.shard.env);
    } catch (thrown) {
      this.reset(thrown);
      return;
    }
    if (!storage.alive) return; // the constructor called abort() and caught what it threw
    this.native.constructed(this.slot);
    this.#drain();
  }

  /** Runs what the gate lets through, one event in a turn. */
  #drain(): void {
    if (this.#draining || this.#waiting.size === 0) return;
    this.#draining = true;
    this.shard.turn(drainTurn, this);
  }

  runNext(): void {
    this.#draining = false;
    if (this.#storage === undefined) return; // a reset has refused them
    const event = this.native.next(this.slot);
    if (event < 0) return; // the gate has closed again; who opens it drains
    const delivery = this.#waiting.get(event)!;
    this.#waiting.delete(event);
    this.#run(delivery);
    this.#drain();
  }

  #run(delivery: Delivery): void {
    const storage = this.#storage!;
    this.#running.add(delivery);
    let result: unknown;
    try {
      result = delivery.run(this.#instance!, this);
      const promise = asPromise(result);
      if (promise !== undefined) {
        promise.then(
          (value) => this.#succeed(delivery, storage, value),
          (thrown: unknown) => this.#fail(delivery, storage, thrown),
        );
        return;
      }
    } catch (thrown) {
      this.#fail(delivery, storage, thrown);
      return;
    }
    this.#succeed(delivery, storage, result);
  }

  #succeed(delivery: Delivery, storage: StorageCore, result: unknown): void {
    if (!this.#running.delete(delivery)) return; // a reset has answered
    if (!this.#finish(storage, delivery)) return;
    let value: unknown;
    try {
      value = delivery.pass(result);
    } catch (thrown) {
      delivery.reject(this.remote(thrown));
      return;
    }
    delivery.resolve(value);
  }

  #fail(delivery: Delivery, storage: StorageCore, thrown: unknown): void {
    if (!this.#running.delete(delivery)) return;
    if (this.#finish(storage, delivery)) delivery.reject(this.remote(thrown));
  }

  /** Commits what the event has written, so that its outcome can leave; false when that failed. */
  #finish(storage: StorageCore, delivery: Delivery): boolean {
    if (storage.dirty) {
      this.shard.commit(storage, this);
      if (!storage.alive) {
        this.#refuse(delivery);
        return false;
      }
    }
    this.native.finish(this.slot, this.shard.nowMs);
    return true;
  }

  /** What the caller sees of something thrown here. */
  remote(thrown: unknown): unknown {
    return copyThrown(thrown, { remote: true });
  }

  /**
   * The instance is gone, with what it has not committed: everyone who waits gets the error, the next
   * call constructs anew.
   */
  reset(thrown: unknown): void {
    const storage = this.#storage;
    if (storage === undefined || !storage.alive) return;
    const error = copyThrown(thrown, { durableObjectReset: true });
    storage.alive = false;
    this.resets++;
    this.resetError = error;
    this.#instance = undefined;
    this.#storage = undefined;
    const refused = [...this.#running];
    this.#running.clear();
    for (const event of this.native.reset(this.slot, this.shard.nowMs)) {
      refused.push(this.#waiting.get(event)!);
      this.#waiting.delete(event);
    }
    storage.settle(error as Error);
    for (const delivery of refused) this.#refuse(delivery);
  }

  #refuse(delivery: Delivery): void {
    delivery.resetSeen(this.resets);
    delivery.reject(this.resetError);
  }

  evict(): void {
    this.native.evict(this.slot);
    if (this.#storage !== undefined) this.#storage.alive = false;
    this.#storage = undefined;
    this.#instance = undefined;
  }

  // What ctx does.

  waitUntil(core: StorageCore, promise: unknown): void {
    const held = core.alive;
    if (held) this.native.hold(this.slot);
    const done = (): void => {
      if (held && core.alive) this.native.release(this.slot, this.shard.nowMs);
    };
    Promise.resolve(promise).then(done, (error: unknown) => {
      this.shard.report(`${this.toString()}: a promise given to waitUntil() was rejected`, error);
      done();
    });
  }

  /** When it fails, the instance is gone: its code never sees the promise settle. */
  blockConcurrencyWhile<T>(core: StorageCore, body: () => T | Promise<T>): Promise<T> {
    core.check();
    this.native.block(this.slot);
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error('A call to blockConcurrencyWhile() in a Durable Object waited for too long. The call was canceled and the Durable Object was reset.')),
        BLOCK_TIMEOUT_MS,
      );
    });
    // The body starts in a run of its own, after the code that asked for it.
    return new Promise<T>((resolve) => {
      Promise.race([resolved.then(body), limit]).then(
        (value) => {
          clearTimeout(timer);
          if (!core.alive) return;
          this.native.unblock(this.slot);
          resolve(value);
          this.#drain();
        },
        (thrown: unknown) => {
          clearTimeout(timer);
          if (core.alive) this.reset(thrown);
        },
      );
    });
  }

  abort(core: StorageCore, reason: string | undefined): never {
    const error = new Error(reason === undefined ? 'Application called abort() to reset Durable Object.' : String(reason));
    if (core.alive) this.reset(error);
    throw error;
  }

  // What its storage asks for.

  scheduleCommit(storage: StorageCore): void {
    this.shard.scheduleCommit(storage, this);
  }

  breakDown(error: Error): void {
    this.reset(error);
  }

  durable(): Promise<void> {
    return this.shard.durable(this.shard.observedLsn);
  }

  toString(): string {
    return `${this.namespace.className} ${this.id.name === undefined ? this.id.toString() : JSON.stringify(this.id.name)}`;
  }
}

/** A method or getter as RPC reaches it: on the class's own prototypes, nothing else. */
export function findMember(instance: object, name: string): PropertyDescriptor | undefined {
  for (let p = Object.getPrototypeOf(instance) as object | null; p !== null && p !== DurableObject.prototype && p !== Object.prototype; p = Object.getPrototypeOf(p) as object | null) {
    const found = Object.getOwnPropertyDescriptor(p, name);
    if (found !== undefined) return name === 'constructor' ? undefined : found;
  }
  return undefined;
}
