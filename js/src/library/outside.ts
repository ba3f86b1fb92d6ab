/** Calls from outside any object: what comes of them leaves the process, so it waits for the disk (rule 1). */
import type { OutsideCall, OutsideCaller } from '../runtime/namespace.js';
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

  async call(call: OutsideCall): Promise<unknown> {
    if (this.#refusal !== undefined) throw new Error(this.#refusal);
    this.#inFlight++;
    try {
      return this.#held(await this.#outcome(() => call.send(), () => call.seenLsn));
    } finally {
      if (--this.#inFlight === 0) this.#whenQuiet?.();
    }
  }

  /** An error tells of what its object has seen as much as a result does. */
  async #outcome(send: () => Promise<unknown>, seenLsn: () => number): Promise<unknown> {
    try {
      return await send();
    } finally {
      if (!this.#closed) await this.#shard.durable(seenLsn());
    }
  }

  /** What may be known of by whoever reads a stream: it does not say which object has fed it. */
  readonly #seenByAnybody = (): number => {
    this.#shard.commitAll();
    return this.#shard.dependsOn(this.#shard.elsewhere);
  };

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
          const { done, value } = (await this.#outcome(() => reader.read(), this.#seenByAnybody)) as { done: boolean; value: T };
          if (done) controller.close();
          else controller.enqueue(value);
        },
        cancel: (reason) => this.#outcome(() => reader.cancel(reason), this.#seenByAnybody) as Promise<void>,
      },
      { highWaterMark: 0 },
    );
  }
}
