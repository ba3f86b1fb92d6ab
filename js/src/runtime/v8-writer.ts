/** Writes V8's serialization format, for runtimes whose node:v8 does not, and for values that it does not take. */
import { isPlatformValue, writePlatformValue } from './platform-values.js';
import { ERROR_TAG, errorTypes, LENGTH_TRACKING, regExpFlags, RESIZABLE_BUFFER, TAG, VERSION, views } from './v8-tags.js';

const FIRST_BYTES = 256;
/** Array indexes are numbers as keys: whole numbers below this one. */
const INDEXES = 2 ** 32 - 1;

/** What structured clone refuses beside functions and symbols. */
const uncloneable = [Promise, WeakMap, WeakSet, WeakRef, SharedArrayBuffer];

/** ArrayBuffer as of ES2024. */
interface ResizableBuffer extends ArrayBuffer {
  readonly resizable?: boolean;
  readonly maxByteLength?: number;
  readonly detached?: boolean;
}

export class V8Writer {
  #bytes = new Uint8Array(FIRST_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #size = 0;
  /** Each object is written once; another mention refers to its number. */
  readonly #numbers = new Map<object, number>();

  /** Throws a DataCloneError for what cannot be cloned. */
  static write(value: unknown): Uint8Array {
    const writer = new V8Writer();
    writer.#byte(TAG.version);
    writer.#byte(VERSION);
    writer.#value(value);
    return writer.#bytes.subarray(0, writer.#size);
  }

  #room(bytes: number): void {
    if (this.#size + bytes <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#size + bytes));
    grown.set(this.#bytes.subarray(0, this.#size));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  #byte(byte: number): void {
    this.#room(1);
    this.#bytes[this.#size++] = byte;
  }

  #varint(value: number): void {
    while (value >= 0x80) {
      this.#byte((value % 0x80) | 0x80);
      value = Math.floor(value / 0x80);
    }
    this.#byte(value);
  }

