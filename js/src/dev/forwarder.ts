/**
 * The address that `perdure dev` listens on: hands every request to the server process that runs at the moment,
 * and keeps it while there is none because another version takes over.
 */
import {
  Agent, createServer, type IncomingMessage, type OutgoingHttpHeaders, request as forward, type Server, type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream';
import { ProjectError } from '../config/error.js';

/** Requests that wait for the next version; the ones after them are refused with 503. */
const HELD_REQUESTS_MAX = 1000;
/** As many as the server itself takes; further ones are closed. */
const CONNECTIONS_MAX = 10_000;
/** Less than the 75 s after which the server process closes a connection without a request. */
const IDLE_CONNECTION_MS_MAX = 30_000;
/** What one connection brings to the next one is not what the client has said to us. */
const OF_ONE_CONNECTION = ['connection', 'keep-alive', 'proxy-connection', 'expect'];

/** A request that was answered, or whose client or server went away before. */
export interface Answered {
  method: string;
  target: string;
  /** undefined: there was no answer, or only a part of it. */
  status: number | undefined;
  ms: number;
}

/** Where requests go: to the port of a server process, into the queue, or back with a reason. */
type Destination = { port: number } | { held: (() => void)[] } | { refusal: string };

export class Forwarder {
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: true, timeout: IDLE_CONNECTION_MS_MAX });
  readonly #onAnswered: (answered: Answered) => void;
  #destination: Destination = { held: [] };
  /** Requests that are not answered. */
  #open = 0;
  /** Those of them that a server process has, and who waits until there are none. */
  #forwarded = 0;
  #onDrained: (() => void)[] = [];

  constructor(onAnswered: (answered: Answered) => void) {
    this.#onAnswered = onAnswered;
    // The server process has limits of its own for what is slow.
    this.#server = createServer({ keepAliveTimeout: 2 * IDLE_CONNECTION_MS_MAX, requestTimeout: 0 }, (request, response) =>
      this.#onRequest(request, response),
    );
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /** Resolves with the port. Throws ProjectError when the address cannot be had. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) => {
        const why =
          error.code === 'EADDRINUSE'
            ? `Port ${port} on ${host} is in use by another program; choose another with --port.`
            : `Cannot listen on port ${port} of ${host}: ${error.message}; choose another with --host or --port.`;
        reject(new ProjectError(why));
      });
      this.#server.listen(port, host, () => resolve((this.#server.address() as AddressInfo).port));
    });
  }

  /** From now on requests wait: the server process is about to be replaced. */
  hold(): void {
    if (!('held' in this.#destination)) this.#destination = { held: [] };
  }

  /** Resolves when a server process has no request any more. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#forwarded === 0) resolve();
      else this.#onDrained.push(resolve);
    });
  }

  /** From now on, and from those that wait, requests go to the server process on this port. */
  serve(port: number): void {
    this.#turn({ port });
  }

  /** There is nothing to serve: requests are answered with why. */
  refuse(why: string): void {
    this.#turn({ refusal: why });
  }

  /** Stops accepting; resolves when all requests have been answered, or cut off after `graceMs`. */
  close(graceMs: number): Promise<void> {
    const late = setTimeout(() => this.#server.closeAllConnections(), graceMs);
    return new Promise((resolve) => {
      this.#server.close(() => {
        clearTimeout(late);
        this.#agent.destroy();
        resolve();
      });
      this.#closeWhenAnswered();
    });
  }

  /** Connections on which there is no request, or never was one, would otherwise stay until their client closes them. */
  #closeWhenAnswered(): void {
    if (!this.#server.listening && this.#open === 0) this.#server.closeAllConnections();
  }

  #turn(destination: Destination): void {
    const before = this.#destination;
    this.#destination = destination;
    if ('held' in before) for (const goOn of before.held) goOn();
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const start = performance.now();
    this.#open++;
    response.once('close', () => {
      this.#onAnswered({
        method: request.method!,
        target: request.url!,
        status: response.writableFinished ? response.statusCode : undefined,
        ms: performance.now() - start,
      });
      this.#open--;
      setImmediate(() => this.#closeWhenAnswered());
    });
    this.#dispatch(request, response);
  }

  #dispatch(request: IncomingMessage, response: ServerResponse): void {
    const destination = this.#destination;
    if ('port' in destination) this.#forward(destination.port, request, response);
    else if ('refusal' in destination) answer(response, 503, destination.refusal);
    else if (destination.held.length >= HELD_REQUESTS_MAX) answer(response, 503, `More than ${HELD_REQUESTS_MAX} requests wait for the new version.`);
    else {
      destination.held.push(() => {
        if (!response.destroyed) this.#dispatch(request, response);
      });
    }
  }

  #forward(port: number, request: IncomingMessage, response: ServerResponse): void {
    const upstream = forward({
      agent: this.#agent,
      host: '127.0.0.1',
      port,
      method: request.method!,
      path: request.url!,
      headers: passedHeaders(request),
      setHost: false,
    });
    // A request with neither header has no body; without this, Node would add one of no bytes.
    if (request.headers['content-length'] === undefined && request.headers['transfer-encoding'] === undefined)
      upstream.useChunkedEncodingByDefault = false;
    this.#forwarded++;
    response.once('close', () => {
      upstream.destroy();
      if (--this.#forwarded === 0) for (const drained of this.#onDrained.splice(0)) drained();
    });
    upstream.once('response', (incoming) => {
      response.writeHead(incoming.statusCode!, incoming.statusMessage, passedHeaders(incoming, 'transfer-encoding'));
      response.write(Buffer.alloc(0)); // sends the head at once; flushHeaders() would write it as UTF-8
      pipeline(incoming, response, () => {}); // a failure of either ends both
    });
    upstream.once('error', (error) => {
      if (response.headersSent) response.destroy();
      else answer(response, 502, `The server process ended before it answered (${error.message}).`);
    });
    request.pipe(upstream);
  }
}

/** The headers of a message that go on, with all values of those that came more than once. */
function passedHeaders(message: IncomingMessage, ...dropped: string[]): OutgoingHttpHeaders {
  const passed: OutgoingHttpHeaders = {};
  for (const [name, values] of Object.entries(message.headersDistinct)) {
    if (!OF_ONE_CONNECTION.includes(name) && !dropped.includes(name)) passed[name] = values!.length === 1 ? values![0]! : values!;
  }
  return passed;
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(`perdure dev: ${text}\n`);
}
