/** Errors that the platform's classes have in common, in workerd's words. */

/** For a class that only the runtime makes instances of. */
export const illegalConstructor = (): TypeError => new TypeError('Illegal constructor');

/** For a method that was called on something else than an instance of its class. */
export const illegalInvocation = (): TypeError =>
  new TypeError(
    'Illegal invocation: function called with incorrect `this` reference. See https://developers.cloudflare.com/workers/observability/errors/#illegal-invocation-errors for details.',
  );

/** Refuses what is no dictionary of options: workerd takes any object, and null for none. */
export function checkOptions(value: unknown, method: string, owner: string, parameter: number, type: string): void {
  if (value === undefined || value === null || typeof value === 'object' || typeof value === 'function') return;
  throw new TypeError(`Failed to execute '${method}' on '${owner}': parameter ${parameter} is not of type '${type}'.`);
}