  #double(value: number): void {
    this.#room(8);
    this.#view.setFloat64(this.#size, value, true);
    this.#size += 8;
  }

  #raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#size);
    this.#size += bytes.length;
  }

  #value(value: unknown): void {
    switch (typeof value) {
      case 'undefined':
        return this.#byte(TAG.undefined);
      case 'boolean':
        return this.#byte(value ? TAG.true : TAG.false);
      case 'number':
        return this.#number(value);
      case 'bigint':
        this.#byte(TAG.bigInt);
        return this.#bigInt(value);
      case 'string':
        return this.#string(value);
      case 'object':
        return value === null ? this.#byte(TAG.null) : this.#object(value);
      default:
        throw refused(String(value));
    }
  }

  #number(value: number): void {
    if ((value | 0) === value && !Object.is(value, -0)) {
      this.#byte(TAG.int32);
      this.#varint(((value << 1) ^ (value >> 31)) >>> 0);
    } else {
      this.#byte(TAG.double);
      this.#double(value);
    }
  }

  #bigInt(value: bigint): void {
    const digits: bigint[] = [];
    for (let rest = value < 0n ? -value : value; rest > 0n; rest >>= 64n) digits.push(rest & 0xffff_ffff_ffff_ffffn);
    this.#varint(digits.length * 8 * 2 + (value < 0n ? 1 : 0));
    for (const digit of digits) {
      this.#room(8);
      this.#view.setBigUint64(this.#size, digit, true);
      this.#size += 8;
    }
  }

  #string(text: string): void {
    let wide = false;
    for (let i = 0; i < text.length && !wide; i++) wide = text.charCodeAt(i) > 0xff;
    if (wide) {
      // V8 reads the characters in place, so they stand at an even offset.
      if ((this.#size + 1 + varintBytes(2 * text.length)) % 2 === 1) this.#byte(TAG.padding);
      this.#byte(TAG.twoByteString);
      this.#varint(2 * text.length);
    } else {
      this.#byte(TAG.oneByteString);
      this.#varint(text.length);
    }
    const width = wide ? 2 : 1;
    this.#room(width * text.length);
    for (let i = 0; i < text.length; i++, this.#size += width) {
      if (wide) this.#view.setUint16(this.#size, text.charCodeAt(i), true);
      else this.#bytes[this.#size] = text.charCodeAt(i);
    }
  }

  #object(object: object): void {
    // The buffer of a view stands before it.
    if (ArrayBuffer.isView(object) && !this.#numbers.has(object)) this.#object(object.buffer as ArrayBuffer);
    const number = this.#numbers.get(object);
    if (number !== undefined) {
      this.#byte(TAG.reference);
      this.#varint(number);
      return;
    }
    this.#numbers.set(object, this.#numbers.size);
    if (Array.isArray(object)) this.#array(object);
    else if (isPlatformValue(object)) this.#platformValue(object);
    else if (object instanceof Map) this.#members(TAG.map, TAG.endMap, [...object].flat(1));
    else if (object instanceof Set) this.#members(TAG.set, TAG.endSet, [...object]);
    else if (object instanceof Error) this.#error(object);
    else if (object instanceof ArrayBuffer) this.#arrayBuffer(object);
    else if (ArrayBuffer.isView(object)) this.#arrayView(object);
    else if (!this.#boxed(object)) this.#plain(object);
  }

  /** The built-in objects around a single value; false when it is none of them. */
  #boxed(object: object): boolean {
    if (object instanceof Date) {
      this.#byte(TAG.date);
      this.#double(object.getTime());
    } else if (object instanceof Boolean) {
      this.#byte(object.valueOf() ? TAG.trueObject : TAG.falseObject);
    } else if (object instanceof Number) {
      this.#byte(TAG.numberObject);
      this.#double(object.valueOf());
    } else if (object instanceof String) {
      this.#byte(TAG.stringObject);
      this.#string(object.valueOf());
    } else if (object instanceof BigInt) {
      this.#byte(TAG.bigIntObject);
      this.#bigInt((object as unknown as bigint).valueOf());
    } else if (object instanceof RegExp) {
      this.#byte(TAG.regExp);
      this.#string(object.source);
      this.#varint(regExpFlags.reduce((bits, [flag, bit]) => (object.flags.includes(flag) ? bits | bit : bits), 0));
    } else {
      return false;
    }
    return true;
  }

  #plain(object: object): void {
    if (object instanceof Symbol) throw refused('Object(Symbol)');
    const unknown = uncloneable.find((type) => object instanceof type);
    if (unknown !== undefined) throw refused(`#<${unknown.name}>`);
    this.#byte(TAG.object);
    const written = this.#properties(object, Object.keys(object));
    this.#byte(TAG.endObject);
    this.#varint(written);
  }

  #platformValue(object: Headers): void {
    this.#byte(TAG.platform);
    writePlatformValue(object, { varint: (value) => this.#varint(value), bytes: (bytes) => this.#raw(bytes) });
  }

  #properties(object: object, keys: string[]): number {
    let written = 0;
    for (const key of keys) {
      if (!Object.hasOwn(object, key)) continue; // a getter of one before it has removed it
      const value = (object as Record<string, unknown>)[key];
      const index = Number(key);
      if (index >= 0 && index < INDEXES && String(index) === key) this.#number(index);
      else this.#string(key);
      this.#value(value);
      written++;
    }
    return written;
  }

  #array(array: unknown[]): void {
    const { length } = array;
    const keys = Object.keys(array);
    const isDense = keys.length >= length && (length === 0 || keys[length - 1] === String(length - 1));
    this.#byte(isDense ? TAG.denseArray : TAG.sparseArray);
    this.#varint(length);
    if (isDense) for (let i = 0; i < length; i++) this.#value(array[i]);
    const written = this.#properties(array, isDense ? keys.slice(length) : keys);
    this.#byte(isDense ? TAG.endDenseArray : TAG.endSparseArray);
    this.#varint(written);
    this.#varint(length);
  }

  #members(begin: number, end: number, members: unknown[]): void {
    this.#byte(begin);
    for (const member of members) this.#value(member);
    this.#byte(end);
    this.#varint(members.length);
  }

  #arrayBuffer(buffer: ResizableBuffer): void {
    if (buffer.detached === true) throw new DOMException('An ArrayBuffer is detached and could not be cloned.', 'DataCloneError');
    this.#byte(buffer.resizable === true ? TAG.resizableArrayBuffer : TAG.arrayBuffer);
    this.#varint(buffer.byteLength);
    if (buffer.resizable === true) this.#varint(buffer.maxByteLength!);
    this.#raw(new Uint8Array(buffer));
  }

  #arrayView(view: ArrayBufferView): void {
    const [tag] = views.find(([, type]) => view instanceof type)!;
    const buffer = view.buffer as ResizableBuffer;
    const resizable = buffer.resizable === true;
    this.#byte(TAG.view);
    this.#byte(tag);
    this.#varint(view.byteOffset);
    this.#varint(view.byteLength);
    this.#varint(resizable ? RESIZABLE_BUFFER | (tracksLength(view, buffer) ? LENGTH_TRACKING : 0) : 0);
  }

  /** The stack stands before the cause: newer V8 reads no other order, older V8 reads any. */
  #error(error: Error): void {
    this.#byte(TAG.error);
    const type = errorTypes.find(([, { name }]) => name === String(error.name));
    if (type !== undefined) this.#byte(type[0]);
    const message = Object.getOwnPropertyDescriptor(error, 'message');
    if (message !== undefined) {
      this.#byte(ERROR_TAG.message);
      this.#string(String(error.message));
    }
    if (typeof error.stack === 'string') {
      this.#byte(ERROR_TAG.stack);
      this.#string(error.stack);
    }
    if (Object.hasOwn(error, 'cause')) {
      this.#byte(ERROR_TAG.cause);
      this.#value(error.cause);
    }
    this.#byte(ERROR_TAG.end);
  }
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes++;
  return bytes;
}

/** Whether the view ends where its resizable buffer ends, whatever its size: JavaScript shows it only by resizing. */
function tracksLength(view: ArrayBufferView, buffer: ResizableBuffer): boolean {
  const size = buffer.byteLength;
  const sizeMax = buffer.maxByteLength ?? size;
  if (size >= sizeMax) return false;
  const before = view.byteLength;
  const resize = (bytes: number): void => (buffer as unknown as { resize(bytes: number): void }).resize(bytes);
  resize(Math.min(size + 8, sizeMax));
  const grew = view.byteLength !== before;
  resize(size);
  return grew;
}

const refused = (what: string): DOMException => new DOMException(`${what} could not be cloned.`, 'DataCloneError');
