// Several threads: what cannot be passed, is not wanted any more or comes too early.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';
import { serve } from '../support/perdure.mjs';
import { placed } from '../support/placed.mjs';
import { slowDisk } from '../support/slow-disk.mjs';

const threads = 3;

test('what no message can carry fails by itself, and what goes with it arrives', async (t) => {
  const lab = await startLab(t, { threads });
  const { here, there } = await placed(lab);
  const seen = await lab.object(here, async ({ env }, there) => {
    const stub = env.COUNTER.getByName(there);
    class Strange extends Request {
      get url() {
        return () => 1;
      }
    }
    const text = (error) => `${error.name}: ${error.message}`;
    const call = await Promise.all([stub.run('() => 1'), stub.fetch(new Strange('http://o/')).catch(text), stub.run('() => 2')]);
    const stream = await stub.run(`({ self }) => new ReadableStream({
      pull: (c) => c.enqueue(new Proxy(new Uint8Array(3), { get: (target, key) => target[key] })),
      cancel: (why) => { self.why = why.name; },
    })`);
    const part = await Promise.all([stub.run('() => 3'), stream.getReader().read().catch(text), stub.run('() => 4')]);
    return { call, part, cancelled: await stub.run('({ self }) => self.why') };
  }, there);
  assert.deepEqual(seen, {
    call: [1, 'DataCloneError: () => 1 could not be cloned.', 2],
    part: [3, 'DataCloneError: [object Uint8Array] could not be cloned.', 4],
    cancelled: 'DataCloneError',
  });
});

test('a stream with a part that cannot be passed is cancelled', async (t) => {
  const lab = await startLab(t, { threads });
  const { here, there } = await placed(lab);
  const seen = await lab.object(here, async ({ env }, there) => {
    const stub = env.COUNTER.getByName(there);
    const stream = await stub.run('({ self }) => new ReadableStream({ pull: (c) => c.enqueue(() => 1), cancel: (why) => { self.why = why.name; } })');
    const read = await stream.getReader().read().catch((error) => error.name);
    return [read, await stub.run('({ self }) => self.why')];
  }, there);
  assert.deepEqual(seen, ['DataCloneError', 'DataCloneError']);
});

test('errors that a clone keeps no members of say what the runtime knows of them, too', async (t) => {
  const lab = await startLab(t, { threads });
  const { here, beside, there } = await placed(lab);
  const errors = ({ env }, name) => {
    const stub = env.COUNTER.getByName(name);
    const thrown = (source) => stub.run(source).then(() => 'nothing', (error) => [error.name, error.message, error.remote, error.durableObjectId === stub.id.toString()]);
    return Promise.all([
      thrown('() => () => 1'),
      thrown('() => { throw new DOMException("stop", "AbortError"); }'),
      thrown('() => { throw new Map([[1, 2]]); }'),
      thrown('() => { throw new Date(5); }'),
    ]);
  };
  const there_ = await lab.object(here, errors, there);
  assert.deepEqual(there_, await lab.object(here, errors, beside));
  assert.deepEqual(there_[0], ['DataCloneError', '() => 1 could not be cloned.', true, false]);
  assert.deepEqual(there_[2], [undefined, undefined, true, true]);
  // What only a copy within one thread can have is left out.
  const members = ({ env }, name) => env.COUNTER.getByName(name).run('() => { throw Object.assign(new RangeError("with headers"), { headers: new Headers() }); }')
    .catch((error) => [error.constructor.name, error.message, error.remote]);
  assert.deepEqual(await lab.object(here, members, there), ['RangeError', 'with headers', true]);
});

