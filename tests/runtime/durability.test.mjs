// Outputs of the process wait for the disk, nothing else does: shown with a disk that is slow.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, temporaryDirectory } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';

const syncMs = 400;

test('outputs wait until what they depend on is durable', async (t) => {
  const library = join(temporaryDirectory(t), 'slow-sync.so');
  execFileSync('cc', ['-shared', '-fPIC', '-o', library, join(root, 'tests/fixtures/slow-sync.c'), '-ldl']);
  const lab = await startLab(t, { wrapper: ['env', `LD_PRELOAD=${library}`, `PERDURE_TEST_SYNC_MS=${syncMs}`] });
  const timed = async (run) => {
    const start = performance.now();
    const value = await run();
    return { ms: performance.now() - start, value };
  };
  const waits = ({ ms }, what) => assert.ok(ms >= syncMs, `${what} left after ${ms} ms`);
  const isFree = ({ ms }, what) => assert.ok(ms < syncMs / 2, `${what} took ${ms} ms`);
  const settled = () => lab.object('a', ({ storage }) => storage.sync());

  waits(await timed(() => lab.object('a', ({ kv }) => kv.put('n', 1))), 'the answer to a write');
  await settled();
  isFree(await timed(() => lab.object('a', ({ kv }) => kv.get('n'))), 'a read of durable state');
  isFree(await timed(() => lab.worker(() => 1)), 'an answer without state');

  // What another one has written and is not durable yet was seen: the reader's answer depends on it.
  const writing = lab.object('a', ({ kv }) => kv.put('n', 2));
  await new Promise((resolve) => setTimeout(resolve, 20));
  const reading = await timed(() => lab.object('a', ({ kv }) => kv.get('n')));
  assert.equal(reading.value, 2);
  assert.ok(reading.ms > syncMs / 2, `the answer to a read of what is not durable left after ${reading.ms} ms`);
  await writing;

  const upstream = http.createServer((request, response) => response.end('pong'));
  await once(upstream.listen(0, '127.0.0.1'), 'listening');
  t.after(() => upstream.close());
  const inside = await lab.object('a', async ({ storage, env }, url) => {
    const times = {};
    const timed = async (name, run) => {
      const start = performance.now();
      await run();
      times[name] = { ms: performance.now() - start };
    };
    await timed('put', () => storage.put('n', 3));
    await timed('call', () => env.COUNTER.getByName('b').run('({ kv }) => kv.put("n", 1)'));
    await timed('fetch', async () => (await fetch(url)).text());
    await storage.put('n', 4);
    await timed('sync', () => storage.sync());
    await timed('free fetch', async () => (await fetch(url)).text());
    return times;
  }, `http://127.0.0.1:${upstream.address().port}/`);
  isFree(inside.put, 'an awaited put');
  isFree(inside.call, 'a call of another object');
  waits(inside.fetch, 'a fetch() to the outside');
  waits(inside.sync, 'sync()');
  isFree(inside['free fetch'], 'a fetch() after sync()');

  const url = await lab.handle('/stream', (request, env) => new Response(new ReadableStream({
    async start(controller) {
      controller.enqueue(new TextEncoder().encode('first'));
      await new Promise((resolve) => setTimeout(resolve, 20));
      await env.COUNTER.getByName('a').run('({ kv }) => kv.put("n", 5)');
      controller.enqueue(new TextEncoder().encode('second'));
    },
  })));
  await settled();
  const reader = (await fetch(url)).body.getReader();
  isFree(await timed(() => reader.read()), 'the part of a stream before a write');
  waits(await timed(() => reader.read()), 'the part of a stream after a write');
  await reader.cancel();
});
