/** Calls from outside any object: what comes of them leaves the process, so it waits for the disk (rule 1). */
import type { OutsideCaller } from '../runtime/namespace.js';
import type { Shard } from '../runtime/shard.js';

export class Outside implements OutsideCaller {
  readonly #shard: Shard;
  #refusal: string | undefined;
  #inFlight = 0;
  /** The registry is closed, and with it everything is durable. */
  #closed = false;
  #whenQuiet: (() => void) | undefined;

  constructor(shard: Shard) {
    this.#shard = shard;
  }

  /** From now on every call is refused with `message`; those in flight go on. */
  refuse(message: string): void {
    this.#refusal = message;
  }

  /** Resolves when no call is in flight. */
  quiet(): Promise<void> {
    if (this.#inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenQuiet = resolve;
    });
  }

  closed(): void {
    this.#closed = true;
  }

  async call(send: () => Promise<unknown>): Promise<unknown> {
    if (this.#refusal !== undefined) throw new Error(this.#refusal);
    this.#inFlight++;
    try {
      return this.#held(await this.#outcome(send));
    } finally {
      if (--this.#inFlight === 0) this.#whenQuiet?.();
    }
  }

  /** An error tells of what its object has seen as much as a result does. */
  async #outcome(send: () => Promise<unknown>): Promise<unknown> {
    try {
      return await send();
    } finally {
      await this.#durable();
    }
  }

  /** Resolves when everything that code of the registry has seen and written is durable. */
  async #durable(): Promise<void> {
    if (this.#closed) return;
    this.#shard.commitAll();
    await this.#shard.durable(this.#shard.observedLsn);
  }

  /** What is read from later is held back later. */
  #held(value: unknown): unknown {
    if (value instanceof ReadableStream) return this.#heldStream(value as ReadableStream<unknown>);
    if (value instanceof Response && value.body !== null) {
      const { status, statusText, headers } = value;
      return new Response(this.#heldStream(value.body), { status, statusText, headers });
    }
    if (value instanceof Request && value.body !== null)
      return new Request(value, { body: this.#heldStream(value.body), duplex: 'half' } as RequestInit);
    return value;
  }

  #heldStream<T>(stream: ReadableStream<T>): ReadableStream<T> {
    const reader = stream.getReader();
    return new ReadableStream<T>(
      {
        pull: async (controller) => {
          const { done, value } = (await this.#outcome(() => reader.read())) as { done: boolean; value: T };
          if (done) controller.close();
          else controller.enqueue(value);
        },
        cancel: (reason) => this.#outcome(() => reader.cancel(reason)) as Promise<void>,
      },
      { highWaterMark: 0 },
    );
  }
}
