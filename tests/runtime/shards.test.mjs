// Several threads: which object is where, and that what holds on one thread holds across them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, temporaryDirectory, wranglerJson, writeFiles } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';
import { serve } from '../support/perdure.mjs';
import { placed } from '../support/placed.mjs';

const threads = 3;

test('objects are spread over the threads, and each is one object wherever it is called', async (t) => {
  const lab = await startLab(t, { threads });
  const { here, there } = await placed(lab);
  // Requests come on connections of all threads.
  const adds = Array.from({ length: 300 }, (_, n) => lab.object(n % 2 ? here : there, ({ self, kv }) => {
    self.instances ??= Math.random();
    kv.put('n', (kv.get('n') ?? 0) + 1);
    return self.instances;
  }));
  assert.equal(new Set(await Promise.all(adds)).size, 2);
  assert.equal(await lab.object(here, ({ kv }) => kv.get('n')), 150);
  assert.equal(await lab.object(there, ({ kv }) => kv.get('n')), 150);
});

test('calls to another thread arrive in the order in which they were made', async (t) => {
  const lab = await startLab(t, { threads });
  const { here, there } = await placed(lab);
  const order = await lab.object(here, async ({ env }, there) => {
    const stub = env.COUNTER.getByName(there);
    const calls = [];
    for (let n = 0; n < 1000; n++) {
      calls.push(stub.run('({ self }, n) => (self.order ??= []).push(n)', n));
      if (n % 100 === 0) await calls[n];
    }
    await Promise.all(calls);
    return stub.run('({ self }) => self.order');
  }, there);
  assert.deepEqual(order, Array.from({ length: 1000 }, (_, n) => n));
});

test('two objects on different threads call each other while they wait', async (t) => {
  const lab = await startLab(t, { threads });
  const { here, there } = await placed(lab);
  const depth = await lab.object(here, async ({ env, self }, here, there) => {
    self.bounce = (n, me, other) => (n === 0 ? 0 : env.COUNTER.getByName(other).run(
      '({ env }, n, me, other) => n === 0 ? 0 : env.COUNTER.getByName(other).run("({ self }, n, me, other) => self.bounce(n, me, other)", n - 1, other, me).then((d) => d + 1)',
      n - 1, other, me).then((d) => d + 1));
    return self.bounce(20, here, there);
  }, here, there);
  assert.equal(depth, 20);
});

test('a stub of an object on another thread fails once after a reset', async (t) => {
  const lab = await startLab(t, { threads });
  const { here, there } = await placed(lab);
  const seen = await lab.object(here, async ({ env, attempt }, there) => {
    const stub = env.COUNTER.getByName(there);
    const old = env.COUNTER.getByName(there);
    const call = (stub) => stub.run('() => 1').catch((error) => [error.message, error.durableObjectReset, error.remote]);
    const first = await call(stub);
    await call(old); // one that was not used is not told
    const aborted = await stub.run('({ ctx }) => ctx.abort("on purpose")').catch((error) => error.message);
    return { first, aborted, same: await call(stub), old: await call(old), again: await call(old), fresh: await call(env.COUNTER.getByName(there)) };
  }, there);
  assert.deepEqual(seen, { first: 1, aborted: 'on purpose', same: 1, old: ['on purpose', true, undefined], again: 1, fresh: 1 });
});

test('streams go to another thread part by part, end there when their object is reset, and can be cancelled there', async (t) => {
  const lab = await startLab(t, { threads });
  const { here, there } = await placed(lab);
  const parts = await lab.object(here, async ({ env }, there) => {
    const stub = env.COUNTER.getByName(there);
    const read = async (stream) => {
      const parts = [];
      try {
        for await (const part of stream) parts.push(part instanceof Uint8Array ? part.length : part);
      } catch (error) {
        parts.push(error.message);
      }
      return parts;
    };
    const made = await stub.run('() => new ReadableStream({ start(c) { c.enqueue("text"); c.enqueue({ n: 1 }); c.close(); } })');
    const bytes = await stub.run('() => new Response(new Uint8Array(300_000)).body');
    const whole = await read(made);
    let total = 0;
    for (const length of await read(bytes)) total += length;
    const sent = await stub.run('async ({}, stream) => { let n = 0; for await (const part of stream) n += part; return n; }', ReadableStream.from([1, 2, 3]));
    const failing = await stub.run('() => new ReadableStream({ pull(c) { if (this.n) throw new RangeError("no more"); this.n = 1; c.enqueue("one"); } })');
    const failed = await read(failing);
    const endless = await stub.run('({ self }) => new ReadableStream({ pull: (c) => c.enqueue("x"), cancel: (why) => { self.cancelled = String(why); } })');
    const reader = endless.getReader();
    await reader.read();
    await reader.cancel('enough');
    const held = await stub.run('() => new ReadableStream({ async pull(c) { if (this.n) await new Promise(() => {}); this.n = 1; c.enqueue("part"); } })');
    const heldReader = held.getReader();
    const before = (await heldReader.read()).value;
    const pending = heldReader.read().catch((error) => error.message);
    let cancelled;
    while (cancelled === undefined) cancelled = await stub.run('({ self }) => self.cancelled');
    await stub.run('({ ctx }) => ctx.abort("reset it")').catch(() => {});
    return { made: whole, total, sent, failing: failed, cancelled, held: [before, await pending] };
  }, there);
  assert.deepEqual(parts, {
    made: ['text', { n: 1 }], total: 300_000, sent: 6, failing: ['one', 'no more'], cancelled: 'enough', held: ['part', 'reset it'],
  });
});

