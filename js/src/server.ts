/** `perdure serve`: a project's Worker and objects behind the HTTP front, on one thread or several. */
import { once } from 'node:events';
import { join } from 'node:path';
import { clearTimeout, setTimeout } from 'node:timers'; // user code may replace the globals
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { AdminServer } from './operate/admin-server.js';
import type { Operated, ServerFacts } from './operate/operated.js';
import { type Write, writeOn, type Written } from './operate/write.js';
import { ProjectError } from './project.js';
import { loadNative, type NativeEngine } from './runtime/native.js';
import { ResetClock } from './runtime/reset-clock.js';
import { shardOf } from './runtime/shard.js';
import { ServedShard, type Settled, type ShardSettings } from './served-shard.js';
import type { Answer, Failed, ThreadCalls, ThreadData } from './shard-thread.js';

export interface ServerOptions extends ShardSettings {
  dataDirectory: string;
  host: string;
  port: number;
  /** Where requests come in, when something stands before this process. */
  outerPort?: number;
  /** How many shards, each on a thread of its own; the first on this one. */
  threads: number;
  /** How long (0: not at all) and how much of the past is kept. */
  history: { ms: number; bytes: number };
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

/** A stop that takes so much longer has met code that never lets go of its thread. */
const STOP_MARGIN_MS = 5_000;

/** All that was answered is in the log: the next start has it. */
function giveUpAfter(ms: number): NodeJS.Timeout {
  const timer = setTimeout(() => {
    console.error('perdure: code keeps a thread from stopping. The process ends without it; the next start recovers from the log.');
    process.exit(1);
  }, ms);
  return timer.unref();
}

/** A shard on a thread of its own, as this thread sees it. */
class ShardThread implements ThreadCalls {
  readonly #worker: Worker;
  /** By the number of the question. */
  readonly #answers = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>();
  #asked = 0;
  #closing = false;
  #stopping = false;
  /** Why the thread is no more. */
  #gone: Error | undefined;

