/** Errors that the platform's classes have in common, in workerd's words. */
import { types } from 'node:util';

/** For a class that only the runtime makes instances of. */
export const illegalConstructor = (): TypeError => new TypeError('Illegal constructor');

/** For a method that was called on something else than an instance of its class. */
export const illegalInvocation = (): TypeError =>
  new TypeError(
    'Illegal invocation: function called with incorrect `this` reference. See https://developers.cloudflare.com/workers/observability/errors/#illegal-invocation-errors for details.',
  );

/** Whether `value` can have private members: `#member in value` throws for anything else. */
export const isObject = (value: unknown): value is object => (typeof value === 'object' && value !== null) || typeof value === 'function';

/** For a parameter, counted from 1, that is missing or of another type. `owner`: the name of the method's class. */
export const wrongParameter = (method: string, owner: string, parameter: number, type: string): TypeError =>
  new TypeError(`Failed to execute '${method}' on '${owner}': parameter ${parameter} is not of type '${type}'.`);

/** What workerd takes on both sides of 1970, whatever its errors say. */
const TIME_MS_MAX = 9_223_372_036_854;

/** The first parameter of `method` as milliseconds since 1970, cut to whole ones. `owner`: the name of the method's class. */
export function timeParameter(time: unknown, method: string, owner: string): number {
  const ms = typeof time === 'number' ? time : types.isDate(time) ? Date.prototype.getTime.call(time) : undefined;
  if (ms === undefined) throw wrongParameter(method, owner, 1, 'date');
  if (!Number.isFinite(ms)) throw new TypeError('The value cannot be converted because it is not a valid Date.');
  if (ms > TIME_MS_MAX) throw new TypeError("This API doesn't support dates after 2189.");
  if (ms < -TIME_MS_MAX) throw new TypeError("This API doesn't support dates before 1687.");
  return Math.trunc(ms);
}

/** Refuses what is no dictionary of options: workerd takes any object, and null for none. */
export function checkOptions(value: unknown, method: string, owner: string, parameter: number, type: string): void {
  if (value !== undefined && value !== null && !isObject(value)) throw wrongParameter(method, owner, parameter, type);
}
