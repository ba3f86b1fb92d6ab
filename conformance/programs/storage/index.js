// The asynchronous key-value storage on a SQLite class, and how it meets SQL and the synchronous key-value storage.
import { DurableObject } from 'cloudflare:workers';
import { addStorageSections } from '../../sections/storage.mjs';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
}

addStorageSections(program);

program.inObject('beside kv and sql', async ({ check, storage, kv, sql }) => {
  await check('kv.put, storage.get', () => { kv.put('a', 1); return storage.get('a'); });
  await check('storage.put without await, kv.get', () => { void storage.put('b', 2); return kv.get('b'); });
  await check('storage.delete without await, kv.get', () => { void storage.delete('b'); return kv.get('b'); });
  await check('kv.put undefined, storage.get', () => { kv.put('u', undefined); return storage.get('u'); });
  await check('kv.put undefined, storage.get of keys', () => storage.get(['u', 'a']));
  await check('kv.put undefined, storage.list', () => storage.list());
  await check('deleteAll takes the keys', async () => { await storage.deleteAll(); return [...kv.list()]; });
  await check('deleteAll takes tables, indexes, triggers, views', async () => {
    sql.exec("CREATE TABLE t (a); CREATE INDEX i ON t(a); CREATE VIEW v AS SELECT a FROM t; CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END; INSERT INTO t VALUES (1); CREATE VIRTUAL TABLE f USING fts5(x); CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO auto DEFAULT VALUES");
    await storage.deleteAll();
    return sql.exec('SELECT name FROM sqlite_schema').toArray();
  });
  await check('the same table again', () => { sql.exec('CREATE TABLE t (b)'); return sql.exec('SELECT * FROM t').columnNames; });
  await check('autoincrement begins anew', () => {
    sql.exec('CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT)');
    return sql.exec('INSERT INTO auto DEFAULT VALUES RETURNING id').one();
  });
  await check('deleteAll without await, then SQL', () => { void storage.deleteAll(); return sql.exec('SELECT name FROM sqlite_schema').toArray(); });
  await check('a setting after deleteAll', async () => {
    sql.exec('PRAGMA foreign_keys = OFF');
    await storage.deleteAll();
    return sql.exec('PRAGMA foreign_keys').one();
  });
  await check('kv after deleteAll', () => { kv.put('again', 1); return [...kv.list()]; });
});

export default program.worker;