test('fetch() of an object on another thread: method, headers, bodies both ways', async (t) => {
  const lab = await startLab(t, { threads });
  const { here, there } = await placed(lab);
  await lab.object(there, ({ self }) => {
    self.onFetch = async (request) => new Response(`${request.method} ${new URL(request.url).pathname} ${request.headers.get('x-a')} ${await request.text()}`, {
      status: 201, statusText: 'Made Here', headers: [['x-b', '2'], ['set-cookie', 'a=1'], ['set-cookie', 'b=2']],
    });
  });
  const ask = ({ env }, there) => env.COUNTER.getByName(there).fetch('http://o/path', { method: 'PUT', headers: { 'x-a': '1' }, body: 'text' })
    .then(async (r) => [r.status, r.statusText, r.headers.get('x-b'), r.headers.getSetCookie(), r.headers.get('content-type'), await r.text()]);
  const expected = [201, 'Made Here', '2', ['a=1', 'b=2'], 'text/plain;charset=UTF-8', 'PUT /path 1 text'];
  assert.deepEqual(await lab.object(here, ask, there), expected);
  assert.deepEqual(await lab.worker(ask, there), expected);
  const plain = await lab.object(here, async ({ env }, there) => {
    await env.COUNTER.getByName(there).run('({ self }) => { self.onFetch = (request) => new Response(request.body === null ? null : request.body, { headers: { "x-c": "3" } }); }');
    const answer = async (init) => {
      const response = await env.COUNTER.getByName(there).fetch('http://o/', init);
      return [response.status, response.headers.get('x-c'), response.body === null, await response.text()];
    };
    return [await answer(), await answer({ method: 'POST', body: 'echoed' }), await answer({ method: 'POST', body: ReadableStream.from([new TextEncoder().encode('stre'), new TextEncoder().encode('amed')]) })];
  }, there);
  assert.deepEqual(plain, [[200, '3', true, ''], [200, '3', false, 'echoed'], [200, '3', false, 'streamed']]);
});

test('an answer waits for what an object on another thread has written, and what is sent before a lost write is lost with it', async (t) => {
  const syncMs = 400;
  const library = join(temporaryDirectory(t), 'slow-sync.so');
  execFileSync('cc', ['-shared', '-fPIC', '-o', library, join(root, 'tests/fixtures/slow-sync.c'), '-ldl']);
  const lab = await startLab(t, { threads, wrapper: ['env', `LD_PRELOAD=${library}`, `PERDURE_TEST_SYNC_MS=${syncMs}`] });
  const { here, beside, there } = await placed(lab);
  await lab.object(there, ({ storage }) => storage.sync());
  const start = performance.now();
  const value = await lab.object(here, ({ env }, there) => env.COUNTER.getByName(there).run('({ kv }) => { kv.put("n", 1); return kv.get("n"); }'), there);
  assert.equal(value, 1);
  assert.ok(performance.now() - start >= syncMs, 'the answer to a write on another thread has waited');

  const writing = lab.object(there, ({ kv }) => kv.put('n', 2));
  await new Promise((resolve) => setTimeout(resolve, 20));
  const reading = performance.now();
  assert.equal(await lab.object(here, ({ env }, there) => env.COUNTER.getByName(there).run('({ kv }) => kv.get("n")'), there), 2);
  assert.ok(performance.now() - reading > syncMs / 2, 'the answer to a read of what is not durable has waited');
  await writing;

  const unrelated = lab.object(there, ({ kv }) => kv.put('n', 3));
  await new Promise((resolve) => setTimeout(resolve, 20));
  const free = performance.now();
  await lab.object(here, ({ env }, beside) => env.COUNTER.getByName(beside).run('() => 1'), beside);
  assert.ok(performance.now() - free < syncMs / 2, 'an answer that depends on no write has not waited');
  await unrelated;

  // The run sends first and writes afterwards; its commit fails.
  await lab.object(here, ({ env, sql }, there) => {
    sql.exec('CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (p REFERENCES parent DEFERRABLE INITIALLY DEFERRED)');
  });
  const lost = await lab.object(here, async ({ env, sql }, there) => {
    const sent = env.COUNTER.getByName(there).run('({ kv }) => kv.put("sent", true)');
    sql.exec('INSERT INTO child VALUES (1)');
    await sent;
  }, there).catch((error) => error.message);
  assert.match(lost, /FOREIGN KEY/);
  assert.equal(await lab.object(there, ({ kv }) => kv.get('sent')), undefined);
});

