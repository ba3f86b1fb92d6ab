/**
 * What an object hands over instead of copying it: streams, and requests and responses with a stream as
 * their body. The object that feeds a stream stays in memory until it has ended, and what it sends
 * there obeys rule 3 like any message.
 */
import type { Instance } from './host.js';
import { isRequest, isResponse, withRequestBody, withResponseBody } from './http.js';

const { ReadableStream } = globalThis; // user code may replace the globals

type Bytes = ReadableStream<Uint8Array>;

/** A stream between the object that feeds it and whoever reads it. */
class Feed {
  readonly #reader: ReadableStreamDefaultReader<unknown>;
  readonly #from: Instance;
  readonly #release: () => void;
  readonly #forget: () => void;
  #lost: { error: unknown } | undefined;
  #ended = false;

  constructor(source: ReadableStream<unknown>, from: Instance) {
    this.#reader = source.getReader();
    this.#from = from;
    this.#release = from.hold();
    this.#forget = from.onReset((error) => {
      this.#lost = { error };
      this.cancel(error).catch(() => {});
    });
  }

  #end(): void {
    this.#ended = true;
    this.#release();
    this.#forget();
  }

  /** The next part, after the commit of the run that gave it; undefined at the end. */
  async read(): Promise<{ part: unknown } | undefined> {
    try {
      const { done, value } = await this.#reader.read();
      this.#from.host.shard.commitAll();
      if (this.#lost !== undefined) throw this.#lost.error;
      if (!done) return { part: value };
    } catch (error) {
      this.#end();
      throw this.#lost === undefined ? error : this.#lost.error;
    }
    this.#end();
    return undefined;
  }

  /** Nobody reads any more. */
  cancel(reason: unknown): Promise<void> {
    if (this.#ended) return Promise.resolve();
    this.#end();
    return this.#reader.cancel(reason);
  }
}

/** A stream that is dropped before its end is as good as cancelled. */
const dropped = new FinalizationRegistry<Feed>((feed) => void feed.cancel(new Error('Nobody reads this stream any more.')).catch(() => {}));

function isByteStream(stream: ReadableStream<unknown>): boolean {
  try {
    (stream as Bytes).getReader({ mode: 'byob' }).releaseLock();
    return true;
  } catch {
    return false;
  }
}

function feed(source: ReadableStream<unknown>, from: Instance): ReadableStream<unknown> {
  const bytes = isByteStream(source);
  const feed = new Feed(source, from);
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
  const cancel = (reason: unknown): Promise<void> => feed.cancel(reason);
  const stream = bytes ? new ReadableStream({ type: 'bytes', pull, cancel }) : new ReadableStream<unknown>({ pull, cancel }, { highWaterMark: 0 });
  dropped.register(stream, feed);
  return stream;
}

/** `value` for another object or the outside, where `from` is the object whose code gives it. */
export function handOver(value: unknown, from: Instance): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof ReadableStream) return value.locked ? value : feed(value as ReadableStream<unknown>, from);
  if (isResponse(value)) return withResponseBody(value, (body) => feed(body, from) as Bytes);
  if (isRequest(value)) return withRequestBody(value, (body) => feed(body, from) as Bytes);
  return value;
}
