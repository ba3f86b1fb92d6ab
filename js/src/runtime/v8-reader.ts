/** Reads V8's serialization format, for runtimes whose node:v8 does not, and what that one does not take. */
import { readPlatformValue } from './platform-values.js';
import {
  ERROR_TAG, errorTypes, LENGTH_TRACKING, regExpFlags, RESIZABLE_BUFFER, TAG, VERSION, VERSION_OF_VIEW_FLAGS, views,
} from './v8-tags.js';

const latin1 = new TextDecoder('latin1');
const utf16 = new TextDecoder('utf-16le', { ignoreBOM: true });
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

const broken = (): Error => new Error('Unable to deserialize cloned data.');

export class V8Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  readonly #version: number;
  /** By number: the objects so far. */
  readonly #objects: object[] = [];

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (this.#byte() !== TAG.version) throw broken();
    this.#version = this.#varint();
    if (this.#version > VERSION) throw new Error('Unable to deserialize cloned data due to invalid or unsupported version.');
  }

  static read(bytes: Uint8Array): unknown {
    return new V8Reader(bytes).#value();
  }

  #byte(): number {
    if (this.#at >= this.#bytes.length) throw broken();
    return this.#bytes[this.#at++]!;
  }

  /** The next tag, behind padding. */
  #tag(): number {
    let tag = this.#byte();
    while (tag === TAG.padding) tag = this.#byte();
    return tag;
  }

  /** The next tag, which stays the next one. */
  #peek(): number {
    while (this.#bytes[this.#at] === TAG.padding) this.#at++;
    return this.#bytes[this.#at] ?? -1;
  }

  #varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      if (scale > 2 ** 32) throw broken();
    }
  }

  #take(bytes: number): Uint8Array {
    if (this.#at + bytes > this.#bytes.length) throw broken();
    this.#at += bytes;
    return this.#bytes.subarray(this.#at - bytes, this.#at);
  }

  #double(): number {
    this.#take(8);
    return this.#view.getFloat64(this.#at - 8, true);
  }

  #bigInt(): bigint {
    const bits = this.#varint();
    let value = 0n;
    for (const byte of this.#take(Math.floor(bits / 2)).slice().reverse()) value = (value << 8n) | BigInt(byte);
    return bits % 2 === 1 ? -value : value;
  }

  #string(): string {
    const text = this.#primitive(this.#tag());
    if (typeof text !== 'string') throw broken();
    return text;
  }

  #value(): unknown {
    const tag = this.#tag();
    if (tag === TAG.verifyObjectCount) {
      this.#varint();
      return this.#value();
    }
    const primitive = this.#primitive(tag);
    if (primitive !== notPrimitive) return primitive;
    const object = tag === TAG.reference ? this.#reference() : this.#object(tag);
    if (!(object instanceof ArrayBuffer) || this.#peek() !== TAG.view) return object;
    this.#tag();
    return this.#arrayView(object);
  }

  #primitive(tag: number): unknown {
    switch (tag) {
      case TAG.undefined:
        return undefined;
      case TAG.null:
        return null;
      case TAG.true:
        return true;
      case TAG.false:
        return false;
      case TAG.int32: {
        const bits = this.#varint() >>> 0;
        return (bits >>> 1) ^ -(bits & 1);
      }
      case TAG.uint32:
        return this.#varint();
      case TAG.double:
        return this.#double();
      case TAG.bigInt:
        return this.#bigInt();
      case TAG.oneByteString:
        return decodeLatin1(this.#take(this.#varint()));
      case TAG.twoByteString:
        return decodeUtf16(this.#take(this.#varint()));
      case TAG.utf8String:
        return utf8.decode(this.#take(this.#varint()));
      default:
        return notPrimitive;
    }
  }

  #reference(): object {
    const object = this.#objects[this.#varint()];
    if (object === undefined) throw broken();
    return object;
  }

  /** An object gets its number before its members, which may refer to it. */
  #known<T extends object>(object: T, number = this.#objects.length): T {
    this.#objects[number] = object;
    return object;
  }

  #object(tag: number): object {
    switch (tag) {
      case TAG.object: {
        const object = this.#known({});
        return this.#end(object, this.#properties(object, TAG.endObject));
      }
      case TAG.denseArray:
        return this.#denseArray();
      case TAG.sparseArray: {
        const array = this.#known(new Array<unknown>(this.#varint()));
        return this.#end(array, this.#properties(array, TAG.endSparseArray), array.length);
      }
      case TAG.map:
        return this.#map();
      case TAG.set:
        return this.#set();
      case TAG.arrayBuffer:
      case TAG.resizableArrayBuffer:
        return this.#arrayBuffer(tag === TAG.resizableArrayBuffer);
      case TAG.error:
        return this.#error();
      default:
        return this.#boxed(tag);
    }
  }

  #boxed(tag: number): object {
    switch (tag) {
      case TAG.date:
        return this.#known(new Date(this.#double()));
      case TAG.trueObject:
        return this.#known(Object(true) as object);
      case TAG.falseObject:
        return this.#known(Object(false) as object);
      case TAG.numberObject:
        return this.#known(Object(this.#double()) as object);
      case TAG.bigIntObject:
        return this.#known(Object(this.#bigInt()) as object);
      case TAG.stringObject:
        return this.#known(Object(this.#string()) as object);
      case TAG.regExp: {
        const source = this.#string();
        const bits = this.#varint();
        return this.#known(new RegExp(source, regExpFlags.filter(([, bit]) => (bits & bit) !== 0).map(([flag]) => flag).join('')));
      }
      case TAG.platform:
        return this.#known(readPlatformValue({ varint: () => this.#varint(), bytes: (count) => this.#take(count) }) ?? fail());
      default:
        throw broken();
    }
  }

  /** Reads keys and values up to the end tag; -> how many there were. */
  #properties(object: object, end: number): number {
    let count = 0;
    for (; this.#peek() !== end; count++) {
      const key = this.#primitive(this.#tag());
      if (typeof key !== 'string' && typeof key !== 'number') throw broken();
      const value = this.#value();
      // Defined, not assigned: "__proto__" is a key like any other here.
      Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
    }
    this.#tag();
    return count;
  }

  /** What stands behind an end tag must agree with what was read. */
  #end<T extends object>(object: T, ...counts: number[]): T {
    for (const count of counts) if (this.#varint() !== count) throw broken();
    return object;
  }

  #denseArray(): unknown[] {
    const length = this.#varint();
    if (length > this.#bytes.length - this.#at) throw broken();
    const array = this.#known(new Array<unknown>(length));
    for (let i = 0; i < length; i++) {
      if (this.#peek() === TAG.hole) this.#tag();
      else array[i] = this.#value();
    }
    return this.#end(array, this.#properties(array, TAG.endDenseArray), length);
  }

  #map(): Map<unknown, unknown> {
    const map = this.#known(new Map<unknown, unknown>());
    let count = 0;
    for (; this.#peek() !== TAG.endMap; count += 2) {
      const key = this.#value();
      map.set(key, this.#value());
    }
    this.#tag();
    return this.#end(map, count);
  }

  #set(): Set<unknown> {
    const set = this.#known(new Set<unknown>());
    let count = 0;
    for (; this.#peek() !== TAG.endSet; count++) set.add(this.#value());
    this.#tag();
    return this.#end(set, count);
  }

  #arrayBuffer(isResizable: boolean): ArrayBuffer {
    const size = this.#varint();
    const options = isResizable ? { maxByteLength: this.#varint() } : undefined;
    const bytes = this.#take(size);
    const buffer = new (ArrayBuffer as new (size: number, options?: object) => ArrayBuffer)(size, options);
    new Uint8Array(buffer).set(bytes);
    return this.#known(buffer);
  }

  #arrayView(buffer: ArrayBuffer): ArrayBufferView {
    const tag = this.#byte();
    const offset = this.#varint();
    const size = this.#varint();
    const flags = this.#version >= VERSION_OF_VIEW_FLAGS ? this.#varint() : 0;
    const found = views.find(([known]) => known === tag);
    if (found === undefined || offset + size > buffer.byteLength) throw broken();
    const [, View, width] = found;
    const tracks = (flags & LENGTH_TRACKING) !== 0 && (flags & RESIZABLE_BUFFER) !== 0;
    return this.#known(tracks ? new View(buffer, offset) : new View(buffer, offset, size / width));
  }

  #error(): Error {
    const number = this.#objects.length;
    const error = this.#known(new Error(), number);
    let type: ErrorConstructor = Error;
    const own: Record<string, unknown> = {};
    for (let tag = this.#tag(); tag !== ERROR_TAG.end; tag = this.#tag()) {
      if (tag === ERROR_TAG.message) own['message'] = this.#string();
      else if (tag === ERROR_TAG.cause) own['cause'] = this.#value();
      else if (tag === ERROR_TAG.stack) own['stack'] = this.#string();
      else type = errorTypes.find(([known]) => known === tag)?.[1] ?? fail();
    }
    Object.setPrototypeOf(error, type.prototype as object);
    Object.defineProperty(error, 'stack', { value: undefined, writable: true, configurable: true });
    for (const [key, value] of Object.entries(own)) Object.defineProperty(error, key, { value, writable: true, configurable: true });
    return error;
  }
}

const notPrimitive = Symbol('not a primitive');

function fail(): never {
  throw broken();
}

/** TextDecoder's "latin1" is windows-1252, which differs from 0x80 to 0x9f. */
function decodeLatin1(bytes: Uint8Array): string {
  if (bytes.every((byte) => byte < 0x80)) return latin1.decode(bytes);
  return decodeUtf16(Uint8Array.from({ length: 2 * bytes.length }, (_, i) => (i % 2 === 0 ? bytes[i / 2]! : 0)));
}

/** As it stands there, with lone surrogates, which TextDecoder would replace. */
function decodeUtf16(bytes: Uint8Array): string {
  const text = utf16.decode(bytes);
  if (!text.includes('\ufffd')) return text;
  let exact = '';
  for (let i = 0; i + 1 < bytes.length; i += 2) exact += String.fromCharCode(bytes[i]! | (bytes[i + 1]! << 8));
  return exact;
}
