/** ctx.storage.kv: the synchronous key-value interface, on the table `_cf_KV` of the object's database. */
import { type Exchange, IN_KEY_BYTES, IN_SLOT, IN_VALUE_BYTES, OUT_BEGAN } from './exchange.js';
import { JsonWriter, NOT_HERE } from './json-writer.js';
import type { NativeShard } from './native.js';
import { isIterator, runtimeClass } from './platform-class.js';
import { decodeValue, encodeValue } from './values.js';
import { checkOptions, illegalConstructor, illegalInvocation, isObject, wrongParameter } from './web-idl.js';

/** What the key-value interface needs of the object that it belongs to. */
export interface KvOwner {
  readonly slot: number;
  readonly native: NativeShard;
  readonly exchange: Exchange;
  readonly storageKind: 'sqlite' | 'kv';
  /** How often what was written has been taken back, or all emptied. */
  readonly rollbacks: number;
  check(): void;
  began(): void;
  failed(message: string): void;
}

export interface ListOptions {
  start?: string;
  startAfter?: string;
  end?: string;
  prefix?: string;
  reverse?: boolean;
  limit?: number;
}

/** As error texts call the interface. */
const SYNC_KV = 'SyncKvStorage';
/** UTF-8 bytes. */
const KEY_BYTES_MAX = 2048;
/** Key and value together, in the database of an object. */
const PAIR_BYTES_MAX = 2 << 20;
/** A value as it is stored, in the shared key-value file. */
const VALUE_BYTES_MAX = 128 << 10;
/** Pairs that a list reads at once. */
const LIST_BATCH = 128;

export function checkKey(key: string): void {
  if (key.length * 3 > KEY_BYTES_MAX && Buffer.byteLength(key) > KEY_BYTES_MAX)
    throw new RangeError(`Keys cannot be larger than ${KEY_BYTES_MAX} bytes. A key of size ${Buffer.byteLength(key)} was provided.`);
}

const byteLength = (encoded: string | Uint8Array): number => (typeof encoded === 'string' ? Buffer.byteLength(encoded) : encoded.length);

function checkValueSize(encoded: string | Uint8Array): void {
  if (encoded.length * 3 <= VALUE_BYTES_MAX) return;
  const size = byteLength(encoded);
  if (size > VALUE_BYTES_MAX) throw new RangeError(`Values cannot be larger than ${VALUE_BYTES_MAX} bytes. A value of size ${size} was provided.`);
}

function checkPairSize(key: string, encoded: string | Uint8Array): void {
  if ((encoded.length + key.length) * 3 <= PAIR_BYTES_MAX) return;
  const size = byteLength(encoded) + Buffer.byteLength(key);
  if (size > PAIR_BYTES_MAX)
    throw new RangeError(`Values cannot be larger than ${PAIR_BYTES_MAX} bytes together with their key. A pair of size ${size} was provided.`);
}

/** The operations without the user's calling conventions; the asynchronous interface uses them, too. */
export class KeyValue {
  readonly #writer: JsonWriter;
  #writes = 0;
  /** The iterator of kv.list() that may go on. */
  listing: object | undefined;

  constructor(readonly owner: KvOwner) {
    this.#writer = new JsonWriter(owner.exchange);
  }

  get(key: string): unknown {
    const owner = this.owner;
    owner.check();
    owner.exchange.textUses++;
    const keyEnd = this.#writer.ascii(key, 0);
    let stored: string | ArrayBuffer | undefined;
    if (keyEnd === NOT_HERE) stored = owner.native.kvGet(owner.slot, key);
    else {
      const header = owner.exchange.header;
      header[IN_SLOT] = owner.slot;
      header[IN_KEY_BYTES] = keyEnd;
      stored = owner.native.kvGetInline();
    }
    return stored === undefined ? undefined : decodeValue(stored);
  }

  /** The encoded value; throws what is wrong with it before anything is written. */
  encode(key: string, value: unknown): string | Uint8Array {
    checkKey(key);
    const encoded = encodeValue(value);
    if (this.owner.storageKind === 'kv') checkValueSize(encoded);
    else checkPairSize(key, encoded);
    return encoded;
  }

