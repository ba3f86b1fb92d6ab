/** What operators write, on the thread that owns the object: one transaction of its own, committed and durable. */
import { isMainThread } from 'node:worker_threads';
import type { ObjectHost } from '../runtime/host.js';
import type { Cursor } from '../runtime/sql-cursor.js';
import { KeyValue } from '../runtime/kv.js';
import { ROOT } from '../runtime/sections.js';
import type { Shard } from '../runtime/shard.js';
import { SqlEngine } from '../runtime/sql.js';
import type { SqlValue } from '../runtime/sql-shape.js';
import type { StorageCore } from '../runtime/storage.js';
import { begin, type Claim, giveUp, newClaim } from './claim.js';
import { Interrupted } from './error.js';
import type { Operated } from './operated.js';
import type { Place } from './places.js';

export interface Write {
  place: Place;
  action:
    | { kind: 'sql'; sql: string; timeMsMax: number }
    | { kind: 'put'; key: string; json: string }
    | { kind: 'delete'; keys: string[] }
    | { kind: 'restore'; bookmark: string };
  claim: Claim;
  /** Operated.client */
  client?: number | undefined;
}

export interface Written {
  columns: string[];
  rows: SqlValue[][];
  /** Rows. */
  changed: number;
  /** Of keys to remove, those that were not there. */
  missing?: string[];
  /** The bookmark that takes a restore back. */
  undo?: string;
}

/** Rows that a write may answer, and their bytes, about: all of them are one message. */
const RETURNED_ROWS_MAX = 100_000;
const RETURNED_BYTES_MAX = 16 << 20;

/**
 * As Operated.write(), until `signal` says otherwise: what waits then, at the object's gate, is never written, and what
 * has begun is stopped if that can be, and answered as it ended. When this rejects for that reason, nothing was written.
 */
export async function writeUntil(operated: Operated, write: Pick<Write, 'place' | 'action'>, signal: AbortSignal): Promise<Written> {
  signal.throwIfAborted();
  const claim = newClaim();
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      if (giveUp(claim)) reject(signal.reason as Error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    operated
      .write({ ...write, claim, client: operated.client })
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** To be called on the object's own shard. */
export async function writeOn(shard: Shard, write: Write): Promise<Written> {
  const { place, action, claim } = write;
  const { space, id, name } = place;
  const namespace = shard.operated(space.key, space.storage);
  // Its name is kept with an object that is made now.
  const host = namespace.hostOf(id, name);
  const written = action.kind === 'restore' ? await restore(shard, place, host, action.bookmark, claim) : await host.operate((core) => writeInto(core, action, write));
  await shard.turnOf({ sender: undefined, section: ROOT, observer: shard.elsewhere });
  await shard.durable(shard.native.appendedLsn());
  return written;
}

/** Throws when nobody wants it any more. */
function beginClaimed(claim: Claim): void {
  if (!begin(claim)) throw interrupted();
}

/** How a write ends that nobody wants any more. Of an error of another thread, the message is left. */
export const NOTHING_WRITTEN = 'Interrupted; nothing was written.';

const interrupted = (): Interrupted => new Interrupted(NOTHING_WRITTEN);

async function restore(shard: Shard, { space }: Place, host: ObjectHost, bookmark: string, claim: Claim): Promise<Written> {
  // Its alarm would ring for a class that is not there.
  if (!shard.alarms.stopped && !shard.serves(space.key))
    throw new Error(`No class of the project that is served has the objects of ${space.key}. Stop the server to restore one.`);
  beginClaimed(claim);
  return { columns: [], rows: [], changed: 0, undo: await host.restore(bookmark) };
}

function writeInto(core: StorageCore, action: Exclude<Write['action'], { kind: 'restore' }>, write: Write): Written {
  beginClaimed(write.claim);
  switch (action.kind) {
    case 'sql':
      return executeLimited(core, action, write);
    case 'put':
      new KeyValue(core).put(action.key, JSON.parse(action.json));
      return { columns: [], rows: [], changed: 0 };
    case 'delete': {
      const kv = new KeyValue(core);
      return { columns: [], rows: [], changed: 0, missing: action.keys.filter((key) => !kv.delete(key)) };
    }
  }
}

/** What native.liftLimit() says. */
const STOPPED_BY_TIME = 1;
const STOPPED_AS_UNWANTED = 2;

/** The object serves nobody while its thread runs SQL: that has an end, which comes earlier when nobody wants it any more. */
function executeLimited(core: StorageCore, { sql, timeMsMax }: { sql: string; timeMsMax: number }, { claim, client }: Write): Written {
  const { native, slot } = core;
  // Only the main thread has the connection, and may close it.
  native.limitStatements(slot, timeMsMax, claim, isMainThread, isMainThread && client !== undefined ? client : -1);
  let result: Pick<Written, 'columns' | 'rows'>;
  try {
    result = execute(core, sql);
  } catch (error) {
    const [, stopped] = native.liftLimit();
    if (stopped === STOPPED_AS_UNWANTED) throw interrupted();
    if (stopped === STOPPED_BY_TIME)
      throw new Error(`It was stopped after ${timeMsMax / 1000} s, in which the object has served nobody; nothing was written. Write less at a time, or give it longer: --timeout <seconds>.`);
    throw error;
  }
  const [changed] = native.liftLimit();
  return { ...result, changed };
}

function execute(core: StorageCore, sql: string): Pick<Written, 'columns' | 'rows'> {
  const engine = new SqlEngine(core);
  try {
    const cursor = engine.exec(sql, []);
    const rows = rowsOf(cursor);
    return { columns: cursor.columnNames, rows };
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