test('streams that were given for a call that is not made are cancelled', async (t) => {
  const lab = await startLab(t, { threads });
  const { here, there } = await placed(lab);
  const seen = await lab.object(here, async ({ env, sql }, there) => {
    const cancelled = [];
    const given = (name) => new ReadableStream({ pull: (c) => c.enqueue('part'), cancel: (why) => void cancelled.push([name, why.message]) });
    const stub = env.COUNTER.getByName(there);
    await stub.run('() => 1');
    await stub.run('() => 1', given('beside a function'), () => 1).catch(() => {});
    // A stub that has not heard of a reset is refused without its arguments being looked at.
    await env.COUNTER.getByName(there).run('({ ctx }) => ctx.abort("again")').catch(() => {});
    await stub.run('() => 1', given('refused')).catch(() => {});
    while (cancelled.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    return cancelled;
  }, there);
  assert.deepEqual(seen, ['beside a function', 'refused'].map((name) => [name, 'Nobody reads this stream any more.']));
});

test('fetch() with a signal that was aborted before keeps no object in memory', async (t) => {
  const idleMs = 100;
  const lab = await startLab(t, { threads, args: ['--idle-ms', `${idleMs}`] });
  const { here, beside, there } = await placed(lab);
  for (const name of [beside, there]) {
    const error = await lab.object(here, ({ env, self }, name) => {
      self.mark = true;
      const body = new ReadableStream({ pull: (c) => c.enqueue(new Uint8Array(1)) });
      return env.COUNTER.getByName(name).fetch('http://o/', { method: 'POST', body, signal: AbortSignal.abort(new Error('stop')) }).catch((error) => error.message);
    }, name);
    assert.equal(error, 'stop');
    const marked = async () => {
      await new Promise((resolve) => setTimeout(resolve, 4 * idleMs));
      return lab.object(here, ({ self }) => self.mark);
    };
    while (await marked());
  }
});

test('a request whose body was read does not go to an object as one without a body', async (t) => {
  const lab = await startLab(t, { threads });
  const { here, there } = await placed(lab);
  const echo = ({ self }) => {
    self.onFetch = (request) => request.text().then((text) => new Response(`text: ${text}`), (error) => new Response(error.name));
  };
  await lab.object(here, echo);
  await lab.object(there, echo);
  // What a module keeps is each thread's own: as many connections at once reach all of them.
  const [url] = await Promise.all(Array.from({ length: 4 * threads }, () => lab.handle('/read', async (request, env) => {
    const names = new URL(request.url).searchParams.getAll('name');
    const first = await request.text();
    const rest = await Promise.all(names.map((name) => env.COUNTER.getByName(name).fetch(request).then((response) => response.text())));
    return Response.json([first, ...rest]);
  })));
  const response = await fetch(`${url}?${new URLSearchParams([['name', here], ['name', there]])}`, { method: 'POST', body: 'once' });
  assert.deepEqual(await response.json(), ['once', 'TypeError', 'TypeError']);
});

test('`cf` of a request goes along to another thread', async (t) => {
  const lab = await startLab(t, { threads });
  const { here, there } = await placed(lab);
  await lab.object(there, ({ self }) => void (self.onFetch = (request) => Response.json(request.cf)));
  const cf = await lab.object(here, ({ env }, there) => env.COUNTER.getByName(there).fetch('http://o/', { cf: { country: 'NZ' } }).then((r) => r.json()), there);
  assert.deepEqual(cf, { country: 'NZ' });
});

test('why a stream was cancelled is known outside when what the reason depends on is durable, not at all when that is lost', async (t) => {
  const syncMs = 400;
  const lab = await startLab(t, { threads, wrapper: slowDisk(t, syncMs).wrapper });
  const { here, beside, there } = await placed(lab);
  for (const name of [beside, there]) {
    await lab.object(here, ({ storage }) => storage.sync());
    const start = performance.now();
    lab.object(here, async ({ env, kv }, name) => {
      const reader = (await env.COUNTER.getByName(name).run('({ self }) => new ReadableStream({ cancel: (why) => void (self.why = why) }, { highWaterMark: 0 })')).getReader();
      kv.put('secret', name);
      await reader.cancel(`the secret is ${kv.get('secret')}`);
    }, name).catch(() => {});
    let why;
    while (why === undefined) why = await lab.object(name, ({ self }) => self.why);
    assert.equal(why, `the secret is ${name}`);
    assert.ok(performance.now() - start >= syncMs, `${name} has told after ${performance.now() - start} ms`);

    const lost = await lab.object(here, async ({ env, sql }, name) => {
      sql.exec('CREATE TABLE IF NOT EXISTS parent (id INTEGER PRIMARY KEY); CREATE TABLE IF NOT EXISTS child (p REFERENCES parent DEFERRABLE INITIALLY DEFERRED)');
      const stub = env.COUNTER.getByName(name);
      const reader = (await stub.run('({ self }) => { self.why = undefined; return new ReadableStream({ cancel: (why) => void (self.why = why.message) }, { highWaterMark: 0 }); }')).getReader();
      sql.exec('INSERT INTO child VALUES (1)');
      await reader.cancel(new Error('child 1 is there'));
    }, name).catch((error) => error.message);
    assert.match(lost, /FOREIGN KEY/);
    why = undefined;
    while (why === undefined) why = await lab.object(name, ({ self }) => self.why);
    assert.match(why, /FOREIGN KEY/);
  }
});

const alarmsAtStart = `
import { DurableObject } from 'cloudflare:workers';
await new Promise((resolve) => setTimeout(resolve, 100));
export class Clock extends DurableObject {
  arm(ms) { return this.ctx.storage.setAlarm(Date.now() + ms); }
  ping() { return 1; }
  rang() { return this.ctx.storage.kv.get('rang'); }
  async alarm() {
    const calls = Array.from({ length: 8 }, (_, n) => this.env.CLOCK.getByName('other ' + n).ping().catch((error) => error.message));
    this.ctx.storage.kv.put('rang', await Promise.all(calls));
  }
}
export default {
  async fetch(request, env) {
    const [, method, name, ...args] = new URL(request.url).pathname.split('/');
    return Response.json(await env.CLOCK.getByName(name)[method](...args.map(Number)) ?? null);
  },
};`;

test('alarms that ring at start reach objects of threads that are still starting', async (t) => {
  const project = temporaryDirectory(t);
  writeFileSync(join(project, 'index.js'), alarmsAtStart);
  writeFileSync(join(project, 'wrangler.json'), JSON.stringify({
    name: 'clocks', main: 'index.js', compatibility_date: '2026-11-01',
    durable_objects: { bindings: [{ name: 'CLOCK', class_name: 'Clock' }] },
    migrations: [{ tag: 'v1', new_sqlite_classes: ['Clock'] }],
  }));
  const data = join(project, 'data');
  const names = Array.from({ length: 12 }, (_, n) => `clock ${n}`);
  const ask = async (server, path) => (await fetch(`${server.url}/${path}`)).json();
  const first = await serve(t, project, { data, args: ['--threads', `${threads}`] });
  const due = Date.now() + 2000;
  for (const name of names) await ask(first, `arm/${name}/${due - Date.now()}`);
  first.child.kill('SIGKILL');
  await first.closed;
  await new Promise((resolve) => setTimeout(resolve, due - Date.now()));
  const again = await serve(t, project, { data, args: ['--threads', `${threads}`] });
  for (const name of names) {
    let rang = null;
    while (rang === null) rang = await ask(again, `rang/${name}`);
    assert.deepEqual(rang, new Array(8).fill(1), name);
  }
});
