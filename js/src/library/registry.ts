/** Objects in a process of the user's own: a data directory, and the namespaces that the user's code registers. */
import { resolve } from 'node:path';
import { setTimeout } from 'node:timers';
import { ALARM_RETRY_MS } from '../runtime/alarms.js';
import { DurableObjectNamespace, type ObjectClass } from '../runtime/namespace.js';
import { loadNative, type NativeEngine } from '../runtime/native.js';
import { Shard } from '../runtime/shard.js';
import { Outside } from './outside.js';

export interface OpenOptions {
  /** The folder where the objects live, or ':memory:'. */
  storageDir: string;
  /** Objects without work for this long leave memory. */
  idleMs?: number;
  /** What objects find in `env` beside the namespaces. */
  env?: Record<string, unknown>;
  /** A failed alarm is tried again after this time, then after twice that, and so on. */
  alarmRetryMs?: number;
  /** How far back objects can be restored; 0: not at all. */
  historyDays?: number;
  /** Disk space for that, past which the oldest is given up. */
  historyBytes?: number;
}

export interface NamespaceOptions {
  storage?: 'sqlite' | 'kv';
  /** What the namespace is called on disk. */
  key?: string;
}

export interface CloseOptions {
  /** How long calls in flight may take. */
  graceMs?: number;
}

const IN_MEMORY = ':memory:';
const IDLE_MS = 10_000;
const IDLE_MS_MAX = 86_400_000;
const ALARM_RETRY_MS_MAX = 3_600_000;
const DAY_MS = 86_400_000;
const HISTORY_DAYS = 30;
const HISTORY_DAYS_MAX = 3_650;
/** Less than a segment of the log would keep nothing. */
const HISTORY_BYTES_MIN = 64 * 1024 ** 2;
const CLOSE_GRACE_MS = 10_000;
/** How often close() looks whether objects that work without a caller are done. */
const CLOSE_POLL_MS = 5;

/** The directories that are open in this process. */
const openDirectories = new Set<string>();

/** Opens the data directory, creating it when missing. One registry at a time has it open. */
export function open(options: OpenOptions): Registry {
  checkOptions('open', options, ['storageDir', 'idleMs', 'env', 'alarmRetryMs', 'historyDays', 'historyBytes']);
  const { storageDir, idleMs = IDLE_MS, env = {}, alarmRetryMs = ALARM_RETRY_MS, historyDays = HISTORY_DAYS, historyBytes } = options;
  if (typeof storageDir !== 'string' || storageDir === '')
    throw new TypeError(`open() needs storageDir: the folder where the objects live, or '${IN_MEMORY}'.`);
  if (!Number.isInteger(idleMs) || idleMs < 1 || idleMs > IDLE_MS_MAX)
    throw new RangeError(`The idleMs of open() must be a whole number from 1 to ${IDLE_MS_MAX}.`);
  if (!Number.isInteger(alarmRetryMs) || alarmRetryMs < 1 || alarmRetryMs > ALARM_RETRY_MS_MAX)
    throw new RangeError(`The alarmRetryMs of open() must be a whole number from 1 to ${ALARM_RETRY_MS_MAX}.`);
  if (!Number.isInteger(historyDays) || historyDays < 0 || historyDays > HISTORY_DAYS_MAX)
    throw new RangeError(`The historyDays of open() must be a whole number from 0 to ${HISTORY_DAYS_MAX}.`);
  if (historyBytes !== undefined && (!Number.isSafeInteger(historyBytes) || historyBytes < HISTORY_BYTES_MIN))
    throw new RangeError(`The historyBytes of open() must be a whole number, ${HISTORY_BYTES_MIN} at least.`);
  const directory = storageDir === IN_MEMORY ? undefined : resolve(storageDir);
  return new Registry(openEngine(directory, historyDays * DAY_MS, historyBytes), directory, { idleMs, alarmRetryMs }, env);
}

function openEngine(directory: string | undefined, historyMs: number, historyBytes: number | undefined): NativeEngine {
  if (directory !== undefined && openDirectories.has(directory))
    throw new Error(`The data directory ${directory} is open in this process already. Use that registry, or close it first.`);
  try {
    return loadNative().openEngine(directory, undefined, historyMs, historyBytes);
  } catch (error) {
    // The engine speaks of the command line.
    const message = (error as Error).message.replaceAll('--data', 'storageDir');
    throw new Error(message, { cause: error });
  }
}

