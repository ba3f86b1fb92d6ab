/**
 * How values are stored and how they are passed between objects.
 *
 * Stored: JSON text where JSON gives back exactly what structured clone would, V8's serialization
 * otherwise (the wire format that workerd stores, too). The SQLite type of the column tells which.
 */
import { types } from 'node:util';
import { refuseToPass, refuseToStore } from './clone.js';
import { readClone, writeClone, writeWithPlatformValues } from './clone-format.js';
import { addOwn, errorParts, findErrors, makeError, packErrors, type PackedErrors, unpackErrors } from './errors.js';
import { isRequest, isResponse } from './http.js';

const { isProxy } = types;

/** Objects within one value that are tracked by a linear search; beyond, structured clone decides. */
const NESTED_MAX = 32;

const NOT_EXACT = Symbol('not exact');

// User code may replace what the globals hold; what is meant here is what came with the process.
const { Headers, ReadableStream, Error, DOMException, Map, WeakSet, structuredClone } = globalThis;
const { defineProperty, getPrototypeOf, keys } = Object;
const { parse, stringify } = JSON;
const objectPrototype = Object.prototype;
const arrayPrototype = Array.prototype;

/** JSON.stringify() would obey a toJSON() that every object, or every array, inherits. */
const inheritsToJson = (): boolean => 'toJSON' in arrayPrototype;

/**
 * A copy of plain data that JSON represents exactly (JSON.parse() of its text equals a structured clone),
 * or NOT_EXACT. Each member is read once, as structured clone does: what a getter returned is what is
 * looked at and kept.
 */
function exactCopy(value: unknown, seen: object[]): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0) ? value : NOT_EXACT;
    case 'object':
      if (value === null) return null;
      // The same object twice stays one object in a structured clone; a cycle can not be JSON at all.
      if (seen.length >= NESTED_MAX || seen.includes(value) || isProxy(value)) return NOT_EXACT;
      seen.push(value);
      return Array.isArray(value) ? copyItems(value, seen) : copyMembers(value as Record<string, unknown>, seen);
    default:
      return NOT_EXACT;
  }
}

function copyItems(value: unknown[], seen: object[]): unknown {
  // A property beside the indexes makes the two counts differ, and so does a hole, which JSON can not say.
  if (getPrototypeOf(value) !== arrayPrototype || keys(value).length !== value.length) return NOT_EXACT;
  const copy: unknown[] = [];
  for (let i = 0; i < value.length; i++) {
    const item = exactCopy(value[i], seen);
    if (item === NOT_EXACT) return NOT_EXACT;
    copy.push(item);
  }
  return copy;
}

function copyMembers(value: Record<string, unknown>, seen: object[]): unknown {
  // An `arguments` object has the prototype of plain ones, and this member of its own.
  if (getPrototypeOf(value) !== objectPrototype || Symbol.iterator in value) return NOT_EXACT;
  const copy: Record<string, unknown> = {};
  for (const key of keys(value)) {
    const member = exactCopy(value[key], seen);
    if (member === NOT_EXACT) return NOT_EXACT;
    // An assignment would meet a setter or a read-only member, such as `__proto__` or one of a frozen prototype.
    if (key in objectPrototype) defineProperty(copy, key, { value: member, writable: true, enumerable: true, configurable: true });
    else copy[key] = member;
  }
  return copy;
}

/** The first byte of a stored value with errors in it; V8's own serialization begins with 0xff. */
const WITH_ERRORS = 0x45;

/** Throws a DataCloneError for what can not be cloned. */
export const encodeValue = (value: unknown): string | Uint8Array => encode(value, refuseToStore);

/** The same for another thread; decodeValue() there makes the copy that passValue() would make here. */
export const encodePassed = (value: unknown): string | Uint8Array => encode(value instanceof Error ? copyError(value) : value, refuseToPass);

function encode(value: unknown, refuse: typeof refuseToStore): string | Uint8Array {
  const copy = exactCopy(value, []);
  if (copy !== NOT_EXACT && !inheritsToJson()) return stringify(copy);
  let write = writeClone;
  const errors = findErrors(value, (root, visitError) => refuse(root, visitError, () => (write = writeWithPlatformValues)));
  if (errors.size === 0) return write(value);
  const clone = write(packErrors(value, errors));
  const bytes = new Uint8Array(1 + clone.length);
  bytes[0] = WITH_ERRORS;
  bytes.set(clone, 1);
  return bytes;
}

