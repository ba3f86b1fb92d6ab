/**
 * One thread's objects: what the addon's shard is in JavaScript. Everything that an object needs of its
 * surroundings is reached through here; there are no globals.
 */
import { setImmediate, setInterval } from 'node:timers'; // user code may replace the globals
import type { MessagePort } from 'node:worker_threads';
import { ALARM_RETRY_MS, Alarms } from './alarms.js';
import { Background } from './background.js';
import { Exchange, TURN, TURN_LABEL, TURN_SLOT } from './exchange.js';
import type { Instance, ObjectHost, Resumption } from './host.js';
import type { Output, OutputGate } from './http.js';
import { Observer } from './observer.js';
import type { Identity } from './ids.js';
import { Link } from './links.js';
import { TurnQueue } from './turn-queue.js';
import { DurableObjectNamespace, type ObjectClass, ObjectNamespace, type StorageKind } from './namespace.js';
import type { NativeEngine, NativeShard } from './native.js';
import { ResetClock } from './reset-clock.js';
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
  /** One for all shards. */
  resetClock?: ResetClock;
  /** deleteAll() deletes the alarm, too. */
  deleteAllDeletesAlarm: boolean;
  /** A failed alarm is tried again after this time, then after twice that, and so on. */
  alarmRetryMs?: number | undefined;
}

/** Where a shard stands among the others. */
export interface Placement {
  index: number;
  /** By index: the way to each other shard. */
  ports: (MessagePort | undefined)[];
}

/** Which of `count` shards has an object: its id is a hash already. As ObjectId::shard() in src/runtime/object_id.h. */
export const shardOf = (hexId: string, count: number): number => Number.parseInt(hexId.slice(0, 8), 16) % count;

/** The class of objects that only operators reach. */
class Unserved {}

const resolved = Promise.resolve();
const SWEEP_MS = 1000;

/** Code that waits for the log at one time, in one shard; whatever comes on top is refused. */
const DURABLE_WAITS_MAX = 100_000;

/** What comes back to the code of an object's section, or to code outside the objects. */
interface Return extends Resumption {
  shard: Shard;
  place: Place;
}

const returnTurn = (back: Return): void => back.shard.resume(back.place, back);

interface DurableWait extends Return {
  lsn: number;
}

/** Whose code runs. */
export interface Place {
  /** The object whose code it is; undefined: the Worker's code, or code that nobody knows the object of. */
  readonly sender: Instance | undefined;
  /** The section of `sender`; it may have ended. */
  readonly section: number;
  /** `sender`, the request that the Worker handles, or Shard.elsewhere. */
  readonly observer: Observer;
}

/** Where a message or an output comes from: it leaves only if what its sender wrote is committed (rule 3). */
export interface Departure extends Place {
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
  /** What it sees as `ctx.exports`. */
  readonly exports: Record<string, unknown> = {};
  /** A coarse clock for idle times. */
  nowMs = Date.now();
  /** Code that nobody knows the owner of: what it has seen, all code may know. */
  readonly elsewhere = new Observer();
  /**
   * The object whose code runs until all promise reactions of this turn are done; undefined for the Worker's
   * code, and for code that something outside the runtime has woken (a file, a body of fetch()).
   */
  current: Instance | undefined;
  /** The section of `current` that this code belongs to; it may have ended. */
  section = ROOT;
  /** What outputs of the code that runs depend on. */
  observer = this.elsewhere;
  /** By task: why a commit failed although nobody knew, when its code ran, which object it belonged to. */
  readonly #strayLosses = new Map<number, unknown>();
  #task = 0;
  /** Somebody has asked for its number. */
  #taskKnown = false;
  /** Its end is going to be noticed. */
  #ending = false;
  /** Work that goes on beside requests. */
  readonly background: Background;
  readonly alarms: Alarms;
  readonly deleteAllDeletesAlarm: boolean;
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
  /** By key: what only operators have asked for. */
  readonly #unserved = new Map<string, ObjectNamespace>();
  readonly resetClock: ResetClock;
  /** By index: the ways to the other shards; empty when there are none. */
  #links: (Link | undefined)[] = [];
  #index = 0;
  #event = 0;

