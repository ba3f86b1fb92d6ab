/** What structured clone makes of objects, and where stored and passed values must be stricter than it is. */
import { types } from 'node:util';
import { isPlatformValue } from './platform-values.js';

const { DOMException, Error, FinalizationRegistry, Intl, Map, Set, WeakRef } = globalThis; // user code may replace the globals

const cannotClone = (what: string): DOMException => new DOMException(`${what} could not be cloned.`, 'DataCloneError');

const unsupported = (value: object): DOMException => {
  const name = (value as { constructor?: { name?: string } }).constructor?.name ?? 'Object';
  return new DOMException(`Could not serialize object of type "${name}". This type does not support serialization.`, 'DataCloneError');
};

/** Prototypes of iterators, which older V8s call objects without saying which. */
const iteratorPrototypes = new Set<unknown>(
  [[].values(), new Map().values(), new Set().values(), ''[Symbol.iterator](), 'a'.matchAll(/a/g)].map(Object.getPrototypeOf),
);

/** Structured clone refuses these itself, in words that workerd has as well. */
export function isLeftToClone(value: object): boolean {
  return (
    types.isPromise(value) || types.isWeakMap(value) || types.isWeakSet(value) || types.isGeneratorObject(value) ||
    types.isSymbolObject(value) || value instanceof WeakRef || value instanceof FinalizationRegistry ||
    value instanceof Intl.NumberFormat || value instanceof Intl.DateTimeFormat || value instanceof Intl.Collator
  );
}

/** Structured clone copies these by what they are, not by their class. */
function isKnownToClone(value: object): boolean {
  return Array.isArray(value) || types.isMap(value) || types.isSet(value) || isLeafOfClone(value);
}

/** Of these, structured clone looks at no members. */
export function isLeafOfClone(value: object): boolean {
  return (
    ArrayBuffer.isView(value) || types.isDate(value) || types.isRegExp(value) || types.isAnyArrayBuffer(value) || types.isBoxedPrimitive(value)
  );
}

/** Adds to `into` what structured clone would visit from `value`. */
function addMembers(value: object, into: unknown[]): void {
  if (types.isMap(value)) for (const entry of value) into.push(...entry);
  else if (types.isSet(value)) into.push(...value);
  else if (!isLeafOfClone(value)) for (const key of Object.keys(value)) into.push((value as Record<string, unknown>)[key]);
}

/** Calls `visit` for each object that structured clone would visit, the first time; `visit` says whether to look inside. */
function visitObjects(root: unknown, visit: (value: object) => boolean): void {
  const seen = new Set<object>();
  const waiting: unknown[] = [root];
  while (waiting.length > 0) {
    const value = waiting.pop();
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    seen.add(value);
    if (visit(value)) addMembers(value, waiting);
  }
}

/** Called with each error in a value, which is not looked into. */
export type VisitError = (error: Error) => void;

/** Structured clone would turn a class instance into a plain object; between objects it is refused. */
export function refuseToPass(root: unknown, visitError: VisitError): void {
  refuse(root, visitError, (value) => Object.getPrototypeOf(value) !== Object.prototype);
}

/**
 * Structured clone would make an empty object of one of the platform, such as a URL: it is not stored, unless
 * platform-values.ts knows how; `visitPlatform` is called with each of those.
 */
export function refuseToStore(root: unknown, visitError: VisitError, visitPlatform: () => void): void {
  refuse(root, visitError, (value) => types.isArgumentsObject(value) || isOfPlatform(value), visitPlatform);
}

function refuse(root: unknown, visitError: VisitError, isRefused: (value: object) => boolean, visitPlatform?: () => void): void {
  visitObjects(root, (value) => {
    if (visitPlatform !== undefined && isPlatformValue(value)) {
      visitPlatform();
      return false;
    }
    if (value instanceof Error) visitError(value);
    if (value instanceof Error || isLeftToClone(value)) return false;
    if (iteratorPrototypes.has(Object.getPrototypeOf(value))) throw cannotClone(Object.prototype.toString.call(value));
    if (!isKnownToClone(value) && isRefused(value)) throw types.isArgumentsObject(value) ? cannotClone('#<Object>') : unsupported(value);
    return true;
  });
}

/** On prototypes whose objects are not data. */
const notData = Symbol('not data');

/** Lets no one store objects of the class as the plain objects that structured clone would make of them. */
export function notDataClass(target: { prototype: object }): void {
  Object.defineProperty(target.prototype, notData, { value: true });
}

/** The globals that came with the process; what they hold is looked up when it is needed, as many are made then. */
const platformNames = new Set(Object.getOwnPropertyNames(globalThis));

/** An object of the platform: a class of its prototype chain is a global, such as URL or Headers. */
function isOfPlatform(value: object): boolean {
  if (notData in value) return true;
  for (let p = Object.getPrototypeOf(value) as object | null; p !== null && p !== Object.prototype; p = Object.getPrototypeOf(p) as object | null) {
    const made = Object.getOwnPropertyDescriptor(p, 'constructor')?.value as { name?: string } | undefined;
    if (typeof made === 'function' && platformNames.has(made.name!) && (globalThis as Record<string, unknown>)[made.name!] === made) return true;
  }
  return false;
}

/** Also for `__proto__`, which an assignment would take as the prototype. */
export function define(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
}
