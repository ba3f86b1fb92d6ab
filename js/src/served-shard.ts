/** One shard of a served project: the Worker and the objects that one thread runs. */
import { pathToFileURL } from 'node:url';
import type { Project } from './project.js';
import { ProjectError } from './project.js';
import { absent } from './runtime/absent.js';
import { type CronHost, Crons, type ScheduledController } from './runtime/crons.js';
import { ExecutionContext, WorkerEntrypoint } from './runtime/entrypoints.js';
import { setEnv } from './runtime/env.js';
import { HttpServer } from './runtime/http-server.js';
import { installGlobals } from './runtime/http.js';
import { MemoryLimit, processMemory } from './runtime/memory-limit.js';
import { type NamedConsole, nameObjectsInConsole } from './runtime/named-console.js';
import type { ObjectClass } from './runtime/namespace.js';
import type { NativeEngine } from './runtime/native.js';
import { Observer } from './runtime/observer.js';
import type { ResetClock } from './runtime/reset-clock.js';
import { ROOT } from './runtime/sections.js';
import { type Placement, Shard } from './runtime/shard.js';
import { installTimers } from './runtime/timers.js';
import { reportUncaught } from './runtime/uncaught.js';

export interface ShardSettings {
  project: Project;
  /** The bundled project: a path. */
  bundle: string;
  /** Objects without work for this long leave memory. */
  idleMs: number;
  /** What the process may take, in bytes. */
  memoryLimit: number;
  /** Turns that take longer are reported; 0: none are. */
  watchdogMs: number;
  /** A failed alarm is tried again after this time, then after twice that, and so on. */
  alarmRetryMs?: number | undefined;
  /** What an object prints begins with its class and name; undefined: prints as it is. */
  namedConsole?: NamedConsole;
}

const DELETES_ALARM_SINCE = '2026-02-24';

type ScheduledHandler = (controller: ScheduledController, env: unknown, ctx: ExecutionContext) => unknown;
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

/** What a class's namespace is called on disk. */
const keyOf = (project: Project, key: string): string => `${project.name}-${key}`;

/** Whether deleteAll() deletes the alarm, too. */
function deletesAlarm({ compatibilityDate, compatibilityFlags }: Project): boolean {
  if (compatibilityFlags.includes('delete_all_preserves_alarm')) return false;
  return compatibilityFlags.includes('delete_all_deletes_alarm') || compatibilityDate >= DELETES_ALARM_SINCE;
}

/** The Worker's scheduled handler, from either form of a default export. */
function scheduledHandler(project: Project, module: Record<string, unknown>): ScheduledHandler {
  const worker = module['default'];
  const isClass = typeof worker === 'function' && worker.prototype instanceof WorkerEntrypoint;
  const owner = (isClass ? worker.prototype : worker) as { scheduled?: unknown } | null | undefined;
  const handler = owner?.scheduled;
  if (typeof handler !== 'function')
    throw new ProjectError(`${project.configFile} has triggers.crons, but the default export of ${project.main} has no scheduled() function.`);
  if (!isClass) return (controller, env, ctx) => handler.call(worker, controller, env, ctx) as unknown;
  const Entrypoint = worker as new (ctx: ExecutionContext, env: unknown) => object;
  return (controller, env, ctx) => handler.call(new Entrypoint(ctx, env), controller) as unknown;
}

function cronHost(shard: Shard, handler: ScheduledHandler): CronHost {
  const { engine } = shard;
  return {
    now: () => Date.now(),
    lastRuns() {
      const flat = engine.cronRuns();
      return new Map(flat.flatMap((each, i) => (i % 2 === 0 ? [[each as string, flat[i + 1] as number] as const] : [])));
    },
    noteRuns: (runs) => engine.keepCronRuns([...runs].flat()),
    async run(controller) {
      await shard.turnOf({ sender: undefined, section: ROOT, observer: new Observer() });
      const ended = (async () => handler(controller, shard.env, new ExecutionContext(shard.background, shard.exports)))();
      // A clean stop waits for it; what it throws is reported as what it is.
      shard.background.add(`scheduled() of "${controller.cron}"`, ended.catch(() => {}));
      await ended;
    },
    report,
  };
}

/** Alarms of classes that nothing in `env` names ring, too. Returns the keys of the namespaces that the project has. */
function serveUnbound(shard: Shard, project: Project, module: Record<string, unknown>): Set<string> {
  const served = new Set<string>();
  for (const { className, key, storage } of project.classes) {
    const objectClass = module[className];
    if (typeof objectClass !== 'function') continue;
    served.add(keyOf(project, key));
    shard.namespace(className, objectClass as ObjectClass, keyOf(project, key), storage);
  }
  return served;
}

