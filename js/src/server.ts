/** `perdure serve`: a project's Worker and objects behind the HTTP front. */
import { pathToFileURL } from 'node:url';
import type { Project } from './project.js';
import { ProjectError } from './project.js';
import { type CronHost, Crons, type ScheduledController } from './runtime/crons.js';
import { ExecutionContext, WorkerEntrypoint } from './runtime/entrypoints.js';
import { setEnv } from './runtime/env.js';
import { HttpServer } from './runtime/http-server.js';
import { installGlobals } from './runtime/http.js';
import { loadNative } from './runtime/native.js';
import type { ObjectClass } from './runtime/namespace.js';
import { ROOT } from './runtime/sections.js';
import { Shard } from './runtime/shard.js';
import { installTimers } from './runtime/timers.js';

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
  /** A failed alarm is tried again after this time, then after twice that, and so on. */
  alarmRetryMs?: number;
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

const DELETES_ALARM_SINCE = '2026-02-24';

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

type ScheduledHandler = (controller: ScheduledController, env: unknown, ctx: ExecutionContext) => unknown;

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
      await shard.turnOf(undefined, ROOT);
      const ended = (async () => handler(controller, shard.env, new ExecutionContext(shard.background)))();
      // A clean stop waits for it; what it throws is reported as what it is.
      shard.background.add(`scheduled() of "${controller.cron}"`, ended.catch(() => {}));
      await ended;
    },
    report,
  };
}

/** Alarms of classes that nothing in `env` names ring, too; those of classes that are gone are named. */
function serveUnbound(shard: Shard, project: Project, module: Record<string, unknown>): void {
  const served = new Set<string>();
  for (const { className, key, storage } of project.classes) {
    const objectClass = module[className];
    if (typeof objectClass !== 'function') continue;
    served.add(keyOf(project, key));
    shard.namespace(className, objectClass as ObjectClass, keyOf(project, key), storage);
  }
  for (const key of shard.engine.keysWithAlarms()) {
    if (!served.has(key)) console.error(`There are alarms of "${key}" in the data folder, but no class of this project is that. They stay there, and ring when it is served again.`);
  }
}

export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { project } = options;
  const engine = loadNative().openEngine(options.dataDirectory);
  let server: HttpServer | undefined;
  let crons: Crons | undefined;
  const shard = new Shard({ engine, report, idleMs: options.idleMs, alarmRetryMs: options.alarmRetryMs, deleteAllDeletesAlarm: deletesAlarm(project), onWake: () => server?.onWake() });
  const close = (): void => {
    crons?.stop();
    shard.close();
    engine.close();
  };
  // What user code does outside a request (a timer, a promise nobody waits for) must not end the process.
  process.on('unhandledRejection', (reason) => report('Unhandled rejection:', reason));
  process.on('uncaughtException', (error) => report('Uncaught exception:', error));
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
      shard.bind(name, className, objectClass as ObjectClass, keyOf(project, key), storage);
    }
    serveUnbound(shard, project, module);
    const fetch = fetchHandler(project, module);
    if (project.crons.length > 0) crons = new Crons(project.crons, cronHost(shard, scheduledHandler(project, module)));
    server = new HttpServer(shard, (request) => fetch(request, shard.env, new ExecutionContext(shard.background)));
    server.listen(options.host, options.port);
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
      crons?.stop();
      shard.alarms.stop();
      const cut = await running.stop(STOP_GRACE_MS);
      if (cut.length > 0) console.error(`Stopped with ${cut.length} requests unanswered: ${some(cut)}`);
      const left = await shard.background.settled(Math.max(0, deadline - Date.now()));
      if (left.length > 0) console.error(`Stopped with ${left.length} promises given to waitUntil() not settled: ${some([...new Set(left)])}`);
      const ringing = await shard.alarms.settled(Math.max(0, deadline - Date.now()));
      if (ringing > 0) console.error(`Stopped with ${ringing} alarm handlers running: they run again at the next start.`);
      close();
    },
  };
}
