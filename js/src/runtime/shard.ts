/**
 * One thread's objects: what the addon's shard is in JavaScript. Everything that an object needs of its
 * surroundings is reached through here; there are no globals.
 */
import { setImmediate, setInterval } from 'node:timers'; // user code may replace the globals
import { Background } from './background.js';
import { Exchange, TURN, TURN_LABEL, TURN_SLOT } from './exchange.js';
import type { Instance, ObjectHost, Resumption } from './host.js';
import type { Output, OutputGate } from './http.js';
import { DurableObjectNamespace, type ObjectClass, ObjectNamespace, type StorageKind } from './namespace.js';
import type { NativeEngine, NativeShard } from './native.js';
import { ROOT } from './sections.js';

export interface ShardOptions {
  engine: NativeEngine;
  /** Called on each wake-up by the addon, before the shard looks for itself. */
  onWake(): void;
  /** A problem of user code that has no caller to go to. */
  report(what: string, error: unknown): void;
  /** Objects without work for this long are evicted. */
  idleMs: number;
  /** Turns that take longer are reported; 0: none are. */
  watchdogMs?: number;
}

const resolved = Promise.resolve();
const SWEEP_MS = 1000;

/** Code that waits for the log at one time, in one shard; whatever comes on top is refused. */
const DURABLE_WAITS_MAX = 100_000;

/** What comes back to the code of an object's section, or to code outside the objects. */
interface Return extends Resumption {
  shard: Shard;
  sender: Instance | undefined;
  section: number;
}

const returnTurn = (back: Return): void => back.shard.resume(back.sender, back.section, back);

interface DurableWait extends Return {
  lsn: number;
}

/** Where a message or an output comes from: it leaves only if what its sender wrote is committed (rule 3). */
export interface Departure {
  /** The object whose code sends it; undefined: the Worker's code, or code that nobody knows the object of. */
  readonly sender: Instance | undefined;
  /** Shard.task() at that moment. */
  readonly task: number;
}

export class Shard implements OutputGate {
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
  /**
   * The object whose code runs until all promise reactions of this turn are done; undefined for the Worker's
   * code, and for code that something outside the runtime has woken (a file, a body of fetch()).
   */
  current: Instance | undefined;
  /** The section of `current` that this code belongs to; it may have ended. */
  section = ROOT;
  /** By task: why a commit failed although nobody knew, when its code ran, which object it belonged to. */
  readonly #strayLosses = new Map<number, unknown>();
  #task = 0;
  #taskKnown = false;
  /** Work that goes on beside requests. */
  readonly background: Background;
  /** Hands on what has gathered beside commits. */
  onFlush: (() => void) | undefined;
  #flushScheduled = false;
  #closed = false;
  readonly #idleMs: number;
  readonly #hosts: (ObjectHost | undefined)[] = [];
  /** How many there are of them. */
  #objects = 0;
  readonly #dirty: Instance[] = [];
  /** By LSN. */
  readonly #durableWaits: DurableWait[] = [];
  readonly #sweep: NodeJS.Timeout;
  readonly #namespaces = new Map<string, ObjectNamespace>();
  #event = 0;

  constructor(options: ShardOptions) {
    this.engine = options.engine;
    this.report = options.report;
    this.background = new Background(options.report);
    this.#idleMs = options.idleMs;
    this.native = options.engine.createShard(this.exchange.buffer, () => {
      this.enter(undefined);
      this.nowMs = Date.now();
      options.onWake();
      this.#releaseDurable();
    });
    if (options.watchdogMs !== undefined && options.watchdogMs > 0) this.native.watch(options.watchdogMs);
    this.#sweep = setInterval(() => this.evictIdle(), Math.min(SWEEP_MS, this.#idleMs));
    this.#sweep.unref();
  }

  /** Makes `env[binding]`. The key names the namespace on disk; bindings with the same key share its objects. */
  bind(binding: string, className: string, objectClass: ObjectClass, key: string, storage: StorageKind): ObjectNamespace {
    let namespace = this.#namespaces.get(key);
    if (namespace === undefined || namespace.storage !== storage) {
      // The engine says what is wrong with another kind of storage for the same key.
      namespace = new ObjectNamespace(this, className, objectClass, key, storage);
      this.#namespaces.set(key, namespace);
    }
    this.env[binding] = new DurableObjectNamespace(namespace);
    return namespace;
  }

