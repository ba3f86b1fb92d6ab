/** Errors as data: what they are made of, and how they are kept whole within a value that is cloned. */
import { types } from 'node:util';
import { define, isLeafOfClone, isLeftToClone, type VisitError } from './clone.js';
import { isPlatformValue } from './platform-values.js';

const { AggregateError, DOMException, Error, Map, Set } = globalThis; // user code may replace the globals

const errorTypes: Record<string, ErrorConstructor> = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

/** What an error is made of. */
export interface ErrorParts {
  /** The nearest class that every program has. */
  type: string;
  message: string;
  stack: string | undefined;
  /** Its members except the above; a DOMException's name, which is none of its own. */
  own: Record<string, unknown>;
}

function errorType(error: Error): string {
  if (error instanceof DOMException) return 'DOMException';
  if (error instanceof AggregateError) return 'AggregateError';
  for (let p: object | null = Object.getPrototypeOf(error) as object; p !== null; p = Object.getPrototypeOf(p) as object | null) {
    const name = (p.constructor as { name?: string } | undefined)?.name ?? '';
    if (errorTypes[name]?.prototype === p) return name;
  }
  return 'Error';
}

export function errorParts(error: Error): ErrorParts {
  const own: Record<string, unknown> = {};
  if (error instanceof DOMException) own['name'] = error.name;
  else {
    for (const key of Object.getOwnPropertyNames(error)) {
      if (key !== 'stack' && key !== 'message') own[key] = (error as unknown as Record<string, unknown>)[key];
    }
  }
  return { type: errorType(error), message: error.message, stack: error.stack, own };
}

/** An error without its members, which addOwn() gives it. */
export function makeError({ type, message, stack, own }: ErrorParts): Error {
  if (type === 'DOMException') return new DOMException(message, own['name'] as string);
  const made = type === 'AggregateError' ? new AggregateError([], message) : new (errorTypes[type] ?? Error)(message);
  if (stack !== undefined) Object.defineProperty(made, 'stack', { value: stack, writable: true, configurable: true });
  return made;
}

/** Members that an error keeps out of sight of loops over it. */
const hiddenMembers = new Set(['cause', 'errors']);

export function addOwn(error: Error, own: Record<string, unknown>): void {
  if (error instanceof DOMException) return;
  for (const [key, value] of Object.entries(own)) {
    Object.defineProperty(error, key, { value, writable: true, configurable: true, enumerable: !hiddenMembers.has(key) });
  }
}

/** The errors in a value, those in the members of other errors too; `refuse` throws for what the value may not hold. */
export function findErrors(
  root: unknown,
  refuse: (root: unknown, visit: VisitError) => void,
  found = new Map<Error, ErrorParts>(),
): Map<Error, ErrorParts> {
  refuse(root, (error) => {
    if (found.has(error)) return;
    const parts = errorParts(error);
    found.set(error, parts);
    findErrors(parts.own, refuse, found);
  });
  return found;
}

/** Structured clone takes of an error its type, message and stack alone: the rest goes beside the value. */
export interface PackedErrors {
  /** The value, with a placeholder for each error. */
  value: unknown;
  errors: { placeholder: object; parts: ErrorParts }[];
}

export function packErrors(value: unknown, errors: Map<Error, ErrorParts>): PackedErrors {
  const copies = new Map<object, object>();
  const packed = [...errors].map(([error, parts]) => {
    const placeholder = {};
    copies.set(error, placeholder);
    return { placeholder, parts };
  });
  for (const entry of packed) entry.parts = { ...entry.parts, own: replaceErrors(entry.parts.own, copies) as Record<string, unknown> };
  return { value: replaceErrors(value, copies), errors: packed };
}

/** A copy of the containers, with `copies` in place of what they stand for. */
function replaceErrors(value: unknown, copies: Map<object, object>): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const known = copies.get(value);
  if (known !== undefined) return known;
  if (isLeafOfClone(value) || isLeftToClone(value) || isPlatformValue(value)) return value;
  const copy: object = Array.isArray(value) ? new Array(value.length) : types.isMap(value) ? new Map() : types.isSet(value) ? new Set() : {};
  copies.set(value, copy);
  if (types.isMap(value)) for (const [key, member] of value) (copy as Map<unknown, unknown>).set(replaceErrors(key, copies), replaceErrors(member, copies));
  else if (types.isSet(value)) for (const member of value) (copy as Set<unknown>).add(replaceErrors(member, copies));
  else for (const key of Object.keys(value)) define(copy, key, replaceErrors((value as Record<string, unknown>)[key], copies));
  return copy;
}

export function unpackErrors({ value, errors }: PackedErrors): unknown {
  const copies = new Map<object, object>();
  const made = errors.map(({ placeholder, parts }) => {
    const error = makeError(parts);
    copies.set(placeholder, error);
    return { error, own: parts.own };
  });
  for (const { error, own } of made) addOwn(error, replaceErrors(own, copies) as Record<string, unknown>);
  return replaceErrors(value, copies);
}
