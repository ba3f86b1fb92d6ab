/**
 * One thread's objects: what the addon's shard is in JavaScript. Everything that an object needs of its
 * surroundings is reached through here; there are no globals.
 */
import { setImmediate, setInterval } from 'node:timers'; // user code may replace the globals
import { Exchange } from './exchange.js';
import type { ObjectHost } from './host.js';
import { DurableObjectNamespace, type ObjectClass, ObjectNamespace } from './namespace.js';
import type { NativeEngine, NativeShard } from './native.js';
import type { StorageCore } from './storage.js';

export interface ShardOptions {
  engine: NativeEngine;
  /** Called on each wake-up by the addon, before the shard looks for itself. */
  onWake(): void;
  /** A problem of user code that has no caller to go to. */
  report(what: string, error: unknown): void;
  /** Objects without work for this long are evicted. */
  idleMs: number;
}

const resolved = Promise.resolve();
const SWEEP_MS = 1000;

/** What code that is still running has written: a message that it sends leaves after the commit (rule 3). */
export class Uncommitted {
  constructor(
    readonly shard: Shard,
    readonly written: { storage: StorageCore; host: ObjectHost }[],
  ) {}

  /** In a later run. Throws when it could not be committed: the message of a run that is lost does not leave. */
  commit(): void {
    this.shard.commitAll();
    const lost = this.written.find(({ storage }) => !storage.alive);
    if (lost !== undefined) throw lost.host.resetError;
  }
}

export class Shard {
  readonly exchange = new Exchange();
  readonly engine: NativeEngine;
  readonly native: NativeShard;
  readonly report: ShardOptions['report'];
  /** What user code sees as `env`. */
  readonly env: Record<string, unknown> = {};
  /** A coarse clock for idle times. */
  nowMs = Date.now();
  /** The highest LSN that any code of this shard has seen the effects of: outputs wait for it. */
  observedLsn = 0;
  /** Hands on what has gathered beside commits. */
  onFlush: (() => void) | undefined;
  #flushScheduled = false;
  #closed = false;
  readonly #idleMs: number;
  readonly #hosts: (ObjectHost | undefined)[] = [];
  readonly #dirty: { storage: StorageCore; host: ObjectHost }[] = [];
  readonly #durableWaits: { lsn: number; resolve: () => void }[] = [];
  readonly #sweep: NodeJS.Timeout;
  readonly #namespaces = new Map<string, ObjectNamespace>();
  #event = 0;

  constructor(options: ShardOptions) {
    this.engine = options.engine;
    this.report = options.report;
    this.#idleMs = options.idleMs;
    this.native = options.engine.createShard(this.exchange.buffer, () => {
      options.onWake();
      this.#releaseDurable();
    });
    this.#sweep = setInterval(() => this.evictIdle(), Math.min(SWEEP_MS, this.#idleMs));
    this.#sweep.unref();
  }

  /** Makes `env[binding]`. The key names the namespace on disk; bindings with the same key share its objects. */
  bind(binding: string, className: string, objectClass: ObjectClass, key: string): ObjectNamespace {
    let namespace = this.#namespaces.get(key);
    if (namespace === undefined) {
      namespace = new ObjectNamespace(this, className, objectClass, key);
      this.#namespaces.set(key, namespace);
    }
    this.env[binding] = new DurableObjectNamespace(namespace);
    return namespace;
  }

  register(host: ObjectHost): void {
    this.#hosts[host.slot] = host;
  }

  /** A number for an event that may have to wait. */
  nextEvent(): number {
    this.#event = (this.#event + 1) >>> 0;
    return this.#event;
  }

  /**
   * Runs `action(argument)` in a task of its own, after those that were asked for before, with all
   * promise reactions of one run before the next begins. Each event of an object gets such a turn:
   * between `await storage.get()` and the `put()` after it nothing else is delivered. (A microtask
   * would not do: the reactions of several events would run interleaved.)
   */
  turn<T>(action: (argument: T) => void, argument: T): void {
    setImmediate(action, argument);
  }

