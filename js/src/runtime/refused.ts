/** ctx.storage.sql and ctx.storage.kv of a class without SQLite: they are there, and every use says why not. */
import { SyncKvStorage } from './kv.js';
import { SqlStorage } from './sql.js';

// As workerd words them.
const NO_SQL =
  "SQL is not enabled for this Durable Object class. To enable it, change `new_classes` to `new_sqlite_classes` within the 'migrations' field in your wrangler.jsonc or wrangler.toml file. If using workerd directly,set `enableSql = true` in your workerd config for the class. Note that this change cannot be made after the class is already deployed to production.";
const NO_KV =
  "The storage.kv (synchronous KV) API is only available for SQLite-backed Durable Objects, but this object's namespace is not declared to use SQLite. You can use the older, asyncronous interface via methods of `storage` itself (e.g. `storage.get()`). Alternatively, to enable SQLite, change `new_classes` to `new_sqlite_classes` within the 'migrations' field in your wrangler.jsonc or wrangler.toml file. If using workerd directly, set `enableSql = true` in your workerd config for the class. Note that this change cannot be made after the class is already deployed to production.";

/** An object with the methods and getters of `prototype`, all of which throw. */
function refused<T extends object>(prototype: T, message: string): T {
  const refuse = (): never => {
    throw new Error(message);
  };
  const object = Object.create(prototype) as T;
  for (const [name, { value, get }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (name === 'constructor') continue;
    if (get !== undefined) Object.defineProperty(object, name, { get: refuse });
    else if (typeof value === 'function') Object.defineProperty(object, name, { value: refuse });
  }
  return object;
}

// They hold nothing of one object, so one of each serves all.
let sql: SqlStorage | undefined;
let kv: SyncKvStorage | undefined;

export const refusedSql = (): SqlStorage => (sql ??= refused(SqlStorage.prototype, NO_SQL));
export const refusedKv = (): SyncKvStorage => (kv ??= refused(SyncKvStorage.prototype, NO_KV));