  register(host: ObjectHost): void {
    this.#hosts[host.slot] = host;
    this.#objects++;
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

  /** In a turn of its own: goes on with code of `sender`, when that one's gate lets it. */
  resume(sender: Instance | undefined, section: number, what: Resumption): void {
    if (sender !== undefined) {
      sender.host.resume(sender, section, what);
      return;
    }
    this.enter(undefined);
    what.resumed();
  }

  /** Resolves in a turn of the code of `sender`, when its gate lets it. */
  turnOf(sender: Instance | undefined, section: number): Promise<void> {
    return new Promise((resumed) => this.turn(returnTurn, { shard: this, sender, section, resumed }));
  }

  /** The rest of this turn is code of `instance`, in this section. */
  enter(instance: Instance | undefined, section = ROOT): void {
    this.current = instance;
    this.section = section;
    const { header } = this.exchange;
    header[TURN]!++;
    if (instance === undefined) {
      header[TURN_SLOT] = 0;
      header[TURN_LABEL] = 0;
      return;
    }
    header[TURN_SLOT] = instance.host.slot + 1;
    header[TURN_LABEL] = -instance.label;
    void resolved.then(this.#leaveAtEnd);
  }

  /** A tick that a promise reaction asks for comes when there are no more reactions; the one after it, behind the code's own ticks. */
  readonly #leaveAtEnd = (): void => process.nextTick(process.nextTick, this.#leave);
  readonly #leave = (): void => {
    this.current = undefined;
    this.section = ROOT;
  };

  /**
   * A number for the task that runs now, with all its promise reactions: what one run sends and writes has
   * the same one, whoever's code it is.
   */
  task(): number {
    if (!this.#taskKnown) {
      this.#taskKnown = true;
      void resolved.then(this.#endTask);
    }
    return this.#task;
  }

  readonly #endTask = (): void =>
    process.nextTick(process.nextTick, () => {
      this.#task++;
      this.#taskKnown = false;
    });

  /** What this task has sent leaves in the next turns: it looks here, and after them nobody does. */
  #noteStrayLoss(error: unknown): void {
    const task = this.task();
    this.#strayLosses.set(task, error);
    const forget = (): void => void this.#strayLosses.delete(task);
    this.turn(() => this.turn(forget, undefined), undefined);
  }

  // Commits: one microtask for all objects that have written in the runs before it.

  scheduleCommit(instance: Instance): void {
    instance.stray = this.current !== instance;
    this.#dirty.push(instance);
    if (this.#dirty.length === 1) void resolved.then(() => this.commitAll());
  }

  commitAll(): void {
    while (this.#dirty.length > 0) {
      const instance = this.#dirty.pop()!;
      if (instance.alive && instance.storage.dirty) this.commit(instance);
    }
  }

  /** Commits one object's open transaction; a failure resets it. */
  commit(instance: Instance): void {
    const { host, storage } = instance;
    let lsn: number;
    try {
      lsn = this.native.commit(host.slot, storage.unconfirmedWrites);
    } catch (error) {
      if (instance.stray) {
        this.#noteStrayLoss(error);
      }
      host.reset(error);
      return;
    }
    if (lsn > this.observedLsn) this.observedLsn = lsn;
    storage.settle(undefined);
    this.flushSoon();
  }

  // Messages and outputs: they leave in a turn after the code that sends them.

  /** For an output to the outside (http.ts). */
  output(): Output {
    const { current: sender, section } = this;
    const release = sender?.hold();
    return {
      ready: () => this.outputReady({ sender, task: this.task() }),
      deliver: (resumed) => this.turn(returnTurn, { shard: this, sender, section, resumed }),
      end: () => release?.(),
    };
  }

  /** In a later turn: throws when what the sender had written is lost. */
  checkDeparture({ sender, task }: Departure): void {
    this.commitAll();
    if (sender?.lost !== undefined) throw sender.lost.error;
    // Code of one object that another one's run has called, or that nobody knew: who sent in that run is not told apart.
    if (this.#strayLosses.has(task)) throw this.#strayLosses.get(task);
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
   * For an output that user code makes: resolves in a later turn, when what the code has written and
   * seen is durable; rejects when it could not be committed.
   */
  async outputReady(departure: Departure): Promise<void> {
    await new Promise<void>((resolve) => this.turn(resolve, undefined));
    this.checkDeparture(departure);
    await this.durable(this.observedLsn);
  }

  /** Resolves once the log is durable up to `lsn`, in a turn of the object that asks. */
  durable(lsn: number): Promise<void> {
    if (this.native.durableLsn() >= lsn) return resolved;
    const waits = this.#durableWaits;
    if (waits.length >= DURABLE_WAITS_MAX)
      return Promise.reject(new Error(`Too much code waits for the disk: ${DURABLE_WAITS_MAX} outputs and calls of sync() already.`));
    this.flushSoon();
    const release = this.current?.hold();
    return new Promise((resolve) => {
      const resumed = (): void => {
        resolve();
        release?.();
      };
      if (waits.length === 0) this.native.keep();
      let at = waits.length; // LSNs grow: mostly the end is the place
      while (at > 0 && waits[at - 1]!.lsn > lsn) at--;
      waits.splice(at, 0, { lsn, sender: this.current, section: this.section, resumed, shard: this });
      this.native.wakeWhenDurable(waits[0]!.lsn);
    });
  }

  #releaseDurable(): void {
    const waits = this.#durableWaits;
    if (waits.length === 0) return;
    const durable = this.native.durableLsn();
    const still = waits.findIndex(({ lsn }) => lsn > durable);
    const ready = waits.splice(0, still < 0 ? waits.length : still);
    for (const wait of ready) this.turn(returnTurn, wait);
    if (waits.length === 0) this.native.unkeep();
    else this.native.wakeWhenDurable(waits[0]!.lsn);
  }

  // Life cycle.

  evictIdle(idleMs = this.#idleMs): void {
    this.nowMs = Date.now();
    for (const slot of this.native.idle(this.nowMs, idleMs)) this.#evict(slot);
  }

  /** Part of the objects that have nothing to do leave memory, those that had it longest ago; -> how many. */
  evictLeastRecentlyUsed(part: number): number {
    const slots = this.native.leastRecentlyUsed(Math.ceil(this.#objects * part));
    for (const slot of slots) this.#evict(slot);
    return slots.length;
  }

  #evict(slot: number): void {
    const host = this.#hosts[slot]!;
    host.evict();
    this.native.remove(slot);
    this.#hosts[slot] = undefined;
    this.#objects--;
    host.namespace.forget(host);
  }

  /** How many objects are in memory. */
  get objects(): number {
    return this.#objects;
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
