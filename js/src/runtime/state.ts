/** What an object's constructor gets as `ctx`. */
import { absent } from './absent.js';
import { runtimeClass } from './platform-class.js';
import type { DurableObjectId } from './ids.js';
import type { DurableObjectStorage, StorageCore } from './storage.js';
import { illegalInvocation, isObject, wrongParameter } from './web-idl.js';

/** What the state needs of the object's host. `core` tells which instance asks: it may be gone. */
export interface StateHost {
  waitUntil(core: StorageCore, promise: unknown): void;
  blockConcurrencyWhile<T>(core: StorageCore, body: () => T | Promise<T>): Promise<T>;
  abort(core: StorageCore, reason: string | undefined): never;
  /** What `ctx.exports` has. */
  readonly exports: Record<string, unknown>;
}

export class DurableObjectState {
  readonly id: DurableObjectId;
  readonly storage: DurableObjectStorage;
  readonly props: Record<string, unknown> = {};
  readonly #host: StateHost;
  readonly #core: StorageCore;

  constructor(host: StateHost, core: StorageCore, id: DurableObjectId, storage: DurableObjectStorage) {
    this.#host = host;
    this.#core = core;
    this.id = id;
    this.storage = storage;
  }

  static #checkThis(self: unknown): void {
    if (!isObject(self) || !(#host in self)) throw illegalInvocation();
  }

  /** The object stays in memory until the promise has settled. */
  waitUntil(promise: unknown): void {
    DurableObjectState.#checkThis(this);
    if (arguments.length === 0) throw wrongParameter('waitUntil', 'DurableObjectState', 1, 'Promise');
    this.#host.waitUntil(this.#core, promise);
  }

  /** No other event is delivered until the promise settles. If it fails, the object is reset. */
  blockConcurrencyWhile<T>(body: () => T | Promise<T>): Promise<T> {
    DurableObjectState.#checkThis(this);
    if (typeof body !== 'function')
      return Promise.reject(wrongParameter('blockConcurrencyWhile', 'DurableObjectState', 1, 'function'));
    return this.#host.blockConcurrencyWhile(this.#core, body);
  }

  /** Resets the object: what is not committed is rolled back, all calls in flight fail with the reason. */
  abort(reason?: string): never {
    DurableObjectState.#checkThis(this);
    return this.#host.abort(this.#core, reason);
  }

  /** The namespaces of the program's classes, by the names of these. */
  get exports(): Record<string, unknown> {
    DurableObjectState.#checkThis(this);
    return this.#host.exports;
  }
}
runtimeClass(DurableObjectState, 'DurableObjectState');

/** They come with WebSockets; until then a call says so. */
const WEB_SOCKET_METHODS = [
  'acceptWebSocket', 'getWebSockets', 'getTags', 'setWebSocketAutoResponse', 'getWebSocketAutoResponse',
  'getWebSocketAutoResponseTimestamp', 'setHibernatableWebSocketEventTimeout', 'getHibernatableWebSocketEventTimeout',
];
for (const name of WEB_SOCKET_METHODS) {
  Object.defineProperty(DurableObjectState.prototype, name, {
    value: () => {
      throw absent(`ctx.${name}()`);
    },
    writable: true,
    configurable: true,
  });
}
