/** What an object's constructor gets as `ctx`. */
import type { DurableObjectId } from './ids.js';
import type { DurableObjectStorage } from './storage.js';

/** What the state needs of the object's host. */
export interface StateHost {
  waitUntil(promise: unknown): void;
  blockConcurrencyWhile<T>(body: () => T | Promise<T>): Promise<T>;
  abort(reason: string | undefined): never;
}

export class DurableObjectState {
  readonly id: DurableObjectId;
  readonly storage: DurableObjectStorage;
  readonly props: Record<string, unknown> = {};
  readonly #host: StateHost;

  constructor(host: StateHost, id: DurableObjectId, storage: DurableObjectStorage) {
    this.#host = host;
    this.id = id;
    this.storage = storage;
  }

  /** The object stays in memory until the promise has settled. */
  waitUntil(promise: unknown): void {
    this.#host.waitUntil(promise);
  }

  /** No other event is delivered until the promise settles. If it fails, the object is reset. */
  blockConcurrencyWhile<T>(body: () => T | Promise<T>): Promise<T> {
    if (typeof body !== 'function')
      throw new TypeError("Failed to execute 'blockConcurrencyWhile' on 'DurableObjectState': parameter 1 is not of type 'function'.");
    return this.#host.blockConcurrencyWhile(body);
  }

  /** Resets the object: what is not committed is rolled back, all calls in flight fail with the reason. */
  abort(reason?: string): never {
    return this.#host.abort(reason);
  }

  get [Symbol.toStringTag](): string {
    return 'DurableObjectState';
  }
}
