/** `perdure serve`: a project's Worker and objects behind the HTTP front. */
import { pathToFileURL } from 'node:url';
import type { Project } from './project.js';
import { ProjectError } from './project.js';
import { ExecutionContext, WorkerEntrypoint } from './runtime/entrypoints.js';
import { setEnv } from './runtime/env.js';
import { HttpServer } from './runtime/http-server.js';
import { installGlobals } from './runtime/http.js';
import { MemoryLimit, processMemory } from './runtime/memory-limit.js';
import { loadNative } from './runtime/native.js';
import type { ObjectClass } from './runtime/namespace.js';
import { Shard } from './runtime/shard.js';
import { installTimers } from './runtime/timers.js';
import { reportUncaught } from './runtime/uncaught.js';

export interface ServerOptions {
  project: Project;
  /** The bundled project: a path. */
  bundle: string;
  dataDirectory: string;
  host: string;
  port: number;
  threads: number;
  /** Objects without work for this long leave memory. */
  idleMs: number;
  /** What the process may take, in bytes. */
  memoryLimit: number;
  /** Turns that take longer are reported; 0: none are. */
  watchdogMs: number;
}

export interface RunningServer {
  port: number;
  stop(): Promise<void>;
  recovery: { records: number; cutBytes: number; cutFile: string; cutOffset: number };
}

/** Of what a stop gives up, this many are named. */
const NAMED_MAX = 10;

const some = (names: string[]): string =>
  names.slice(0, NAMED_MAX).join(', ') + (names.length > NAMED_MAX ? ` and ${names.length - NAMED_MAX} more` : '');

/** Requests in flight and promises given to waitUntil() get this long to finish when the server stops. */
const STOP_GRACE_MS = 10_000;

type FetchHandler = (request: Request, env: unknown, ctx: ExecutionContext) => unknown;

/** Prints a problem of user code; the process goes on. */
function report(what: string, error: unknown): void {
  try {
    console.error(what, error);
  } catch {
    console.error(what, 'an error that cannot be printed');
  }
}

/** The Worker's fetch handler, from either form of a default export. */
function fetchHandler(project: Project, module: Record<string, unknown>): FetchHandler {
  const worker = module['default'];
  if (typeof worker === 'function' && worker.prototype instanceof WorkerEntrypoint) {
    const Entrypoint = worker as new (ctx: ExecutionContext, env: unknown) => { fetch?: (request: Request) => unknown };
    return (request, env, ctx) => {
      const instance = new Entrypoint(ctx, env);
      if (typeof instance.fetch !== 'function') throw new Error('Handler does not export a fetch() function.');
      return instance.fetch(request);
    };
  }
  const handler = (worker as { fetch?: unknown } | null | undefined)?.fetch;
  if (typeof handler !== 'function') throw new ProjectError(`${project.main} has no default export with a fetch() function.`);
  return (request, env, ctx) => handler.call(worker, request, env, ctx) as unknown;
}

export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { project } = options;
  const engine = loadNative().openEngine(options.dataDirectory, options.memoryLimit);
  let server: HttpServer | undefined;
  const shard = new Shard({ engine, report, idleMs: options.idleMs, watchdogMs: options.watchdogMs, onWake: () => server?.onWake() });
  const memory = new MemoryLimit(shard, options.memoryLimit, processMemory(), (line) => console.error(`perdure: ${line}`));
  const close = (): void => {
    memory.stop();
    shard.close();
    engine.close();
  };
  // What user code does outside a request (a timer, a promise nobody waits for) must not end the process.
  reportUncaught(shard);
  try {
    installGlobals(shard);
    installTimers(shard);
    Object.assign(shard.env, structuredClone(project.vars));
    setEnv(shard.env);
    const module = (await import(pathToFileURL(options.bundle).href)) as Record<string, unknown>;
    for (const { name, className } of project.bindings) {
      const objectClass = module[className];
      if (typeof objectClass !== 'function')
        throw new ProjectError(`The class "${className}" is bound as ${name} in ${project.configFile} but ${project.main} does not export it.`);
      // It outlives renames of the class, names the folder of the objects and decides their ids (as in workerd).
      const { key, storage } = project.classes.find((known) => known.className === className)!;
      shard.bind(name, className, objectClass as ObjectClass, `${project.name}-${key}`, storage);
    }
    const fetch = fetchHandler(project, module);
    server = new HttpServer(shard, (request) => fetch(request, shard.env, new ExecutionContext(shard.background)));
    server.listen(options.host, options.port);
    memory.start();
  } catch (error) {
    close();
    throw error;
  }
  const running = server;
  return {
    port: running.port,
    recovery: engine.recovery,
    async stop() {
      const deadline = Date.now() + STOP_GRACE_MS;
      const cut = await running.stop(STOP_GRACE_MS);
      if (cut.length > 0) console.error(`Stopped with ${cut.length} requests unanswered: ${some(cut)}`);
      const left = await shard.background.settled(Math.max(0, deadline - Date.now()));
      if (left.length > 0) console.error(`Stopped with ${left.length} promises given to waitUntil() not settled: ${some([...new Set(left)])}`);
      close();
    },
  };
}
