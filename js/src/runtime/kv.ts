/** ctx.storage.kv: the synchronous key-value interface, on the table `_cf_KV` of the object's database. */
import { type Exchange, IN_KEY_BYTES, IN_SLOT, IN_VALUE_BYTES, OUT_BEGAN } from './exchange.js';
import { JsonWriter, NOT_HERE } from './json-writer.js';
import type { NativeShard } from './native.js';
import { decodeValue, encodeValue } from './values.js';

/** What the key-value interface needs of the object that it belongs to. */
export interface KvOwner {
  readonly slot: number;
  readonly native: NativeShard;
  readonly exchange: Exchange;
  readonly storageKind: 'sqlite' | 'kv';
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

  /** A batch of at most `limit` pairs, flat. */
  list(options: ListOptions, limit: number): (string | ArrayBuffer)[] {
    this.owner.check();
    const { start, startAfter, end, prefix, reverse } = options;
    return this.owner.native.kvList(this.owner.slot, startAfter ?? start, startAfter !== undefined, end, prefix, reverse === true, limit);
  }

  *pairs(options: ListOptions): Generator<[string, unknown]> {
    let rest = options.limit ?? Infinity;
    let range = options;
    while (rest > 0) {
      const wanted = Math.min(rest, LIST_BATCH);
      const batch = this.list(range, wanted);
      for (let i = 0; i < batch.length; i += 2) yield [batch[i] as string, decodeValue(batch[i + 1]!)];
      if (batch.length < wanted * 2) return;
      rest -= wanted;
      const last = batch[batch.length - 2] as string;
      // Goes on behind the last key by a seek, so nothing is held open in between.
      range = options.reverse === true ? { ...range, end: last } : { ...range, startAfter: last };
    }
  }
}

/** Checks list options as all interfaces do; `of` is the one that was called. */
export function listOptions(options: ListOptions | undefined, of: string): ListOptions {
  if (options === undefined || options === null) return {};
  if (typeof options !== 'object') throw new TypeError(`Failed to execute 'list' on '${of}': parameter 1 is not of type 'ListOptions'.`);
  if (options.start !== undefined && options.startAfter !== undefined)
    throw new TypeError('list() cannot be called with both start and startAfter values.');
  const checked: ListOptions = { reverse: Boolean(options.reverse) };
  for (const bound of ['start', 'startAfter', 'end', 'prefix'] as const) {
    if (options[bound] !== undefined) checked[bound] = String(options[bound]);
  }
  if (options.limit !== undefined) {
    const limit = Math.trunc(Number(options.limit));
    if (!(limit > 0) || limit === Infinity) throw new TypeError('List limit must be positive.');
    if (limit > 0x7fffffff) throw new TypeError('Value out of range. Must be between -2147483648 and 2147483647 (inclusive).');
    checked.limit = limit;
  }
  return checked;
}

const wrongType = (method: string, parameter: number, type: string): TypeError =>
  new TypeError(`Failed to execute '${method}' on 'SyncKvStorage': parameter ${parameter} is not of type '${type}'.`);

/** A key that is not a string, as one; `given` is how many arguments there were. */
function keyText(method: string, key: unknown, given: number): string {
  if (given === 0) throw wrongType(method, 1, 'string');
  return `${key as string}`; // throws for a symbol
}

export class SyncKvStorage {
  readonly #kv: KeyValue;
  #listing: object | undefined;

  constructor(kv: KeyValue) {
    this.#kv = kv;
  }

  get(key: string): unknown {
    return this.#kv.get(typeof key === 'string' ? key : keyText('get', key, arguments.length));
  }

  put(key: string, value: unknown): void {
    const name = typeof key === 'string' ? key : keyText('put', key, arguments.length);
    if (arguments.length < 2) throw wrongType('put', 2, 'Value');
    this.#kv.put(name, value);
  }

  delete(key: string): boolean {
    return this.#kv.delete(typeof key === 'string' ? key : keyText('delete', key, arguments.length));
  }

  /** One list at a time: a new one ends the one before. */
  list(options?: ListOptions): IterableIterator<[string, unknown]> {
    const pairs = this.#kv.pairs(listOptions(options, 'SyncKvStorage'));
    const mark = {};
    this.#listing = mark;
    const check = (): void => {
      if (this.#listing !== mark)
        throw new Error('kv.list() iterator was invalidated because a new call to kv.list() was started. Only one kv.list() iterator can exist at a time.');
    };
    return {
      next() {
        check();
        return pairs.next();
      },
      [Symbol.iterator]() {
        return this;
      },
    };
  }
}
