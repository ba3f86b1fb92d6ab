/** The shard's side of the HTTP front: turns its events into requests and responses into events. */
import { type IncomingBody, incomingRequest, type Outgoing, takeResponse } from './http.js';
import {
  ABORT, BODY, BODY_COMPLETE, CANCEL, CHUNK, END, HEAD, type NativeServer, REQUEST, WHOLE, WRITABLE,
} from './native.js';
import type { Shard } from './shard.js';

/** front::ServerOptions::response_buffer_bytes_max: after this much without a WRITABLE, wait for one. */
const RESPONSE_BUFFER_BYTES_MAX = 1 << 20;
/** Responses are handed to the front when this many have gathered, or when the loop has nothing else to do. */
const FLUSH_RESPONSES = 16;

const INTERNAL_ERROR = 'Internal Server Error';

/** A request between its arrival and the end of its response. */
class Exchange {
  controller: AbortController | undefined;
  gone: Error | undefined;
  /** What has come of the body and is not read yet; undefined once it went with the head. */
  bodyStream: ReadableStreamDefaultController<Uint8Array> | undefined;
  early: { bytes: ArrayBuffer | undefined; complete: boolean }[] = [];
  /** Bytes of it that were handed to the stream and not yet acknowledged to the front. */
  unread = 0;
  /** Bytes of the response since the last WRITABLE. */
  unacknowledged = 0;
  writable: (() => void) | undefined;

  constructor(readonly id: number) {}

  signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.gone !== undefined) this.controller.abort(this.gone);
    return this.controller.signal;
  }
}

export class HttpServer {
  readonly #shard: Shard;
  readonly #handle: (request: Request) => unknown;
  #server!: NativeServer;
  readonly #exchanges = new Map<number, Exchange>();
  #unflushed = 0;
  #stopped: (() => void) | undefined;

  constructor(shard: Shard, handle: (request: Request) => unknown) {
    this.#shard = shard;
    this.#handle = handle;
  }

  listen(host: string, port: number): void {
    this.#server = this.#shard.native.startServer(host, port);
  }

  get port(): number {
    return this.#server.port;
  }

