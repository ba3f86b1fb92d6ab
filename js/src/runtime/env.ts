/** `import { env } from 'cloudflare:workers'`: the same bindings as a handler gets. */
let current: Record<string, unknown> = {};

export const env = new Proxy({} as Record<string, unknown>, {
  get: (_, key) => Reflect.get(current, key),
  set: (_, key, value) => Reflect.set(current, key, value),
  has: (_, key) => Reflect.has(current, key),
  ownKeys: () => Reflect.ownKeys(current),
  getOwnPropertyDescriptor: (_, key) => {
    const found = Reflect.getOwnPropertyDescriptor(current, key);
    return found === undefined ? undefined : { ...found, configurable: true };
  },
});

/** A process serves one project; its shard's env is what the module exports. */
export function setEnv(bindings: Record<string, unknown>): void {
  current = bindings;
}
