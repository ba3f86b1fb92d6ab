// The style of test that users have: a registry in memory in beforeEach, an object with key-value storage
// and SQL in it. Nothing of a test is there in the next one.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { open } from '../../js/dist/index.js';
import { DurableObject } from '../../js/dist/workers.js';
import { afterEach, beforeEach, test } from '../support/suite.mjs';

/** A notebook: most of the asynchronous interface, as its callers use it. */
class Notebook extends DurableObject {
  read(keys) {
    return this.ctx.storage.get(keys);
  }
  write(...args) {
    return this.ctx.storage.put(...args);
  }
  erase(keys) {
    return this.ctx.storage.delete(keys);
  }
  clear() {
    return this.ctx.storage.deleteAll();
  }
  list(options) {
    return this.ctx.storage.list(options);
  }
  async fetch(request) {
    const key = new URL(request.url).pathname.slice(1);
    if (request.method === 'PUT') {
      await this.ctx.storage.put(key, await request.json());
      return new Response(null, { status: 204 });
    }
    const value = await this.ctx.storage.get(key);
    return value === undefined ? new Response('no such note', { status: 404 }) : Response.json(value);
  }
}

/** People: SQL. */
class People extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS people (id INTEGER PRIMARY KEY, name TEXT NOT NULL)');
  }
  add(name) {
    return this.ctx.storage.sql.exec('INSERT INTO people (name) VALUES (?) RETURNING id', name).one().id;
  }
  names() {
    return this.ctx.storage.sql.exec('SELECT name FROM people ORDER BY name').toArray().map(({ name }) => name);
  }
}

let registry;
let notebooks;
let notebook;

beforeEach(() => {
  registry = open({ storageDir: ':memory:' });
  notebooks = registry.namespace('NOTEBOOK', Notebook, { storage: 'sqlite' });
  notebook = notebooks.get(notebooks.idFromName('first'));
});
afterEach(() => registry.close());

test('a key has no value at first', async () => assert.equal(await notebook.read('a'), undefined));

test('what is put is there', async () => {
  for (const value of ['text', 1.5, true, null, [1, 'two'], { nested: { deep: [] } }]) {
    await notebook.write('key', value);
    assert.deepEqual(await notebook.read('key'), value);
  }
});

test('dates and maps, which JSON does not have', async () => {
  await notebook.write('when', new Date(1000));
  await notebook.write('map', new Map([['a', 1]]));
  assert.deepEqual(await notebook.read(['when', 'map']), new Map([['map', new Map([['a', 1]])], ['when', new Date(1000)]]));
});

test('several keys at once', async () => {
  await notebook.write({ a: 1, b: 2, c: 3 });
  assert.deepEqual(await notebook.read(['c', 'a', 'z']), new Map([['a', 1], ['c', 3]]));
  assert.equal(await notebook.erase('b'), true);
  assert.equal(await notebook.erase('b'), false);
  assert.equal(await notebook.erase(['a', 'b', 'c']), 2);
  assert.equal((await notebook.list()).size, 0);
});

test('lists', async () => {
  await notebook.write({ 'page:1': 'one', 'page:2': 'two', 'page:3': 'three', title: 'x' });
  const keys = async (options) => [...(await notebook.list(options)).keys()];
  assert.deepEqual(await keys(), ['page:1', 'page:2', 'page:3', 'title']);
  assert.deepEqual(await keys({ prefix: 'page:' }), ['page:1', 'page:2', 'page:3']);
  assert.deepEqual(await keys({ prefix: 'page:', limit: 2 }), ['page:1', 'page:2']);
  assert.deepEqual(await keys({ prefix: 'page:', limit: 1, reverse: true }), ['page:3']);
  assert.deepEqual(await keys({ start: 'page:2', end: 'title' }), ['page:2', 'page:3']);
});

test('pages of a list by startAfter', async () => {
  await notebook.write(Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`item:${String(i).padStart(2, '0')}`, i])));
  const seen = [];
  let startAfter;
  do {
    const page = await notebook.list({ prefix: 'item:', limit: 10, ...(startAfter === undefined ? {} : { startAfter }) });
    seen.push(...page.values());
    startAfter = page.size === 10 ? [...page.keys()].at(-1) : undefined;
  } while (startAfter !== undefined);
  assert.deepEqual(seen, Array.from({ length: 25 }, (_, i) => i));
});

test('objects do not see each other\'s keys', async () => {
  const other = notebooks.getByName('second');
  await notebook.write('a', 1);
  assert.equal(await other.read('a'), undefined);
  await other.clear();
  assert.equal(await notebook.read('a'), 1);
  await notebook.clear();
  assert.equal(await notebook.read('a'), undefined);
});

test('by HTTP', async () => {
  assert.equal((await notebook.fetch('http://notes/one')).status, 404);
  assert.equal((await notebook.fetch('http://notes/one', { method: 'PUT', body: '{"text":"hello"}' })).status, 204);
  assert.deepEqual(await (await notebook.fetch('http://notes/one')).json(), { text: 'hello' });
});

test('SQL beside it, in another class', async () => {
  const people = registry.namespace('PEOPLE', People, { storage: 'sqlite' }).getByName('all');
  assert.equal(await people.add('Bob'), 1);
  assert.equal(await people.add('Alice'), 2);
  assert.deepEqual(await people.names(), ['Alice', 'Bob']);
});

test('the same id finds the same data after a restart, one SQLite file for each object', async (t) => {
  const storageDir = join(t.temporaryDirectory(), 'objects of mine');
  for (const expected of [undefined, 0, 1]) {
    const once = open({ storageDir });
    const namespace = once.namespace('NOTEBOOK', Notebook, { storage: 'sqlite' });
    const again = namespace.get(namespace.idFromString(namespace.idFromName('first').toString()));
    assert.equal(await again.read('count'), expected);
    await again.write('count', (expected ?? -1) + 1);
    await namespace.getByName('second').write('mine', true);
    await once.close();
  }
  const files = readdirSync(join(storageDir, 'objects'), { recursive: true }).filter((name) => String(name).endsWith('.sqlite'));
  assert.equal(files.length, 2);
});

test('a storageDir is relative to the working directory', async (t) => {
  const before = process.cwd();
  process.chdir(t.temporaryDirectory());
  t.after(() => process.chdir(before));
  const here = open({ storageDir: './state/objects' });
  await here.namespace('NOTEBOOK', Notebook).getByName('a').write('k', 1);
  await here.close();
  assert.ok(readdirSync('state/objects').includes('objects'));
});
