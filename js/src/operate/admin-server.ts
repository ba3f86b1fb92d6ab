/**
 * The admin socket of a process that serves a data directory: a Unix socket that only the owner of the
 * directory can open. Each request is one operation.
 */
import { chmodSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { clearTimeout, setTimeout } from 'node:timers'; // user code may replace the globals
import { OperateError } from './error.js';
import { clearExports } from './export.js';
import type { Operated, Operation } from './operated.js';
import { operations } from './operations.js';
import { SOCKET_NAME, socketPath } from './socket.js';
import { endFrame, failedFrame, partFrame } from './wire.js';
import { NOTHING_WRITTEN } from './write.js';

/** In paths; a client of another version is told so. */
export const PROTOCOL = 'v1';

/** The socket is made in here, where nobody else can reach it until it has its mode. */
const PRIVATE_FOLDER = 'admin.new';
/** Operations at one time; what comes on top is refused. */
const OPERATIONS_MAX = 16;
/** Open connections; what comes on top is cut off. */
const CONNECTIONS_MAX = 64;
/** Of a request: a value of 2 MiB may be twice as long as JSON. */
const REQUEST_BYTES_MAX = 8 << 20;
/** A client that sends nothing of its request for so long, or takes nothing of its answer, is cut off. */
const REQUEST_MS_MAX = 30_000;
const UNREAD_MS_MAX = 60_000;

export class AdminServer {
  readonly #server: Server;
  readonly #operated: Operated;
  /** By operation: what cuts it off. */
  readonly #running = new Map<Promise<void>, AbortController>();
  #stopping = false;
  #release = (): void => {};

  private constructor(operated: Operated) {
    this.#operated = operated;
    this.#server = createServer({ requestTimeout: REQUEST_MS_MAX, headersTimeout: REQUEST_MS_MAX }, (request, response) => this.#accept(request, response));
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /** Throws what keeps the socket from being made. The caller holds the lock of the data directory. */
  static async start(operated: Operated): Promise<AdminServer> {
    clearExports(operated.dataDirectory);
    const admin = new AdminServer(operated);
    await admin.#listen();
    return admin;
  }

  /** A socket gets its mode when it is there already: until then it is in a folder that is closed to others. */
  async #listen(): Promise<void> {
    const { dataDirectory } = this.#operated;
    const folder = join(dataDirectory, PRIVATE_FOLDER);
    rmSync(folder, { recursive: true, force: true }); // a crash has left it
    mkdirSync(folder, { mode: 0o700 });
    try {
      const { path, release } = socketPath(folder, SOCKET_NAME);
      this.#release = release; // Node.js removes what it has bound, by this path, when it closes it
      await this.#bind(path);
      chmodSync(join(folder, SOCKET_NAME), 0o600);
      // Takes the place of one that a crash has left.
      renameSync(join(folder, SOCKET_NAME), join(dataDirectory, SOCKET_NAME));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  #bind(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ path }, () => {
        this.#server.off('error', reject);
        // Later ones (no file is left for a connection) leave the rest of the server alone.
        this.#server.on('error', () => {});
        resolve();
      });
    });
  }

  #accept(request: IncomingMessage, response: ServerResponse): void {
    const end = new AbortController();
    response.once('close', () => end.abort());
    const running = this.#answer(request, response, end.signal).catch(() => void response.destroy());
    this.#running.set(running, end);
    void running.then(() => this.#running.delete(running));
  }

  async #answer(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    try {
      if (this.#running.size >= OPERATIONS_MAX) throw new OperateError('The server does too much for operators already. Try again.', 'unavailable');
      const operation = operationOf(request);
      const args: unknown = JSON.parse(await bodyOf(request, signal));
      const operated = { ...this.#operated, client: descriptorOf(request) };
      for await (const part of operation(operated, args, signal)) await send(response, partFrame(part), signal);
      response.end(endFrame());
    } catch (error) {
      response.end(failedFrame(this.#stopped(error) ?? error));
    }
  }

  /** Undefined: the error is not of a server that stops. */
  #stopped(error: unknown): OperateError | undefined {
    // A statement on this thread sees the signal that stops the server before that is handled.
    if ((error as Error).message === NOTHING_WRITTEN) return new OperateError('The server has been stopped; nothing was written.', 'unavailable');
    return this.#stopping ? new OperateError('The server has been stopped.', 'unavailable') : undefined;
  }

  /** What runs is cut off; resolves when nothing of it is left. Before the engine is closed. */
  async close(): Promise<void> {
    this.#stopping = true;
    rmSync(join(this.#operated.dataDirectory, SOCKET_NAME), { force: true });
    this.#server.close();
    for (const end of this.#running.values()) end.abort();
    await Promise.all(this.#running.keys());
    this.#server.closeAllConnections();
    this.#release();
  }
}

function operationOf({ method, url = '' }: IncomingMessage): Operation<unknown> {
  const [, protocol, name = ''] = /^\/([^/]+)\/([a-z-]+)$/.exec(url) ?? [];
  if (method !== 'POST' || protocol !== PROTOCOL || !Object.hasOwn(operations, name))
    throw new OperateError(`The server does not know ${method} ${url}: it is of another version than this command.`);
  return operations[name as keyof typeof operations] as Operation<unknown>;
}

/** Of its connection. Node.js has it, but no name for it: -1 where that has changed, so that only --timeout ends a write then. */
function descriptorOf({ socket }: IncomingMessage): number {
  return (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd ?? -1;
}

/** Reads it to its end, unless `signal` says otherwise: an answer would be lost to a client that still sends. */
async function bodyOf(request: IncomingMessage, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const onAbort = (): void => void request.destroy(); // who has sent half of it may never send the rest
  signal.addEventListener('abort', onAbort);
  try {
    for await (const chunk of request) {
      bytes += (chunk as Buffer).length;
      if (bytes <= REQUEST_BYTES_MAX) chunks.push(chunk as Buffer);
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
  if (bytes > REQUEST_BYTES_MAX) throw new OperateError(`The request is larger than ${REQUEST_BYTES_MAX >> 20} MiB.`);
  return Buffer.concat(chunks).toString();
}

/** Resolves when there is room for more; rejects when the operation is to end, or the client takes nothing for too long. */
function send(response: ServerResponse, bytes: Buffer, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  if (response.write(bytes)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => response.destroy(), UNREAD_MS_MAX); // which aborts
    const end = (): void => {
      clearTimeout(timer);
      response.off('drain', drained);
      signal.removeEventListener('abort', aborted);
    };
    const drained = (): void => {
      end();
      resolve();
    };
    const aborted = (): void => {
      end();
      reject(signal.reason as Error);
    };
    response.on('drain', drained);
    signal.addEventListener('abort', aborted);
  });
}