  /** Stops accepting; resolves when the requests in flight have their responses. */
  stop(graceMs: number): Promise<void> {
    return new Promise<void>((resolve) => {
      this.#stopped = resolve;
      this.#server.stop(graceMs);
    }).then(() => this.#server.close());
  }

  onWake(): void {
    const events = this.#server.take();
    for (let i = 0; i < events.length; i += 4) {
      const kind = events[i] as number;
      const id = events[i + 1] as number;
      const text = events[i + 2] as string | undefined;
      const bytes = events[i + 3] as ArrayBuffer | undefined;
      const complete = (kind & BODY_COMPLETE) !== 0;
      switch (kind & ~BODY_COMPLETE) {
        case REQUEST:
          this.#onRequest(id, text!, bytes, complete);
          break;
        case BODY:
          this.#onBody(id, bytes, complete);
          break;
        case CANCEL:
          this.#onCancel(id, text ?? 'the client went away');
          break;
        case WRITABLE:
          this.#onWritable(id);
          break;
      }
    }
    if (this.#stopped !== undefined && this.#server.stopped()) {
      this.#stopped();
      this.#stopped = undefined;
    }
  }

  #onRequest(id: number, head: string, bytes: ArrayBuffer | undefined, complete: boolean): void {
    const exchange = new Exchange(id);
    this.#exchanges.set(id, exchange);
    const body: IncomingBody = { bytes, complete, stream: () => this.#bodyStream(exchange, bytes) };
    const request = incomingRequest(head, body, () => exchange.signal());
    let result: unknown;
    try {
      result = this.#handle(request);
    } catch (error) {
      this.#fail(exchange, request, error);
      return;
    }
    if (result instanceof Promise) {
      result.then(
        (response) => this.#respond(exchange, request, response),
        (error: unknown) => this.#fail(exchange, request, error),
      );
    } else {
      this.#respond(exchange, request, result);
    }
  }

  // The request's body, when it is more than came with the head.

  #bodyStream(exchange: Exchange, first: ArrayBuffer | undefined): ReadableStream<Uint8Array> {
    const server = this.#server;
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          exchange.bodyStream = controller;
          if (first !== undefined) this.#enqueue(exchange, first, false);
          for (const part of exchange.early) this.#enqueue(exchange, part.bytes, part.complete);
          exchange.early = [];
          if (exchange.gone !== undefined) controller.error(exchange.gone);
        },
        pull: () => {
          // Everything that was enqueued has been read: the front may send as much again.
          if (exchange.unread === 0) return;
          server.consumed(exchange.id, exchange.unread);
          exchange.unread = 0;
          this.#scheduleFlush();
        },
      },
      { highWaterMark: 0 },
    );
  }

  #onBody(id: number, bytes: ArrayBuffer | undefined, complete: boolean): void {
    const exchange = this.#exchanges.get(id);
    if (exchange === undefined) return; // answered before the whole body came
    if (exchange.bodyStream === undefined) exchange.early.push({ bytes, complete });
    else this.#enqueue(exchange, bytes, complete);
  }

  #enqueue(exchange: Exchange, bytes: ArrayBuffer | undefined, complete: boolean): void {
    if (bytes !== undefined) {
      exchange.unread += bytes.byteLength;
      exchange.bodyStream!.enqueue(new Uint8Array(bytes));
    }
    if (complete) exchange.bodyStream!.close();
  }

  #onCancel(id: number, why: string): void {
    const exchange = this.#exchanges.get(id);
    if (exchange === undefined) return;
    this.#exchanges.delete(id);
    exchange.gone = new DOMException(why, 'AbortError') as unknown as Error;
    exchange.controller?.abort(exchange.gone);
    try {
      exchange.bodyStream?.error(exchange.gone);
    } catch {
      // The stream had ended already.
    }
    exchange.writable?.();
  }

  #onWritable(id: number): void {
    const exchange = this.#exchanges.get(id);
    if (exchange === undefined) return;
    exchange.unacknowledged = 0;
    exchange.writable?.();
  }

  // The response.

  #respond(exchange: Exchange, request: Request, response: unknown): void {
    let outgoing: Outgoing;
    try {
      if (!(response instanceof Response)) throw new TypeError("Incorrect type for Promise: the Promise did not resolve to 'Response'.");
      outgoing = takeResponse(response);
    } catch (error) {
      this.#fail(exchange, request, error);
      return;
    }
    if (outgoing.body instanceof ReadableStream) void this.#stream(exchange, request, outgoing, outgoing.body);
    else this.#whole(exchange, outgoing.status, outgoing.head, outgoing.body);
  }

  #fail(exchange: Exchange, request: Request, error: unknown): void {
    this.#shard.report(`${request.method} ${request.url} failed:`, error);
    this.#whole(exchange, 500, '', INTERNAL_ERROR);
  }

  #whole(exchange: Exchange, status: number, head: string, body: string | Uint8Array | undefined): void {
    if (this.#exchanges.delete(exchange.id)) this.#send(WHOLE, exchange.id, status, head, body);
  }

  async #stream(exchange: Exchange, request: Request, outgoing: Outgoing, body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = body.getReader();
    const { id } = exchange;
    this.#send(HEAD, id, outgoing.status, outgoing.head, undefined);
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (exchange.gone !== undefined) {
          await reader.cancel(exchange.gone);
          return;
        }
        if (done) break;
        if (!(value instanceof Uint8Array)) throw new TypeError('This ReadableStream did not return bytes.');
        this.#send(CHUNK, id, 0, undefined, value);
        exchange.unacknowledged += value.length;
        if (exchange.unacknowledged > RESPONSE_BUFFER_BYTES_MAX)
          await new Promise<void>((resolve) => {
            exchange.writable = resolve;
          });
      }
    } catch (error) {
      if (this.#exchanges.delete(id)) {
        this.#shard.report(`${request.method} ${request.url}: the response's body failed:`, error);
        this.#send(ABORT, id, 0, undefined, undefined);
      }
      return;
    }
    if (this.#exchanges.delete(id)) this.#send(END, id, 0, undefined, undefined);
  }

  /** Every output depends on what this shard's code has seen (rule 1); what it wrote is committed first. */
  #send(kind: number, id: number, status: number, head: string | undefined, body: string | Uint8Array | undefined): void {
    this.#shard.commitAll();
    this.#server.respond(kind, id, status, this.#shard.observedLsn, head, body);
    if (++this.#unflushed >= FLUSH_RESPONSES) this.#flush();
    else this.#scheduleFlush();
  }

  #flushScheduled = false;
  readonly #flushNow = (): void => {
    this.#flushScheduled = false;
    this.#flush();
  };

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(this.#flushNow);
  }

  #flush(): void {
    this.#unflushed = 0;
    this.#server.flush();
  }
}
