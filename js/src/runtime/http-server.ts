/** The shard's side of the HTTP front: turns its events into requests and responses into events. */
import { TURN_LABEL } from './exchange.js';
import { asPromise } from './host.js';
import { BadRequest, type IncomingBody, incomingRequest, isResponse, type Outgoing, takeResponse } from './http.js';
import {
  ABORT, BODY, BODY_COMPLETE, CANCEL, CHUNK, END, HEAD, type NativeHttp, REQUEST, WHOLE, WRITABLE,
} from './native.js';
import { Observer } from './observer.js';
import { ROOT } from './sections.js';
import type { Shard } from './shard.js';

/** front::ServerOptions::response_buffer_bytes_max: after this much without a WRITABLE, wait for one. */
const RESPONSE_BUFFER_BYTES_MAX = 1 << 20;
/** Responses are handed to the front when this many have gathered, or when the loop has nothing else to do. */
const FLUSH_RESPONSES = 16;

const INTERNAL_ERROR = 'Internal Server Error';

const { AbortController, DOMException, ReadableStream } = globalThis; // user code may replace the globals

/** A request between its arrival and the end of its response. */
class Exchange extends Observer {
  controller: AbortController | undefined;
  gone: Error | undefined;
  /** The request's body as a stream, from the moment that somebody asks for it until its end. */
  bodyStream: ReadableStreamDefaultController<Uint8Array> | undefined;
  /** What has come of the body before that. */
  early: { bytes: ArrayBuffer | undefined; complete: boolean }[] = [];
  /** Nobody wants the rest of the body. */
  discards = false;
  /** Bytes of it that were handed to the stream and not yet acknowledged to the front. */
  unread = 0;
  /** Bytes of the response since the last WRITABLE. */
  unacknowledged = 0;
  writable: (() => void) | undefined;
  /** Reads the response's body. */
  reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  constructor(
    readonly id: number,
    readonly request: () => Request,
  ) {
    super();
  }

  signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.gone !== undefined) this.controller.abort(this.gone);
    return this.controller.signal;
  }

  /** Whoever still reads the request's body gets the error. */
  failBody(why: Error): void {
    const stream = this.bodyStream;
    this.bodyStream = undefined;
    this.discards = true;
    stream?.error(why);
  }
}

export class HttpServer {
  readonly #shard: Shard;
  readonly #handle: (request: Request) => unknown;
  readonly #server: NativeHttp;
  /** For the watchdog. */
  readonly #fetchLabel: number;
  readonly #exchanges = new Map<number, Exchange>();
  #unflushed = 0;
  #stopped: (() => void) | undefined;
  /** Requests that got no whole answer since stopped(). */
  readonly #abandoned: string[] = [];
  #closed = false;

  constructor(shard: Shard, handle: (request: Request) => unknown) {
    this.#shard = shard;
    this.#handle = handle;
    this.#server = shard.native.openHttp(shard.index);
    shard.onFlush = () => this.#flush();
    this.#fetchLabel = shard.native.label('', 'fetch()');
  }

  /** The front stops: resolves when the requests in flight have their responses, with those that have none in time. */
  stopped(): Promise<string[]> {
    return new Promise<void>((resolve) => {
      this.#stopped = resolve;
      this.onWake();
    }).then(() => {
      this.#closed = true;
      this.#server.close();
      return this.#abandoned;
    });
  }

  onWake(): void {
    if (this.#closed) return;
    const events = this.#server.take();
    for (let i = 0; i < events.length; i += 4) {
      try {
        this.#onEvent(events[i] as number, events[i + 1] as number, events[i + 2] as string | undefined, events[i + 3] as ArrayBuffer | undefined);
      } catch (error) {
        // The next events belong to others.
        this.#shard.report('A request could not be handled:', error);
      }
    }
    if (this.#stopped !== undefined && this.#server.stopped()) {
      this.#stopped();
    }
  }

  #onEvent(kind: number, id: number, text: string | undefined, bytes: ArrayBuffer | undefined): void {
    const complete = (kind & BODY_COMPLETE) !== 0;
    switch (kind & ~BODY_COMPLETE) {
      case REQUEST:
        this.#onRequest(id, text!, bytes, complete);
        break;
      case BODY:
        this.#onBody(id, bytes, complete);
        break;
      case CANCEL:
        this.#onCancel(id, text ?? 'The client went away.');
        break;
      case WRITABLE:
        this.#onWritable(id);
        break;
    }
  }

