/**
 * The alarms of one shard's objects. When which is due, and what becomes of one, is decided in C++
 * (src/runtime/alarm_clock.h, src/object/alarm.h); here one timer waits for the first of them, and
 * alarm() runs: an event of its object, without a caller.
 */
import { clearTimeout, setImmediate, setTimeout } from 'node:timers'; // user code may replace the globals
import type { Delivery, Instance, ObjectHost } from './host.js';
import type { ObjectNamespace } from './namespace.js';
import { runtimeClass } from './platform-class.js';
import { ROOT } from './sections.js';
import type { Shard } from './shard.js';
import { illegalConstructor } from './web-idl.js';

/** Handlers of one shard that run or wait at the gates of their objects; further alarms that are due stay on the clock. */
const AT_ONCE_MAX = 64;
/** Handlers that take longer do not count there any more: those that wait for something for ever would silence all others. */
const SLOW_MS = 10_000;
/** All of one shard's, with the slow ones. */
const AT_WORK_MAX = 10_000;
/** Objects that only an alarm has woken stay in memory for other events until so many others were woken. */
const WOKEN_MAX = 1_000;
/** Clocks jump, and a timer of Node.js does not know: it looks at this interval at least. */
const WAIT_MS_MAX = 60_000;
/** When the clock cannot be read: not again at once. */
const TROUBLE_MS = 1_000;
/** A failed alarm is tried again after so long, then after twice that, and so on. As AlarmState::kRetryFirstMs. */
export const ALARM_RETRY_MS = 2_000;

/** What native.alarmFailed() answers. */
const SUPERSEDED = 0;
const DROPPED = 2;

export const NO_HANDLER = 'Your Durable Object class must have an alarm() handler in order to call setAlarm()';

const made = Symbol('made by the runtime');

/** What alarm() gets. */
export class AlarmInvocationInfo {
  readonly scheduledTime: number;
  readonly retryCount: number;
  readonly isRetry: boolean;

  constructor(key: symbol, scheduledTime: number, retryCount: number) {
    if (key !== made) throw illegalConstructor();
    this.scheduledTime = scheduledTime;
    this.retryCount = retryCount;
    this.isRetry = retryCount > 0;
  }
}
runtimeClass(AlarmInvocationInfo, 'AlarmInvocationInfo');

const deliverTurn = (delivery: AlarmDelivery): void => delivery.host.deliver(delivery);

/** One attempt to run one alarm. */
class AlarmDelivery implements Delivery {
  seenLsn = 0;
  /** Until then it is one of AT_ONCE_MAX. */
  slow: NodeJS.Timeout | undefined;

  constructor(
    readonly host: ObjectHost,
    readonly alarms: Alarms,
  ) {}

  run(object: object): unknown {
    return this.#run(object, this.host.shard.current!);
  }

  /** Never rejects on behalf of the handler: how that ends is told to the core in a turn of its own, when the gate lets it. */
  async #run(object: object, instance: Instance): Promise<void> {
    const { native, slot, shard } = this.host;
    const begun = native.alarmBegins(slot, Date.now());
    if (begun === null) return; // it was replaced or deleted while it waited at the gate
    let failure: { thrown: unknown } | undefined;
    this.host.runs('alarm');
    try {
      await this.host.alarm(object, new AlarmInvocationInfo(made, begun[0], begun[1]));
    } catch (thrown) {
      failure = { thrown };
    }
    await shard.turnOf({ sender: instance, section: ROOT, observer: instance });
    if (!instance.alive) return;
    if (failure === undefined) this.#returned(instance);
    else {
      if (instance.storage.dirty) shard.commit(instance); // a throw takes nothing back
      if (instance.alive) this.#failed(failure.thrown, false);
    }
  }

  /** The commit that ends the alarm; when it fails, the object is reset and the alarm rings again. */
  #returned(instance: Instance): void {
    const { host } = this;
    try {
      host.native.alarmReturned(host.slot);
    } catch (error) {
      host.reset(error, true);
      return;
    }
    host.shard.commit(instance);
  }

  #failed(thrown: unknown, byStorage: boolean): void {
    const { host } = this;
    const { report } = host.shard;
    let failure: number;
    try {
      failure = host.native.alarmFailed(host.slot, Date.now(), byStorage);
    } catch (error) {
      report(`${host.toString()}: what becomes of its failed alarm could not be stored:`, error);
      return;
    }
    if (failure === DROPPED) report(`${host.toString()}: alarm() has failed too often. The alarm is dropped:`, thrown);
    else report(`${host.toString()}: alarm() has failed${failure === SUPERSEDED ? '' : '; it will be tried again'}:`, thrown);
  }

  pass(): undefined {
    return undefined;
  }

  resolve(): void {
    this.alarms.ended(this);
  }

  /** The object was reset, or could not be made, or has too much to do. A stop is no failure: it rings at the next start. */
  reject(error: unknown): void {
    if (!this.alarms.stopped) this.#failed(error, this.host.resetByStorage);
    this.alarms.ended(this);
  }

  resetSeen(): void {}
}

