/**
 * What is passed between objects on different threads, as data that a message can carry. A value is
 * written once, here, and read once, there; what can be used once (a stream, a body) stays where it is
 * and is read over the link.
 */
import { BODY_READ_AHEAD, Feed, fedStream, isByteStream, noteBody, type StreamSource } from './handover.js';
import { incomingRequest, isRequest, isResponse, makeRequest, realRequest, receivedResponse, takeResponse, takeWholeRequest } from './http.js';
import type { Place, Shard } from './shard.js';
import { errorParts, makeError } from './errors.js';
import { decodeValue, encodePassed, isHandedOver, isPrimitive, passThrown, withoutObjectId } from './values.js';

const { AbortController, ArrayBuffer, Error, Headers, ReadableStream, Uint8Array } = globalThis; // user code may replace the globals

/** What a parcel that is no primitive holds. */
const JSON_TEXT = 0;
const CLONE = 1;
const HEADERS = 2;
const STREAM = 3;
const RESPONSE = 4;
const WHOLE_REQUEST = 5;
const REQUEST = 6;
const ITEMS = 7;
const BYTES = 8;
const THROWN = 9;

/** What the runtime says of what was thrown; a clone keeps own members of few things. */
const MARKS = ['durableObjectId', 'durableObjectReset', 'overloaded', 'remote'] as const;

/** A primitive, or [what it is, …]. */
export type Parcel = unknown;

/** A body: none, one that was read already, text, bytes, or [number of the stream]. */
type BodyParcel = undefined | true | string | Uint8Array | [number];

/** Where streams are left for the other thread to read, and where those that it has left are read. */
export interface StreamExchange {
  readonly shard: Shard;
  /** -> its number */
  leave(stream: StreamSource & { take: Feed['take']; readonly seenLsn: number }): number;
  /** The parcel is not sent: nobody will read the streams that were left for it. */
  withdraw(parcel: Parcel): void;
  source(stream: number): StreamSource;
}

const isPlain = (value: unknown): boolean => isPrimitive(value) && typeof value !== 'symbol';

/** Throws DataCloneError as passValue() does. */
export function pack(value: unknown, streams: StreamExchange, giver: Place): Parcel {
  if (isPlain(value)) return value;
  if (isHandedOver(value)) return packHandedOver(value as object, streams, giver);
  const written = encodePassed(value);
  return [typeof written === 'string' ? JSON_TEXT : CLONE, written];
}

/** As passArguments(): plain data shares one clone, so that identities hold. */
export function packArguments(values: unknown[], streams: StreamExchange, giver: Place): Parcel {
  const copied = values.filter((value) => !isPlain(value)).length;
  if (copied > 1 && !values.some(isHandedOver)) return pack(values, streams, giver);
  const items: Parcel[] = [];
  try {
    for (const value of values) items.push(pack(value, streams, giver));
  } catch (error) {
    streams.withdraw([ITEMS, items]);
    throw error;
  }
  return [ITEMS, items];
}

/** The numbers of the streams that were left for a parcel. */
export function streamsIn(parcel: Parcel): number[] {
  if (!Array.isArray(parcel)) return [];
  const parts = parcel as unknown[];
  switch (parts[0]) {
    case STREAM:
      return [parts[1] as number];
    case RESPONSE:
      return Array.isArray(parts[3]) ? (parts[3] as number[]) : [];
    case REQUEST:
      return Array.isArray(parts[5]) ? (parts[5] as number[]) : [];
    case ITEMS:
      return (parts[1] as Parcel[]).flatMap(streamsIn);
    default:
      return [];
  }
}

/** The copy of an error that has been made for its caller. */
export function packError(error: unknown): Parcel {
  if (isPlain(error)) return error;
  for (const copy of [(thrown: unknown) => thrown, bare]) {
    try {
      return [THROWN, encodePassed(copy(error)), marksOf(error as object)];
    } catch {
      // with less of it, then
    }
  }
  return [THROWN, encodePassed(new Error('Something was thrown that cannot be passed on.')), {}];
}

/** Without the members that only a copy within one thread can have. */
function bare(thrown: unknown): unknown {
  if (!(thrown instanceof Error)) return passThrown(thrown, {});
  const copy = makeError(errorParts(thrown));
  if (copy.name !== thrown.name) copy.name = String(thrown.name);
  return copy;
}

function marksOf(thrown: object): Record<string, unknown> {
  const marks: Record<string, unknown> = {};
  for (const mark of MARKS) {
    const value = Object.getOwnPropertyDescriptor(thrown, mark)?.value as unknown;
    if (isPlain(value) && value !== undefined) marks[mark] = value;
  }
  return marks;
}

