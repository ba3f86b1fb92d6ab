// Alarms over the end of the process, and the threads that ring them.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { root, sqlite, temporaryDirectory, writeFiles } from '../support/files.mjs';
import { serve } from '../support/perdure.mjs';
import { until } from '../support/until.mjs';

const project = join(root, 'tests/fixtures/alarms');

async function start(t, data, threads = 1) {
  const server = await serve(t, project, { data, args: ['--alarm-retry-ms', '50', '--threads', String(threads), '--idle-ms', '600000'] });
  const json = async (path) => JSON.parse(await server.text(path));
  return {
    ...server,
    json,
    ran: (query, times) => until(async () => {
      const state = await json(`/state?${query}`);
      return (state.runs?.length ?? 0) >= times ? state : undefined;
    }, `run ${times} of ${query}`),
    /** Until the alarm of the object with this id has ended in this process, and the commit that ends it is durable. */
    ended: (id) => until(async () => (await json('/ended')).includes(id), `the end of ${id}`),
  };
}

for (const kind of ['THING', 'KEYED']) {
  test(`${kind}: an alarm that came due while nothing ran fires once at the start`, async (t) => {
    const data = join(temporaryDirectory(t), 'data');
    let server = await start(t, data);
    for (const signal of ['SIGTERM', 'SIGKILL']) {
      const name = `class=${kind}&name=${signal}`;
      const id = await server.text(`/set?${name}&ms=2000`);
      await server.stop(signal);
      await delay(2_000);
      server = await start(t, data);
      const { name: known, alarm } = await server.ran(name, 1);
      assert.deepEqual([known, alarm], [signal, null]);
      await server.ended(id);
      await server.stop(signal);
      server = await start(t, data);
      await delay(200);
      assert.equal((await server.json(`/state?${name}`)).runs.length, 1);
    }
  });

  test(`${kind}: killed before the commit that ends it, the handler runs again; after that, not`, async (t) => {
    const data = join(temporaryDirectory(t), 'data');
    const name = `class=${kind}&name=a`;
    let server = await start(t, data);
    for (let runs = 2; runs <= 6; runs += 2) {
      const id = await server.text(`/plan?${name}&plan=die`);
      await server.text(`/set?${name}&ms=0`).catch(() => {}); // it may be gone before it answers
      const { signal } = await server.end();
      assert.equal(signal, 'SIGKILL');
      server = await start(t, data);
      await server.ended(id);
      assert.equal((await server.json(`/state?${name}`)).runs.length, runs);
      await server.stop('SIGKILL');
      server = await start(t, data);
      await delay(50);
      assert.equal((await server.json(`/state?${name}`)).runs.length, runs);
    }
  });

  test(`${kind}: killed at any moment, no alarm is lost, and none that had ended runs again`, async (t) => {
    const data = join(temporaryDirectory(t), 'data');
    const count = 20;
    const names = Array.from({ length: count }, (_, i) => `class=${kind}&name=${i}`);
    let server = await start(t, data);
    let ids;
    for (let round = 0; round < 3; round++) {
      const before = await Promise.all(names.map(async (name) => (await server.json(`/state?${name}`)).runs?.length ?? 0));
      const earlier = new Set(await server.json('/ended'));
      ids = await Promise.all(names.map((name, i) => server.text(`/set?${name}&ms=${i * 3}`)));
      await delay(round * 20);
      const ended = new Set((await server.json('/ended')).filter((id) => !earlier.has(id)));
      await server.stop('SIGKILL');
      server = await start(t, data);
      for (const [i, name] of names.entries()) {
        const { runs } = await server.ran(name, before[i] + 1);
        if (ended.has(ids[i])) assert.equal(runs.length, before[i] + 1, `${name} had ended`);
      }
      await server.stop(); // lets the handlers that run finish
      server = await start(t, data);
    }
    await server.stop();
    assert.equal(sqlite(join(data, 'catalog.sqlite'), 'SELECT count(*) FROM alarms'), '0');
  });
}

test('on several threads each alarm rings once, where its object is', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const names = Array.from({ length: 30 }, (_, i) => `class=${i % 2 === 0 ? 'THING' : 'KEYED'}&name=${i}`);
  let server = await start(t, data);
  await Promise.all(names.slice(0, 20).map((name) => server.text(`/set?${name}&ms=300`)));
  await server.stop('SIGKILL');
  await delay(300);
  server = await start(t, data, 3);
  await Promise.all(names.slice(20).map((name) => server.text(`/set?${name}&ms=0`)));
  for (const name of names) assert.equal((await server.ran(name, 1)).runs.length, 1);
  await delay(200);
  for (const name of names) assert.equal((await server.json(`/state?${name}`)).runs.length, 1, name);
  const { stderr } = await server.stop();
  assert.equal(stderr, '');
  assert.equal(sqlite(join(data, 'catalog.sqlite'), 'SELECT count(*) FROM alarms'), '0');
});

test('objects that alarms wake leave memory when a thousand others were woken', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  let server = await start(t, data);
  // When the server has ended, they are due.
  await server.text('/many?count=1100&ms=10000');
  const due = Date.now() + 10_000;
  await server.stop();
  await delay(due - Date.now());
  server = await start(t, data);
  await until(async () => (await server.json('/ended')).length === 1100, 'the last alarm');
  assert.equal(await server.json('/constructed'), 1100);
  await server.text('/many?count=1100');
  assert.equal(await server.json('/constructed'), 1200, 'a hundred had left');
});

test('a clean stop lets the handler that runs finish', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  let server = await start(t, data);
  await server.text('/plan?name=a&plan=wait');
  await server.text('/set?name=a&ms=0');
  await server.ran('name=a', 1);
  const { code, stderr } = await server.stop();
  assert.deepEqual([code, stderr], [0, '']);
  server = await start(t, data);
  await delay(100);
  assert.equal((await server.json('/state?name=a')).runs.length, 1);
});

test('the alarm stands in the catalog, and as workerd keeps it in the file of an object with SQLite', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const server = await start(t, data);
  const ids = [];
  for (const kind of ['THING', 'KEYED']) ids.push(await server.text(`/set?class=${kind}&name=a&ms=3600000`));
  const { alarm } = await server.json('/state?name=a');
  await server.stop();
  assert.equal(sqlite(join(data, `objects/alarms-Thing/${ids[0]}.sqlite`), 'SELECT key, value FROM _cf_METADATA'), `1|${alarm}000000`);
  assert.equal(sqlite(join(data, 'catalog.sqlite'), 'SELECT count(*), min(name), min(time_ms = due_ms) FROM alarms'), '2|a|1');
});

test('alarms of a class that the project has not any more are kept, and the start says so', async (t) => {
  const directory = temporaryDirectory(t);
  const data = join(directory, 'data');
  let server = await start(t, data);
  await server.text('/set?name=a&ms=500');
  await server.stop('SIGKILL'); // at once: it must not ring here
  const other = writeFiles(join(directory, 'other'), {
    'wrangler.json': JSON.stringify({ name: 'alarms', main: 'index.js', compatibility_date: '2026-11-01' }),
    'index.js': "export default { fetch: () => new Response('here') };",
  });
  await delay(500);
  const without = await serve(t, other, { data });
  await without.text('/');
  const { stderr } = await without.stop();
  assert.match(stderr, /alarms of "alarms-Thing" .* no class of this project is that/);
  server = await start(t, data);
  assert.equal((await server.ran('name=a', 1)).runs.length, 1);
});
