/**
 * One object on its shard: runs the class's code when the object core (src/object, in C++) says so, and
 * tells it what happened.
 */
import { DurableObject } from './entrypoints.js';
import { TURN_LABEL } from './exchange.js';
import { DurableObjectId, type Identity } from './ids.js';
import { CONSTRUCT, DELIVER } from './native.js';
import type { ObjectNamespace, StorageKind } from './namespace.js';
import { Observer } from './observer.js';
import { ROOT, type Section, Sections } from './sections.js';
import type { Shard } from './shard.js';
import { DurableObjectState, type StateHost } from './state.js';
import { DurableObjectStorage, StorageCore, type StorageHost } from './storage.js';
import type { TimerLine } from './timers.js';
import { passThrown } from './values.js';

/** Something to be delivered to the object, and where its outcome goes. */
export interface Delivery {
  /** It calls fetch(). */
  readonly isFetch?: boolean;
  /** Runs user code; what it returns or throws is the outcome. */
  run(instance: object, host: ObjectHost): unknown;
  /** Makes the caller's copy of the result, which came from `instance`. */
  pass(result: unknown, instance: Instance): unknown;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  /** What its sender has seen; then, with the outcome, what the object has seen. */
  seenLsn: number;
  /** The outcome was a reset of the object, and whoever made the call knows now. */
  resetSeen(resetAt: number): void;
}

/** Something that comes back to code of the object: a timer, the result of a call. It belongs to the section that asked for it. */
export interface Resumption {
  /** In the turn of that code. */
  resumed(): void;
}

/** One life of an object: from its construction to its reset or eviction. */
export class Instance extends Observer {
  object: object | undefined;
  /** Its open transaction was begun by code that nobody knew to be its own (Shard.current). */
  stray = false;
  /** How many timers it has. */
  timers = 0;
  /** The order of those; made with the first one. */
  timerLine: TimerLine | undefined;
  /** What was called last, for the watchdog: a number of ObjectNamespace.label(). */
  label = 0;
  /** Set when it has ended by a reset: what it sent after its last commit must not leave. */
  lost: { error: unknown } | undefined;
  /** Made when first needed. */
  #sections: Sections | undefined;
  /** What ends with it, when it ends by a reset; made when first needed, as few objects do. */
  #ends: Set<(error: unknown) => void> | undefined;

  constructor(
    readonly host: ObjectHost,
    readonly storage: StorageCore,
  ) {
    super();
  }

  /** What the core knows beside: what storage has shown that was not durable when it was opened. */
  override get coreLsn(): number {
    return this.alive ? this.host.native.seenLsn(this.host.slot) : 0;
  }