  private constructor(data: ThreadData) {
    const transferList = data.placement.ports.filter((port) => port !== undefined);
    this.#worker = new Worker(new URL('./shard-thread.js', import.meta.url), { workerData: data, transferList, execArgv: ['--enable-source-maps'] });
    this.#worker.on('message', (answer: Answer) => {
      const { resolve, reject } = this.#answers.get(answer.number)!;
      this.#answers.delete(answer.number);
      if ('value' in answer) resolve(answer.value);
      else reject(failure(answer.failed));
    });
    this.#worker.on('error', (error) => this.#died(`has failed: ${error.stack ?? error.message}`, 1));
    this.#worker.on('exit', (code) => this.#died('has ended; user code may have called process.exit()', code));
  }

  static async start(data: ThreadData): Promise<ShardThread> {
    const thread = new ShardThread(data);
    await thread.#answer(0);
    return thread;
  }

  /** A shard that is gone takes its objects along: the process ends, and starts anew with everything that was answered. */
  #died(why: string, code: number): void {
    this.#gone ??= new Error(`A shard's thread ${why}.`);
    const ending = this.#closing || this.#stopping || this.#answers.has(0);
    for (const { reject } of this.#answers.values()) reject(this.#gone);
    this.#answers.clear();
    if (ending) return;
    console.error(`perdure: a shard's thread ${why}.`);
    process.exit(code);
  }

  #answer(number: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.#answers.set(number, { resolve, reject }));
  }

  #ask<Name extends keyof ThreadCalls>(name: Name, argument: Parameters<ThreadCalls[Name]>[0]): ReturnType<ThreadCalls[Name]> {
    if (this.#gone !== undefined) return Promise.reject(this.#gone) as ReturnType<ThreadCalls[Name]>;
    const number = ++this.#asked;
    this.#worker.postMessage({ number, name, argument });
    return this.#answer(number) as ReturnType<ThreadCalls[Name]>;
  }

  write(write: Write): Promise<Written> {
    return this.#ask('write', write);
  }

  objectsInMemory(): Promise<number> {
    return this.#ask('objectsInMemory', undefined);
  }

  frontStopped(): Promise<string[]> {
    this.#stopping = true;
    return this.#ask('frontStopped', undefined);
  }

  settled(deadlineMs: number): Promise<Settled> {
    return this.#ask('settled', deadlineMs);
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (this.#gone !== undefined) return;
    const exit = once(this.#worker, 'exit');
    await this.#ask('close', undefined);
    await exit;
  }
}

function failure({ message, stack, code, ofProject }: Failed): Error {
  const error = ofProject ? new ProjectError(message) : new Error(message);
  if (stack !== undefined) error.stack = stack;
  return code === undefined ? error : Object.assign(error, { code });
}

/** For each of `count` shards, its channels to the others. */
function channels(count: number): (MessagePort | undefined)[][] {
  const ports: (MessagePort | undefined)[][] = Array.from({ length: count }, () => new Array<MessagePort | undefined>(count).fill(undefined));
  for (let a = 0; a < count; a++)
    for (let b = a + 1; b < count; b++) {
      const { port1, port2 } = new MessageChannel();
      ports[a]![b] = port1;
      ports[b]![a] = port2;
    }
  return ports;
}

/** Of all shards, the first of which runs on this thread. */
class Shards {
  private constructor(
    readonly first: ServedShard,
    readonly threads: ShardThread[],
  ) {}

  static async start(engine: NativeEngine, settings: ShardSettings, count: number): Promise<Shards> {
    const resetClock = new ResetClock();
    const ports = channels(count);
    const placement = (index: number) => ({ index, ports: ports[index]! });
    // A project that does not load says so once.
    const first = await ServedShard.start(engine, settings, resetClock, count === 1 ? undefined : placement(0));
    // The first one runs the crons, which are no data.
    const cloned = { ...settings, project: { ...settings.project, crons: [] } };
    const data = (index: number): ThreadData => ({ engineToken: engine.token, settings: cloned, resetClock: resetClock.shared, placement: placement(index) });
    const starting = Array.from({ length: count - 1 }, (_, i) => ShardThread.start(data(i + 1)));
    const started = await Promise.allSettled(starting);
    const threads = started.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const shards = new Shards(first, threads);
    const failed = started.find((outcome) => outcome.status === 'rejected');
    if (failed === undefined) return shards;
    await shards.close();
    throw failed.reason as Error;
  }

  get #all(): (ServedShard | ShardThread)[] {
    return [this.first, ...this.threads];
  }

  async frontStopped(): Promise<string[]> {
    return (await Promise.all(this.#all.map((shard) => shard.frontStopped()))).flat();
  }

  /** Resolves when no shard has work that was given to waitUntil() or alarm handlers, or at the deadline, with what is left. */
  async settled(deadlineMs: number): Promise<Omit<Settled, 'waited'>> {
    for (;;) {
      const all = await Promise.all(this.#all.map((shard) => shard.settled(deadlineMs)));
      // What one shard has waited for may have made work on another that was done before.
      if (all.some(({ waited }) => waited) && Date.now() < deadlineMs) continue;
      return { left: all.flatMap(({ left }) => left), ringing: all.reduce((sum, { ringing }) => sum + ringing, 0) };
    }
  }

  /** What an operator writes, on the shard that has the object. */
  write(write: Write): Promise<Written> {
    const index = shardOf(write.place.id, this.threads.length + 1);
    return index === 0 ? writeOn(this.first.shard, write) : this.threads[index - 1]!.write(write);
  }

  async objectsInMemory(): Promise<number[]> {
    return [this.first.shard.objects, ...(await Promise.all(this.threads.map((thread) => thread.objectsInMemory())))];
  }

  async close(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.close()));
    // At last: its timers go on until the process ends.
    this.first.close();
  }
}

/** undefined: this file system has no sockets; the objects are served all the same. */
async function startAdmin(operated: Operated): Promise<AdminServer | undefined> {
  try {
    return await AdminServer.start(operated);
  } catch (error) {
    console.error(`perdure: there is no admin socket in ${operated.dataDirectory}, so commands for operators need the server to be stopped: ${(error as Error).message}`);
    return undefined;
  }
}

/** What the admin socket works on. */
function operatedBy(engine: NativeEngine, shards: Shards, { dataDirectory, project, memoryLimit }: ServerOptions, port: number): Operated {
  const startedAt = Date.now();
  const server = async (): Promise<ServerFacts> => {
    const objectsInMemory = await shards.objectsInMemory();
    return {
      pid: process.pid,
      project: project.name,
      port,
      threads: objectsInMemory.length,
      uptimeMs: Date.now() - startedAt,
      memoryBytes: process.memoryUsage.rss(),
      memoryLimitBytes: memoryLimit,
      objectsInMemory,
    };
  };
  return { engine, dataDirectory, server, write: (write) => shards.write(write) };
}

/** SQLite names no file. At a start the catalog is all that it reads. */
function namingCatalog(error: unknown, dataDirectory: string): unknown {
  const { message } = error as Error;
  if (!/: SQLITE_(CONSTRAINT|CORRUPT|NOTADB)\b/.test(message)) return error;
  return new Error(`The catalog ${join(dataDirectory, 'catalog.sqlite')} is damaged: ${message}. Put back a backup of the data directory; "perdure verify --data ${dataDirectory}" finds everything that is damaged.`);
}

/** Throws what keeps it from starting, with a message for whoever starts it. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  try {
    return await start(options);
  } catch (error) {
    throw namingCatalog(error, options.dataDirectory);
  }
}

async function start(options: ServerOptions): Promise<RunningServer> {
  const { dataDirectory, host, port: wantedPort, outerPort, threads, history, ...settings } = options;
  const engine = loadNative().openEngine(dataDirectory, options.memoryLimit, history.ms, history.bytes);
  let shards: Shards | undefined;
  let port: number;
  try {
    shards = await Shards.start(engine, settings, threads);
    shards.first.reportLostAlarms();
    port = engine.listen(host, wantedPort);
    shards.first.startCrons(options.project);
  } catch (error) {
    await shards?.close();
    engine.close();
    throw error;
  }
  const running = shards;
  const admin = await startAdmin(operatedBy(engine, running, options, outerPort ?? port));
  return {
    port,
    recovery: engine.recovery,
    async stop() {
      const deadline = Date.now() + STOP_GRACE_MS;
      const givesUp = giveUpAfter(STOP_GRACE_MS + STOP_MARGIN_MS);
      const operatorsGone = admin?.close();
      engine.stopListening(STOP_GRACE_MS);
      const cut = await running.frontStopped();
      engine.closeListener();
      if (cut.length > 0) console.error(`Stopped with ${cut.length} requests unanswered: ${some(cut)}`);
      const { left, ringing } = await running.settled(deadline);
      if (left.length > 0) console.error(`Stopped with ${left.length} promises given to waitUntil() not settled: ${some([...new Set(left)])}`);
      if (ringing > 0) console.error(`Stopped with ${ringing} alarm handlers running: they run again at the next start.`);
      await operatorsGone;
      await running.close();
      clearTimeout(givesUp);
      engine.close();
    },
  };
}
