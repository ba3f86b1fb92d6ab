/** `stats`: how much there is, and what the process that serves it does. */
import type { Operated, ServerFacts } from './operated.js';
import { spaces } from './places.js';
import { View } from './view.js';

export interface Stats {
  dataDirectory: string;
  /** null: nobody serves it. */
  server: ServerFacts | null;
  namespaces: { key: string; storage: 'sqlite' | 'kv'; objects: number; alarms: number }[];
  log: {
    /** Number of the last record that was written, and of the last one that is on the disk. */
    appendedLsn: number;
    durableLsn: number;
    bytesSinceCheckpoint: number;
    /** Committed pages that are not in the objects' files yet. */
    dirtyBytes: number;
    /** False: the disk is full, and commits are refused. */
    hasRoom: boolean;
  };
}

/** One part. */
export async function* statsOf({ engine, dataDirectory, server }: Operated, _: object, signal: AbortSignal): AsyncGenerator<Stats> {
  const { logBytesSinceCheckpoint, ...log } = engine.counters();
  yield {
    dataDirectory,
    server: server === undefined ? null : await server(),
    namespaces: await countObjects(engine, signal),
    log: { ...log, bytesSinceCheckpoint: logBytesSinceCheckpoint },
  };
}

async function countObjects(engine: Operated['engine'], signal: AbortSignal): Promise<Stats['namespaces']> {
  const all = spaces(engine);
  const catalog = await View.ofCatalog(engine, signal);
  const count = async (view: View, sql: string, ...parameters: (string | number)[]): Promise<number> => (await view.first(sql, ...parameters))![0] as number;
  const counted: Stats['namespaces'] = [];
  try {
    for (const { number, key, storage } of all) {
      const alarms = await count(catalog, 'SELECT count(*) FROM alarms WHERE namespace = ?', number);
      const objects = storage === 'kv' ? 0 : await count(catalog, 'SELECT count(*) FROM objects WHERE namespace = ?', number);
      counted.push({ key, storage, objects, alarms });
    }
  } finally {
    await catalog.close();
  }
  const keyed = all.find(({ storage }) => storage === 'kv');
  if (keyed === undefined) return counted;
  const shared = await View.ofKeyValues(engine, signal, keyed);
  try {
    if (!(await shared.hasTable('do_storage'))) return counted;
    for (const space of counted.filter(({ storage }) => storage === 'kv'))
      space.objects = await count(shared, 'SELECT count(DISTINCT id) FROM do_storage WHERE namespace = ?', space.key);
  } finally {
    await shared.close();
  }
  return counted;
}