export class Alarms {
  readonly #shard: Shard;
  /** By number. */
  readonly #namespaces = new Map<number, ObjectNamespace>();
  #timer: NodeJS.Timeout | undefined;
  /** What the timer waits for; -1: nothing. */
  #next = -1;
  #atWork = 0;
  /** Those of them that are not slow. */
  #quick = 0;
  #ringing = false;
  #stopped = false;
  #settled: (() => void) | undefined;
  /** The last objects that were woken; the oldest is the next to go. */
  readonly #woken: ObjectHost[] = [];
  #oldest = 0;

  constructor(shard: Shard) {
    this.#shard = shard;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** The stored alarms of the namespace are on the clock from now on. */
  add(namespace: ObjectNamespace): void {
    this.#namespaces.set(namespace.number, namespace);
    this.#shard.native.loadAlarms(namespace.number, this.#shard.index, this.#shard.count);
    this.changed();
  }

  get #full(): boolean {
    return this.#quick >= AT_ONCE_MAX || this.#atWork >= AT_WORK_MAX;
  }

  /** The clock may have another first alarm now. */
  changed(): void {
    if (this.#stopped || this.#ringing || this.#full) return;
    const next = this.#shard.native.nextAlarm();
    if (next === this.#next) return;
    this.#wait(next, next - Date.now());
  }

  #wait(next: number, ms: number): void {
    clearTimeout(this.#timer);
    this.#next = next;
    if (next < 0) return;
    if (ms <= 0) {
      this.#ringing = true;
      setImmediate(this.#ring);
      return;
    }
    this.#timer = setTimeout(this.#ring, Math.min(ms, WAIT_MS_MAX));
    // Who has nothing left to do may go: the alarm is on the disk, and rings when the directory is opened again.
    this.#timer.unref();
  }

  /** Starts those that are due, in turns of their own. */
  readonly #ring = (): void => {
    this.#ringing = false;
    this.#next = -1;
    if (this.#stopped) return;
    try {
      const now = Date.now();
      while (!this.#full && this.#startFirst(now));
    } catch (error) {
      this.#shard.report('An alarm is due and cannot be run:', error);
      this.#wait(0, TROUBLE_MS);
      return;
    }
    this.changed();
  };

  #startFirst(now: number): boolean {
    const { native } = this.#shard;
    const due = native.dueAlarm(now);
    if (due === null) return false;
    const [number, hex, name] = due;
    const namespace = this.#namespaces.get(number)!;
    const host = namespace.host(namespace.ids.stored(hex, name));
    if (!native.alarmDue(host.slot, now)) return true;
    if (!host.awake) this.#noteWoken(host);
    this.#begun(new AlarmDelivery(host, this));
    return true;
  }

  #begun(delivery: AlarmDelivery): void {
    this.#atWork++;
    this.#quick++;
    delivery.slow = setTimeout(this.#isSlow, SLOW_MS, delivery);
    delivery.slow.unref();
    this.#shard.turn(deliverTurn, delivery);
  }

  readonly #isSlow = (delivery: AlarmDelivery): void => {
    delivery.slow = undefined;
    this.#quick--;
    this.changed();
  };

  /** A hundred thousand that sleep and are due at once are not to be in memory at once. */
  #noteWoken(host: ObjectHost): void {
    const { length } = this.#woken;
    if (length < WOKEN_MAX) {
      this.#woken.push(host);
      return;
    }
    this.#shard.evictIfPossible(this.#woken[this.#oldest]!);
    this.#woken[this.#oldest] = host;
    this.#oldest = (this.#oldest + 1) % length;
  }

  ended(delivery: AlarmDelivery): void {
    this.#atWork--;
    if (delivery.slow !== undefined) {
      clearTimeout(delivery.slow);
      this.#quick--;
    }
    if (this.#atWork === 0) this.#settled?.();
    this.changed();
  }

  /** Nothing rings any more; the handlers that run go on. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  get isBusy(): boolean {
    return this.#atWork > 0;
  }

  /** Resolves when no handler runs any more, or after `graceMs`; with how many are left then. */
  async settled(graceMs: number): Promise<number> {
    let timer: NodeJS.Timeout | undefined;
    if (this.#atWork > 0)
      await new Promise<void>((resolve) => {
        this.#settled = resolve;
        timer = setTimeout(resolve, graceMs);
      });
    clearTimeout(timer);
    return this.#atWork;
  }
}