function checkOptions(method: string, options: unknown, known: string[]): void {
  if (typeof options !== 'object' || options === null) throw new TypeError(`The options of ${method}() must be an object.`);
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new TypeError(`${method}() has no option "${unknown}", only ${known.join(', ')}.`);
}

/** A problem of user code that has no caller to go to. */
function report(what: string, error: unknown): void {
  try {
    console.error(what, error);
  } catch {
    console.error(what, 'an error that cannot be printed');
  }
}

export class Registry {
  readonly #engine: NativeEngine;
  readonly #directory: string | undefined;
  readonly #shard: Shard;
  readonly #outside: Outside;
  /** By key: what its objects are made of. */
  readonly #classes = new Map<string, ObjectClass>();
  #closed: Promise<void> | undefined;

  constructor(engine: NativeEngine, directory: string | undefined, times: { idleMs: number; alarmRetryMs: number }, env: Record<string, unknown>) {
    this.#engine = engine;
    this.#directory = directory;
    this.#shard = new Shard({ engine, report, ...times, deleteAllDeletesAlarm: true, onWake: () => {} });
    this.#outside = new Outside(this.#shard);
    Object.assign(this.#shard.env, env);
    if (directory !== undefined) openDirectories.add(directory);
  }

  /** Serves `objectClass` under `name`; objects find the namespace as `env[name]`. */
  namespace(name: string, objectClass: ObjectClass, options: NamespaceOptions = {}): DurableObjectNamespace {
    if (this.#closed !== undefined) throw new Error('The registry has been closed.');
    if (typeof name !== 'string' || name === '') throw new TypeError('namespace() needs a name: a string that is not empty.');
    if (typeof objectClass !== 'function' || typeof objectClass.prototype !== 'object')
      throw new TypeError(`The namespace "${name}" needs a class: namespace('${name}', MyClass).`);
    checkOptions('namespace', options, ['storage', 'key']);
    const { storage = 'sqlite', key = name } = options;
    if (storage !== 'sqlite' && storage !== 'kv') throw new TypeError(`The storage of the namespace "${name}" must be 'sqlite' or 'kv'.`);
    if (typeof key !== 'string' || key === '') throw new TypeError(`The key of the namespace "${name}" must be a string that is not empty.`);
    if (name in this.#shard.env) throw new Error(`The objects' env has "${name}" already; register each namespace once, under a name of its own.`);
    const registered = this.#classes.get(key);
    if (registered !== undefined && registered !== objectClass)
      throw new Error(`The namespace key "${key}" belongs to the class "${registered.name}" already.`);
    const namespace = this.#shard.bind(name, objectClass.name, objectClass, key, storage);
    this.#classes.set(key, objectClass);
    return new DurableObjectNamespace(namespace, this.#outside);
  }

  /**
   * Refuses new calls, lets those in flight and what objects have given to waitUntil() finish, resets
   * what is not done in time, and leaves every object a plain SQLite file.
   */
  close(options: CloseOptions = {}): Promise<void> {
    checkOptions('close', options, ['graceMs']);
    const { graceMs = CLOSE_GRACE_MS } = options;
    if (!(graceMs >= 0)) throw new RangeError('The graceMs of close() must be a number of milliseconds, 0 or more.');
    return (this.#closed ??= this.#close(graceMs));
  }

  async #close(graceMs: number): Promise<void> {
    this.#outside.refuse('The registry has been closed.');
    try {
      await this.#finish(Date.now() + graceMs);
    } finally {
      if (this.#directory !== undefined) openDirectories.delete(this.#directory);
    }
  }

  async #finish(deadline: number): Promise<void> {
    const shard = this.#shard;
    shard.alarms.stop();
    const calls = this.#outside.quiet();
    await before(deadline, calls);
    // A call that an object has made of its own is delivered before the first look.
    await new Promise<void>((resolve) => shard.turn(resolve, undefined));
    for (shard.evictIdle(0); shard.objects > 0 && Date.now() < deadline; shard.evictIdle(0)) await delay(CLOSE_POLL_MS);
    shard.resetAll(new Error('The registry was closed before the object had finished its work.'));
    await calls;
    shard.close();
    this.#engine.close();
    this.#outside.closed();
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Resolves with `promise`, or at the deadline. */
async function before(deadline: number, promise: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, deadline - Date.now()));
  });
  await Promise.race([promise, late]);
  clearTimeout(timer);
}
