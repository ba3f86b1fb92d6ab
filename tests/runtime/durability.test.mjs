// Outputs of the process wait for the disk, nothing else does: shown with a disk that is slow.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { test } from 'node:test';
import { startLab } from '../support/lab.mjs';
import { slowDisk } from '../support/slow-disk.mjs';

const syncMs = 400;

async function startSlowLab(t) {
  return startLab(t, { wrapper: slowDisk(t, syncMs).wrapper });
}

async function timed(run) {
  const start = performance.now();
  const value = await run();
  return { ms: performance.now() - start, value };
}

const waits = ({ ms }, what) => assert.ok(ms >= syncMs, `${what} left after ${ms} ms`);
const isFree = ({ ms }, what) => assert.ok(ms < syncMs / 2, `${what} took ${ms} ms`);

test('outputs wait until what they depend on is durable', async (t) => {
  const lab = await startSlowLab(t);
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

  // A request to the outside with a body that is made while it is sent: each part waits.
  const parts = [];
  const sink = http.createServer((request, response) => {
    request.on('data', () => parts.push(performance.now()));
    request.on('end', () => response.end());
  });
  await once(sink.listen(0, '127.0.0.1'), 'listening');
  t.after(() => sink.close());
  for (const form of ['body', 'Request', 'iterable']) {
    await settled();
    parts.length = 0;
    await lab.object('a', async ({ storage }, url, form) => {
      async function* produce() {
        const encoder = new TextEncoder();
        yield encoder.encode('before the write');
        await new Promise((resolve) => setTimeout(resolve, 50));
        await storage.put('n', Math.random());
        yield encoder.encode('after the write');
      }
      const body = form === 'iterable' ? produce() : ReadableStream.from(produce());
      await (form === 'Request' ? fetch(new Request(url, { method: 'POST', body })) : fetch(url, { method: 'POST', body }));
    }, `http://127.0.0.1:${sink.address().port}/`, form);
    assert.equal(parts.length, 2, form);
    assert.ok(parts[1] - parts[0] >= syncMs, `${form}: the part after a write left ${parts[1] - parts[0]} ms after the one before it`);
  }

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

test('an answer waits for what it depends on, not for what others write', async (t) => {
  const lab = await startSlowLab(t);
  const settled = () => lab.object('a', ({ storage }) => storage.sync());
  await lab.object('b', ({ kv }) => kv.put('n', 1));
  const readsThrough = async (worker) => {
    await settled();
    let sent;
    const writing = timed(() => lab.object('a', ({ kv }) => kv.put('n', Math.random()))).then((timed) => (sent = timed));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const answer = await timed(() => lab.worker(worker));
    assert.equal(sent, undefined, 'the write was answered first: this shows nothing');
    waits(await writing, 'the answer to a write');
    return answer;
  };

  // While a write of another object waits for the disk:
  isFree(await readsThrough(() => 1), 'an answer without state');
  isFree(await readsThrough(({ env }) => env.COUNTER.getByName('b').run('({ kv }) => kv.get("n")')), 'a read of durable state');

  // What was seen counts, on whatever way.
  const reads = 'run("({ kv }) => kv.get(\\"n\\")")';
  for (const [way, code] of Object.entries({
    'a call': `({ env }) => env.COUNTER.getByName('a').${reads}`,
    'a call by another object': `({ env }) => env.COUNTER.getByName('b').run('({ env }) => env.COUNTER.getByName("a").${reads.replaceAll("\\", "\\\\\\")}')`,
    'a call, and then code that nobody knows the owner of':
      `async ({ env }) => { const seen = await env.COUNTER.getByName('a').${reads}; await crypto.subtle.digest('SHA-1', new Uint8Array(1)); return seen; }`,
    'a call by code that nobody knows the owner of':
      `async ({ env }) => { await crypto.subtle.digest('SHA-1', new Uint8Array(1)); return env.COUNTER.getByName('a').${reads}; }`,
    'a timer': `({ env }) => new Promise((resolve) => setTimeout(async () => resolve(await env.COUNTER.getByName('a').${reads}), 1))`,
  })) {
    await settled();
    const value = Math.random();
    const writing = lab.object('a', ({ kv }, value) => kv.put('n', value), value);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const answer = await timed(() => lab.worker(code));
    assert.equal(answer.value, value, way);
    assert.ok(answer.ms > syncMs / 2, `seen by ${way}: the answer left after ${answer.ms} ms`);
    await writing;
  }
});

test('what a run sends before it writes is lost with its commit', async (t) => {
  const lab = await startLab(t, { args: ['--idle-ms', '100000'] });
  const seen = [];
  const outside = http.createServer((request, response) => {
    seen.push(request.url);
    response.end();
  });
  await once(outside.listen(0, '127.0.0.1'), 'listening');
  t.after(() => outside.close());
  const url = `http://127.0.0.1:${outside.address().port}`;
  const received = () => lab.object('receiver', ({ kv }) => [...kv.list()].map(([key]) => key));

  /** Sends, then writes what cannot be committed. */
  const send = ({ env, sql, shared, attempt }, url, name, wait) => {
    const go = () => {
      shared[`call ${name}`] = attempt(() => env.COUNTER.getByName('receiver').run(`({ kv }) => kv.put(${JSON.stringify(name)}, 1)`));
      shared[`fetch ${name}`] = attempt(() => fetch(`${url}/${name}`));
      sql.exec('CREATE TABLE IF NOT EXISTS p (id INTEGER PRIMARY KEY); CREATE TABLE IF NOT EXISTS c (p REFERENCES p (id))');
      sql.exec('PRAGMA defer_foreign_keys = ON');
      if (!name.startsWith('good')) sql.exec('INSERT INTO c VALUES (1)');
    };
    if (wait === 'none') return go();
    if (wait === 'timer') return new Promise((resolve) => setTimeout(() => resolve(go()), 1));
    // A wake-up that the runtime knows nothing of.
    return crypto.subtle.digest('SHA-256', new Uint8Array(1)).then(go);
  };
  for (const wait of ['none', 'timer', 'unknown']) {
    await lab.object(`sender ${wait}`, send, url, `good-${wait}`, wait);
    await assert.rejects(lab.object(`sender ${wait}`, send, url, `bad-${wait}`, wait), /FOREIGN KEY constraint failed/);
    for (const what of ['call', 'fetch']) {
      assert.match(String(await lab.worker(({ shared }, what) => shared[what], `${what} bad-${wait}`)), /FOREIGN KEY constraint failed/, `${what} ${wait}`);
    }
  }
  assert.deepEqual(await received(), ['good-none', 'good-timer', 'good-unknown']);
  assert.deepEqual(seen, ['/good-none', '/good-timer', '/good-unknown']);
});

test('a commit that fails takes nothing of others with it', async (t) => {
  const lab = await startLab(t);
  const [bad, good] = await lab.worker(async ({ env, attempt }) => Promise.all([
    attempt(() => env.COUNTER.getByName('bad').run(`({ sql }) => {
      sql.exec('CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p (id)); PRAGMA defer_foreign_keys = ON');
      sql.exec('INSERT INTO c VALUES (1)');
    }`)),
    attempt(() => env.COUNTER.getByName('good').run(`async ({ kv, env }) => {
      kv.put('n', 1);
      return env.COUNTER.getByName('third').run('({ kv }) => { kv.put("n", 2); return "done"; }');
    }`)),
  ]));
  assert.match(bad, /FOREIGN KEY constraint failed/);
  assert.equal(good, 'done');
});

test('a part of a stream leaves after the commit of the run that gave it, or not at all', async (t) => {
  const lab = await startLab(t);
  const value = await lab.worker(async ({ env, attempt }) => {
    const stub = env.COUNTER.getByName('streams');
    await stub.run(`({ self, sql }) => {
      sql.exec('CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p (id))');
      self.onFetch = () => new Response(new ReadableStream({
        async start(controller) {
          controller.enqueue(new TextEncoder().encode('sound'));
          await new Promise((resolve) => { self.goOn = resolve; });
          controller.enqueue(new TextEncoder().encode('lost')); // a message of the same run as the write
          sql.exec('PRAGMA defer_foreign_keys = ON; INSERT INTO c VALUES (1)');
        },
      }));
    }`);
    const reader = (await stub.fetch('http://x/')).body.getReader();
    const first = new TextDecoder().decode((await reader.read()).value);
    await attempt(() => stub.run('({ self }) => self.goOn()'));
    return [first, await attempt(async () => new TextDecoder().decode((await reader.read()).value))];
  });
  assert.equal(value[0], 'sound');
  assert.match(value[1], /FOREIGN KEY constraint failed/);
});

test('outputs do not wait for writes with allowUnconfirmed', async (t) => {
  const lab = await startSlowLab(t);
  await lab.object('a', ({ storage }) => storage.put('n', 0));
  const settled = () => lab.object('a', ({ storage }) => storage.sync());
  const unconfirmed = {
    put: ({ storage }) => storage.put('n', 1, { allowUnconfirmed: true }),
    'put of several': ({ storage }) => storage.put({ n: 2, m: 2 }, { allowUnconfirmed: true }),
    delete: ({ storage }) => storage.delete(['n', 'none'], { allowUnconfirmed: true }),
    transaction: ({ storage }) => storage.transaction((txn) => txn.put('n', 3, { allowUnconfirmed: true })),
    deleteAll: ({ storage }) => storage.deleteAll({ allowUnconfirmed: true }),
  };
  for (const [name, run] of Object.entries(unconfirmed)) {
    isFree(await timed(() => lab.object('a', run)), name);
    isFree(await timed(() => lab.object('a', ({ storage }) => storage.get('n'))), `a read after ${name}`);
    const synced = await timed(settled); // the disk has been at work since the commit
    assert.ok(synced.ms > syncMs / 2, `sync() after ${name} took ${synced.ms} ms`);
  }
  const confirmed = {
    put: ({ storage }) => storage.put('n', 1),
    'put without the option': ({ storage }) => storage.put('n', 2, { allowUnconfirmed: false }),
    'put with another write': ({ storage, kv }) => { kv.put('m', 1); return storage.put('n', 3, { allowUnconfirmed: true }); },
    'put before another write': ({ storage, sql }) => { storage.put('n', 4, { allowUnconfirmed: true }); sql.exec('CREATE TABLE t (a)'); },
    transaction: ({ storage }) => storage.transaction((txn) => { txn.put('n', 5, { allowUnconfirmed: true }); txn.put('n', 6); }),
    deleteAll: ({ storage }) => storage.deleteAll(),
  };
  for (const [name, run] of Object.entries(confirmed)) waits(await timed(() => lab.object('a', run)), name);

  for (const name of ['put', 'delete', 'transaction', 'deleteAll']) {
    isFree(await timed(() => lab.keyed('a', unconfirmed[name])), `${name} of a key-value class`);
    await settled();
  }
  waits(await timed(() => lab.keyed('a', confirmed.put)), 'put of a key-value class');
});

test('code of one object that runs because another one reads, cancels or calls it is still its own', async (t) => {
  const lab = await startLab(t, { args: ['--idle-ms', '100000'] });
  const value = await lab.worker(async ({ env, attempt, shared }) => {
    const notes = {};
    shared.lose = (name, { sql, env, attempt }) => {
      notes[name] = attempt(() => env.COUNTER.getByName('receiver').run(`({ kv }) => void kv.put(${JSON.stringify(name)}, 1)`));
      sql.exec('CREATE TABLE IF NOT EXISTS p (id INTEGER PRIMARY KEY); CREATE TABLE IF NOT EXISTS c (p REFERENCES p (id))');
      sql.exec('PRAGMA defer_foreign_keys = ON; INSERT INTO c VALUES (1)');
    };
    const reads = [];
    for (const how of ['pull', 'cancel']) {
      await env.COUNTER.getByName(`feeds ${how}`).run(`(tools, how) => {
        tools.self.onFetch = () => new Response(new ReadableStream({
          pull: (controller) => { if (how === 'pull') tools.shared.lose('pull', tools); controller.enqueue(new Uint8Array(1)); },
          cancel: () => tools.shared.lose('cancel', tools),
        }, { highWaterMark: 0 }));
      }`, how);
      reads.push(await env.COUNTER.getByName(`reads ${how}`).run(`async ({ env, attempt, kv }, how) => {
        const reader = (await env.COUNTER.getByName('feeds ' + how).fetch('http://x/')).body.getReader();
        const outcome = await attempt(async () => (await (how === 'pull' ? reader.read() : reader.cancel()))?.done);
        kv.put('still', 'mine');
        return outcome;
      }`, how));
    }
    // A plain call through what they share.
    await env.COUNTER.getByName('called').run('(tools) => { tools.shared.call = () => tools.shared.lose("call", tools); }');
    await env.COUNTER.getByName('calls').run('({ shared }) => shared.call()');
    await new Promise((resolve) => setTimeout(resolve, 50));
    return [reads, await notes.pull, await notes.cancel, await notes.call, await env.COUNTER.getByName('receiver').run('({ kv }) => [...kv.list()]')];
  });
  const [[pulled, cancelled], ...notes] = value;
  assert.match(pulled, /FOREIGN KEY constraint failed/);
  assert.equal(cancelled, undefined);
  for (const note of notes.slice(0, 3)) assert.match(note, /FOREIGN KEY constraint failed/);
  assert.deepEqual(notes[3], []);
});

test('a lost commit ends no upload that has nothing to do with it', async (t) => {
  const lab = await startLab(t);
  const sizes = [];
  const sink = http.createServer((request, response) => {
    let size = 0;
    request.on('data', (part) => (size += part.length)).on('end', () => {
      sizes.push(size);
      response.end('ok');
    });
  });
  await once(sink.listen(0, '127.0.0.1'), 'listening');
  t.after(() => sink.close());
  const upload = lab.worker(async (_, url) => {
    let parts = 0;
    const body = new ReadableStream({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        if (parts++ === 10) controller.close();
        else controller.enqueue(new Uint8Array(10));
      },
    });
    return (await fetch(url, { method: 'POST', body })).text();
  }, `http://127.0.0.1:${sink.address().port}/`);
  await lab.object('other', async ({ sql }) => {
    await crypto.subtle.digest('SHA-256', new Uint8Array(1)); // after it, nobody knows whose code runs
    sql.exec('CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p (id)); PRAGMA defer_foreign_keys = ON; INSERT INTO c VALUES (1)');
  }).catch(() => {});
  assert.equal(await upload, 'ok');
  assert.deepEqual(sizes, [100]);
});
