/**
 * setTimeout, setInterval, setImmediate and scheduler.wait for the code of objects: what fires goes through the input
 * gate, a pending timer keeps its object in memory, and ends with it when it is reset. Other code gets
 * Node's own behaviour.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import * as node from 'node:timers';
import { promisify } from 'node:util';
import type { Instance, Resumption } from './host.js';
import type { Observer } from './observer.js';
import { runtimeClass } from './platform-class.js';
import { ROOT } from './sections.js';
import type { Place, Shard } from './shard.js';
import { checkOptions, illegalConstructor, illegalInvocation, isObject, wrongParameter } from './web-idl.js';

/** Timers of one object at one time; workerd has the same limit. */
const TIMERS_MAX = 10_000;

/** 24.8 days: Node fires at once what is to wait longer, and workerd does not. */
const DELAY_MS_MAX = 2 ** 31 - 1;

/** As error texts call the object that has the timers' functions. */
const GLOBAL = 'ServiceWorkerGlobalScope';

type Callback = (...args: unknown[]) => void;

const fireNext = (line: TimerLine): void => line.fireNext();

/**
 * The timers of one object in the order in which they fire. Node.js keeps a list for each delay, so when several
 * have become due at once, those of one delay may go before earlier ones of another.
 */
export class TimerLine {
  /** That have not fired, the first due first. */
  readonly #pending: ObjectTimer[] = [];
  /** That are to fire in the turns that were asked for. */
  readonly #due: ObjectTimer[] = [];

  constructor(readonly shard: Shard) {}

  /** The place of `timer`, or where it belongs. */
  #place({ dueMs, id }: ObjectTimer): number {
    const pending = this.#pending;
    let from = 0;
    let to = pending.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      const other = pending[middle]!;
      if (other.dueMs < dueMs || (other.dueMs === dueMs && other.id < id)) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  add(timer: ObjectTimer): void {
    this.#pending.splice(this.#place(timer), 0, timer);
  }

  /** Before its time is changed. */
  remove(timer: ObjectTimer): void {
    const place = this.#place(timer);
    if (this.#pending[place] === timer) this.#pending.splice(place, 1);
  }

  /** In the task that Node.js runs for `timer`: it is due, and so are all that come before it. */
  fired(timer: ObjectTimer): void {
    const before = this.#pending.splice(0, this.#place(timer));
    for (const earlier of before) earlier.overtaken();
    this.remove(timer);
    if (before.length === 0 && this.#due.length === 0) {
      timer.fire();
      return;
    }
    for (const due of [...before, timer]) {
      this.#due.push(due);
      this.shard.turn(fireNext, this);
    }
  }

  fireNext(): void {
    this.#due.shift()!.fire();
  }
}

/** One timer of an object. */
class ObjectTimer implements Resumption {
  readonly timeout: NodeJS.Timeout;
  readonly id: number;
  /** By performance.now(). */
  dueMs: number;
  readonly #delayMs: number;
  readonly #line: TimerLine;
  readonly #nodesRefresh: () => NodeJS.Timeout;
  readonly #release: () => void;
  readonly #forget: () => void;
  /** Of the code that has set it. */
  readonly #section: number;
  /** It has fired, and the gate has not let it through yet. */
  #waits = false;
  /** With what the code that set it has in each AsyncLocalStorage; the turn that calls it may be another one's. */
  readonly #callback: Callback;

