// What the engine does for operators ends when it is told, before its own end.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';

const native = createRequire(import.meta.url)(process.env.PERDURE_ADDON ?? join(root, 'build/release/perdure.node'));

const STOPPED = { message: 'It was stopped before its end.' };

test('work that is stopped fails, and what is not goes on', async (t) => {
  const lab = await startLab(t);
  for (let i = 0; i < 3; i++) await lab.object('a', ({ sql }) => void sql.exec('CREATE TABLE IF NOT EXISTS t (a); INSERT INTO t VALUES (1)'));
  const timeMs = Date.now() - 60_000;
  await lab.stop();
  const engine = native.openEngine(lab.data, undefined, 86_400_000, 2 ** 40);
  try {
    const namespace = engine.openNamespace('bench-Counter', false);
    const id = engine.idFromName(namespace, 'a');
    const [, last, , , , , , , first] = await engine.past(namespace, id, 10);
    const asked = {
      past: (work) => engine.past(namespace, id, 10, work),
      bookmark: (work) => engine.bookmark(namespace, id, timeMs, work),
      planRestore: (work) => engine.planRestore(namespace, id, first, work),
      openView: (work) => engine.openView(namespace, id, first, false, work),
      verifyLog: (work) => native.verifyLog(lab.data, work),
    };
    assert.notEqual(first, last);
    for (const [name, ask] of Object.entries(asked)) {
      const work = native.createWork();
      native.stopWork(work);
      await assert.rejects(ask(work), STOPPED, name);
      const result = await ask(native.createWork());
      if (name === 'openView') engine.closeView(result[0]);
    }
  } finally {
    engine.close(); // before the folder goes
  }
});

test('how far a check of the log is', async (t) => {
  const lab = await startLab(t);
  await lab.stop();
  const work = native.createWork();
  assert.deepEqual(native.workDone(work), [0, 0]);
  assert.deepEqual(await native.verifyLog(lab.data, work), []);
  const [done, total] = native.workDone(work);
  assert.ok(done > 0);
  assert.equal(done, total);
});
