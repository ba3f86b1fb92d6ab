// Registries in several threads of one process.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { job, openLab } from '../support/lab-object.mjs';
import { test } from '../support/suite.mjs';

const thread = new URL('../fixtures/library-worker.mjs', import.meta.url);

test('threads have registries of their own, and may end with one open', async (t) => {
  const { registry, labs } = openLab();
  t.after(() => registry.close());
  const add = job(({ kv }) => {
    kv.put('n', (kv.get('n') ?? 0) + 1);
    return kv.get('n');
  });
  for (let round = 1; round <= 3; round++) {
    const workers = [new Worker(thread), new Worker(thread)];
    const exits = workers.map((worker) => once(worker, 'exit'));
    const counts = await Promise.all(workers.map((worker) => once(worker, 'message')));
    assert.deepEqual(counts, [[[100, 100]], [[100, 100]]]);
    if (round === 2) await workers[0].terminate();
    await Promise.all(exits);
    assert.equal(await labs.getByName('a').run(add), round);
  }
});
