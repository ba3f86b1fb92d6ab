// Point-in-time recovery of a real server, over HTTP: every state comes back, over restarts and kills, and a restore
// is whole or not there.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { sqlite, objectFiles, temporaryDirectory } from './support/files.mjs';
import { startLab } from './support/lab.mjs';
import { createRandom } from './support/random.mjs';

const seed = Number(process.env.PERDURE_SEED ?? Math.floor(Math.random() * 2 ** 32));
const objects = ['a', 'b', 'c', 'd', 'e'];
const steps = 120;
const killRounds = 25;

/** All that is in an object, as text, and the bookmark of that. */
const look = async ({ storage, sql }) => {
  const tables = sql.exec("SELECT name, sql FROM sqlite_schema WHERE substr(name, 1, 4) <> '_cf_' AND name NOT LIKE 'sqlite%' ORDER BY name").toArray();
  const rows = tables.filter(({ sql }) => sql?.startsWith('CREATE TABLE')).map(({ name }) => sql.exec(`SELECT rowid, * FROM "${name}" ORDER BY rowid`).raw().toArray());
  const dump = JSON.stringify([tables, rows, [...(await storage.list())], await storage.getAlarm()], (_, value) =>
    value instanceof ArrayBuffer ? Buffer.from(value).toString('base64') : value);
  return [await storage.getCurrentBookmark(), dump];
};

/** One commit, of several changes. `numbers` are random, from 0 up to 1. */
const change = async ({ storage, sql, kv }, numbers, base) => {
  const next = (below) => Math.floor(numbers.pop() * below);
  if (next(25) === 0) return storage.deleteAll();
  sql.exec('CREATE TABLE IF NOT EXISTS t (k INTEGER PRIMARY KEY, v)');
  storage.transactionSync(() => {
    for (let count = next(3) + 1; count > 0; count--) {
      const actions = [
        () => sql.exec('INSERT OR REPLACE INTO t VALUES (?, randomblob(?))', next(300), next(1500)),
        () => sql.exec('UPDATE t SET v = randomblob(length(v)) WHERE k % 5 = ?', next(5)),
        () => sql.exec('DELETE FROM t WHERE k % 3 = ?', next(3)),
        () => sql.exec('CREATE TABLE IF NOT EXISTS big (v)').toArray() && sql.exec('INSERT INTO big VALUES (randomblob(?))', next(50_000)),
        () => sql.exec('DROP TABLE IF EXISTS big'),
        () => kv.put(`key${next(20)}`, { n: next(1000) }),
        () => kv.delete(`key${next(20)}`),
        () => void storage.setAlarm(base + next(1_000_000)),
        () => void storage.deleteAlarm(),
      ];
      actions[next(actions.length)]();
    }
  });
  await storage.sync();
};

const schedule = ({ storage }, bookmark) => storage.onNextSessionRestoreBookmark(bookmark);
const abort = ({ ctx }) => ctx.abort('restore');

/** A lab over a data folder, which starts again when it is told to. */
async function restartingLab(t) {
  const data = join(temporaryDirectory(t), 'data');
  let lab = await startLab(t, { data, threads: 2 });
  return {
    data,
    object: (...args) => lab.object(...args),
    async restart(signal, meanwhile = () => {}) {
      const { code, stderr } = await lab.stop(signal);
      assert.equal(stderr, '');
      if (signal === 'SIGTERM') assert.equal(code, 0);
      meanwhile();
      lab = await startLab(t, { data, threads: 2 });
    },
    /** Ends it for good. */
    stop: () => lab.stop(),
    kill: () => lab.child.kill('SIGKILL'),
  };
}

