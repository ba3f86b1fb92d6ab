/** What `cloudflare:workers` is on Perdure. */
export { DurableObject, WorkerEntrypoint } from './runtime/entrypoints.js';

let current: Record<string, unknown> = {};

/** `import { env } from 'cloudflare:workers'`: the same bindings as a handler gets. */
export const env = Object.assign(
  new Proxy(Object.create(null) as Record<string, unknown>, {
    get: (_, key) => Reflect.get(current, key),
    set: (_, key, value) => Reflect.set(current, key, value),
    has: (_, key) => Reflect.has(current, key),
    ownKeys: () => Reflect.ownKeys(current),
    getOwnPropertyDescriptor: (_, key) => {
      const found = Reflect.getOwnPropertyDescriptor(current, key);
      return found === undefined ? undefined : { ...found, configurable: true };
    },
  }),
);

export function setEnv(bindings: Record<string, unknown>): void {
  current = bindings;
}
