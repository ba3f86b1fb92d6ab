/** All operations, by the names that the admin socket knows them by. */
import { exportObject } from './export.js';
import { getBookmark, listHistory, restoreObject } from './history.js';
import { getKey, listKeys, putKey, removeKeys } from './kv.js';
import { listObjects } from './objects.js';
import type { Operated } from './operated.js';
import { findObject } from './places.js';
import { querySql } from './sql.js';
import { statsOf } from './stats.js';
import { verifyAll } from './verify.js';

/** One part: the object that a name means. */
async function* find({ engine }: Operated, { namespace, object }: { namespace: string; object: string }): AsyncGenerator<{ id: string }> {
  yield { id: findObject(engine, namespace, object).id };
}

export const operations = {
  find,
  objects: listObjects,
  sql: querySql,
  'kv-get': getKey,
  'kv-ls': listKeys,
  'kv-put': putKey,
  'kv-rm': removeKeys,
  export: exportObject,
  stats: statsOf,
  history: listHistory,
  bookmark: getBookmark,
  restore: restoreObject,
  verify: verifyAll,
};

export type Operations = typeof operations;
export type OperationName = keyof Operations;
export type ArgumentsOf<Name extends OperationName> = Parameters<Operations[Name]>[1];
export type PartOf<Name extends OperationName> = ReturnType<Operations[Name]> extends AsyncGenerator<infer T> ? T : never;