test('each state that an object had comes back, and so does what a restore undid', { timeout: 300_000 }, async (t) => {
  t.diagnostic(`PERDURE_SEED=${seed}`);
  const random = createRandom(seed);
  const below = (count) => Math.floor(random() * count);
  const lab = await restartingLab(t);
  const base = Date.now() + 86_400_000;
  const states = new Map(objects.map((name) => [name, []]));
  const note = async (name) => void states.get(name).push(await lab.object(name, look));

  async function restore(name, bookmark) {
    const undo = await lab.object(name, schedule, bookmark);
    if (below(25) === 0) await lab.restart(below(2) === 0 ? 'SIGKILL' : 'SIGTERM');
    else await assert.rejects(lab.object(name, abort), { message: 'restore' });
    return undo;
  }

  async function goBack(name) {
    const [bookmark, dump] = states.get(name)[below(states.get(name).length)];
    const [, before] = await lab.object(name, look);
    const undo = await restore(name, bookmark);
    assert.equal((await lab.object(name, look))[1], dump);
    await note(name);
    if (below(2) === 0) return;
    const redo = await restore(name, undo);
    assert.equal((await lab.object(name, look))[1], before);
    if (below(2) === 0) return;
    await restore(name, redo);
    assert.equal((await lab.object(name, look))[1], dump);
  }

  for (const name of objects) await note(name); // the empty state
  for (let step = 0; step < steps; step++) {
    const name = objects[below(objects.length)];
    if (below(8) === 0) await goBack(name);
    else {
      await lab.object(name, change, Array.from({ length: 50 }, random), base);
      await note(name);
    }
    if (below(40) === 0) await lab.restart(below(2) === 0 ? 'SIGKILL' : 'SIGTERM');
  }
  const order = [...states].flatMap(([name, all]) => all.map((state) => [random(), name, ...state])).sort(([a], [b]) => a - b);
  for (const [, name, bookmark, dump] of order) {
    await restore(name, bookmark);
    assert.equal((await lab.object(name, look))[1], dump);
  }
  const { code, stderr } = await lab.stop();
  assert.deepEqual([code, stderr], [0, '']);
  for (const file of objectFiles(lab.data)) assert.equal(sqlite(file, 'PRAGMA integrity_check').trim(), 'ok');
});

test('kill -9 around a restore leaves the state before it or the one after', { timeout: 300_000 }, async (t) => {
  t.diagnostic(`PERDURE_SEED=${seed}`);
  const random = createRandom(seed);
  const lab = await restartingLab(t);
  const at = Date.now() + 86_400_000;
  const write = (n) =>
    lab.object('a', async ({ storage, sql }, n, at) => {
      sql.exec('CREATE TABLE IF NOT EXISTS t (v)');
      for (let i = 0; i < 30; i++) sql.exec('INSERT INTO t VALUES (randomblob(1000))');
      storage.setAlarm(at + n);
      await storage.put('n', n);
    }, n, at);
  let old = 0;
  for (let round = 0; round < killRounds; round++) {
    await write(round * 2);
    const [target, older] = await lab.object('a', look);
    await write(round * 2 + 1);
    const [, newer] = await lab.object('a', look);
    // All of these go out before the first has an answer.
    const scheduled = lab.object('a', schedule, target).catch(() => undefined);
    const going = [scheduled, lab.object('a', abort).catch(() => undefined), lab.object('a', look).catch(() => undefined)];
    const killed = new Promise((resolve) => setTimeout(() => resolve(lab.kill()), random() * 12));
    const [undo] = await Promise.all([...going, killed]);
    await lab.restart('SIGKILL');
    const [, found] = await lab.object('a', look);
    if (found === newer) {
      assert.equal(undo, undefined, 'the restore was promised');
      old++;
      continue;
    }
    assert.equal(found, older);
    if (undo === undefined) continue;
    await lab.object('a', schedule, undo);
    await assert.rejects(lab.object('a', abort), { message: 'restore' });
    assert.equal((await lab.object('a', look))[1], newer);
  }
  t.diagnostic(`${old} of ${killRounds} were killed before the restore`);
});

test('a restore that cannot be made is given up: the call says so, and the object stays as it was', async (t) => {
  const lab = await restartingLab(t);
  const write = (n) => lab.object('a', ({ storage }, n) => storage.put('n', n), n);
  await write(1);
  const [bookmark, older] = await lab.object('a', look);
  await write(2);
  const [, newer] = await lab.object('a', look);
  await lab.object('a', schedule, bookmark);
  await lab.restart('SIGTERM', () => {
    // As if the history had been lost: this is no state of the object.
    execFileSync('sqlite3', ['-bail', join(lab.data, 'catalog.sqlite'), 'UPDATE restores SET target_lsn = 1']);
  });
  await assert.rejects(lab.object('a', look), /The restore of the object [0-9a-f]{64} is given up, and the object as it was: /);
  assert.equal((await lab.object('a', look))[1], newer);
  await lab.object('a', schedule, bookmark);
  await assert.rejects(lab.object('a', abort), { message: 'restore' });
  assert.equal((await lab.object('a', look))[1], older);
});
