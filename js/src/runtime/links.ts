/**
 * Calls between objects on different threads. Each pair of shards has one channel; what a shard sends to
 * another arrives there in order, and what has gathered in one turn of the event loop goes as one
 * message. With everything goes the LSN that it depends on.
 */
import type { MessagePort } from 'node:worker_threads';
import { endUnread, type Feed, nobodyReads, type Part, placeOf, type StreamSource } from './handover.js';
import type { Delivery, Instance, ObjectHost } from './host.js';
import { callFetch, callMethod, checkResponse, readProperty } from './invoke.js';
import type { Identity } from './ids.js';
import { type Parcel, pack, packError, packPart, type StreamExchange, streamsIn, unpack } from './parcel.js';
import { ROOT } from './sections.js';
import type { Shard } from './shard.js';
import { withoutObjectId } from './values.js';

/** What a call does. */
export const METHOD = 0;
export const PROPERTY = 1;
export const FETCH = 2;
export type CallKind = typeof METHOD | typeof PROPERTY | typeof FETCH;

/** A call, as the shard of its caller has it. */
export interface OutgoingCall {
  readonly kind: CallKind;
  /** The method or property; '' for fetch(). */
  readonly name: string;
  /** The arguments of a method, or the request. */
  readonly parcel: Parcel;
  seenLsn: number;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  resetSeen(resetAt: number): void;
}

/** What is said over a link; the first member of each message. */
const CALL = 0;
const OUTCOME = 1;
const PULL = 2;
const PART = 3;
const END = 4;
const FAILED = 5;
const CANCEL = 6;

type Message = [kind: number, number: number, ...rest: unknown[]];
type LeftStream = StreamSource & { take: Feed['take']; readonly seenLsn: number };

const deliverTurn = (call: IncomingCall): void => call.deliver();

/** A call, as the shard of its object has it. */
class IncomingCall implements Delivery {
  #request: Request | undefined;
  #resetAt: number | undefined;
  #opened = false;
  #passed: Parcel;

  constructor(
    readonly link: Link,
    readonly number: number,
    readonly namespace: number,
    readonly hexId: string,
    readonly objectName: string | undefined,
    readonly kind: CallKind,
    readonly name: string,
    readonly parcel: Parcel,
    public seenLsn: number,
    readonly stubResetAt: number,
  ) {}

  get isFetch(): boolean {
    return this.kind === FETCH;
  }

  deliver(): void {
    const { shard } = this.link;
    try {
      const host = shard.namespaceOf(this.namespace).hostOf(this.hexId, this.objectName);
      if (host.resetAt <= this.stubResetAt) {
        host.deliver(this);
        return;
      }
      this.seenLsn = shard.dependsOn(shard.elsewhere);
      this.resetSeen(host.resetAt);
      this.reject(host.refusal());
    } catch (error) {
      this.reject(error);
    }
  }