  constructor(
    readonly timers: Map<number, ObjectTimer>,
    readonly instance: Instance,
    start: (fire: () => void) => NodeJS.Timeout,
    delayMs: number | undefined,
    readonly repeats: boolean,
    callback: Callback,
    readonly args: unknown[],
  ) {
    const { shard } = instance.host;
    this.#section = shard.section;
    this.#callback = AsyncLocalStorage.bind(callback);
    this.timeout = start(() => this.#line.fired(this));
    this.id = Number(this.timeout);
    timers.set(this.id, this);
    this.#nodesRefresh = this.timeout.refresh;
    // workerd counts whole milliseconds, and lets those of 0 fire before those of 1.
    this.#delayMs = Math.max(0, Math.trunc(Number(delayMs)) || 0);
    this.dueMs = performance.now() + this.#delayMs;
    this.#line = instance.timerLine ??= new TimerLine(shard);
    this.#line.add(this);
    this.#release = instance.hold();
    this.#forget = instance.onReset(() => this.clear());
    instance.timers++;
    // What Node's own timers can do beside clearTimeout().
    const clear = (): NodeJS.Timeout => this.clear();
    Object.assign(this.timeout, { close: clear, refresh: () => this.#refresh() });
    disposesWith(this.timeout, clear);
  }

  /** Its time begins anew, in the line only. */
  #restart(): void {
    this.#line.remove(this);
    this.dueMs = performance.now() + this.#delayMs;
    this.#line.add(this);
  }

  #refresh(): NodeJS.Timeout {
    if (!this.timers.has(this.id)) return this.timeout; // it has run, or was cleared
    this.#restart();
    return this.#nodesRefresh.call(this.timeout);
  }

  /** It leaves the line before Node.js has got to it. */
  overtaken(): void {
    if (this.repeats) this.#nodesRefresh.call(this.timeout);
    else node.clearTimeout(this.timeout);
  }

  /** In a turn of its own, which is the object's if its gate is open. */
  fire(): void {
    if (!this.timers.has(this.id)) return; // cleared in a turn before
    if (this.repeats) this.#restart();
    if (this.#waits) return; // an interval runs once, however long the gate was closed
    this.#waits = true;
    this.instance.host.resume(this.instance, this.#section, this);
  }

  resumed(): void {
    this.#waits = false;
    if (!this.timers.has(this.id)) return; // cleared while it waited
    const { host } = this.instance;
    try {
      this.#callback.apply(this.timeout, this.args);
    } catch (error) {
      // An exception that leaves the task would take the next timers with it into this turn.
      host.shard.report(`${host.toString()}: a timer has thrown:`, error);
    }
    if (!this.repeats) this.clear();
  }

  clear(): NodeJS.Timeout {
    if (this.timers.delete(this.id)) {
      node.clearTimeout(this.timeout);
      this.#line.remove(this);
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

/** Node.js has Symbol.dispose from 20.4 on. */
function disposesWith(timer: object, clear: () => unknown): void {
  if (Symbol.dispose !== undefined) Object.assign(timer, { [Symbol.dispose]: clear });
}

/** An immediate of an object, or of code outside the objects: what Node calls, and what the gate lets through. */
class ImmediateCall implements Resumption {
  #cleared = false;
  readonly #place: Place;
  /** As a timer's. */
  readonly #callback: Callback;
  /** The object stays in memory until it has run or is cleared. */
  readonly #release: (() => void) | undefined;

  constructor(
    readonly shard: Shard,
    callback: Callback,
    readonly args: unknown[],
  ) {
    this.#callback = AsyncLocalStorage.bind(callback);
    this.#place = shard.place();
    this.#release = this.#place.sender?.hold();
  }

  clear(): void {
    this.#cleared = true; // it may have fired, and wait at the gate
    this.#release?.();
  }

  /** In a turn of its own. */
  fire(): void {
    this.shard.resume(this.#place, this);
  }

  resumed(): void {
    const { sender } = this.#place;
    if (this.#cleared || sender?.alive === false) return;
    try {
      this.#callback(...this.args);
    } catch (error) {
      if (sender === undefined) throw error;
      this.shard.report(`${sender.host.toString()}: an immediate has thrown:`, error);
    }
    this.#release?.();
  }
}

const fireImmediate = (call: ImmediateCall): void => call.fire();

/** setImmediate() and clearImmediate(). */
function immediates(shard: Shard) {
  const calls = new WeakMap<object, ImmediateCall>();
  const clearImmediate = (immediate?: NodeJS.Immediate | null): void => {
    if (immediate === undefined || immediate === null) return;
    const call = isObject(immediate) ? calls.get(immediate) : undefined;
    if (call === undefined) throw wrongParameter('clearImmediate', GLOBAL, 1, 'Immediate');
    call.clear();
    node.clearImmediate(immediate);
  };
  const setImmediate = (callback: Callback, ...args: unknown[]): NodeJS.Immediate => {
    if (typeof callback !== 'function') throw wrongParameter('setImmediate', GLOBAL, 1, 'function');
    const call = new ImmediateCall(shard, callback, args);
    const immediate = node.setImmediate(fireImmediate, call);
    calls.set(immediate, call);
    disposesWith(immediate, () => clearImmediate(immediate));
    return immediate;
  };
  return { setImmediate, clearImmediate };
}

type Timers = Pick<typeof node, 'setTimeout' | 'clearTimeout'>;

/** The global `scheduler`. */
class Scheduler {
  readonly #timers: Timers;

  constructor(timers: Timers) {
    if (timers === undefined) throw illegalConstructor();
    this.#timers = timers;
  }

  static {
    runtimeClass(this, 'Scheduler');
  }

  /** Resolves after so many milliseconds, or rejects when the signal says so. */
  wait(delayMs: number, options?: { signal?: AbortSignal }): Promise<void> {
    if (!isObject(this) || !(#timers in this)) throw illegalInvocation();
    return this.#wait(arguments.length, delayMs, options);
  }

  async #wait(given: number, delayMs: number, options: { signal?: AbortSignal } | undefined): Promise<void> {
    if (given === 0) throw wrongParameter('wait', 'Scheduler', 1, 'number');
    const delay = +delayMs; // throws for a bigint and for a symbol
    checkOptions(options, 'wait', 'Scheduler', 2, 'WaitOptions');
    const signal = options?.signal;
    if (signal !== undefined && !(signal instanceof AbortSignal))
      throw new TypeError("Incorrect type for the 'signal' field on 'WaitOptions': the provided value is not of type 'AbortSignal'.");
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#timers.clearTimeout(timeout);
        reject(signal!.reason as Error);
      };
      const timeout = this.#timers.setTimeout(() => {
        signal?.removeEventListener('abort', abort);
        resolve();
      }, delay);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }
}

/** Replaces the process's timer functions; for a process that serves one project. */
export function installTimers(shard: Shard): void {
  const timers = new Map<number, ObjectTimer>();
  const fireOutside = function (this: unknown, observer: Observer, callback: Callback, args: unknown[]): void {
    shard.enter(undefined, ROOT, observer);
    callback.apply(this, args);
  };
  const starter =
    (start: typeof node.setTimeout | typeof node.setInterval, repeats: boolean) =>
    (callback: Callback, givenMs?: number, ...args: unknown[]): NodeJS.Timeout => {
      const instance = shard.current;
      const delayMs = givenMs !== undefined && givenMs > DELAY_MS_MAX ? DELAY_MS_MAX : givenMs;
      // Node says what is wrong with a callback that is none.
      if (typeof callback !== 'function') return start(callback, delayMs, ...args);
      if (instance === undefined) return start(fireOutside, delayMs, shard.observer, callback, args);
      if (!instance.alive) throw new Error('This Durable Object has been reset or evicted; it cannot set timers any more.');
      if (instance.timers >= TIMERS_MAX)
        throw new DOMException(`You have exceeded the number of active timeouts you may set. max active timeouts: ${TIMERS_MAX}`, 'QuotaExceededError');
      return new ObjectTimer(timers, instance, (fire) => start(fire, delayMs), delayMs, repeats, callback, args).timeout;
    };
  const clear = (timeout?: NodeJS.Timeout | string | number): void => {
    const id = typeof timeout === 'object' && timeout !== null ? timeout[Symbol.toPrimitive]?.() : Number(timeout);
    const known = timers.get(id);
    if (known !== undefined) known.clear();
    else node.clearTimeout(timeout);
  };
  const setTimeout = starter(node.setTimeout, false);
  const { setImmediate, clearImmediate } = immediates(shard);
  keepPromisified(setTimeout, node.setTimeout);
  keepPromisified(setImmediate, node.setImmediate);
  Object.assign(globalThis, {
    setTimeout,
    setImmediate,
    clearImmediate,
    scheduler: new Scheduler({ setTimeout, clearTimeout: clear } as Timers),
    setInterval: starter(node.setInterval, true),
    clearTimeout: clear,
    clearInterval: clear,
  });
}