export function decodeValue(stored: string | ArrayBuffer): unknown {
  if (typeof stored === 'string') return parse(stored) as unknown;
  const bytes = new Uint8Array(stored);
  return bytes[0] === WITH_ERRORS ? unpackErrors(readClone(bytes.subarray(1)) as PackedErrors) : readClone(bytes);
}

export function isPrimitive(value: unknown): boolean {
  return (typeof value !== 'object' && typeof value !== 'function') || value === null;
}

export function isHandedOver(value: unknown): boolean {
  return isResponse(value) || isRequest(value) || value instanceof ReadableStream || value instanceof Headers;
}

/**
 * A copy for another object, so that the two never share memory. Primitives are themselves.
 * Throws DataCloneError with workerd's words.
 */
export function passValue(value: unknown): unknown {
  if (isPrimitive(value) && typeof value !== 'symbol') return value;
  if (value instanceof Error) return copyError(value);
  // What can be used once is handed over, not copied; nested in something else it is refused below.
  if (isHandedOver(value)) return value instanceof Headers ? new Headers(value) : value;
  const copy = exactCopy(value, []);
  if (copy !== NOT_EXACT) return copy;
  const errors = findErrors(value, refuseToPass);
  return errors.size === 0 ? structuredClone(value) : unpackErrors(structuredClone(packErrors(value, errors)));
}

/** Each argument is copied by itself, except that plain data shares one clone, so that identities hold. */
export function passArguments(values: unknown[]): unknown[] {
  let copied = 0;
  for (const value of values) if (!isPrimitive(value) || typeof value === 'symbol') copied++;
  if (copied === 0) return values;
  if (copied === 1 || values.some(isHandedOver)) return values.map(passValue);
  return passValue(values) as unknown[];
}

/** Errors that one error may bring along, by `cause`, `errors` or otherwise; what is beyond stays behind. */
const NESTED_ERRORS_MAX = 64;

/**
 * An error with its type, message, stack and own members, as a copy; without members when one of them
 * cannot be cloned. `copies` holds those made so far: each error is copied once, so that cycles end and
 * chains cost what they are long.
 */
function copyError(error: Error, copies = new Map<Error, Error>()): Error {
  const known = copies.get(error);
  if (known !== undefined) return known;
  const parts = errorParts(error);
  const copy = makeError(parts);
  copies.set(error, copy);
  try {
    const own: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(parts.own)) own[key] = passMember(value, copies);
    addOwn(copy, own);
  } catch {
    membersDropped.add(copy); // what can not be cloned stays behind, and the rest with it
  }
  return copy;
}

/** Copies that came without the members of their errors. */
const membersDropped = new WeakSet<object>();

function passMember(value: unknown, copies: Map<Error, Error>): unknown {
  if (value instanceof Error) return copies.has(value) || copies.size < NESTED_ERRORS_MAX ? copyError(value, copies) : undefined;
  if (Array.isArray(value) && value.some((each) => each instanceof Error)) return value.map((each) => passMember(each, copies));
  return passValue(value);
}

/** What was thrown beside the object's methods: by the runtime itself, by a getter, by passing a result. */
const thrownBeside = new WeakSet<object>();

/** Has passThrown() leave the object's id out, as workerd does. */
export function withoutObjectId<T>(thrown: T): T {
  if (typeof thrown === 'object' && thrown !== null) thrownBeside.add(thrown);
  return thrown;
}

/** What the caller of an object sees of something thrown there. `id`: of the object, for what its code threw. */
export function passThrown(thrown: unknown, properties: Record<string, unknown>, id?: string): unknown {
  const copy = copyThrown(thrown);
  if (id !== undefined && isOfMethod(thrown, copy)) Object.assign(copy, { durableObjectId: id });
  return Object.assign(copy, properties);
}

function isOfMethod(thrown: unknown, copy: object): boolean {
  if (typeof thrown !== 'object' || thrown === null || thrown instanceof DOMException) return false;
  return !thrownBeside.has(thrown) && !membersDropped.has(copy);
}

function copyThrown(thrown: unknown): object {
  if (thrown instanceof Error) return copyError(thrown);
  if (typeof thrown !== 'object' || thrown === null) return new Error(String(thrown));
  try {
    return structuredClone(thrown);
  } catch {
    return new Error(String(thrown));
  }
}