/** `ctx.exports` has no Workers yet, and says so. */
function refuseExport(exports: Record<string, unknown>, name: string): void {
  Object.defineProperty(exports, name, {
    configurable: true,
    get: () => {
      throw absent(`ctx.exports.${name}, which is no class of objects,`);
    },
  });
}

/** What a stop gives up. */
export interface Settled {
  /** Who has given promises to waitUntil() that have not settled. */
  left: string[];
  /** How many alarm handlers have not ended. */
  ringing: number;
  /** Some had to be waited for: meanwhile they may have made work elsewhere. */
  waited: boolean;
}

/** Takes the thread's globals. */
export class ServedShard {
  readonly shard: Shard;
  readonly #memory: MemoryLimit;
  #http: HttpServer | undefined;
  #scheduled: ScheduledHandler | undefined;
  #crons: Crons | undefined;
  #served = new Set<string>();

  private constructor(engine: NativeEngine, { project, idleMs, memoryLimit, watchdogMs, alarmRetryMs }: ShardSettings, resetClock: ResetClock, placement: Placement | undefined) {
    this.shard = new Shard({
      engine,
      report,
      idleMs,
      watchdogMs,
      alarmRetryMs,
      deleteAllDeletesAlarm: deletesAlarm(project),
      resetClock,
      onWake: () => this.#http?.onWake(),
    });
    if (placement !== undefined) this.shard.connect(placement);
    // One of them speaks for the process.
    const warn = this.shard.index === 0 ? (line: string): void => console.error(`perdure: ${line}`) : (): void => {};
    this.#memory = new MemoryLimit(this.shard, memoryLimit, processMemory(), warn);
  }

  /** Throws ProjectError for what the project lacks. */
  static async start(engine: NativeEngine, settings: ShardSettings, resetClock: ResetClock, placement?: Placement): Promise<ServedShard> {
    const served = new ServedShard(engine, settings, resetClock, placement);
    // What user code does outside a request (a timer, a promise nobody waits for) must not end the process.
    reportUncaught(served.shard);
    try {
      await served.#load(settings);
    } catch (error) {
      served.close();
      throw error;
    }
    return served;
  }

  async #load({ project, bundle, namedConsole }: ShardSettings): Promise<void> {
    const { shard } = this;
    installGlobals(shard);
    installTimers(shard);
    if (namedConsole !== undefined) nameObjectsInConsole(shard, namedConsole);
    Object.assign(shard.env, structuredClone(project.vars));
    setEnv(shard.env);
    const module = (await import(pathToFileURL(bundle).href)) as Record<string, unknown>;
    for (const { name, className } of project.bindings) {
      const objectClass = module[className];
      if (typeof objectClass !== 'function')
        throw new ProjectError(`The class "${className}" is bound as ${name} in ${project.configFile} but ${project.main} does not export it.`);
      // It outlives renames of the class, names the folder of the objects and decides their ids (as in workerd).
      const { key, storage } = project.classes.find((known) => known.className === className)!;
      shard.bind(name, className, objectClass as ObjectClass, keyOf(project, key), storage);
    }
    this.#served = serveUnbound(shard, project, module);
    shard.openLinks();
    const fetch = fetchHandler(project, module);
    for (const name of Object.keys(module)) if (!(name in shard.exports)) refuseExport(shard.exports, name);
    if (project.crons.length > 0) this.#scheduled = scheduledHandler(project, module);
    this.#http = new HttpServer(shard, (request) => fetch(request, shard.env, new ExecutionContext(shard.background, shard.exports)));
    this.#memory.start();
  }

  /** Runs scheduled() from now on: on one of the shards. */
  startCrons({ crons }: Project): void {
    if (this.#scheduled !== undefined) this.#crons = new Crons(crons, cronHost(this.shard, this.#scheduled));
  }

  /** Names the namespaces with alarms whose classes are gone. */
  reportLostAlarms(): void {
    for (const key of this.shard.engine.keysWithAlarms()) {
      if (!this.#served.has(key)) console.error(`There are alarms of "${key}" in the data folder, but no class of this project is that. They stay there, and ring when it is served again.`);
    }
  }

  /** Nothing new begins by itself. Resolves when the front has stopped, with the requests that got no answer. */
  frontStopped(): Promise<string[]> {
    this.#crons?.stop();
    this.shard.alarms.stop();
    return this.#http!.stopped();
  }

  async settled(deadlineMs: number): Promise<Settled> {
    const { background, alarms } = this.shard;
    const waited = background.isBusy || alarms.isBusy;
    const left = await background.settled(Math.max(0, deadlineMs - Date.now()));
    return { left, ringing: await alarms.settled(Math.max(0, deadlineMs - Date.now())), waited };
  }

  close(): void {
    this.#memory.stop();
    this.#crons?.stop();
    this.shard.close();
  }
}