  constructor(options: ShardOptions) {
    this.engine = options.engine;
    this.report = options.report;
    this.background = new Background(options.report);
    this.#idleMs = options.idleMs;
    this.resetClock = options.resetClock ?? new ResetClock();
    this.deleteAllDeletesAlarm = options.deleteAllDeletesAlarm;
    this.alarms = new Alarms(this);
    this.native = options.engine.createShard(this.exchange.buffer, () => {
      this.enter(undefined);
      this.nowMs = Date.now();
      options.onWake();
      this.#releaseDurable();
    }, options.alarmRetryMs ?? ALARM_RETRY_MS);
    if (options.watchdogMs !== undefined && options.watchdogMs > 0) this.native.watch(options.watchdogMs);
    this.#sweep = setInterval(() => this.evictIdle(), Math.min(SWEEP_MS, this.#idleMs));
    this.#sweep.unref();
  }

  /** Makes `env[binding]`; bindings with the same key share its objects. */
  bind(binding: string, className: string, objectClass: ObjectClass, key: string, storage: StorageKind): ObjectNamespace {
    const namespace = this.namespace(className, objectClass, key, storage);
    this.env[binding] = new DurableObjectNamespace(namespace);
    return namespace;
  }

  /** The namespace that the key names on disk; the alarms of its objects ring from now on. */
  namespace(className: string, objectClass: ObjectClass, key: string, storage: StorageKind): ObjectNamespace {
    let namespace = this.#namespaces.get(key);
    if (namespace === undefined || namespace.storage !== storage) {
      // The engine says what is wrong with another kind of storage for the same key.
      namespace = new ObjectNamespace(this, className, objectClass, key, storage);
      this.#namespaces.set(key, namespace);
      this.exports[className] ??= new DurableObjectNamespace(namespace);
      this.alarms.add(namespace);
    }
    return namespace;
  }

  /** Has the objects that belong to other shards called there. */
  connect({ index, ports }: Placement): void {
    this.#index = index;
    this.#links = ports.map((port, other) => port && new Link(this, other, port));
  }

