/**
 * setTimeout, setInterval and scheduler.wait for the code of objects: what fires goes through the input
 * gate, a pending timer keeps its object in memory, and ends with it when it is reset. Other code gets
 * Node's own behaviour.
 */
import * as node from 'node:timers';
import { promisify } from 'node:util';
import type { Instance, Resumption } from './host.js';
import type { Shard } from './shard.js';

/** Timers of one object at one time; workerd has the same limit. */
const TIMERS_MAX = 10_000;

type Callback = (...args: unknown[]) => void;

/** One timer of an object. */
class ObjectTimer implements Resumption {
  readonly timeout: NodeJS.Timeout;
  readonly id: number;
  readonly #release: () => void;
  readonly #forget: () => void;
  /** Of the code that has set it. */
  readonly #section: number;
  /** It has fired, and the gate has not let it through yet. */
  #waits = false;

  constructor(
    readonly timers: Map<number, ObjectTimer>,
    readonly instance: Instance,
    start: (fire: () => void) => NodeJS.Timeout,
    readonly repeats: boolean,
    readonly callback: Callback,
    readonly args: unknown[],
  ) {
    this.#section = instance.host.shard.section;
    this.timeout = start(() => this.#fire());
    this.id = Number(this.timeout);
    timers.set(this.id, this);
    this.#release = instance.hold();
    this.#forget = instance.onReset(() => this.clear());
    instance.timers++;
    // What Node's own timers can do beside clearTimeout().
    Object.assign(this.timeout, { close: () => this.clear(), [Symbol.dispose ?? Symbol.for('dispose')]: () => this.clear() });
  }

  /** In the timer's task, which is the object's turn if its gate is open. */
  #fire(): void {
    if (this.#waits) return; // an interval runs once, however long the gate was closed
    this.#waits = true;
    this.instance.host.resume(this.instance, this.#section, this);
  }

  resumed(): void {
    this.#waits = false;
    if (!this.timers.has(this.id)) return; // cleared while it waited
    const { host } = this.instance;
    try {
      this.callback.apply(this.timeout, this.args);
    } catch (error) {
      // An exception that leaves the task would take the next timers with it into this turn.
      host.shard.report(`${host.toString()}: a timer has thrown:`, error);
    }
    if (!this.repeats) this.clear();
  }

  clear(): NodeJS.Timeout {
    if (this.timers.delete(this.id)) {
      node.clearTimeout(this.timeout);
      this.instance.timers--;
      this.#release();
      this.#forget();
    }
    return this.timeout;
  }
}

function keepPromisified(ours: object, nodes: object): void {
  Object.defineProperty(ours, promisify.custom, { value: (nodes as Record<symbol, unknown>)[promisify.custom] });
}

const fireImmediate = (immediate: ObjectImmediate): void => immediate.fire();

/** A setImmediate() of an object. */
class ObjectImmediate implements Resumption {
  readonly immediate: NodeJS.Immediate;
  readonly #section: number;
  /** Until it has run or is cleared. */
  #release: (() => void) | undefined;

  constructor(
    readonly instance: Instance,
    readonly callback: Callback,
    readonly args: unknown[],
  ) {
    this.#section = instance.host.shard.section;
    this.#release = instance.hold();
    this.immediate = node.setImmediate(fireImmediate, this);
    Object.assign(this.immediate, { [Symbol.dispose ?? Symbol.for('dispose')]: () => this.clear() });
  }

  fire(): void {
    this.instance.host.resume(this.instance, this.#section, this);
  }

  resumed(): void {
    if (this.#release === undefined || !this.instance.alive) return;
    try {
      this.callback(...this.args);
    } finally {
      this.clear();
    }
  }

  clear(): void {
    node.clearImmediate(this.immediate);
    this.#release?.();
    this.#release = undefined;
  }
}

/** Replaces the process's timer functions; for a process that serves one project. */
export function installTimers(shard: Shard): void {
  const timers = new Map<number, ObjectTimer>();
  const fireOutside = function (this: unknown, callback: Callback, args: unknown[]): void {
    shard.enter(undefined);
    callback.apply(this, args);
  };
  const starter =
    (start: typeof node.setTimeout | typeof node.setInterval, repeats: boolean) =>
    (callback: Callback, delayMs?: number, ...args: unknown[]): NodeJS.Timeout => {
      const instance = shard.current;
      // Node says what is wrong with a callback that is none.
      if (typeof callback !== 'function') return start(callback, delayMs, ...args);
      if (instance === undefined) return start(fireOutside, delayMs, callback, args);
      if (!instance.alive) throw new Error('This Durable Object has been reset or evicted; it cannot set timers any more.');
      if (instance.timers >= TIMERS_MAX)
        throw new DOMException(`You have exceeded the number of active timeouts you may set. max active timeouts: ${TIMERS_MAX}`, 'QuotaExceededError');
      return new ObjectTimer(timers, instance, (fire) => start(fire, delayMs), repeats, callback, args).timeout;
    };
  const clear = (timeout?: NodeJS.Timeout | string | number): void => {
    const id = typeof timeout === 'object' && timeout !== null ? timeout[Symbol.toPrimitive]?.() : Number(timeout);
    const known = timers.get(id);
    if (known !== undefined) known.clear();
    else node.clearTimeout(timeout);
  };
  const setTimeout = starter(node.setTimeout, false);
  const immediates = new WeakMap<object, ObjectImmediate>();
  const fireImmediateOutside = (callback: Callback, args: unknown[]): void => {
    shard.enter(undefined);
    callback(...args);
  };
  const setImmediate = (callback: Callback, ...args: unknown[]): NodeJS.Immediate => {
    if (typeof callback !== 'function') return node.setImmediate(callback, ...args);
    if (shard.current === undefined) return node.setImmediate(fireImmediateOutside, callback, args);
    const made = new ObjectImmediate(shard.current, callback, args);
    immediates.set(made.immediate, made);
    return made.immediate;
  };
  const clearImmediate = (immediate?: NodeJS.Immediate): void => {
    const known = immediate === undefined ? undefined : immediates.get(immediate);
    if (known !== undefined) known.clear();
    else node.clearImmediate(immediate);
  };
  /** Resolves after so many milliseconds, or rejects when the signal says so. */
  const wait = (delayMs: number, options?: { signal?: AbortSignal | null }): Promise<void> =>
    new Promise((resolve, reject) => {
      const signal = options?.signal ?? undefined;
      signal?.throwIfAborted();
      const abort = (): void => {
        clear(timeout);
        reject(signal!.reason as Error);
      };
      const timeout = setTimeout(() => {
        signal?.removeEventListener('abort', abort);
        resolve();
      }, delayMs);
      signal?.addEventListener('abort', abort, { once: true });
    });
  keepPromisified(setTimeout, node.setTimeout);
  keepPromisified(setImmediate, node.setImmediate);
  Object.assign(globalThis, {
    setTimeout,
    setImmediate,
    scheduler: { wait },
    setInterval: starter(node.setInterval, true),
    clearImmediate,
    clearTimeout: clear,
    clearInterval: clear,
  });
}
