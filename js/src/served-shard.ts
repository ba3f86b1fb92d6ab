/** One shard of a served project: the Worker and the objects that one thread runs. */
import { pathToFileURL } from 'node:url';
import type { Project } from './project.js';
import { ProjectError } from './project.js';
import { ExecutionContext, WorkerEntrypoint } from './runtime/entrypoints.js';
import { setEnv } from './runtime/env.js';
import { HttpServer } from './runtime/http-server.js';
import { installGlobals } from './runtime/http.js';
import type { ObjectClass } from './runtime/namespace.js';
import type { NativeEngine } from './runtime/native.js';
import type { ResetClock } from './runtime/reset-clock.js';
import { type Placement, Shard } from './runtime/shard.js';
import { installTimers } from './runtime/timers.js';

export interface ShardSettings {
  project: Project;
  /** The bundled project: a path. */
  bundle: string;
  /** Objects without work for this long leave memory. */
  idleMs: number;
}

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

/** What a stop gives up. */
export interface Settled {
  /** Who has given promises to waitUntil() that have not settled. */
  left: string[];
  /** Some had to be waited for: meanwhile they may have made work elsewhere. */
  waited: boolean;
}

/** Takes the thread's globals. */
export class ServedShard {
  readonly shard: Shard;
  #http: HttpServer | undefined;

  private constructor(engine: NativeEngine, { idleMs }: ShardSettings, resetClock: ResetClock, placement: Placement | undefined) {
    this.shard = new Shard({ engine, report, idleMs, resetClock, onWake: () => this.#http?.onWake() });
    if (placement !== undefined) this.shard.connect(placement);
  }

  /** Throws ProjectError for what the project lacks. */
  static async start(engine: NativeEngine, settings: ShardSettings, resetClock: ResetClock, placement?: Placement): Promise<ServedShard> {
    // What user code does outside a request (a timer, a promise nobody waits for) must not end the process.
    process.on('unhandledRejection', (reason) => report('Unhandled rejection:', reason));
    process.on('uncaughtException', (error) => report('Uncaught exception:', error));
    const served = new ServedShard(engine, settings, resetClock, placement);
    try {
      await served.#load(settings);
    } catch (error) {
      served.close();
      throw error;
    }
    return served;
  }

  async #load({ project, bundle }: ShardSettings): Promise<void> {
    const { shard } = this;
    installGlobals(shard);
    installTimers(shard);
    Object.assign(shard.env, structuredClone(project.vars));
    setEnv(shard.env);
    const module = (await import(pathToFileURL(bundle).href)) as Record<string, unknown>;
    for (const { name, className } of project.bindings) {
      const objectClass = module[className];
      if (typeof objectClass !== 'function')
        throw new ProjectError(`The class "${className}" is bound as ${name} in ${project.configFile} but ${project.main} does not export it.`);
      // It outlives renames of the class, names the folder of the objects and decides their ids (as in workerd).
      const { key, storage } = project.classes.find((known) => known.className === className)!;
      shard.bind(name, className, objectClass as ObjectClass, `${project.name}-${key}`, storage);
    }
    const fetch = fetchHandler(project, module);
    this.#http = new HttpServer(shard, (request) => fetch(request, shard.env, new ExecutionContext(shard.background)));
  }

  /** Resolves when the front has stopped, with the requests that got no answer. */
  frontStopped(): Promise<string[]> {
    return this.#http!.stopped();
  }

  async settled(deadlineMs: number): Promise<Settled> {
    const { background } = this.shard;
    const waited = background.isBusy;
    return { left: await background.settled(Math.max(0, deadlineMs - Date.now())), waited };
  }

  close(): void {
    this.shard.close();
  }
}
