/**
 * How values are stored and how they are passed between objects.
 *
 * Stored: JSON text where JSON gives back exactly what structured clone would, V8's serialization
 * otherwise (the wire format that workerd stores, too). The SQLite type of the column tells which.
 */
import { types } from 'node:util';
import { readClone, writeClone } from './clone-format.js';
import { isRequest, isResponse } from './http.js';

const { isProxy } = types;

/** Objects within one value that are tracked by a linear search; beyond, structured clone decides. */
const NESTED_MAX = 32;

const NOT_EXACT = Symbol('not exact');

// User code may replace what the globals hold; what is meant here is what came with the process.
const { Headers, ReadableStream, Error, AggregateError, DOMException, Map, Set, structuredClone } = globalThis;
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
  if (getPrototypeOf(value) !== objectPrototype) return NOT_EXACT;
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

/** Throws a DataCloneError for what can not be cloned. */
export function encodeValue(value: unknown): string | Uint8Array {
  const copy = exactCopy(value, []);
  if (copy !== NOT_EXACT && !inheritsToJson()) return stringify(copy);
  return writeClone(value);
}

export function decodeValue(stored: string | ArrayBuffer): unknown {
  if (typeof stored === 'string') return parse(stored) as unknown;
  return readClone(new Uint8Array(stored));
}

function isPrimitive(value: unknown): boolean {
  return (typeof value !== 'object' && typeof value !== 'function') || value === null;
}

function isHandedOver(value: unknown): boolean {
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
  refuseForeign(value);
  return structuredClone(value);
}

/** Each argument is copied by itself, except that plain data shares one clone, so that identities hold. */
export function passArguments(values: unknown[]): unknown[] {
  let copied = 0;
  for (const value of values) if (!isPrimitive(value) || typeof value === 'symbol') copied++;
  if (copied === 0) return values;
  if (copied === 1 || values.some(isHandedOver)) return values.map(passValue);
  return passValue(values) as unknown[];
}

const cloneable = new Set<unknown>([
  Object.prototype, Array.prototype, Map.prototype, Set.prototype, Date.prototype, RegExp.prototype, ArrayBuffer.prototype,
  DataView.prototype, Int8Array.prototype, Uint8Array.prototype, Uint8ClampedArray.prototype, Int16Array.prototype,
  Uint16Array.prototype, Int32Array.prototype, Uint32Array.prototype, Float32Array.prototype, Float64Array.prototype,
  BigInt64Array.prototype, BigUint64Array.prototype, Boolean.prototype, Number.prototype, String.prototype, BigInt.prototype,
  // structuredClone() refuses these, in words that workerd has as well.
  WeakMap.prototype, WeakSet.prototype, Promise.prototype,
]);

/** Structured clone would turn a class instance into a plain object; between objects it is refused. */
function refuseForeign(value: unknown, seen = new Set<object>()): void {
  if (typeof value !== 'object' || value === null || seen.has(value)) return;
  seen.add(value);
  if (value instanceof Error) return;
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (!cloneable.has(prototype) && !Buffer.isBuffer(value)) {
    const name = (value as { constructor?: { name?: string } }).constructor?.name ?? 'Object';
    throw new DOMException(`Could not serialize object of type "${name}". This type does not support serialization.`, 'DataCloneError');
  }
  if (value instanceof Map) {
    for (const [key, member] of value) {
      refuseForeign(key, seen);
      refuseForeign(member, seen);
    }
  } else if (value instanceof Set) {
    for (const member of value) refuseForeign(member, seen);
  } else if (!ArrayBuffer.isView(value)) {
    for (const key in value) refuseForeign((value as Record<string, unknown>)[key], seen);
  }
}

const errorTypes: Record<string, ErrorConstructor> = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

/** Errors that one error may bring along, by `cause`, `errors` or otherwise; what is beyond stays behind. */
const NESTED_ERRORS_MAX = 64;
/** Properties of an error that are copied by themselves. */
const ownParts = new Set(['message', 'stack', 'cause', 'errors']);

function errorType(error: Error): ErrorConstructor {
  for (let p: object | null = Object.getPrototypeOf(error) as object; p !== null; p = Object.getPrototypeOf(p) as object | null) {
    const name = (p.constructor as { name?: string } | undefined)?.name ?? '';
    if (errorTypes[name]?.prototype === p) return errorTypes[name];
  }
  return Error;
}

/**
 * An error with its type, message, stack and own properties, as a copy. `copies` holds those made so
 * far: each error is copied once, so that cycles end and chains cost what they are long.
 */
function copyError(error: Error, copies = new Map<Error, Error>()): Error {
  const known = copies.get(error);
  if (known !== undefined) return known;
  if (error instanceof DOMException) return new DOMException(error.message, error.name);
  const aggregate = error instanceof AggregateError;
  const copy = aggregate ? new AggregateError([], error.message) : new (errorType(error))(error.message);
  copies.set(error, copy);
  if (aggregate) (copy as AggregateError).errors = error.errors.map((each: unknown) => tryPass(each, copies));
  if (error.stack !== undefined) Object.defineProperty(copy, 'stack', { value: error.stack, writable: true, configurable: true });
  if ('cause' in error) Object.defineProperty(copy, 'cause', { value: tryPass(error.cause, copies), writable: true, configurable: true });
  for (const key of Object.keys(error)) {
    if (!ownParts.has(key)) (copy as unknown as Record<string, unknown>)[key] = tryPass((error as unknown as Record<string, unknown>)[key], copies);
  }
  return copy;
}

function tryPass(value: unknown, copies = new Map<Error, Error>()): unknown {
  try {
    if (!(value instanceof Error)) return passValue(value);
    return copies.has(value) || copies.size < NESTED_ERRORS_MAX ? copyError(value, copies) : undefined;
  } catch {
    return undefined; // what can not be cloned stays behind
  }
}

/** What the caller of an object sees of something thrown there. */
export function passThrown(thrown: unknown, properties: Record<string, unknown>): unknown {
  let copy: unknown;
  if (thrown instanceof Error) copy = copyError(thrown);
  else if (typeof thrown === 'object' && thrown !== null) copy = tryPass(thrown) ?? new Error(String(thrown));
  else copy = new Error(String(thrown));
  return Object.assign(copy as object, properties);
}
