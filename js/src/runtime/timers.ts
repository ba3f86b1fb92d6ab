/**
 * setTimeout and setInterval for the code of objects: a pending timer keeps its object in memory, and
 * ends with it when it is reset. Other code gets Node's own behaviour.
 */
import * as node from 'node:timers';
import { promisify } from 'node:util';
import type { Instance } from './host.js';
import type { Shard } from './shard.js';

/** Timers of one object at one time; workerd has the same limit. */
const TIMERS_MAX = 10_000;

type Callback = (...args: unknown[]) => void;

/** One timer of an object. */
class ObjectTimer {
  readonly timeout: NodeJS.Timeout;
  readonly id: number;
  readonly #release: () => void;
  readonly #forget: () => void;

  constructor(
    readonly timers: Map<number, ObjectTimer>,
    readonly instance: Instance,
    start: (fire: () => void) => NodeJS.Timeout,
    readonly repeats: boolean,
    callback: Callback,
    args: unknown[],
  ) {
    this.timeout = start(() => this.#fire(callback, args));
    this.id = Number(this.timeout);
    timers.set(this.id, this);
    this.#release = instance.hold();
    this.#forget = instance.onReset(() => this.clear());
    instance.timers++;
    // What Node's own timers can do beside clearTimeout().
    Object.assign(this.timeout, { close: () => this.clear(), [Symbol.dispose ?? Symbol.for('dispose')]: () => this.clear() });
  }

  /** In the timer's task, which is the object's turn. */
  #fire(callback: Callback, args: unknown[]): void {
    const { host } = this.instance;
    host.shard.enter(this.instance);
    try {
      callback.apply(this.timeout, args);
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

/** setImmediate() comes before anything that could evict the object: it need not be held. */
function immediate(shard: Shard) {
  const fire = (instance: Instance | undefined, callback: Callback, args: unknown[]): void => {
    if (instance !== undefined && !instance.alive) return;
    shard.enter(instance);
    callback(...args);
  };
  return (callback: Callback, ...args: unknown[]): NodeJS.Immediate =>
    typeof callback === 'function' ? node.setImmediate(fire, shard.current, callback, args) : node.setImmediate(callback, ...args);
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
  const setImmediate = immediate(shard);
  keepPromisified(setTimeout, node.setTimeout);
  keepPromisified(setImmediate, node.setImmediate);
  Object.assign(globalThis, {
    setTimeout,
    setImmediate,
    setInterval: starter(node.setInterval, true),
    clearTimeout: clear,
    clearInterval: clear,
  });
}
