/** `import { env } from 'cloudflare:workers'`: the same bindings as a handler gets. */
let current: Record<string, unknown> | undefined;

function bindings(): Record<string, unknown> {
  if (current !== undefined) return current;
  throw new Error('The export "env" is that of a project served by "perdure serve". Objects of a registry find their own in this.env.');
}

export const env = new Proxy({} as Record<string, unknown>, {
  get: (_, key) => Reflect.get(bindings(), key),
  set: (_, key, value) => Reflect.set(bindings(), key, value),
  has: (_, key) => Reflect.has(bindings(), key),
  ownKeys: () => Reflect.ownKeys(bindings()),
  getOwnPropertyDescriptor: (_, key) => {
    const found = Reflect.getOwnPropertyDescriptor(bindings(), key);
    return found === undefined ? undefined : { ...found, configurable: true };
  },
});

/** A process serves one project; its shard's env is what the module exports. */
export function setEnv(env: Record<string, unknown>): void {
  current = env;
}