  // Commits: one microtask for all objects that have written in the runs before it.

  scheduleCommit(storage: StorageCore, host: ObjectHost): void {
    this.#dirty.push({ storage, host });
    if (this.#dirty.length === 1) void resolved.then(() => this.commitAll());
  }

  commitAll(): void {
    while (this.#dirty.length > 0) {
      const { storage, host } = this.#dirty.pop()!;
      if (storage.alive && storage.dirty) this.commit(storage, host);
    }
  }

  /** What is written and not committed now; mostly nothing. */
  uncommitted(): Uncommitted | undefined {
    if (this.#dirty.length === 0) return undefined;
    const written = this.#dirty.filter(({ storage }) => storage.alive && storage.dirty);
    return written.length === 0 ? undefined : new Uncommitted(this, written);
  }

  /** Commits one object's open transaction; a failure resets it. */
  commit(storage: StorageCore, host: ObjectHost): void {
    let lsn: number;
    try {
      lsn = this.native.commit(host.slot);
    } catch (error) {
      host.reset(error);
      return;
    }
    if (lsn > this.observedLsn) this.observedLsn = lsn;
    storage.settle(undefined);
    this.flushSoon();
  }

  // Batches: what one turn of the event loop has brought about goes out together.

  flushSoon(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(this.#flushScheduledNow);
  }

  readonly #flushScheduledNow = (): void => {
    this.#flushScheduled = false;
    if (!this.#closed) this.flush();
  };

  /** Commits go to the disk, responses to the front. */
  flush(): void {
    this.native.flushLog();
    this.onFlush?.();
  }

  // Durability.

  /**
   * For an output that user code makes now: resolves when what the code has written and seen is
   * durable, rejects when it could not be committed. undefined: it can go at once.
   */
  outputReady(): Promise<void> | undefined {
    const written = this.uncommitted();
    if (written !== undefined)
      return resolved.then(() => {
        written.commit();
        return this.durable(this.observedLsn);
      });
    return this.observedLsn > this.native.durableLsn() ? this.durable(this.observedLsn) : undefined;
  }

  /** Resolves once the log is durable up to `lsn`. */
  durable(lsn: number): Promise<void> {
    if (this.native.durableLsn() >= lsn) return resolved;
    this.flushSoon();
    return new Promise((resolve) => {
      if (this.#durableWaits.length === 0) this.native.keep();
      this.#durableWaits.push({ lsn, resolve });
      this.#durableWaits.sort((a, b) => a.lsn - b.lsn);
      this.native.wakeWhenDurable(this.#durableWaits[0]!.lsn);
    });
  }

  #releaseDurable(): void {
    if (this.#durableWaits.length === 0) return;
    const durable = this.native.durableLsn();
    while (this.#durableWaits.length > 0 && this.#durableWaits[0]!.lsn <= durable) this.#durableWaits.shift()!.resolve();
    if (this.#durableWaits.length === 0) this.native.unkeep();
    else this.native.wakeWhenDurable(this.#durableWaits[0]!.lsn);
  }

  // Life cycle.

  evictIdle(idleMs = this.#idleMs): void {
    this.nowMs = Date.now();
    for (const slot of this.native.idle(this.nowMs, idleMs)) {
      const host = this.#hosts[slot]!;
      host.evict();
      this.native.remove(slot);
      this.#hosts[slot] = undefined;
      host.namespace.forget(host);
    }
  }

  /** Whether an object is in memory. */
  get hasObjects(): boolean {
    return this.#hosts.some((host) => host !== undefined);
  }

  /** Every instance goes, and whoever waits for one gets the error. */
  resetAll(error: Error): void {
    for (const host of this.#hosts) host?.reset(error);
  }

  /** All databases are closed; before engine.close(). */
  close(): void {
    this.#closed = true;
    clearInterval(this.#sweep);
    this.commitAll();
    this.native.close();
  }
}
