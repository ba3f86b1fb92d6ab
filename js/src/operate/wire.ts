/**
 * What goes over the admin socket: the answer to a request is a row of frames, each a kind (1 byte), the
 * length of its content (4 bytes, little-endian) and the content. The last one is END or FAILED; without it the
 * answer was cut off.
 */
import { type ErrorKind, OperateError } from './error.js';
import { tellsDamage } from './verify.js';

const PART = 1;
const BYTES = 2;
const END = 3;
const FAILED = 4;
/** A part with values that JSON does not have. */
const TAGGED = 5;
const HEAD_BYTES = 5;
/** Content of one frame: a batch of rows ends before 256 KiB, but one row may have 100 columns of 2 MiB. */
const FRAME_BYTES_MAX = 512 << 20;

/** What JSON does not have. */
const BIGINT = '$bigint';
const BINARY = '$bytes';
const NUMBER = '$number';

function replaced(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return { [BIGINT]: String(value) };
  if (value instanceof ArrayBuffer) return { [BINARY]: Buffer.from(value).toString('base64') };
  if (typeof value === 'number' && !Number.isFinite(value)) return { [NUMBER]: String(value) };
  return value;
}

function revived(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const { [BIGINT]: bigint, [BINARY]: binary, [NUMBER]: number } = value as Record<string, string | undefined>;
  if (bigint !== undefined) return BigInt(bigint);
  if (number !== undefined) return Number(number);
  return binary === undefined ? value : new Uint8Array(Buffer.from(binary, 'base64')).buffer;
}

/** Whether JSON has it: most parts need no look at each of their values, which costs five times as much. */
function isJson(value: unknown): boolean {
  switch (typeof value) {
    case 'bigint':
      return false;
    case 'number':
      return Number.isFinite(value);
    case 'object':
      if (value === null) return true;
      if (Array.isArray(value)) return value.every(isJson);
      return !(value instanceof ArrayBuffer) && Object.values(value).every(isJson);
    default:
      return true;
  }
}

function frame(kind: number, content: Uint8Array): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head[0] = kind;
  head.writeUInt32LE(content.length, 1);
  return Buffer.concat([head, content]);
}

export function partFrame(part: unknown): Buffer {
  if (part instanceof Uint8Array) return frame(BYTES, part);
  return isJson(part) ? frame(PART, Buffer.from(JSON.stringify(part))) : frame(TAGGED, Buffer.from(JSON.stringify(part, replaced)));
}
export const endFrame = (): Buffer => frame(END, Buffer.alloc(0));
export function failedFrame(error: unknown): Buffer {
  const kind: ErrorKind = error instanceof OperateError ? error.kind : tellsDamage(error) ? 'damaged' : 'failed';
  return frame(FAILED, Buffer.from(JSON.stringify({ kind, message: (error as Error).message })));
}

/** The parts in a stream of frames. Throws OperateError for what has failed on the other side. */
export async function* partsOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  let chunks: Uint8Array[] = [];
  let gathered = 0;
  let wanted = HEAD_BYTES;
  for await (const chunk of stream) {
    chunks.push(chunk);
    gathered += chunk.length;
    if (gathered < wanted) continue;
    let rest = Buffer.concat(chunks);
    while (rest.length >= (wanted = frameBytes(rest))) {
      const kind = rest[0];
      const content = rest.subarray(HEAD_BYTES, wanted);
      rest = rest.subarray(wanted);
      if (kind === PART) yield JSON.parse(content.toString());
      else if (kind === TAGGED) yield JSON.parse(content.toString(), revived);
      else if (kind === BYTES) yield content;
      else if (kind === FAILED) throw failure(content.toString());
      else return;
    }
    chunks = [rest];
    gathered = rest.length;
  }
  throw new OperateError('The server has ended before it had answered.', 'unavailable');
}

/** Of the first frame; of its head, when that is not all there. */
function frameBytes(buffer: Buffer): number {
  if (buffer.length < HEAD_BYTES) return HEAD_BYTES;
  const bytes = HEAD_BYTES + buffer.readUInt32LE(1);
  if (bytes > FRAME_BYTES_MAX) throw new OperateError('The server has sent what this version of perdure does not understand.');
  return bytes;
}

function failure(text: string): OperateError {
  const { kind, message } = JSON.parse(text) as { kind: ErrorKind; message: string };
  return new OperateError(message, kind);
}