  put(key: string, value: unknown): void {
    const owner = this.owner;
    owner.check();
    const use = ++owner.exchange.textUses;
    const keyEnd = this.#writer.ascii(key, 0);
    const valueEnd = keyEnd === NOT_HERE ? NOT_HERE : this.#writer.value(value, keyEnd);
    // A getter of the value may have used the storage itself.
    if (valueEnd === NOT_HERE || owner.exchange.textUses !== use) {
      this.putEncoded(key, this.encode(key, value));
      return;
    }
    owner.check(); // the same getter may have reset the object
    const header = owner.exchange.header;
    header[IN_SLOT] = owner.slot;
    header[IN_KEY_BYTES] = keyEnd;
    header[IN_VALUE_BYTES] = valueEnd - keyEnd;
    header[OUT_BEGAN] = 0;
    this.#writes++;
    try {
      owner.native.kvPutInline();
    } catch (error) {
      this.#failed(error);
    }
    if (header[OUT_BEGAN] === 1) owner.began();
  }

  putEncoded(key: string, encoded: string | Uint8Array): void {
    const owner = this.owner;
    owner.check(); // code of the user ran when the value was encoded
    const header = owner.exchange.header;
    header[OUT_BEGAN] = 0;
    this.#writes++;
    try {
      owner.native.kvPut(owner.slot, key, encoded);
    } catch (error) {
      this.#failed(error);
    }
    if (header[OUT_BEGAN] === 1) owner.began();
  }

  delete(key: string): boolean {
    const owner = this.owner;
    owner.check();
    const header = owner.exchange.header;
    header[OUT_BEGAN] = 0;
    let found = false;
    this.#writes++;
    try {
      found = owner.native.kvDelete(owner.slot, key);
    } catch (error) {
      this.#failed(error);
    }
    if (header[OUT_BEGAN] === 1) owner.began();
    return found;
  }

  /** The write failed, but the transaction that it began is open. */
  #failed(error: unknown): never {
    const owner = this.owner;
    if (owner.exchange.header[OUT_BEGAN] === 1) owner.began();
    owner.failed((error as Error).message);
    throw error;
  }

  /** At most `limit` pairs (-1: all), flat. Ends an iterator of kv.list(). */
  list(options: ListOptions, limit: number): (string | ArrayBuffer)[] {
    this.listing = undefined;
    return this.batch(options, limit);
  }

  batch(options: ListOptions, limit: number): (string | ArrayBuffer)[] {
    this.owner.check();
    const { start, startAfter, end, prefix, reverse } = options;
    return this.owner.native.kvList(this.owner.slot, startAfter ?? start, startAfter !== undefined, end, prefix, reverse === true, limit);
  }

  /** The pairs one by one; an iterator that was there before can not go on. */
  iterate(options: ListOptions | undefined): ListIterator {
    return new ListIterator(this, listOptions(options, SYNC_KV));
  }

  /** Another number than before when a pair may have changed. */
  get changes(): number {
    return this.#writes + this.owner.rollbacks;
  }
}

/** What `kv.list()` returns. It reads ahead, but what is written meanwhile counts. */
export class ListIterator implements IterableIterator<[string, unknown]> {
  readonly #kv: KeyValue;
  #range: ListOptions;
  #rest: number;
  #batch: (string | ArrayBuffer)[] = [];
  #at = 0;
  /** The batch was full: there may be more. */
  #full = true;
  #changes = -1;
  #ended = false;

  /** Made by `kv.list()` only. */
  constructor(kv: KeyValue, range: ListOptions) {
    if (kv === undefined) throw illegalConstructor();
    this.#kv = kv;
    this.#range = range;
    this.#rest = range.limit ?? Infinity;
    kv.listing = this;
  }

  static {
    isIterator(this);
    runtimeClass(this, 'ListIterator');
  }

