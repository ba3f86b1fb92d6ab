// Each example as its README shows it, and what else its pattern promises.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { objectFiles, root, sqlite, temporaryDirectory } from './support/files.mjs';
import { serve } from './support/perdure.mjs';
import { runCommand, sessions } from './support/readme.mjs';

const post = { method: 'POST' };
const body = (text) => ({ method: 'POST', body: text });
const example = (name) => join(root, 'examples', name);
const names = readdirSync(join(root, 'examples'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== 'cpp') // those are tests/cpp-library.test.mjs
  .map((entry) => entry.name);

for (const name of names) {
  test(`example ${name}, as its README shows it`, async (t) => {
    const data = join(temporaryDirectory(t), 'data');
    const blocks = sessions(readFileSync(join(example(name), 'README.md'), 'utf8'));
    assert.ok(blocks.length >= 2, 'one session before a kill -9, one after it');
    for (const commands of blocks) {
      const server = await serve(t, example(name), { data });
      for (const { command, expected } of commands) assert.equal(await runCommand(command, server.url), expected, command);
      await server.stop('SIGKILL');
    }
  });
}

/** Serves the example; `again` kills it and serves it anew on the same data. */
async function start(t, name, options = {}) {
  const data = join(temporaryDirectory(t), 'data');
  const begin = () => serve(t, example(name), { data, ...options });
  const server = await begin();
  return {
    server,
    data,
    async again(signal = 'SIGKILL') {
      await this.server.stop(signal);
      this.server = await begin();
    },
    text: async function (path, init) {
      return (await this.server.text(path, init)).trimEnd();
    },
  };
}

const upTo = (count) => Array.from({ length: count }, (_, i) => i);

test('counter: a clean stop leaves files that any SQLite tool reads', async (t) => {
  const counter = await start(t, 'counter');
  for (const name of ['a', 'a', 'b']) await counter.text(`/increment?name=${name}`, post);
  assert.equal((await fetch(`${counter.server.url}/increment`)).status, 404);
  await counter.server.stop();
  const values = objectFiles(counter.data).map((file) => sqlite(file, 'SELECT key, value FROM data'));
  assert.deepEqual(values.sort(), ['counter|1', 'counter|2']);
});

test('schema migration: each object at its own version, and no step twice', async (t) => {
  const migration = await start(t, 'schema-migration', { args: ['--idle-ms', '100000'] });
  const version = async (name) => JSON.parse(await migration.text(`/?name=${name}`)).version;
  assert.equal(await version('a'), '1');
  assert.equal(await version('a'), '1', 'the constructor runs once');
  await migration.again();
  assert.deepEqual([await version('a'), await version('b')], ['2', '1']);
  await migration.again('SIGTERM');
  assert.deepEqual([await version('a'), await version('b')], ['2', '2']);
  await migration.again();
  assert.deepEqual([await version('a'), await version('b')], ['2', '2']);
});

test('in-memory cache: what the instance forgets is in the storage', async (t) => {
  const cache = await start(t, 'in-memory-cache', { args: ['--idle-ms', '1'] });
  const patch = (fields) => ({ method: 'PATCH', body: JSON.stringify(fields) });
  assert.equal((await fetch(`${cache.server.url}/users/1`)).status, 404);
  await cache.text('/users/1', patch({ name: 'Ada' }));
  await cache.text('/users/2', patch({ name: 'Bob' }));
  assert.equal(await cache.text('/users/1', patch({ name: 'Ada L.' })), '{"name":"Ada L."}');
  for (const how of ['SIGKILL', 'SIGTERM']) {
    await cache.again(how);
    assert.equal(await cache.text('/users/1'), '{"name":"Ada L."}');
    assert.equal(await cache.text('/users/2'), '{"name":"Bob"}');
  }
});

test('rate limiter: the window slides, for each key alone', async (t) => {
  const limiter = await start(t, 'rate-limiter');
  const windowMs = 1500;
  const check = (key) => limiter.text(`/?key=${key}&limit=3&window=${windowMs}`, post);
  const began = performance.now();
  for (const n of upTo(3)) assert.equal(await check('a'), 'passed', `request ${n}`);
  const counted = performance.now();
  let passedAfter;
  for (;;) {
    const sent = performance.now();
    const answer = await check('a');
    if (answer === 'passed') {
      passedAfter = performance.now() - began;
      break;
    }
    assert.equal(answer, 'too many requests');
    assert.ok(sent - counted <= windowMs, 'refused after the window is over');
  }
  assert.ok(passedAfter >= windowMs, `passed again after ${passedAfter} ms`);
  assert.equal(await check('b'), 'passed');
  assert.equal((await fetch(`${limiter.server.url}/?key=c&limit=0`, post)).status, 429);
});

test('initialization: no request sees the object before its value is there', async (t) => {
  const counter = await start(t, 'initialization');
  const all = async () => (await Promise.all(upTo(20).map(() => counter.text('/?name=a', post)))).map(Number).sort((a, b) => a - b);
  assert.deepEqual(await all(), upTo(20).map((n) => n + 1));
  await counter.again();
  assert.deepEqual(await all(), upTo(20).map((n) => n + 21), 'every number that was given out had been stored');
  assert.equal(await counter.text('/?name=b', post), '1');
});

test('safe counter: requests at the same time get different numbers', async (t) => {
  const counter = await start(t, 'safe-counter');
  const some = async (path) => (await Promise.all(upTo(50).map(() => counter.text(path, post)))).map(Number);
  const numbers = [...(await some('/unique?name=a')), ...(await some('/increment?name=a'))];
  await counter.again();
  numbers.push(...(await some('/unique?name=a')));
  assert.deepEqual(numbers.sort((a, b) => a - b), upTo(150));
});

test('batch processing: what was added in five seconds is processed at once, object by object', async (t) => {
  const batch = await start(t, 'batch-processing');
  const state = async (name) => JSON.parse(await batch.text(`/?name=${name}`));
  const processed = async (name, count) => {
    for (;;) {
      const now = await state(name);
      if (now.processed.length >= count) return now;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const began = performance.now();
  for (const item of ['one', 'two', 'three']) await batch.text('/?name=a', body(item));
  await batch.text('/?name=b', body('other'));
  assert.deepEqual(await processed('a', 3), { pending: [], processed: ['one', 'two', 'three'], batches: 1, alarm: false });
  const ms = performance.now() - began;
  assert.ok(ms >= 5000, `processed after ${ms} ms`);
  assert.deepEqual((await processed('b', 1)).processed, ['other']);
  await batch.text('/?name=a', body('four'));
  assert.equal((await state('a')).alarm, true, 'an item after the batch sets a new alarm');
  assert.deepEqual(await processed('a', 4), { pending: [], processed: ['one', 'two', 'three', 'four'], batches: 2, alarm: false });
  await batch.text('/?name=lost', body('only in memory'));
  await batch.again();
  assert.deepEqual((await state('a')).processed, ['one', 'two', 'three', 'four']);
  assert.deepEqual(await state('lost'), { pending: [], processed: [], batches: 0, alarm: true });
  await batch.server.printed(/^BatchProcessor "lost": alarm\(\) has failed; it will be tried again:/m, 'stderr');
});

test('clean-up: an object that was cleaned up begins anew', async (t) => {
  const notes = await start(t, 'clean-up');
  const state = async (init) => JSON.parse(await notes.text('/?name=a', init));
  await state(body('one'));
  assert.deepEqual((await state(body('two'))).notes, ['one', 'two']);
  assert.deepEqual(await state({ method: 'DELETE' }), { notes: [], keys: 0, alarm: false });
  assert.deepEqual(await state(body('three')), { notes: ['three'], keys: 1, alarm: true });
  await notes.again();
  assert.deepEqual(await state(), { notes: ['three'], keys: 1, alarm: true });
});