  /** The other shards' calls are let in: once all namespaces are bound, as they may name any. */
  openLinks(): void {
    for (const link of this.#links) link?.open();
  }

  /** Where this shard stands among the others, and how many there are. */
  get index(): number {
    return this.#index;
  }
  get count(): number {
    return Math.max(1, this.#links.length);
  }

  /** The way to an object that another shard has; undefined: it is here. */
  linkTo({ hex }: Identity): Link | undefined {
    const count = this.#links.length;
    return count === 0 ? undefined : this.#links[shardOf(hex, count)];
  }

  /** The namespace that the key names on disk, for operators: none of its objects is constructed when no class is bound to it. */
  operated(key: string, storage: StorageKind): ObjectNamespace {
    const known = this.#namespaces.get(key) ?? this.#unserved.get(key);
    if (known !== undefined) return known;
    const namespace = new ObjectNamespace(this, key, Unserved, key, storage);
    this.#unserved.set(key, namespace);
    return namespace;
  }

  /** Objects of this namespace are constructed here. */
  serves(key: string): boolean {
    return this.#namespaces.has(key);
  }

  /** Throws for a namespace that is not bound here. */
  namespaceOf(number: number): ObjectNamespace {
    for (const namespace of this.#namespaces.values()) if (namespace.number === number) return namespace;
    throw new Error(`This shard has no namespace ${number}.`);
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
    this.#turns.add(action, argument);
  }

  /** In a turn of its own: goes on with code of `sender`, when that one's gate lets it. */
  resume({ sender, section, observer }: Place, what: Resumption): void {
    if (sender !== undefined) {
      sender.host.resume(sender, section, what);
      return;
    }
    this.enter(undefined, ROOT, observer);
    what.resumed();
  }

  /** Resolves in a turn of the code of `place`, when its gate lets it. */
  turnOf(place: Place): Promise<void> {
    return new Promise((resumed) => this.turn(returnTurn, { shard: this, place, resumed }));
  }

  /** The rest of this turn is code of `instance`, in this section, or of the Worker for a request. */
  enter(instance: Instance | undefined, section = ROOT, observer: Observer = instance ?? this.elsewhere): void {
    this.current = instance;
    this.section = section;
    this.observer = observer;
    const { header } = this.exchange;
    header[TURN]!++;
    header[TURN_SLOT] = instance === undefined ? 0 : instance.host.slot + 1;
    header[TURN_LABEL] = instance === undefined ? 0 : -instance.label;
    if (observer !== this.elsewhere) this.#noteEnd();
  }

  /** Whose code runs now. */
  place(): Place {
    return { sender: this.current, section: this.section, observer: this.observer };
  }

  /** Has the end of this turn noticed, if it is not one of the queue's. */
  #noteEnd(): void {
    if (this.#ending || this.#turns.running) return;
    this.#ending = true;
    void resolved.then(this.#endLater);
  }

  /** A tick that a promise reaction asks for comes when there are no more reactions; the one after it, behind the code's own ticks. */
  readonly #endLater = (): void => process.nextTick(process.nextTick, this.#end);
  readonly #end = (): void => {
    this.#ending = false;
    this.current = undefined;
    this.section = ROOT;
    this.observer = this.elsewhere;
    if (!this.#taskKnown) return;
    this.#taskKnown = false;
    this.#task++;
  };
  readonly #turns = new TurnQueue(this.#end, () => this.#noteEnd(), () => this.#flushGathered());

  // What code has seen.

  /** What an output that `observer` makes now depends on. */
  dependsOn(observer: Observer, coreLsn = observer.coreLsn): number {
    const anybody = this.elsewhere;
    // It may have looked anywhere.
    if (observer === anybody) return this.#closed ? 0 : this.native.appendedLsn();
    return Math.max(observer.observedLsn, coreLsn, anybody.observedLsn);
  }

  /**
   * A number for the task that runs now, with all its promise reactions: what one run sends and writes has
   * the same one, whoever's code it is.
   */
  task(): number {
    this.#taskKnown = true;
    this.#noteEnd();
    return this.#task;
  }

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
      if (instance.stray) this.#noteStrayLoss(error);
      host.reset(error, true);
      return;
    }
    instance.observe(lsn);
    if (instance.stray) this.elsewhere.observe(lsn);
    storage.settle(undefined);
    if (storage.alarmTouched) {
      storage.alarmTouched = false;
      this.alarms.changed();
    }
    this.flushSoon();
  }

  // Messages and outputs: they leave in a turn after the code that sends them.

  /** For an output to the outside (http.ts). */
  output(): Output {
    const place = this.place();
    const release = place.sender?.hold();
    return {
      ready: () => this.outputReady({ ...place, task: this.task() }),
      deliver: (resumed) => this.turn(returnTurn, { shard: this, place, resumed }),
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
    if (!this.#turns.running) setImmediate(this.#flushLater);
  }

  readonly #flushLater = (): void => this.#flushGathered();

  #flushGathered(): void {
    if (!this.#flushScheduled) return;
    this.#flushScheduled = false;
    if (!this.#closed) this.flush();
  }

  /** Commits go to the disk, responses to the front, messages to the other shards. */
  flush(): void {
    this.native.flushLog();
    this.onFlush?.();
    for (const link of this.#links) link?.flush();
  }

  // Durability.

  /**
   * For an output that user code makes: resolves in a later turn, when what the code has written and
   * seen is durable; rejects when it could not be committed.
   */
  async outputReady(departure: Departure): Promise<void> {
    await new Promise<void>((resolve) => this.turn(resolve, undefined));
    this.checkDeparture(departure);
    await this.durable(this.dependsOn(departure.observer));
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
      waits.splice(at, 0, { lsn, place: this.place(), resumed, shard: this });
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

  /** The object leaves memory now, unless it has something to do. */
  evictIfPossible({ slot, forgotten }: ObjectHost): void {
    if (!forgotten && this.native.evictable(slot)) this.#evict(slot);
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
    this.alarms.stop();
    clearInterval(this.#sweep);
    this.commitAll();
    for (const link of this.#links) link?.close();
    this.native.close();
  }
}
