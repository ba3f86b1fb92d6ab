/**
 * JSON of small plain data, written straight into the exchange buffer. Checking a value, JSON.stringify and
 * handing the string to the addon cost more than SQLite's own work for a small value; this is one
 * pass of plain stores. Whatever is not small, plain ASCII data goes the general way (values.ts).
 */
import { types } from 'node:util';
import { type Exchange, TEXT_BYTES_MAX } from './exchange.js';

const { isProxy } = types;

/** The value does not go this way. */
export const NOT_HERE = -1;

/** Longer texts are faster in V8's hands. */
const TEXT_CHARS_MAX = 64;
/** Objects in one value; each is compared with all before it. */
const OBJECTS_MAX = 16;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;

/** User code has given all objects a member that for…in shows: it goes wrong here, and is rare. */
function inheritsEnumerable(): boolean {
  for (const _ in Object.prototype) return true;
  return false;
}

export class JsonWriter {
  readonly #bytes: Uint8Array;
  /** Objects of the value that is being written: one that occurs twice has no JSON that says so. */
  readonly #seen: object[] = [];

  constructor(exchange: Exchange) {
    this.#bytes = exchange.text;
  }

  /** Writes ASCII text as it is at `at`; returns its end or NOT_HERE. */
  ascii(text: string, at: number): number {
    const bytes = this.#bytes;
    const length = text.length;
    if (length > TEXT_CHARS_MAX || at + length > TEXT_BYTES_MAX) return NOT_HERE;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) return NOT_HERE;
      bytes[at + i] = code;
    }
    return at + length;
  }

  /** Writes the value's JSON at `at`, if that is exact (see exactCopy); returns its end or NOT_HERE. */
  value(value: unknown, at: number): number {
    this.#seen.length = 0;
    const end = this.#any(value, at);
    return inheritsEnumerable() ? NOT_HERE : end;
  }

  #any(value: unknown, at: number): number {
    switch (typeof value) {
      case 'string':
        return this.#string(value, at);
      case 'number':
        return this.#number(value, at);
      case 'boolean':
        return this.ascii(value ? 'true' : 'false', at);
      case 'object':
        if (value === null) return this.ascii('null', at);
        return this.#object(value, at);
      default:
        return NOT_HERE;
    }
  }

  #string(text: string, at: number): number {
    const bytes = this.#bytes;
    const length = text.length;
    if (length > TEXT_CHARS_MAX || at + length + 2 > TEXT_BYTES_MAX) return NOT_HERE;
    bytes[at++] = QUOTE;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f || code < 0x20 || code === QUOTE || code === BACKSLASH) return NOT_HERE;
      bytes[at++] = code;
    }
    bytes[at++] = QUOTE;
    return at;
  }

  #number(value: number, at: number): number {
    if ((value | 0) !== value || (value === 0 && Object.is(value, -0))) return Number.isFinite(value) && value !== 0 ? this.ascii(String(value), at) : NOT_HERE;
    if (at + 11 > TEXT_BYTES_MAX) return NOT_HERE;
    const bytes = this.#bytes;
    if (value < 0) {
      bytes[at++] = 0x2d;
      value = -value;
    }
    let end = at + 1;
    for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) end++;
    let rest = value;
    for (let i = end - 1; i >= at; i--) {
      const next = Math.floor(rest / 10);
      bytes[i] = 0x30 + rest - next * 10;
      rest = next;
    }
    return end;
  }

  #object(value: object, at: number): number {
    const seen = this.#seen;
    if (seen.length === OBJECTS_MAX || seen.includes(value) || isProxy(value)) return NOT_HERE;
    seen.push(value);
    const prototype = Object.getPrototypeOf(value) as unknown;
    if (prototype === Object.prototype) return Symbol.iterator in value ? NOT_HERE : this.#members(value as Record<string, unknown>, at);
    return prototype === Array.prototype && Array.isArray(value) ? this.#items(value, at) : NOT_HERE;
  }

  #members(value: Record<string, unknown>, at: number): number {
    const bytes = this.#bytes;
    if (at + 2 > TEXT_BYTES_MAX) return NOT_HERE;
    const start = at;
    bytes[at++] = 0x7b;
    for (const key in value) {
      if (at > start + 1) {
        if (at + 1 > TEXT_BYTES_MAX) return NOT_HERE;
        bytes[at++] = COMMA;
      }
      at = this.#string(key, at);
      if (at === NOT_HERE || at + 1 > TEXT_BYTES_MAX) return NOT_HERE;
      bytes[at++] = 0x3a;
      at = this.#any(value[key], at);
      if (at === NOT_HERE) return NOT_HERE;
    }
    if (at + 1 > TEXT_BYTES_MAX) return NOT_HERE;
    bytes[at++] = 0x7d;
    return at;
  }

  #items(value: unknown[], at: number): number {
    const bytes = this.#bytes;
    // A property beside the indexes, or a hole, makes the two counts differ or a member undefined.
    if (at + 2 > TEXT_BYTES_MAX || Object.keys(value).length !== value.length) return NOT_HERE;
    bytes[at++] = 0x5b;
    for (let i = 0; i < value.length; i++) {
      if (i > 0) {
        if (at + 1 > TEXT_BYTES_MAX) return NOT_HERE;
        bytes[at++] = COMMA;
      }
      at = this.#any(value[i], at);
      if (at === NOT_HERE) return NOT_HERE;
    }
    if (at + 1 > TEXT_BYTES_MAX) return NOT_HERE;
    bytes[at++] = 0x5d;
    return at;
  }
}
