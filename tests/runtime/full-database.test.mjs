// A database at its limit of 10 GB: what does not fit is refused, and the object goes on with what it had.
import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, readdirSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';
import { operator } from '../support/operate.mjs';

const PAGES_MAX = (10 * 2 ** 30) / 4096;
const PAGES_LEFT = 20;

/** Makes a database of `pages` pages of it, by the file format's header; those in between take no place on the disk. */
function grow(file, pages) {
  const handle = openSync(file, 'r+');
  const header = Buffer.alloc(100);
  readSync(handle, header, 0, header.length, 0);
  header.writeUInt32BE(pages, 28); // pages of the database
  writeSync(handle, header, 0, header.length, 0);
  ftruncateSync(handle, pages * header.readUInt16BE(16));
  closeSync(handle);
}

test('a full database', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const before = await startLab(t, { data });
  await before.object('a', ({ sql, kv }) => {
    sql.exec('CREATE TABLE t (a); CREATE TABLE u (a UNIQUE); INSERT INTO t VALUES (1)');
    kv.put('kept', 1);
  });
  await before.stop();
  const [name] = readdirSync(data, { recursive: true }).filter((file) => /[0-9a-f]{64}\.sqlite$/.test(file));
  grow(join(data, name), PAGES_MAX - PAGES_LEFT);
  // Nobody else may write an object's file.
  const { stderr } = await operator(data)('verify', '--accept');
  assert.match(stderr, /: 1 page that does not match the checksums counts from now on as it is\./);

  const lab = await startLab(t, { data });
  const state = () => lab.object('a', ({ sql, kv }) => [sql.exec('SELECT a FROM t').raw().toArray(), sql.exec('SELECT count(*) n FROM u').one().n, [...kv.list()]]);
  const full = { message: 'database or disk is full: SQLITE_FULL', durableObjectReset: true };

  // Those that SQLite cannot take back alone take the transaction with them: the object is reset.
  await assert.rejects(lab.object('a', ({ sql, kv }) => {
    kv.put('lost', 1);
    try { sql.exec('INSERT INTO t VALUES (zeroblob(500000))'); } catch {}
  }), full);
  await assert.rejects(lab.object('a', ({ kv }) => kv.put('lost', 'x'.repeat(500_000))), full);
  await assert.rejects(lab.object('a', ({ storage }) => storage.put('lost', 'x'.repeat(500_000))), full);
  await assert.rejects(lab.object('a', ({ storage, sql }) => storage.transactionSync(() => sql.exec('INSERT INTO t VALUES (zeroblob(500000))'))), full);
  assert.deepEqual(await state(), [[[1]], 0, [['kept', 1]]]);

  // One that it can take back alone is refused, and what was written before it stays.
  const refused = await lab.object('a', ({ sql, kv, attempt }) => {
    kv.put('beside', 2);
    return attempt(() => sql.exec('INSERT INTO u WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT hex(randomblob(500)) FROM n'));
  });
  assert.match(JSON.stringify(refused), /Error.*database or disk is full: SQLITE_FULL/);
  assert.deepEqual(await state(), [[[1]], 0, [['beside', 2], ['kept', 1]]]);

  // What needs no more pages goes on, and deleting makes room.
  await lab.object('a', ({ sql }) => void sql.exec('UPDATE t SET a = 2'));
  assert.deepEqual((await state())[0], [[2]]);
  const insert = () => lab.object('a', ({ sql }) => void sql.exec('INSERT INTO t VALUES (zeroblob(50000))'));
  await insert();
  await assert.rejects(insert(), full);
  await lab.object('a', ({ sql }) => void sql.exec('DELETE FROM t WHERE a <> 2'));
  await insert();
  assert.equal((await lab.stop()).code, 0);
});
