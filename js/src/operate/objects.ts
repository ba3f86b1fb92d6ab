/** `objects ls`: which objects there are. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { NativeEngine, ViewValue } from '../runtime/native.js';
import type { Operated } from './operated.js';
import { findSpace, type Space, spaces } from './places.js';
import { View, withView } from './view.js';

export interface ListedObject {
  namespace: string;
  /** null: not known, or none. */
  name: string | null;
  id: string;
  bytes: number;
  /** Milliseconds since 1970. null: not known. */
  changedMs: number | null;
  /** null: it has none. */
  alarmMs: number | null;
}

const OF_DATABASES = `
  SELECT objects.number, lower(hex(objects.id)), coalesce(objects.name, alarms.name), commit_number, objects.time_ms, bytes, alarms.time_ms
  FROM objects LEFT JOIN alarms ON alarms.namespace = objects.namespace AND alarms.id = objects.id
  WHERE objects.namespace = ? ORDER BY objects.number`;
const OF_KEY_VALUES = 'SELECT id, sum(octet_length(key) + octet_length(value)) FROM do_storage WHERE namespace = ? GROUP BY id ORDER BY id';
const ALARMS = 'SELECT lower(hex(id)), name, time_ms FROM alarms WHERE namespace = ? AND id IN';

/** All objects of one namespace or of all, in batches. */
export async function* listObjects(operated: Operated, { namespace }: { namespace?: string }, signal: AbortSignal): AsyncGenerator<ListedObject[]> {
  const { engine } = operated;
  for (const { key } of namespace === undefined ? spaces(engine) : [findSpace(engine, namespace)]) {
    const space = findSpace(engine, key);
    for await (const objects of space.storage === 'kv' ? listKeyValues(operated, space, signal) : listDatabases(operated, space, signal)) {
      await engine.whenDurable(); // sizes and times are of now
      yield objects;
    }
  }
}

async function* listDatabases({ engine, dataDirectory }: Operated, space: Space, signal: AbortSignal): AsyncGenerator<ListedObject[]> {
  yield* withView(View.ofCatalog(engine, signal), async function* (view) {
    for await (const rows of view.rows(OF_DATABASES, space.number)) {
      const heads = engine.currentHeads(rows.map(([number]) => number as number));
      const listed = rows.map((row, i) => listedDatabase(engine, dataDirectory, space, row, heads[2 * i]!, heads[2 * i + 1]!));
      yield listed.filter((object) => object !== undefined);
    }
  });
}

/** Undefined: its row is there, but it has never committed anything. */
function listedDatabase(engine: NativeEngine, dataDirectory: string, space: Space, row: ViewValue[], bytesNow: number, changedNow: number): ListedObject | undefined {
  const [, id, name, commits, changedMs, bytes, alarmMs] = row as [number, string, string | null, number, number, number, number | null];
  if (commits === 0 && bytesNow <= 0) return undefined;
  const object = { namespace: space.key, name, id, bytes: bytesNow > 0 ? bytesNow : bytes, changedMs: changedNow > 0 ? changedNow : changedMs, alarmMs };
  if (object.bytes > 0 && object.changedMs > 0) return object;
  // It was imported, or written by a version that did not keep these: its file has been there since.
  const file = statSync(join(dataDirectory, engine.objectPath(space.number, id)), { throwIfNoEntry: false });
  return { ...object, bytes: object.bytes || (file?.size ?? 0), changedMs: object.changedMs || (file === undefined ? null : Math.floor(file.mtimeMs)) };
}

/** Nobody keeps their names, but with alarms, nor when they changed. */
async function* listKeyValues({ engine }: Operated, space: Space, signal: AbortSignal): AsyncGenerator<ListedObject[]> {
  yield* withView(View.ofKeyValues(engine, signal, space), async function* (view) {
    if (!(await view.hasTable('do_storage'))) return;
    for await (const rows of view.rows(OF_KEY_VALUES, space.key)) {
      const alarms = await alarmsOf(engine, signal, space, rows.map(([id]) => id as string));
      yield rows.map(([id, bytes]) => ({ namespace: space.key, name: null, id: id as string, bytes: bytes as number, changedMs: null, alarmMs: null, ...alarms.get(id as string) }));
    }
  });
}

async function alarmsOf(engine: NativeEngine, signal: AbortSignal, space: Space, ids: string[]): Promise<Map<string, { name: string | null; alarmMs: number }>> {
  const found = new Map<string, { name: string | null; alarmMs: number }>();
  const view = await View.ofCatalog(engine, signal);
  try {
    const query = `${ALARMS} (${ids.map((id) => `x'${id}'`).join()})`;
    for await (const rows of view.rows(query, space.number)) {
      for (const [id, name, alarmMs] of rows) found.set(id as string, { name: name as string | null, alarmMs: alarmMs as number });
    }
  } finally {
    await view.close();
  }
  return found;
}