  get sections(): Sections {
    return (this.#sections ??= new Sections(this));
  }

  /** What sections it has; undefined: none are open or wait. */
  get activeSections(): Sections | undefined {
    return this.#sections === undefined || this.#sections.none ? undefined : this.#sections;
  }

  get alive(): boolean {
    return this.storage.alive;
  }

  /** Keeps the object in memory until the function that it returns is called; a reset does not wait for that. */
  hold(): () => void {
    const { native, slot, shard } = this.host;
    let held = this.alive;
    if (held) native.hold(slot);
    return () => {
      if (held && this.alive) native.release(slot, shard.nowMs);
      held = false;
    };
  }

  /** Calls `end` if the object is reset before the function that it returns is called. */
  onReset(end: (error: unknown) => void): () => void {
    const ends = (this.#ends ??= new Set());
    ends.add(end);
    return () => ends.delete(end);
  }

  /** A reset has ended it: its storage is not alive any more. */
  ended(error: unknown): void {
    this.lost = { error };
    this.#sections?.abandon();
    for (const end of [...(this.#ends ?? [])]) end(error);
  }
}

/** What an operator has the object's storage do, as an event of the object: a transaction of its own. */
class OperatorDelivery<T> implements Delivery {
  seenLsn = 0;

  constructor(
    readonly host: ObjectHost,
    readonly body: (core: StorageCore) => T,
    readonly resolve: (value: unknown) => void,
    readonly reject: (error: unknown) => void,
  ) {}

  run(): { value: T } | { thrown: unknown } {
    const { shard, storage: core } = this.host;
    this.host.runs("an operator's command", false);
    try {
      shard.commitAll(); // never a part of what the object's own code has begun
      return { value: core!.transactionSync(() => this.body(core!)) };
    } catch (thrown) {
      core!.forgetLostTransaction();
      return { thrown };
    } finally {
      core!.rollbacks++; // lists that are open read anew
    }
  }

  pass(result: unknown): unknown {
    return result;
  }

  resetSeen(): void {}
}

const operateTurn = (delivery: OperatorDelivery<unknown>): void => delivery.host.deliverOperator(delivery);

/** A resumption that waits at the gate. */
class Waiting {
  constructor(
    readonly instance: Instance,
    readonly section: number,
    readonly what: Resumption,
  ) {}

  run(): void {
    this.instance.host.shard.enter(this.instance, this.section);
    this.what.resumed();
  }
}

const waitingTurn = (waiting: Waiting): void => waiting.run();
const drainTurn = (host: ObjectHost): void => host.runNext();

/** What user code returned, when it is a promise of some kind. */
export function asPromise(value: unknown): Promise<unknown> | undefined {
  if (value instanceof Promise) return value;
  if ((typeof value !== 'object' || value === null) && typeof value !== 'function') return undefined;
  return typeof (value as { then?: unknown }).then === 'function' ? Promise.resolve(value) : undefined;
}

/** The copy of something thrown; user code may throw what no one can read. */
function copyThrown(thrown: unknown, properties: Record<string, unknown>, id?: string): unknown {
  try {
    return passThrown(thrown, properties, id);
  } catch {
    return Object.assign(new Error('Something was thrown that cannot be passed on.'), properties);
  }
}

/** The deliveries that have no outcome yet, in the order in which they began: mostly one at a time. */
class Running {
  #first: Delivery | undefined;
  /** That began while there was a first one. */
  #others: Set<Delivery> | undefined;

  add(delivery: Delivery): void {
    if (this.#first === undefined && (this.#others === undefined || this.#others.size === 0)) this.#first = delivery;
    else (this.#others ??= new Set()).add(delivery);
  }

  /** False when it is not there. */
  delete(delivery: Delivery): boolean {
    if (this.#first !== delivery) return this.#others !== undefined && this.#others.delete(delivery);
    this.#first = undefined;
    return true;
  }

  takeAll(): Delivery[] {
    const all = [...(this.#first === undefined ? [] : [this.#first]), ...(this.#others ?? [])];
    this.#first = this.#others = undefined;
    return all;
  }
}

export class ObjectHost implements StateHost, StorageHost {
  readonly slot: number;
  readonly native: Shard['native'];
  readonly exchange: Shard['exchange'];
  readonly storageKind: StorageKind;
  /** It has left the shard's memory; a later call gets a new one. */
  forgotten = false;
  /** When the object was reset last, by Shard.resetClock (0: never), and why. */
  resetAt = 0;
  resetError: unknown;
  /** It was reset because storage has failed: a commit, or a statement that took its transaction along. */
  resetByStorage = false;
  #instance: Instance | undefined;
  readonly #waiting = new Map<number, Delivery | Waiting>();
  readonly #running = new Running();
  /** A turn for the next waiting event is on its way. */
  #draining = false;

  constructor(
    readonly shard: Shard,
    readonly namespace: ObjectNamespace,
    readonly id: Identity,
  ) {
    this.native = shard.native;
    this.exchange = shard.exchange;
    this.storageKind = namespace.storage;
    this.slot = this.native.add(namespace.number, id.hex, id.name ?? '');
  }

  /** Called in a turn of its own (Shard.turn), which is the event's if the gate is open. */
  deliver(delivery: Delivery): void {
    const event = this.shard.nextEvent();
    let admission: number;
    try {
      admission = this.native.arrive(this.slot, event, ROOT);
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

  /** Called in a turn of its own: goes on with code of `section`, when the gate lets it. */
  resume(instance: Instance, section: number, what: Resumption): void {
    // Code of an instance that is gone waits for nobody; nor does any when nothing is before it.
    if (!instance.alive || (this.#waiting.size === 0 && instance.activeSections === undefined)) {
      this.shard.enter(instance, section);
      what.resumed();
      return;
    }
    const event = this.shard.nextEvent();
    const waiting = new Waiting(instance, section, what);
    let admission: number;
    try {
      admission = this.native.arrive(this.slot, event, section);
    } catch (error) {
      // It can neither wait nor be left out: it goes on like those that did wait, when a reset has ended its instance.
      this.reset(Object.assign(error as Error, { overloaded: true }));
      this.shard.turn(waitingTurn, waiting);
      return;
    }
    if (admission === DELIVER) this.#resume(waiting);
    else this.#waiting.set(event, waiting);
  }

  #resume(waiting: Waiting): void {
    waiting.run();
    if (waiting.instance.alive) this.native.finish(this.slot, this.shard.nowMs);
  }

  #construct(): void {
    const storage = new StorageCore(this);
    const instance = new Instance(this, storage);
    this.#instance = instance;
    const state = new DurableObjectState(this, storage, new DurableObjectId(this.id), new DurableObjectStorage(storage));
    this.shard.enter(instance);
    this.runs('constructor');
    if (!this.#beginSession()) return;
    try {
      instance.object = new this.namespace.objectClass(state, this.shard.env);
    } catch (thrown) {
      this.reset(thrown);
      return;
    }
    if (!storage.alive) return; // the constructor called abort() and caught what it threw
    this.native.constructed(this.slot);
    this.drain();
  }

  /** Takes the object back when it was told to; false when that has failed, which resets it. */
  #beginSession(): boolean {
    try {
      if (!this.native.beginSession(this.slot)) return true;
    } catch (error) {
      this.reset(error, true);
      return false;
    }
    this.shard.alarms.changed();
    this.shard.flushSoon();
    return true;
  }

  /** Runs what the gate lets through: one event, or the start of one section, in a turn. */
  drain(): void {
    if (this.#draining || (this.#waiting.size === 0 && this.#instance?.activeSections?.waits !== true)) return;
    this.#draining = true;
    this.shard.turn(drainTurn, this);
  }

  runNext(): void {
    this.#draining = false;
    if (this.#instance === undefined) return; // a reset has refused them
    if (this.#instance.activeSections?.startNext() === true) {
      this.drain();
      return;
    }
    const event = this.native.next(this.slot);
    if (event < 0) return; // the gate has closed again; who opens it drains
    const next = this.#waiting.get(event)!;
    this.#waiting.delete(event);
    if (next instanceof Waiting) this.#resume(next);
    else this.#run(next);
    this.drain();
  }

  #run(delivery: Delivery): void {
    const instance = this.#instance!;
    this.#running.add(delivery);
    this.shard.enter(instance);
    instance.observe(delivery.seenLsn);
    let result: unknown;
    try {
      result = delivery.run(instance.object!, this);
      const promise = asPromise(result);
      if (promise !== undefined) {
        promise.then(
          (value) => this.#succeed(delivery, instance, value),
          (thrown: unknown) => this.#fail(delivery, instance, thrown),
        );
        return;
      }
    } catch (thrown) {
      this.#fail(delivery, instance, thrown);
      return;
    }
    this.#succeed(delivery, instance, result);
  }

  /** For the watchdog: what this turn, of the object's instance, runs. */
  runs(method: string, isCode = true): void {
    this.#instance!.label = this.exchange.header[TURN_LABEL] = this.namespace.label(method, isCode);
  }

  #succeed(delivery: Delivery, instance: Instance, result: unknown): void {
    if (!this.#running.delete(delivery)) return; // a reset has answered
    let value: unknown;
    try {
      value = delivery.pass(result, instance);
    } catch (thrown) {
      if (this.#finish(instance, delivery)) delivery.reject(this.remote(thrown));
      return;
    }
    if (this.#finish(instance, delivery)) delivery.resolve(value);
  }

  #fail(delivery: Delivery, instance: Instance, thrown: unknown): void {
    if (!this.#running.delete(delivery)) return;
    if (this.#finish(instance, delivery)) delivery.reject(this.remote(thrown));
  }

  /** Commits what the event has written, so that its outcome can leave; false when there is none any more. */
  #finish(instance: Instance, delivery: Delivery): boolean {
    if (instance.storage.dirty) this.shard.commit(instance);
    if (!instance.alive) {
      this.#refuse(delivery);
      return false;
    }
    delivery.seenLsn = this.shard.dependsOn(instance, this.native.finish(this.slot, this.shard.nowMs));
    return true;
  }

  /** What the caller sees of something thrown here. */
  remote(thrown: unknown): unknown {
    return copyThrown(thrown, { remote: true }, this.id.hex);
  }

  /**
   * The instance is gone, with what it has not committed: everyone who waits gets the error, the next
   * call constructs anew.
   */
  reset(thrown: unknown, byStorage = false): void {
    const instance = this.#instance;
    if (instance === undefined) return;
    const { storage } = instance;
    const error = copyThrown(thrown, { durableObjectReset: true });
    storage.alive = false;
    this.resetAt = this.shard.resetClock.tick();
    this.resetError = error;
    this.resetByStorage = byStorage;
    this.#instance = undefined;
    const refused = this.#running.takeAll();
    for (const event of this.native.reset(this.slot, this.shard.nowMs)) {
      const waiting = this.#waiting.get(event)!;
      this.#waiting.delete(event);
      if (waiting instanceof Waiting) this.shard.turn(waitingTurn, waiting);
      else refused.push(waiting);
    }
    storage.settle(error as Error);
    instance.ended(error);
    for (const delivery of refused) this.#refuse(delivery);
  }

  #refuse(delivery: Delivery): void {
    delivery.resetSeen(this.resetAt);
    delivery.seenLsn = this.shard.dependsOn(this.shard.elsewhere);
    delivery.reject(this.refusal(delivery.isFetch === true));
  }

  /** What a caller gets after a reset: an error of its own. */
  refusal(remote = false): unknown {
    return copyThrown(this.resetError, remote ? { durableObjectReset: true, remote } : { durableObjectReset: true });
  }

  /**
   * Runs `body` on the object's storage, in a turn and a transaction of its own: when an instance is there, as
   * one of its events, which waits at the gate; otherwise without making one of the class. Resolves when that is
   * committed; rejects with what `body` has thrown, and nothing is written then.
   */
  async operate<T>(body: (core: StorageCore) => T): Promise<T> {
    const outcome = (await new Promise<unknown>((resolve, reject) => {
      this.shard.turn(operateTurn, new OperatorDelivery<unknown>(this, body, resolve, reject));
    })) as { value: T } | { thrown: unknown };
    if ('thrown' in outcome) throw outcome.thrown;
    return outcome.value;
  }

  /** Of the instance; undefined: there is none. */
  get storage(): StorageCore | undefined {
    return this.#instance?.storage;
  }

  deliverOperator(delivery: Delivery): void {
    if (this.#instance === undefined) this.#runAlone(delivery);
    else this.deliver(delivery);
  }

  /** Runs it on an instance that is not of the class, and is gone before this turn ends: nothing else can arrive. */
  #runAlone(delivery: Delivery): void {
    const instance = new Instance(this, new StorageCore(this));
    instance.object = {};
    this.#instance = instance;
    const event = this.shard.nextEvent();
    this.#waiting.set(event, delivery);
    this.native.arrive(this.slot, event, ROOT);
    if (this.#beginSession()) {
      this.native.constructed(this.slot);
      this.native.next(this.slot);
      this.#waiting.delete(event);
      this.#run(delivery);
    }
    this.shard.evictIfPossible(this);
  }

  /**
   * Takes the object back to the state that a bookmark names, at once: an instance is reset, whatever it does; ->
   * the bookmark that takes the restore back. In a turn of its own. Throws when that cannot be, with nothing changed.
   */
  restore(bookmark: string): Promise<string> {
    return new Promise((resolve, reject) => this.shard.turn(() => this.#restoreNow(bookmark).then(resolve, reject), undefined));
  }

  async #restoreNow(bookmark: string): Promise<string> {
    const undo = this.native.restoreAtNextSession(this.slot, bookmark);
    this.reset(new Error('This Durable Object has been restored to an older state by an operator.'));
    await new Promise<unknown>((resolve, reject) => this.#runAlone(new OperatorDelivery<unknown>(this, () => undefined, resolve, reject)));
    return undo;
  }

  evict(): void {
    this.native.evict(this.slot);
    if (this.#instance !== undefined) this.#instance.storage.alive = false;
    this.#instance = undefined;
  }

  // What ctx does.

  get exports(): Record<string, unknown> {
    return this.shard.exports;
  }

  waitUntil(core: StorageCore, promise: unknown): void {
    const instance = core.alive ? this.#instance! : undefined;
    this.shard.background.add(this.toString(), promise, instance && (() => instance.hold()));
  }

  blockConcurrencyWhile<T>(core: StorageCore, body: () => T | Promise<T>): Promise<T> {
    core.check();
    return this.#instance!.sections.run(() => body.call(globalThis), false);
  }

  transaction<T>(core: StorageCore, body: (section: Section) => Promise<T>): Promise<T> {
    core.check();
    return this.#instance!.sections.run(body, true);
  }

  abort(core: StorageCore, reason: string | undefined): never {
    const error = new Error(reason === undefined ? 'Application called abort() to reset Durable Object.' : String(reason));
    if (core.alive) this.reset(error);
    throw error;
  }

  // What its storage asks for.

  scheduleCommit(): void {
    this.shard.scheduleCommit(this.#instance!);
  }

  breakDown(error: Error): void {
    this.reset(error, true);
  }

  flushSoon(): void {
    this.shard.flushSoon();
  }

  commitNow(): void {
    this.shard.commit(this.#instance!);
  }

  durable(): Promise<void> {
    return this.shard.durable(this.native.appendedLsn());
  }

  get hasAlarmHandler(): boolean {
    return typeof this.#alarmHandler === 'function';
  }

  get deleteAllDeletesAlarm(): boolean {
    return this.shard.deleteAllDeletesAlarm;
  }

  // What alarms ask for.

  /** It has an instance. */
  get awake(): boolean {
    return this.#instance !== undefined;
  }

  get #alarmHandler(): unknown {
    return (this.namespace.objectClass.prototype as { alarm?: unknown }).alarm;
  }

  alarm(instance: object, info: object): unknown {
    const handler = this.#alarmHandler;
    if (typeof handler !== 'function') throw new TypeError(`The class ${this.namespace.className} has no alarm() any more, but an alarm is set.`);
    return handler.call(instance, info);
  }

  toString(): string {
    return `${this.namespace.className} ${this.id.name === undefined ? this.id.hex : JSON.stringify(this.id.name)}`;
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
