/**
 * What an object hands over instead of copying it: streams, and requests and responses with a stream as
 * their body. The object that feeds a stream stays in memory until it has ended, and what it sends
 * there obeys rule 3 like any message.
 */
import type { Instance } from './host.js';
import { isRequest, isResponse, withRequestBody, withResponseBody } from './http.js';
import { ROOT } from './sections.js';
import type { Place, Shard } from './shard.js';

const { ReadableStream } = globalThis; // user code may replace the globals

type Bytes = ReadableStream<Uint8Array>;

/** The next part of a stream; undefined at its end. */
export type Part = { part: unknown } | undefined;

/** What a stream is read from. */
export interface StreamSource {
  /** The next part, for code that runs in a turn of the reader's. */
  read(): Promise<Part>;
  /** Nobody reads any more; whoever feeds it sees what the reason depends on. */
  cancel(reason: unknown, seenLsn?: number): Promise<void>;
  /** Of the reader. */
  readonly shard: Shard;
}

/**
 * Parts of a body that are read before somebody asks for them: one that was made of text or bytes is at
 * its end then, so that it keeps no object although nobody reads it.
 */
export const BODY_READ_AHEAD = 1;

/** A stream between whoever feeds it, an object or the Worker, and whoever reads it. Each side's code runs in turns of its own. */
export class Feed implements StreamSource {
  readonly #reader: ReadableStreamDefaultReader<unknown>;
  readonly #from: Place;
  readonly #release: (() => void) | undefined;
  readonly #forget: (() => void) | undefined;
  #lost: { error: unknown } | undefined;
  #ended = false;
  /** What was read ahead, in order. */
  readonly #ahead: Promise<Part>[] = [];

  /** Reads `ahead` parts before anybody asks for them. */
  constructor(source: ReadableStream<unknown>, readonly shard: Shard, from: Place, ahead: number) {
    this.#reader = source.getReader();
    this.#from = from;
    this.#release = from.sender?.hold();
    this.#forget = from.sender?.onReset((error) => {
      this.#lost = { error };
      void this.cancel(error);
    });
    this.#reader.closed.then(
      () => this.#end(),
      () => {}, // read() throws it
    );
    for (let i = 0; i < ahead; i++) {
      const next = this.#next();
      next.catch(() => {}); // whoever reads gets it
      this.#ahead.push(next);
    }
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#release?.();
    this.#forget?.();
  }

  async read(): Promise<Part> {
    const shard = this.shard;
    const reader = shard.place();
    try {
      return await this.take();
    } finally {
      await shard.turnOf(reader);
      reader.observer.observe(this.seenLsn);
    }
  }

  /** The next part, after the commit of the run that gave it, in no turn of anybody's. */
  take(): Promise<Part> {
    return this.#ahead.shift() ?? this.#next();
  }

  /** What those parts depend on that were given so far. */
  get seenLsn(): number {
    return this.shard.dependsOn(this.#from.observer);
  }

  async #next(): Promise<Part> {
    const shard = this.shard;
    try {
      await shard.turnOf(this.#from);
      const { done, value } = await this.#reader.read();
      shard.commitAll();
      if (this.#lost !== undefined) throw this.#lost.error;
      if (!done) return { part: value };
    } catch (error) {
      this.#end();
      throw this.#lost === undefined ? error : this.#lost.error;
    }
    this.#end();
    return undefined;
  }

  /** Nobody reads any more. What the object's own code makes of that is nobody's answer. */
  async cancel(reason: unknown, seenLsn = 0): Promise<void> {
    if (this.#ended) return;
    this.#end();
    await this.shard.turnOf(this.#from);
    this.#from.observer.observe(seenLsn);
    this.#reader.cancel(reason).catch(() => {});
  }
}

export const nobodyReads = (): Error => new Error('Nobody reads this stream any more.');

/** A stream that is dropped before its end is as good as cancelled. */
const dropped = new FinalizationRegistry<StreamSource>((feed) => void feed.cancel(nobodyReads()));

/** The feeds of requests that were handed over. */
const bodies = new WeakMap<Request, StreamSource>();

export function isByteStream(stream: ReadableStream<unknown>): boolean {
  try {
    (stream as Bytes).getReader({ mode: 'byob' }).releaseLock();
    return true;
  } catch {
    return false;
  }
}

/** The reader's code cancels: the reason is a message like any other. */
async function sendCancel(feed: StreamSource, reason: unknown): Promise<void> {
  const { shard } = feed;
  const departure = { ...shard.place(), task: shard.task() };
  await new Promise<void>((leave) => shard.turn(leave, undefined));
  let why = reason;
  try {
    shard.checkDeparture(departure);
  } catch (lost) {
    why = lost;
  }
  await feed.cancel(why, shard.dependsOn(departure.observer));
  await shard.turnOf(departure);
}

/** The reader's end of `feed`. */
export function fedStream(bytes: boolean, feed: StreamSource): ReadableStream<unknown> {
  const pull = async (controller: ReadableStreamDefaultController<unknown> | ReadableByteStreamController): Promise<void> => {
    let next = await feed.read();
    // A byte stream has no empty parts.
    while (bytes && next !== undefined && (next.part as Uint8Array).byteLength === 0) next = await feed.read();
    if (next !== undefined) {
      controller.enqueue(next.part as Uint8Array<ArrayBuffer>);
      return;
    }
    controller.close();
    (controller as Partial<ReadableByteStreamController>).byobRequest?.respond(0);
  };
  const cancel = (reason: unknown): Promise<void> => sendCancel(feed, reason);
  const stream = bytes ? new ReadableStream({ type: 'bytes', pull, cancel }) : new ReadableStream<unknown>({ pull, cancel }, { highWaterMark: 0 });
  dropped.register(stream, feed);
  return stream;
}

/** Code of `from` that runs now. */
export function placeOf(from: Instance): Place {
  const { shard } = from.host;
  return { sender: from, section: shard.current === from ? shard.section : ROOT, observer: from };
}

function fedBody(source: Bytes, from: Instance, note?: (feed: Feed) => void): Bytes {
  const bytes = isByteStream(source);
  const feed = new Feed(source, from.host.shard, placeOf(from), BODY_READ_AHEAD);
  note?.(feed);
  return fedStream(bytes, feed) as Bytes;
}

/** `value` for another object or the outside, where `from` is the object whose code gives it. */
export function handOver(value: unknown, from: Instance): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof ReadableStream) return value.locked ? value : fedStream(isByteStream(value), new Feed(value as ReadableStream<unknown>, from.host.shard, placeOf(from), 0));
  if (isResponse(value)) return withResponseBody(value, (body) => fedBody(body, from));
  if (isRequest(value)) return handOverRequest(value, from);
  return value;
}

function handOverRequest(request: Request, from: Instance): Request {
  let feed: Feed | undefined;
  const handed = withRequestBody(request, (body) => fedBody(body, from, (made) => (feed = made)));
  if (feed !== undefined) noteBody(handed, feed);
  return handed;
}

/** The body of `request` comes from `source`. */
export function noteBody(request: Request, source: StreamSource): void {
  bodies.set(request, source);
}

/** The request is answered: a body that nobody has begun to read keeps nobody. */
export function endUnread(request: Request): void {
  if (request.bodyUsed || request.body?.locked !== false) return;
  void bodies.get(request)?.cancel(new Error('The request was answered before its body was read.'));
}
