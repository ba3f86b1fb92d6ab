/**
 * How values are stored and how they are passed between objects.
 *
 * Stored: JSON text where JSON gives back exactly what structured clone would, V8's serialization
 * otherwise (the wire format that workerd stores, too). The SQLite type of the column tells which.
 */
import { readClone, writeClone } from './clone-format.js';

/** Objects within one value that are tracked by a linear search; beyond, structured clone decides. */
const NESTED_MAX = 32;

/** True when JSON.parse(JSON.stringify(value)) equals a structured clone of the value. */
export function isJsonExact(value: unknown): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0);
    case 'object':
      return value === null || isExactObject(value, []);
    default:
      return false;
  }
}

function isExactObject(value: object, seen: object[]): boolean {
  // The same object twice stays one object in a structured clone; a cycle can not be JSON at all.
  if (seen.length >= NESTED_MAX || seen.includes(value)) return false;
  seen.push(value);
  if (Array.isArray(value)) {
    if (Object.getPrototypeOf(value) !== Array.prototype) return false;
    for (let i = 0; i < value.length; i++) {
      // A hole reads as undefined, which JSON can not say.
      if (!isExactMember(value[i], seen)) return false;
    }
    return Object.keys(value).length === value.length; // no property beside the indexes
  }
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  for (const key in value) {
    if (!isExactMember((value as Record<string, unknown>)[key], seen)) return false;
  }
  return true;
}

function isExactMember(value: unknown, seen: object[]): boolean {
  return typeof value === 'object' && value !== null ? isExactObject(value, seen) : isJsonExact(value);
}

/** Throws a DataCloneError for what can not be cloned. */
export function encodeValue(value: unknown): string | Uint8Array {
  if (isJsonExact(value)) return JSON.stringify(value);
  return writeClone(value);
}

export function decodeValue(stored: string | ArrayBuffer): unknown {
  if (typeof stored === 'string') return JSON.parse(stored);
  return readClone(new Uint8Array(stored));
}

const { Headers, ReadableStream, Request, Response } = globalThis; // user code may replace the globals

function isPrimitive(value: unknown): boolean {
  return (typeof value !== 'object' && typeof value !== 'function') || value === null;
}

function isHandedOver(value: unknown): boolean {
  return value instanceof Response || value instanceof Request || value instanceof ReadableStream || value instanceof Headers;
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
  if (isJsonExact(value)) return copyExact(value);
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

/** Copies what isJsonExact has approved of. */
function copyExact(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(copyExact);
  const copy: Record<string, unknown> = {};
  for (const key in value) {
    const member = copyExact((value as Record<string, unknown>)[key]);
    if (key === '__proto__') Object.defineProperty(copy, key, { value: member, writable: true, enumerable: true, configurable: true });
    else copy[key] = member;
  }
  return copy;
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