  #onRequest(id: number, head: string, bytes: ArrayBuffer | undefined, complete: boolean): void {
    const exchange = new Exchange(id, () => request);
    this.#exchanges.set(id, exchange);
    const body: IncomingBody = { bytes, complete, stream: () => this.#bodyStream(exchange, bytes) };
    const request = incomingRequest(head, body, () => exchange.signal());
    this.#shard.turn(this.#handleTurn, { exchange, request });
  }

  /** In a turn of its own, so that what follows from it is known to be of this request. */
  readonly #handleTurn = ({ exchange, request }: { exchange: Exchange; request: Request }): void => {
    this.#shard.enter(undefined, ROOT, exchange);
    this.#shard.exchange.header[TURN_LABEL] = this.#fetchLabel;
    let result: unknown;
    try {
      result = this.#handle(request);
      const promise = asPromise(result);
      if (promise !== undefined) {
        promise.then(
          (response) => this.#respond(exchange, request, response),
          (error: unknown) => this.#fail(exchange, request, error),
        );
        return;
      }
    } catch (error) {
      this.#fail(exchange, request, error);
      return;
    }
    this.#respond(exchange, request, result);
  };

  // The request's body, when it is more than came with the head.

  #bodyStream(exchange: Exchange, first: ArrayBuffer | undefined): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          exchange.bodyStream = controller;
          if (first !== undefined) this.#enqueue(exchange, first, false);
          for (const part of exchange.early) this.#enqueue(exchange, part.bytes, part.complete);
          exchange.early = [];
          if (exchange.gone !== undefined) exchange.failBody(exchange.gone);
          else if (exchange.discards) exchange.failBody(bodyIsGone());
        },
        // Everything that was enqueued has been read: the front may send as much again.
        pull: () => this.#acknowledge(exchange),
        cancel: () => {
          exchange.bodyStream = undefined;
          exchange.discards = true;
          this.#acknowledge(exchange);
        },
      },
      { highWaterMark: 0 },
    );
  }

  #acknowledge(exchange: Exchange): void {
    if (exchange.unread === 0 || !this.#exchanges.has(exchange.id)) return;
    this.#server.consumed(exchange.id, exchange.unread);
    exchange.unread = 0;
    this.#shard.flushSoon();
  }

  #onBody(id: number, bytes: ArrayBuffer | undefined, complete: boolean): void {
    const exchange = this.#exchanges.get(id);
    if (exchange === undefined) return; // answered before the whole body came
    if (exchange.discards) {
      exchange.unread += bytes?.byteLength ?? 0;
      this.#acknowledge(exchange);
    } else if (exchange.bodyStream === undefined) {
      exchange.early.push({ bytes, complete });
    } else {
      this.#enqueue(exchange, bytes, complete);
    }
  }

  #enqueue(exchange: Exchange, bytes: ArrayBuffer | undefined, complete: boolean): void {
    if (bytes !== undefined) {
      exchange.unread += bytes.byteLength;
      exchange.bodyStream!.enqueue(new Uint8Array(bytes));
    }
    if (!complete) return;
    exchange.bodyStream!.close();
    exchange.bodyStream = undefined;
    exchange.discards = true;
  }

  #onCancel(id: number, why: string): void {
    const exchange = this.#exchanges.get(id);
    if (exchange === undefined) return;
    this.#exchanges.delete(id);
    if (this.#stopped !== undefined) this.#abandoned.push(describe(exchange.request()));
    exchange.gone = new DOMException(why, 'AbortError') as unknown as Error;
    exchange.failBody(exchange.gone);
    exchange.controller?.abort(exchange.gone);
    exchange.reader?.cancel(exchange.gone).catch(() => {});
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
      if (!isResponse(response)) throw new TypeError("Incorrect type for Promise: the Promise did not resolve to 'Response'.");
      outgoing = takeResponse(response);
    } catch (error) {
      this.#fail(exchange, request, error);
      return;
    }
    if (outgoing.body instanceof ReadableStream) void this.#stream(exchange, request, outgoing, outgoing.body);
    else this.#whole(exchange, outgoing.status, outgoing.head, outgoing.body);
  }

  #fail(exchange: Exchange, request: Request, error: unknown): void {
    if (isBadRequest(error)) {
      this.#whole(exchange, 400, '', error.message);
      return;
    }
    this.#shard.report(`${describe(request)} failed:`, error);
    this.#whole(exchange, 500, '', INTERNAL_ERROR);
  }

  #whole(exchange: Exchange, status: number, head: string, body: string | Uint8Array | undefined): void {
    if (this.#end(exchange)) this.#send(WHOLE, exchange, status, head, body);
  }

  /** The last part of the response is about to go; false when nobody waits for it. */
  #end(exchange: Exchange): boolean {
    if (!this.#exchanges.delete(exchange.id)) return false;
    // An error costs its stack trace: only for somebody who still reads.
    if (exchange.bodyStream !== undefined) exchange.failBody(bodyIsGone());
    exchange.discards = true;
    return true;
  }

  async #stream(exchange: Exchange, request: Request, outgoing: Outgoing, body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = body.getReader();
    exchange.reader = reader;
    try {
      if (exchange.gone === undefined) this.#send(HEAD, exchange, outgoing.status, outgoing.head, undefined);
      // What the body's own code makes of that is nobody's answer.
      if (exchange.gone !== undefined || request.method === 'HEAD') reader.cancel(exchange.gone).catch(() => {});
      else while (await this.#pump(exchange, reader));
    } catch (error) {
      reader.cancel(error).catch(() => {});
      if (this.#end(exchange)) {
        this.#shard.report(`${describe(request)}: the response's body failed:`, error);
        this.#send(ABORT, exchange, 0, undefined, undefined);
      }
      return;
    }
    if (this.#end(exchange)) this.#send(END, exchange, 0, undefined, undefined);
  }

  /** Sends one part of a body; false after the last one, or when the client is gone. */
  async #pump(exchange: Exchange, reader: ReadableStreamDefaultReader<Uint8Array>): Promise<boolean> {
    this.#shard.enter(undefined, ROOT, exchange);
    const { done, value } = await reader.read();
    if (done || exchange.gone !== undefined) return false;
    if (!(value instanceof Uint8Array)) throw new TypeError('This ReadableStream did not return bytes.');
    if (value.length === 0) return true;
    this.#send(CHUNK, exchange, 0, undefined, value);
    exchange.unacknowledged += value.length;
    if (exchange.unacknowledged > RESPONSE_BUFFER_BYTES_MAX)
      await new Promise<void>((resolve) => {
        exchange.writable = resolve;
      });
    return true;
  }

  /** Every output depends on what the code behind it has seen (rule 1); what it wrote is committed first. */
  #send(kind: number, exchange: Exchange, status: number, head: string | undefined, body: string | Uint8Array | undefined): void {
    this.#shard.commitAll();
    this.#server.respond(kind, exchange.id, status, this.#shard.dependsOn(exchange), head, body, this.#nextSink(exchange));
    if (++this.#unflushed >= FLUSH_RESPONSES) this.#shard.flush();
    else this.#shard.flushSoon();
  }

  /** Later requests like this one are better off on the shard that it has called: counted from 1; 0: here. */
  #nextSink({ calledShard }: Exchange): number {
    return calledShard < 0 || calledShard === this.#shard.index ? 0 : calledShard + 1;
  }

  #flush(): void {
    this.#unflushed = 0;
    if (!this.#closed) this.#server.flush();
  }
}

function describe(request: Request): string {
  try {
    return `${request.method} ${request.url}`;
  } catch {
    return request.method;
  }
}

/** Also of what cannot even be looked at: user code may throw a Proxy. */
function isBadRequest(error: unknown): error is BadRequest {
  try {
    return error instanceof BadRequest;
  } catch {
    return false;
  }
}

const bodyIsGone = (): TypeError => new TypeError('The response was sent before the body of the request had been read.');
