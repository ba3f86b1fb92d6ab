/** The list of its objects that "perdure export" leaves beside their files. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { ImportError } from './find.js';

export const LIST_FILE = 'objects.jsonl';
/** A line is far shorter: a name, an id, a date. */
const LINE_BYTES_MAX = 1 << 20;

export interface Listed {
  /** Undefined: it has none, or none that was known. */
  name: string | undefined;
  /** When its alarm is due, in milliseconds since 1970. */
  alarmMs: number | undefined;
  /** For errors: file and line. */
  place: string;
}

/** What the list in this folder says, by id; nothing when there is none. Throws ImportError when it cannot be read. */
export function readList(folder: string): Map<string, Listed> {
  const listed = new Map<string, Listed>();
  const file = join(folder, LIST_FILE);
  if (!existsSync(file)) return listed;
  let number = 0;
  for (const line of linesOf(file)) {
    const place = `${file}, line ${++number}`;
    const { id, ...rest } = readLine(line) ?? refuse(place);
    listed.set(id, { ...rest, place });
  }
  return listed;
}

/** Undefined: it is no line of such a list. */
function readLine(line: string): { id: string; name: string | undefined; alarmMs: number | undefined } | undefined {
  let object: { id?: unknown; name?: unknown; alarm?: unknown } | null;
  try {
    object = JSON.parse(line) as typeof object;
  } catch {
    return undefined;
  }
  const { id, name = null, alarm = null } = object ?? {};
  if (typeof id !== 'string' || (name !== null && typeof name !== 'string') || (alarm !== null && typeof alarm !== 'string')) return undefined;
  const alarmMs = alarm === null ? undefined : Date.parse(alarm);
  return Number.isNaN(alarmMs) ? undefined : { id, name: name ?? undefined, alarmMs };
}

function refuse(place: string): never {
  throw new ImportError(`${place}: this is not what "perdure export" writes: {"id": …, "name": …, "alarm": …}. Correct it, or remove the list: the objects are imported without their names then.`);
}

function* linesOf(file: string): Generator<string> {
  const descriptor = openSync(file, 'r');
  try {
    const buffer = Buffer.alloc(LINE_BYTES_MAX);
    for (let filled = 0; ; ) {
      const read = readSync(descriptor, buffer, filled, buffer.length - filled, null);
      const bytes = buffer.subarray(0, filled + read);
      let start = 0;
      for (let end = bytes.indexOf('\n'); end >= 0; end = bytes.indexOf('\n', start)) {
        yield bytes.toString('utf8', start, end);
        start = end + 1;
      }
      if (read === 0) {
        if (start < bytes.length) yield bytes.toString('utf8', start);
        return;
      }
      if (start === 0 && bytes.length === buffer.length) throw new ImportError(`${file} has a line of more than ${LINE_BYTES_MAX} bytes: it is not what "perdure export" writes. Remove it: the objects are imported without their names then.`);
      buffer.copyWithin(0, start, bytes.length);
      filled = bytes.length - start;
    }
  } finally {
    closeSync(descriptor);
  }
}
