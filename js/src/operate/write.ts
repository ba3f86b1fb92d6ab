/** What operators write, on the thread that owns the object: one transaction of its own, committed and durable. */
import type { ObjectHost } from '../runtime/host.js';
import type { Cursor } from '../runtime/sql-cursor.js';
import { KeyValue } from '../runtime/kv.js';
import { ROOT } from '../runtime/sections.js';
import type { Shard } from '../runtime/shard.js';
import { SqlEngine } from '../runtime/sql.js';
import type { SqlValue } from '../runtime/sql-shape.js';
import type { StorageCore } from '../runtime/storage.js';
import type { Operated } from './operated.js';
import type { Place } from './places.js';

export interface Write {
  place: Place;
  action: { kind: 'sql'; sql: string } | { kind: 'put'; key: string; json: string } | { kind: 'delete'; keys: string[] } | { kind: 'restore'; bookmark: string };
}

export interface Written {
  columns: string[];
  rows: SqlValue[][];
  /** Rows or keys. */
  changed: number;
  /** The bookmark that takes a restore back. */
  undo?: string;
}

/** Rows that a write may answer, and their bytes, about: all of them are one message. */
const RETURNED_ROWS_MAX = 100_000;
const RETURNED_BYTES_MAX = 16 << 20;

/** As Operated.write(), but rejects when `signal` says so: what waits at the object's gate may be written all the same. */
export function writeUntil(operated: Operated, write: Write, signal: AbortSignal): Promise<Written> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    operated.write(write).then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** To be called on the object's own shard. */
export async function writeOn(shard: Shard, { place, action }: Write): Promise<Written> {
  const { space, id, name } = place;
  const namespace = shard.operated(space.key, space.storage);
  // Its name is kept with an object that is made now.
  const host = namespace.hostOf(id, name);
  const written = action.kind === 'restore' ? await restore(shard, place, host, action.bookmark) : await host.operate((core) => writeInto(core, action));
  await shard.turnOf({ sender: undefined, section: ROOT, observer: shard.elsewhere });
  await shard.durable(shard.native.appendedLsn());
  return written;
}

async function restore(shard: Shard, { space }: Place, host: ObjectHost, bookmark: string): Promise<Written> {
  // Its alarm would ring for a class that is not there.
  if (!shard.alarms.stopped && !shard.serves(space.key))
    throw new Error(`No class of the project that is served has the objects of ${space.key}. Stop the server to restore one.`);
  return { columns: [], rows: [], changed: 0, undo: await host.restore(bookmark) };
}

function writeInto(core: StorageCore, action: Exclude<Write['action'], { kind: 'restore' }>): Written {
  switch (action.kind) {
    case 'sql':
      return execute(core, action.sql);
    case 'put':
      new KeyValue(core).put(action.key, JSON.parse(action.json));
      return { columns: [], rows: [], changed: 1 };
    case 'delete': {
      const kv = new KeyValue(core);
      return { columns: [], rows: [], changed: action.keys.filter((key) => kv.delete(key)).length };
    }
  }
}

function execute(core: StorageCore, sql: string): Written {
  const engine = new SqlEngine(core);
  try {
    const cursor = engine.exec(sql, []);
    const rows = rowsOf(cursor);
    return { columns: cursor.columnNames, rows, changed: engine.countsRows ? cursor.rowsWritten : 0 };
  } finally {
    engine.close();
  }
}

function rowsOf(cursor: Cursor): SqlValue[][] {
  const rows: SqlValue[][] = [];
  let bytes = 0;
  for (const row of cursor.raw()) {
    if (rows.length === RETURNED_ROWS_MAX) throw new Error(`The statement returns more than ${RETURNED_ROWS_MAX} rows; nothing was written. Write fewer rows at a time.`);
    for (const value of row) bytes += bytesOf(value);
    if (bytes > RETURNED_BYTES_MAX) throw new Error(`The statement returns more than ${RETURNED_BYTES_MAX >> 20} MiB; nothing was written. Read without --write, or write fewer rows at a time.`);
    rows.push(row);
  }
  return rows;
}

function bytesOf(value: SqlValue): number {
  if (typeof value === 'string') return value.length;
  return value instanceof ArrayBuffer ? value.byteLength : 8;
}
