/** Errors that the platform's classes have in common, in workerd's words. */

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

/** Refuses what is no dictionary of options: workerd takes any object, and null for none. */
export function checkOptions(value: unknown, method: string, owner: string, parameter: number, type: string): void {
  if (value !== undefined && value !== null && !isObject(value)) throw wrongParameter(method, owner, parameter, type);
}