  run(instance: object, host: ObjectHost): unknown {
    const { kind, name, link } = this;
    this.#opened = true;
    const passed = unpack(this.parcel, link);
    if (kind === METHOD) return callMethod(host, instance, name, passed as unknown[]);
    if (kind === PROPERTY) return readProperty(host, instance, name);
    this.#request = passed as Request;
    return callFetch(host, instance, this.#request);
  }

  pass(result: unknown, from: Instance): Parcel {
    return (this.#passed = this.#pack(result, from));
  }

  #pack(result: unknown, from: Instance): Parcel {
    const giver = placeOf(from);
    if (this.kind === FETCH) return pack(checkResponse(result), this.link, giver);
    try {
      return pack(result, this.link, giver);
    } catch (thrown) {
      throw withoutObjectId(thrown);
    }
  }

  resetSeen(resetAt: number): void {
    this.#resetAt = resetAt;
  }

  resolve(parcel: Parcel): void {
    this.#answer(true, parcel);
  }

  reject(error: unknown): void {
    if (!this.#opened) this.link.discard(this.parcel);
    this.link.withdraw(this.#passed);
    this.#answer(false, packError(error));
  }

  #answer(succeeded: boolean, parcel: Parcel): void {
    this.link.send([OUTCOME, this.number, succeeded, parcel, this.seenLsn, this.#resetAt]);
    if (this.#request !== undefined) endUnread(this.#request);
  }
}

/** Who waits for a part of a stream on the other side. */
interface Reader {
  resolve(part: Part): void;
  reject(error: unknown): void;
}

/** A stream that is fed on another thread. */
class RemoteSource implements StreamSource {
  #seenLsn = 0;
  #ended: Promise<Part> | undefined;

  constructor(
    readonly link: Link,
    readonly number: number,
  ) {}

  get shard(): Shard {
    return this.link.shard;
  }

  async read(): Promise<Part> {
    const { shard } = this.link;
    const reader = shard.place();
    try {
      return await (this.#ended ?? this.#pull());
    } finally {
      await shard.turnOf(reader);
      reader.observer.observe(this.#seenLsn);
    }
  }

  #pull(): Promise<Part> {
    return new Promise((resolve, reject) => {
      this.link.readers.set(this.number, { resolve, reject, source: this });
      this.link.send([PULL, this.number]);
    });
  }

  /** What was sent depends on so much. */
  seen(lsn: number): void {
    this.#seenLsn = Math.max(this.#seenLsn, lsn);
  }

  end(): void {
    this.#ended = Promise.resolve(undefined);
  }

  cancel(reason: unknown, seenLsn = 0): Promise<void> {
    if (this.#ended === undefined) {
      this.end();
      this.link.send([CANCEL, this.number, packError(reason), seenLsn]);
    }
    return Promise.resolve();
  }
}

/** The way to one other shard. One thread. */
export class Link implements StreamExchange {
  readonly #port: MessagePort;
  #outbox: Message[] = [];
  #last = 0;
  readonly #calls = new Map<number, OutgoingCall>();
  /** What the other side reads from here. */
  readonly #left = new Map<number, LeftStream>();
  /** What is read from the other side, and is waited for. */
  readonly readers = new Map<number, Reader & { source: RemoteSource }>();

  constructor(
    readonly shard: Shard,
    /** Of the other shard. */
    readonly index: number,
    port: MessagePort,
  ) {
    this.#port = port;
  }

  /** What the other side has sent is handled from now on. */
  open(): void {
    this.#port.on('message', (batch: Message[]) => this.#receive(batch));
    this.#port.unref();
  }

  send(message: Message): void {
    if (this.#outbox.push(message) === 1) this.shard.flushSoon();
  }

  /** What has gathered leaves as one message. */
  flush(): void {
    const batch = this.#outbox;
    if (batch.length === 0) return;
    this.#outbox = [];
    try {
      this.#port.postMessage(batch);
    } catch {
      // One of them is what no message can carry: user code can make a Request of a class of its own say anything.
      for (const message of batch) this.#sendAlone(message);
    }
  }

  #sendAlone(message: Message): void {
    try {
      this.#port.postMessage([message]);
    } catch (error) {
      this.#failed(message, error);
    }
  }

  /** Who waits for what could not be sent gets the error. */
  #failed([kind, number, ...rest]: Message, error: unknown): void {
    if (kind === CALL) {
      const call = this.#calls.get(number)!;
      this.#calls.delete(number);
      this.withdraw(call.parcel);
      call.reject(error);
    } else if (kind === OUTCOME) {
      const [, parcel, ...seen] = rest;
      this.withdraw(parcel);
      this.#sendAlone([OUTCOME, number, false, packError(error), ...seen]);
    } else {
      void this.#left.get(number)?.cancel(error);
      this.#left.delete(number);
      this.#sendAlone([FAILED, number, rest[0], packError(error)]);
    }
  }

  /** In a turn after the code that makes the call, with what that has written committed. */
  call(call: OutgoingCall, { namespace, hex, name }: Identity, stubResetAt: number): void {
    const number = ++this.#last;
    this.#calls.set(number, call);
    this.send([CALL, number, namespace, hex, name, call.kind, call.name, call.parcel, call.seenLsn, stubResetAt]);
  }

  leave(stream: LeftStream): number {
    const number = ++this.#last;
    this.#left.set(number, stream);
    return number;
  }

  withdraw(parcel: Parcel): void {
    for (const number of streamsIn(parcel)) {
      void this.#left.get(number)?.cancel(nobodyReads());
      this.#left.delete(number);
    }
  }

  source(stream: number): StreamSource {
    return new RemoteSource(this, stream);
  }

  /** A parcel of the other side that nobody will open. */
  discard(parcel: Parcel): void {
    for (const number of streamsIn(parcel)) void this.source(number).cancel(nobodyReads());
  }

  close(): void {
    this.#port.close();
  }

  #receive(batch: Message[]): void {
    for (const message of batch) {
      try {
        this.#handle(message);
      } catch (error) {
        // The next messages belong to others.
        this.shard.report('A message between two threads could not be handled:', error);
      }
    }
  }

  #handle([kind, number, ...rest]: Message): void {
    switch (kind) {
      case CALL: {
        const [namespace, hexId, name, callKind, member, parcel, lsn, resetAt] = rest as [number, string, string | undefined, CallKind, string, Parcel, number, number];
        this.shard.turn(deliverTurn, new IncomingCall(this, number, namespace, hexId, name, callKind, member, parcel, lsn, resetAt));
        break;
      }
      case OUTCOME:
        this.#settle(number, rest as [boolean, Parcel, number, number | undefined]);
        break;
      case PULL:
        void this.#give(number);
        break;
      case CANCEL:
        void this.#left.get(number)?.cancel(unpack(rest[0], this), rest[1] as number);
        this.#left.delete(number);
        break;
      default:
        this.#read(kind, number, rest as [number, Parcel]);
    }
  }

  #settle(number: number, [succeeded, parcel, lsn, resetAt]: [boolean, Parcel, number, number | undefined]): void {
    const call = this.#calls.get(number)!;
    this.#calls.delete(number);
    call.seenLsn = lsn;
    if (resetAt !== undefined) call.resetSeen(resetAt);
    let outcome: unknown;
    try {
      outcome = unpack(parcel, this);
    } catch (error) {
      call.reject(error);
      return;
    }
    if (succeeded) call.resolve(outcome);
    else call.reject(outcome);
  }

  /** Sends the next part of a stream that was left here. */
  async #give(number: number): Promise<void> {
    const stream = this.#left.get(number);
    if (stream === undefined) return; // cancelled meanwhile
    let next: Part;
    try {
      next = await stream.take();
      if (next !== undefined) {
        const giver = { sender: undefined, section: ROOT, observer: this.shard.elsewhere };
        this.send([PART, number, stream.seenLsn, packPart(next.part, this, giver)]);
        return;
      }
    } catch (error) {
      this.#left.delete(number);
      void stream.cancel(error); // it was the part that could not go
      this.send([FAILED, number, stream.seenLsn, packError(error)]);
      return;
    }
    this.#left.delete(number);
    this.send([END, number, stream.seenLsn]);
  }

  /** What has come of a stream of the other side. */
  #read(kind: number, number: number, [lsn, parcel]: [number, Parcel]): void {
    const reader = this.readers.get(number);
    if (reader === undefined) return;
    this.readers.delete(number);
    reader.source.seen(lsn);
    if (kind === PART) {
      reader.resolve({ part: unpack(parcel, this) });
      return;
    }
    reader.source.end();
    if (kind === END) reader.resolve(undefined);
    else reader.reject(unpack(parcel, this));
  }
}
