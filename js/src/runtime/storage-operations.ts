/** What ctx.storage and the `txn` of storage.transaction() have in common: the key-value operations and the alarm. */
import { NO_HANDLER } from './alarms.js';
import { checkKey, type KeyValue, type ListOptions, listOptions } from './kv.js';
import type { StorageCore } from './storage.js';
import { decodeValue } from './values.js';
import { checkOptions, illegalInvocation, isObject, timeParameter, wrongParameter } from './web-idl.js';

/** Reads never wait, so `allowConcurrency` and `noCache` change nothing. */
export interface GetOptions {
  allowConcurrency?: boolean;
  noCache?: boolean;
}

export interface PutOptions extends GetOptions {
  /** Outputs do not wait until the write is durable. */
  allowUnconfirmed?: boolean;
}

const PAIRS_MAX = 128;

const PUT_FORMS =
  'put() may only be called with a single key-value pair and optional options as put(key, value, options) or with multiple key-value pairs and optional options as put(entries, options)';

export class StorageOperations {
  readonly #core: StorageCore;
  readonly #keyValue: KeyValue;
  /** As error texts call it. */
  readonly #name: string;
  /** Throws when `method` cannot be called any more. */
  readonly #check: ((method: string) => void) | undefined;

  constructor(core: StorageCore, keyValue: KeyValue, name: string, check?: (method: string) => void) {
    this.#core = core;
    this.#keyValue = keyValue;
    this.#name = name;
    this.#check = check;
  }