  static #checkThis(self: unknown): void {
    if (!isObject(self) || !(#kv in self)) throw illegalInvocation();
  }

  next(): IteratorResult<[string, unknown], undefined> {
    ListIterator.#checkThis(this);
    if (this.#ended) return { done: true, value: undefined };
    if (this.#kv.listing !== this)
      throw new Error('kv.list() iterator was invalidated because a new call to kv.list() was started. Only one kv.list() iterator can exist at a time.');
    if (!this.#fill()) {
      this.#ended = true;
      return { done: true, value: undefined };
    }
    this.#rest--;
    this.#at += 2;
    return { done: false, value: [this.#batch[this.#at - 2] as string, decodeValue(this.#batch[this.#at - 1]!)] };
  }

  /** Makes sure that a pair is there to hand out; false at the end. */
  #fill(): boolean {
    if (this.#rest === 0) return false;
    const unchanged = this.#changes === this.#kv.changes;
    if (unchanged && this.#at < this.#batch.length) return true;
    if (unchanged && !this.#full) return false;
    if (this.#at > 0) {
      // Goes on behind the last key by a seek, so nothing is held open in between.
      const last = this.#batch[this.#at - 2] as string;
      this.#range = this.#range.reverse === true ? { ...this.#range, end: last } : { ...this.#range, startAfter: last };
    }
    const wanted = Math.min(this.#rest, LIST_BATCH);
    this.#changes = this.#kv.changes;
    this.#batch = this.#kv.batch(this.#range, wanted);
    this.#at = 0;
    this.#full = this.#batch.length === wanted * 2;
    return this.#batch.length > 0;
  }

  toArray(): [string, unknown][] {
    ListIterator.#checkThis(this);
    return [...this];
  }

  [Symbol.iterator](): this {
    return this;
  }
}

/** Checks list options as all interfaces do; `of` is the one that was called. */
export function listOptions(options: ListOptions | undefined, of: string): ListOptions {
  if (options === undefined || options === null) return {};
  checkOptions(options, 'list', of, 1, 'ListOptions');
  if (options.start !== undefined && options.startAfter !== undefined)
    throw new TypeError('list() cannot be called with both start and startAfter values.');
  const checked: ListOptions = { reverse: Boolean(options.reverse) };
  for (const bound of ['start', 'startAfter', 'end', 'prefix'] as const) {
    if (options[bound] !== undefined) checked[bound] = `${options[bound]}`; // throws for a symbol
  }
  if (options.limit !== undefined) {
    const limit = Math.trunc(+options.limit); // throws for a bigint and for a symbol
    if (Number.isFinite(limit) && (limit > 0x7fffffff || limit < -0x80000000))
      throw new TypeError('Value out of range. Must be between -2147483648 and 2147483647 (inclusive).');
    if (!(limit > 0) || limit === Infinity) throw new TypeError('List limit must be positive.');
    checked.limit = limit;
  }
  return checked;
}

/** A key that is not a string, as one; `given` is how many arguments there were. */
function keyText(method: string, key: unknown, given: number): string {
  if (given === 0) throw wrongParameter(method, SYNC_KV, 1, 'string');
  return `${key as string}`; // throws for a symbol
}

/** What SyncKvStorage passes its calls on to. */
export type SyncKvTarget = Pick<KeyValue, 'get' | 'put' | 'delete' | 'iterate'>;

export class SyncKvStorage {
  readonly #kv: SyncKvTarget;

  constructor(kv: SyncKvTarget) {
    if (kv === undefined) throw illegalConstructor();
    this.#kv = kv;
  }

  static {
    runtimeClass(this, SYNC_KV);
  }

  static #checkThis(self: unknown): void {
    if (!isObject(self) || !(#kv in self)) throw illegalInvocation();
  }

  get(key: string): unknown {
    SyncKvStorage.#checkThis(this);
    return this.#kv.get(typeof key === 'string' ? key : keyText('get', key, arguments.length));
  }

  put(key: string, value: unknown): void {
    SyncKvStorage.#checkThis(this);
    const name = typeof key === 'string' ? key : keyText('put', key, arguments.length);
    if (arguments.length < 2) throw wrongParameter('put', SYNC_KV, 2, 'Value');
    this.#kv.put(name, value);
  }

  delete(key: string): boolean {
    SyncKvStorage.#checkThis(this);
    return this.#kv.delete(typeof key === 'string' ? key : keyText('delete', key, arguments.length));
  }

  /** One list at a time: a new one ends the one before. */
  list(options?: ListOptions): ListIterator {
    SyncKvStorage.#checkThis(this);
    checkOptions(options, 'list', SYNC_KV, 1, 'ListOptions');
    return this.#kv.iterate(options);
  }
}
