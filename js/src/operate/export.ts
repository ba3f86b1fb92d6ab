/** `export`: the database of an object as a SQLite file of its own. */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { OperateError } from './error.js';
import type { Operated } from './operated.js';
import { type Moment, viewAt } from './history.js';
import { findObject, type Place } from './places.js';
import { type View, withView } from './view.js';

/** Below the data directory: what objects of key-value storage are exported through. */
const WORK_FOLDER = 'export';

/** What a crash has left there goes: before the first operation. */
export function clearExports(dataDirectory: string): void {
  rmSync(join(dataDirectory, WORK_FOLDER), { recursive: true, force: true });
}
/** Bytes of a file that are read at once. */
const READ_BYTES = 1 << 20;

/** First how many bytes there are to come, and with `at` the alarm of that moment; then the bytes. */
export type ExportPart = { bytes: number; alarmMs?: number | null } | Uint8Array;

export async function* exportObject({ engine, dataDirectory }: Operated, args: { namespace: string; object: string; at?: Moment }, signal: AbortSignal): AsyncGenerator<ExportPart> {
  const place = findObject(engine, args.namespace, args.object);
  yield* withView(viewAt(engine, signal, place, args.at), (view) =>
    place.space.storage === 'kv' ? throughFile(view, place, join(dataDirectory, WORK_FOLDER)) : pagesOf(view, args.at !== undefined),
  );
}

async function* pagesOf(view: View, ofThePast: boolean): AsyncGenerator<ExportPart> {
  if (view.pages === 0) throw new OperateError('The object has nothing stored.', 'missing');
  const bytes = view.pages * view.pageSize;
  yield ofThePast ? { bytes, alarmMs: await alarmOf(view) } : { bytes };
  for await (const pages of view.content()) yield new Uint8Array(pages);
}

/** The alarm stands in the object's own file, too (src/store/metadata.h): that is what a restore brings back. null: none. */
async function alarmOf(view: View): Promise<number | null> {
  if (!(await view.hasTable('_cf_METADATA'))) return null;
  const row = await view.first('SELECT CAST(value AS INTEGER) / 1000000 FROM _cf_METADATA WHERE key = 1 AND value IS NOT NULL');
  return row === undefined ? null : (row[0] as number);
}

/** The pairs are among those of all objects: they get a file of their own, which nobody sees. */
async function* throughFile(view: View, place: Place, folder: string): AsyncGenerator<ExportPart> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${randomUUID()}.sqlite`);
  try {
    await view.writePairs(place, path);
    const file = await open(path, 'r');
    try {
      await rm(path);
      yield { bytes: (await file.stat()).size };
      for (;;) {
        const { bytesRead, buffer } = await file.read(Buffer.alloc(READ_BYTES), 0, READ_BYTES);
        if (bytesRead === 0) return;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  } finally {
    await rm(path, { force: true });
  }
}
