import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { root, temporaryDirectory } from './files.mjs';
import { serve } from './perdure.mjs';

const project = join(root, 'tests/fixtures/runtime-lab');

/**
 * A server that runs functions of a test inside: they go there as their source, so they see their
 * arguments and the globals, nothing else. What they return or throw comes back (a thrown error with
 * the name of its class as `type`).
 * With one thread, as `shared` is what the module keeps, unless the test wants more.
 */
export async function startLab(t, { data = join(temporaryDirectory(t), 'data'), threads = 1, args = [], wrapper } = {}) {
  const server = await serve(t, project, { data, args: ['--threads', `${threads}`, ...args], wrapper });

  async function call(namespace, object, run, args) {
    const body = serialize({ namespace, object, source: run.toString(), args });
    const response = await fetch(`${server.url}/lab`, { method: 'POST', body });
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (response.status !== 200) throw new Error(`${response.status} ${Buffer.from(bytes)}`);
    const { value, thrown } = deserialize(bytes);
    if (thrown === undefined) return value;
    if ('value' in thrown) throw thrown.value;
    const { own, ...rest } = thrown;
    throw Object.assign(new Error(thrown.message), own, rest);
  }

  return {
    ...server,
    data,
    /** Runs `run({ env, ctx, shared, attempt }, ...args)` in the Worker. */
    worker: (run, ...args) => call(undefined, undefined, run, args),
    /** Runs `run({ ctx, env, storage, sql, kv, self, shared, attempt }, ...args)` in an object of COUNTER. */
    object: (name, run, ...args) => call('COUNTER', name, run, args),
    /** The same in an object of KEYED, whose class has key-value storage. */
    keyed: (name, run, ...args) => call('KEYED', name, run, args),
    /** Makes `run({ ctx, … })` the end of the constructor of the object `name`. */
    constructors: (name, run) =>
      call(undefined, undefined, ({ shared }, name, source) => void (shared.constructors[name] = (0, eval)(`(${source})`)), [name, run.toString()]),
    /** Makes `run({ ctx, … }, info)` the alarm() of the object `name`. */
    alarms: (name, run) =>
      call(undefined, undefined, ({ shared }, name, source) => void (shared.alarms[name] = (0, eval)(`(${source})`)), [name, run.toString()]),
    /** Makes `run(request, env, ctx, shared)` answer requests for `path`; returns its URL. */
    async handle(path, run) {
      await call(undefined, undefined, ({ shared }, path, source) => void (shared.handlers[path] = (0, eval)(`(${source})`)), [path, run.toString()]);
      return server.url + path;
    },
  };
}
