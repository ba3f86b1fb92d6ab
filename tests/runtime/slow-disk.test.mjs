// With a disk that needs 200 ms for each sync: who waits for it, who does not, and who shares one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startLab } from '../support/lab.mjs';
import { slowDisk } from '../support/slow-disk.mjs';

const syncMs = 200;

async function start(t) {
  const disk = slowDisk(t, syncMs);
  const lab = await startLab(t, { wrapper: disk.wrapper, args: ['--idle-ms', '100000'] });
  const names = ['a', 'b', 'c', 'd', 'e', 'still'];
  // All objects are in memory, and nothing waits for the disk.
  await Promise.all(names.map((name) => lab.object(name, ({ kv }) => kv.put('n', 0))));
  await lab.object('still', ({ storage }) => storage.sync());

  return {
    ...lab,
    ...disk,
    write: (name) => lab.object(name, ({ kv }) => kv.put('n', kv.get('n') + 1)),
    /** Resolves when the disk is at work on a write to the object, with the answer to that write to come. */
    async beginWrite(name) {
      const before = disk.logSyncs();
      const answer = { done: false, begun: performance.now() };
      answer.promise = this.write(name).then(() => (answer.done = true));
      while (disk.logSyncs() === before) await new Promise((resolve) => setTimeout(resolve, 1));
      return answer;
    },
  };
}

test('a reply that depends on a write waits for the disk', async (t) => {
  const lab = await start(t);
  // Each of another value: what changes nothing is no write.
  const writes = {
    'of the object': () => lab.write('a'),
    'of another object that it called': () => lab.object('b', ({ env }) => env.COUNTER.getByName('a').run('({ kv }) => kv.put("n", 10)')),
    'of an object that the Worker called': () => lab.worker(({ env }) => env.COUNTER.getByName('a').run('({ kv }) => kv.put("n", 20)')),
  };
  for (const [name, write] of Object.entries(writes)) {
    const start = performance.now();
    await write();
    const ms = performance.now() - start;
    assert.ok(ms >= syncMs, `the reply to a write ${name} left after ${ms} ms`);
  }

  // The write of somebody else that a reply shows is one that it depends on.
  const writing = await lab.beginWrite('a');
  assert.equal(await lab.object('a', ({ kv }) => kv.get('n')), 21);
  const ms = performance.now() - writing.begun;
  assert.ok(ms >= syncMs, `a reply that shows a write left ${ms} ms after it began`);
  await writing.promise;
});

test('a reply that depends on no write leaves at once', async (t) => {
  const lab = await start(t);
  const replies = {
    'of the Worker alone': () => lab.worker(() => 'free'),
    'of another object': () => lab.object('still', ({ kv }) => kv.get('n')),
    'of an object that called another one': () => lab.object('b', ({ env }) => env.COUNTER.getByName('still').run('({ kv }) => kv.get("n")')),
  };
  for (const [name, reply] of Object.entries(replies)) {
    // One that waits for the disk is never first; one that does not may be late on a busy machine.
    let first = false;
    for (let attempts = 0; !first && attempts < 5; attempts++) {
      const writing = await lab.beginWrite('a');
      await reply();
      first = !writing.done;
      await writing.promise;
    }
    assert.ok(first, `the reply ${name} waited for the write of an object that it has nothing to do with`);
  }
});

test('five writers share one sync', async (t) => {
  const lab = await start(t);
  const writers = ['a', 'b', 'c', 'd', 'e'].map((name) =>
    lab.object(name, async ({ kv, shared }) => {
      shared.waiting = (shared.waiting ?? 0) + 1;
      while (shared.go !== true) await new Promise((resolve) => setTimeout(resolve, 1));
      kv.put('n', 1);
    }),
  );
  await lab.worker(async ({ shared }) => {
    while (shared.waiting !== 5) await new Promise((resolve) => setTimeout(resolve, 1));
  });
  const before = lab.logSyncs();
  const startMs = performance.now();
  // The disk is at work on another write when the five come: without that, one of them might be ahead of the others.
  await lab.worker(async ({ env, shared }) => {
    await env.COUNTER.getByName('still').run('({ kv }) => kv.put("n", 1)');
    shared.go = true;
  });
  await Promise.all(writers);
  assert.ok(performance.now() - startMs >= syncMs);
  const syncs = lab.logSyncs() - before;
  assert.ok(syncs === 1 || syncs === 2, `${syncs} syncs for the first write and the five after it`);
});