/** A part of a stream. */
export function packPart(part: unknown, streams: StreamExchange, giver: Place): Parcel {
  if (!(part instanceof Uint8Array)) return pack(part, streams, giver);
  // A message would carry all of the memory that the part is a view of, or share it.
  return [BYTES, part.byteLength === part.buffer.byteLength && part.buffer instanceof ArrayBuffer ? part : new Uint8Array(part)];
}

export function unpack(parcel: Parcel, streams: StreamExchange): unknown {
  if (!Array.isArray(parcel)) return parcel;
  const parts = parcel as unknown[];
  switch (parts[0]) {
    case JSON_TEXT:
    case CLONE:
      return decode(parts[1] as string | Uint8Array);
    case BYTES:
      return parts[1];
    case THROWN:
      return Object.assign(decode(parts[1] as string | Uint8Array) as object, parts[2]);
    case HEADERS:
      return new Headers(parts[1] as [string, string][]);
    case STREAM:
      return fedStream(parts[2] as boolean, streams.source(parts[1] as number));
    case RESPONSE:
      return unpackResponse(parts, streams);
    case WHOLE_REQUEST:
      return unpackWholeRequest(parts);
    case REQUEST:
      return unpackRequest(parts, streams);
    default:
      return (parts[1] as Parcel[]).map((each) => unpack(each, streams));
  }
}

function decode(written: string | Uint8Array): unknown {
  if (typeof written === 'string') return decodeValue(written);
  return decodeValue(written.buffer.slice(written.byteOffset, written.byteOffset + written.byteLength) as ArrayBuffer);
}

function packHandedOver(value: object, streams: StreamExchange, giver: Place): Parcel {
  if (isResponse(value)) return packResponse(value, streams, giver);
  if (isRequest(value)) return packRequest(value, streams, giver);
  if (value instanceof Headers) return [HEADERS, [...value]];
  const stream = value as ReadableStream<unknown>;
  if (stream.locked) throw withoutObjectId(new TypeError('The ReadableStream has been locked to a reader.'));
  const bytes = isByteStream(stream);
  return [STREAM, streams.leave(new Feed(stream, streams.shard, giver, 0)), bytes];
}

function leaveBody(body: ReadableStream<Uint8Array>, streams: StreamExchange, giver: Place): [number] {
  return [streams.leave(new Feed(body, streams.shard, giver, BODY_READ_AHEAD))];
}

// Responses.

function packResponse(response: Response, streams: StreamExchange, giver: Place): Parcel {
  const { status, head, body } = takeResponse(response);
  const parcel: BodyParcel = body instanceof ReadableStream ? leaveBody(body, streams, giver) : body;
  return [RESPONSE, status, head, parcel];
}

function unpackResponse([, status, head, body]: unknown[], streams: StreamExchange): Response {
  return receivedResponse({
    status: status as number,
    head: head as string,
    body: Array.isArray(body) ? (fedStream(true, streams.source(body[0] as number)) as ReadableStream<Uint8Array>) : (body as string | Uint8Array | undefined),
  });
}

// Requests.

function packRequest(request: Request, streams: StreamExchange, giver: Place): Parcel {
  const whole = takeWholeRequest(request);
  if (whole !== undefined) return [WHOLE_REQUEST, whole.head, whole.bytes];
  const { bodyUsed } = request; // one that came in forgets a body that was read
  const { method, url, headers, redirect, body } = realRequest(request);
  const cf = pack((request as { cf?: unknown }).cf, streams, giver);
  let parcel: BodyParcel;
  if (bodyUsed || body?.locked === true) parcel = true;
  else if (body !== null) parcel = leaveBody(body as ReadableStream<Uint8Array>, streams, giver);
  return [REQUEST, method, url, [...headers], redirect, parcel, cf];
}

const neverAborted = (): AbortSignal => new AbortController().signal;

function unpackWholeRequest([, head, bytes]: unknown[]): Request {
  const stream = (): never => {
    throw new TypeError('The body of this request is here as a whole.');
  };
  return incomingRequest(head as string, { bytes: bytes as ArrayBuffer | undefined, complete: true, stream }, neverAborted);
}

function unpackRequest([, method, url, headers, redirect, body, cf]: unknown[], streams: StreamExchange): Request {
  const init = { method: method as string, headers: headers as [string, string][], redirect: redirect as 'manual', cf: unpack(cf, streams) };
  const takesBody = method !== 'GET' && method !== 'HEAD';
  if (body === undefined || !takesBody) return makeRequest(url as string, init);
  if (body === true) {
    const request = makeRequest(url as string, { ...init, body: '' });
    void request.body?.cancel();
    return request;
  }
  const source = streams.source((body as [number])[0]);
  const request = makeRequest(url as string, { ...init, body: fedStream(true, source) as ReadableStream<Uint8Array> });
  noteBody(request, source);
  return request;
}