test('a clean stop waits for work on every thread, and everything is there after it', async (t) => {
  const lab = await startLab(t, { threads });
  const { here, there } = await placed(lab);
  await lab.object(here, ({ ctx, env }, there) => {
    ctx.waitUntil((async () => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      // Work that begins on the other thread while this one is waited for.
      await env.COUNTER.getByName(there).run('({ ctx, kv }) => ctx.waitUntil(new Promise((resolve) => setTimeout(() => resolve(kv.put("late", 1)), 300)))');
    })());
  }, there);
  const { code, stderr } = await lab.stop();
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  const again = await startLab(t, { data: lab.data, threads: 2 });
  assert.equal(await again.object(there, ({ kv }) => kv.get('late')), 1);
});

test('a stop gives up on a thread that user code never lets go of, and loses nothing', async (t) => {
  const lab = await startLab(t, { threads });
  const { here, there } = await placed(lab);
  await lab.object(there, ({ kv }) => kv.put('n', 1));
  lab.object(here, () => { for (;;); }).catch(() => {});
  // It is blocked when its thread does not answer any more.
  const blocked = () => Promise.race([lab.object(here, () => 'runs').catch(() => {}), new Promise((resolve) => setTimeout(resolve, 500, 'blocked'))]);
  while ((await blocked()) !== 'blocked');
  const { code, stderr } = await lab.stop();
  assert.equal(code, 1);
  assert.match(stderr, /code keeps a thread from stopping\. The process ends without it; the next start recovers from the log\./);
  const again = await startLab(t, { data: lab.data, threads });
  assert.equal(await again.object(there, ({ kv }) => kv.get('n')), 1);
});

test('what the code of any thread has printed has left when a server ends', async (t) => {
  const lab = await startLab(t, { threads });
  const { here, there } = await placed(lab);
  const lines = 20_000;
  await Promise.all([here, there].map((name) => lab.object(name, (_, name, lines) => {
    for (let i = 0; i < lines; i++) console.log(`line ${i} of ${name}, and a little more so that no pipe takes all of it at once`);
  }, name, lines)));
  const { code, stdout } = await lab.stop();
  assert.equal(code, 0);
  assert.equal(stdout.split('\n').filter((line) => line.startsWith('line ')).length, 2 * lines);
});

test('later requests for a target run on the thread whose object the first has called', async (t) => {
  const directory = writeFiles(temporaryDirectory(t), {
    'wrangler.jsonc': wranglerJson({
      main: 'index.js',
      durable_objects: { bindings: [{ name: 'THING', class_name: 'Thing' }] },
      migrations: [{ tag: 'v1', new_sqlite_classes: ['Thing'] }],
    }),
    'index.js': `
      import { threadId } from 'node:worker_threads';
      import { DurableObject } from 'cloudflare:workers';
      export class Thing extends DurableObject {
        thread() { return threadId; }
      }
      export default {
        async fetch(request, env) {
          const { searchParams } = new URL(request.url);
          const of = searchParams.get('name') ?? (await request.text());
          return Response.json([threadId, await env.THING.getByName(of).thread()]);
        },
      };`,
  });
  const server = await serve(t, directory, { data: join(directory, 'data'), args: ['--threads', `${threads}`] });
  const names = Array.from({ length: 12 }, (_, n) => `name ${n}`);
  const ask = async (name) => JSON.parse(await server.text(`/?${new URLSearchParams({ name })}`));
  for (const name of names) await ask(name);
  for (const name of names) {
    const [worker, object] = await ask(name);
    assert.equal(worker, object, name);
  }
  // One target for objects of several threads is no reason to run all of it on one.
  const post = async (name) => JSON.parse(await server.text('/', { method: 'POST', body: name }));
  for (const name of names) await post(name);
  const workers = await Promise.all(Array.from({ length: 30 }, (_, n) => post(names[n % names.length])));
  assert.ok(new Set(workers.map(([worker]) => worker)).size > 1, 'requests for it run on several threads');
});

test('process.exit() on any thread ends the process', async (t) => {
  const lab = await startLab(t, { threads });
  const { here } = await placed(lab);
  lab.object(here, () => process.exit(7)).catch(() => {});
  const { code, stderr } = await lab.end();
  assert.equal(code, 7);
  assert.match(stderr, /a shard's thread has ended; user code may have called process\.exit\(\)/);
});
