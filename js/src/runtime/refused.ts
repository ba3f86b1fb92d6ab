/** ctx.storage.sql and ctx.storage.kv of a class without SQLite: they are there, and say why they can not be used once the arguments are right. */
import { SyncKvStorage } from './kv.js';
import { SqlStorage } from './sql.js';

// As workerd words them.
const NO_SQL =
  "SQL is not enabled for this Durable Object class. To enable it, change `new_classes` to `new_sqlite_classes` within the 'migrations' field in your wrangler.jsonc or wrangler.toml file. If using workerd directly,set `enableSql = true` in your workerd config for the class. Note that this change cannot be made after the class is already deployed to production.";
const NO_KV =
  "The storage.kv (synchronous KV) API is only available for SQLite-backed Durable Objects, but this object's namespace is not declared to use SQLite. You can use the older, asyncronous interface via methods of `storage` itself (e.g. `storage.get()`). Alternatively, to enable SQLite, change `new_classes` to `new_sqlite_classes` within the 'migrations' field in your wrangler.jsonc or wrangler.toml file. If using workerd directly, set `enableSql = true` in your workerd config for the class. Note that this change cannot be made after the class is already deployed to production.";

const refusing = (message: string) => (): never => {
  throw new Error(message);
};

function makeSql(): SqlStorage {
  const refuse = refusing(NO_SQL);
  const storage = new SqlStorage({ exec: refuse, ingest: refuse, databaseSize: refuse });
  return Object.defineProperties(storage, { prepare: { value: undefined }, ingest: { value: undefined } });
}

function makeKv(): SyncKvStorage {
  const refuse = refusing(NO_KV);
  return new SyncKvStorage({ get: refuse, put: refuse, delete: refuse, iterate: refuse });
}

// They hold nothing of one object, so one of each serves all.
let sql: SqlStorage | undefined;
let kv: SyncKvStorage | undefined;

export const refusedSql = (): SqlStorage => (sql ??= makeSql());
export const refusedKv = (): SyncKvStorage => (kv ??= makeKv());