  static #checkThis(self: unknown): void {
    if (!isObject(self) || !(#core in self)) throw illegalInvocation();
  }

  // The methods look at what they are called on, which throws, before the rest, which rejects.


  get(key: string | string[], options?: GetOptions): Promise<unknown> {
    StorageOperations.#checkThis(this);
    return this.#get(arguments.length, key, options);
  }

  async #get(given: number, key: string | string[], options: GetOptions | undefined): Promise<unknown> {
    if (given === 0) throw wrongParameter('get', this.#name, 1, 'string or Array');
    if (options !== undefined) checkOptions(options, 'get', this.#name, 2, 'GetOptions');
    this.#check?.('get');
    if (!Array.isArray(key)) {
      const name = typeof key === 'string' ? key : `${key as string}`;
      checkKey(name);
      return this.#keyValue.get(name);
    }
    const keys = sortedByUtf8(new Set(keyTexts(key)));
    const core = this.#core;
    core.check();
    const found = new Map<string, unknown>();
    for (const each of keys) {
      // Not by KeyValue.get(): kv.put() may have stored undefined, which is a value here.
      const stored = core.native.kvGet(core.slot, each);
      if (stored !== undefined) found.set(each, decodeValue(stored));
    }
    return found;
  }

  /** Not an async function: the promise is the one of the commit, without steps in between. */
  put(key: string | Record<string, unknown>, value?: unknown, options?: PutOptions): Promise<void> {
    StorageOperations.#checkThis(this);
    try {
      if (arguments.length === 0) throw wrongParameter('put', this.#name, 1, 'string or object');
      if (options !== undefined) checkOptions(options, 'put', this.#name, 3, 'PutOptions');
      if (isEntries(key)) {
        if (value !== undefined && typeof value !== 'object' && typeof value !== 'function') throw new TypeError(PUT_FORMS);
        this.#putAll(key, (value as PutOptions | null | undefined) ?? options);
      } else {
        const name = typeof key === 'string' ? key : `${key as unknown as string}`;
        this.#check?.('put');
        if (value === undefined) throw new TypeError('put() called with undefined value.');
        this.#keyValue.put(name, value);
        this.#wrote(1, options);
      }
    } catch (error) {
      return Promise.reject(error as Error);
    }
    return this.#core.committed();
  }

  #putAll(entries: Record<string, unknown>, options: PutOptions | undefined): void {
    this.#check?.('put');
    const pairs = Object.entries(entries).filter(([, value]) => value !== undefined);
    if (pairs.length > PAIRS_MAX) throw new RangeError(`Maximum number of key value pairs is ${PAIRS_MAX}.`);
    this.#core.check();
    // All are encoded before the first is written: a value that can not be writes nothing.
    const encoded = pairs.map(([key, value]) => [key, this.#keyValue.encode(key, value)] as const);
    for (const [key, value] of encoded) this.#keyValue.putEncoded(key, value);
    this.#wrote(pairs.length, options);
  }

  delete(key: string | string[], options?: PutOptions): Promise<boolean | number> {
    StorageOperations.#checkThis(this);
    return this.#delete(arguments.length, key, options);
  }

  async #delete(given: number, key: string | string[], options: PutOptions | undefined): Promise<boolean | number> {
    if (given === 0) throw wrongParameter('delete', this.#name, 1, 'string or Array');
    if (options !== undefined) checkOptions(options, 'delete', this.#name, 2, 'PutOptions');
    this.#check?.('delete');
    let result: boolean | number;
    if (Array.isArray(key)) {
      const keys = keyTexts(key);
      result = 0;
      for (const each of keys) if (this.#keyValue.delete(each)) result++;
      this.#wrote(keys.length, options);
    } else {
      const name = `${key}`;
      checkKey(name);
      result = this.#keyValue.delete(name);
      this.#wrote(1, options);
    }
    await this.#core.committed();
    return result;
  }

  list(options?: ListOptions & GetOptions): Promise<Map<string, unknown>> {
    StorageOperations.#checkThis(this);
    return this.#list(options);
  }

  async #list(options: (ListOptions & GetOptions) | undefined): Promise<Map<string, unknown>> {
    const checked = listOptions(options, this.#name);
    this.#check?.('list');
    const flat = this.#keyValue.list(checked, checked.limit ?? -1);
    const found = new Map<string, unknown>();
    for (let i = 0; i < flat.length; i += 2) found.set(flat[i] as string, decodeValue(flat[i + 1]!));
    return found;
  }

  /** When the alarm rings, in milliseconds since 1970; null inside alarm(), until a new one is set. */
  getAlarm(options?: GetOptions): Promise<number | null> {
    StorageOperations.#checkThis(this);
    return this.#getAlarm(options);
  }

  async #getAlarm(options: GetOptions | undefined): Promise<number | null> {
    checkOptions(options, 'getAlarm', this.#name, 1, 'GetAlarmOptions');
    this.#check?.('getAlarm');
    const core = this.#core;
    core.check();
    return core.native.getAlarm(core.slot);
  }

  /** Replaces the object's one alarm; a time that has passed is now. */
  setAlarm(scheduledTime: number | Date, options?: PutOptions): Promise<void> {
    StorageOperations.#checkThis(this);
    try {
      const timeMs = timeParameter(scheduledTime, 'setAlarm', this.#name);
      checkOptions(options, 'setAlarm', this.#name, 2, 'SetAlarmOptions');
      if (timeMs <= 0) throw new TypeError('setAlarm() cannot be called with an alarm time <= 0');
      if (!this.#core.hasAlarmHandler) throw new TypeError(NO_HANDLER);
      this.#check?.('setAlarm');
      this.#core.setAlarm(timeMs);
      this.#wrote(1, options);
    } catch (error) {
      return Promise.reject(error as Error);
    }
    return this.#core.committed();
  }

  deleteAlarm(options?: PutOptions): Promise<void> {
    StorageOperations.#checkThis(this);
    try {
      checkOptions(options, 'deleteAlarm', this.#name, 1, 'SetAlarmOptions');
      this.#check?.('deleteAlarm');
      this.#core.deleteAlarm();
      this.#wrote(1, options);
    } catch (error) {
      return Promise.reject(error as Error);
    }
    return this.#core.committed();
  }

  #wrote(writes: number, options: PutOptions | undefined): void {
    if (options?.allowUnconfirmed) this.#core.unconfirmedWrites += writes;
  }
}

/** Makes the operations a class's own methods, as they are in workerd. */
export function ownOperations({ prototype }: { prototype: StorageOperations }): void {
  const operations = Object.entries(Object.getOwnPropertyDescriptors(StorageOperations.prototype));
  for (const [name, method] of operations) if (!Object.hasOwn(prototype, name)) Object.defineProperty(prototype, name, method);
}

/** Whether the first argument of put() is pairs, and not a key. */
function isEntries(key: unknown): key is Record<string, unknown> {
  return (typeof key === 'object' && key !== null && !Array.isArray(key)) || typeof key === 'function';
}

/** The keys of one call; throws before anything is read or written. */
function keyTexts(keys: unknown[]): string[] {
  if (keys.length > PAIRS_MAX) throw new RangeError(`Maximum number of keys is ${PAIRS_MAX}.`);
  const texts = Array.from(keys, (key) => `${key as string}`); // a hole is an undefined key
  for (const text of texts) checkKey(text);
  return texts;
}

function sortedByUtf8(keys: Set<string>): string[] {
  return [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
