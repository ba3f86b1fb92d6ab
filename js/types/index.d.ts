/** `perdure`: Durable Objects in a process of one's own, on Node.js, Deno or Bun. */
import type { DurableObjectId, DurableObjectState } from './object.js';
import type { RuntimeRequest, RuntimeRequestInit, RuntimeResponse } from './runtime.js';

export type * from './object.js';

export interface OpenOptions {
  /**
   * The folder where the objects live: relative to the working directory, created when missing; after
   * close() each object is a plain SQLite file in it. Or ':memory:', which touches no file and keeps nothing.
   */
  storageDir: string;
  /** Objects without work for this long leave memory, in milliseconds from 1 to 86,400,000. Default: 10,000. */
  idleMs?: number;
  /** What objects find in `env` beside the namespaces. It is handed over as it is. */
  env?: Record<string, unknown>;
  /**
   * When an alarm whose handler has thrown is tried again, in milliseconds from 1 to 3,600,000; each further time
   * comes after twice as long. Default: 2,000.
   */
  alarmRetryMs?: number;
  /** How far back objects can be restored (ctx.storage.getBookmarkForTime()), in days from 0 (not at all) to 3,650. Default: 30. */
  historyDays?: number;
  /**
   * Disk space for that, in bytes, 64 MiB at least; past it the oldest is given up. Default: 16 GiB, and 64 MiB for
   * ':memory:'.
   */
  historyBytes?: number;
}

export interface NamespaceOptions {
  /** 'sqlite' (the default): each object has a database of its own. 'kv': the key-value storage of `new_classes`. */
  storage?: 'sqlite' | 'kv';
  /**
   * What the namespace is called on disk; it decides the ids of its names. Default: its name. For objects of a
   * project or imported ones: `<name of the project>-<class>`.
   */
  key?: string;
}

export interface CloseOptions {
  /** Calls in flight and waitUntil() work may take this long, in milliseconds, before they are cut off. Default: 10,000. */
  graceMs?: number;
}

/** A class that a namespace can serve. Methods can be called if it extends DurableObject, else fetch() alone. */
export type ObjectClass<T extends object = object> = new (ctx: DurableObjectState, env: any) => T;

/** Methods that the runtime calls and nobody else can. */
type Reserved = 'alarm' | 'connect' | 'fetch' | 'webSocketMessage' | 'webSocketClose' | 'webSocketError' | '__DURABLE_OBJECT_BRAND';

/** A method as its caller sees it, or a getter, which is awaited. */
type Remote<T> = T extends (...parameters: infer P) => infer R ? (...parameters: P) => Promise<Awaited<R>> : Promise<Awaited<T>>;

/** What calls an object from outside. A call's outcome arrives when everything it depends on is durable. */
export type Stub<T extends object> = {
  readonly id: DurableObjectId;
  readonly name?: string;
  fetch(input: RuntimeRequest | string | URL, init?: RuntimeRequestInit): Promise<RuntimeResponse>;
} & (T extends { ['__DURABLE_OBJECT_BRAND']: never } ? { [K in Exclude<keyof T, Reserved>]: Remote<T[K]> } : unknown);

/** The objects of one class. */
export interface Namespace<T extends object> {
  /** The same name gives the same id; another namespace gives it another one. */
  idFromName(name: string): DurableObjectId;
  /** Throws a TypeError for what is not an id of this namespace. */
  idFromString(id: string): DurableObjectId;
  newUniqueId(options?: { jurisdiction?: never }): DurableObjectId;
  /** Runs nothing: the object starts at its first call. */
  get(id: DurableObjectId): Stub<T>;
  getByName(name: string): Stub<T>;
}

export interface Registry {
  /**
   * Serves `objectClass` under `name`, which is where objects find the namespace in their `env`. Alarms of its
   * objects ring from now on; those that came due while nothing ran, at once. Throws for a name that is taken.
   */
  namespace<T extends object>(name: string, objectClass: ObjectClass<T>, options?: NamespaceOptions): Namespace<T>;
  /**
   * Refuses new calls, waits for those in flight and for waitUntil(), then closes the directory. What an
   * object does is cut off after `graceMs`: whoever waits for it gets an error. Closing twice is closing once.
   */
  close(options?: CloseOptions): Promise<void>;
}

/**
 * Opens the data directory. Throws when it is open already, in this process or another, or when it is not
 * one of Perdure's. If writing to its log fails later, the process says so and ends (status 74), as nothing
 * could be acknowledged any more.
 */
export function open(options: OpenOptions): Registry;
