// The way in that a program of the user's takes: open(), namespace(), stubs, close().
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { open } from '../../js/dist/index.js';
import { DurableObject } from '../../js/dist/workers.js';
import { test } from '../support/suite.mjs';

class Counter extends DurableObject {
  increment(by = 1) {
    const value = (this.ctx.storage.kv.get('value') ?? 0) + by;
    this.ctx.storage.kv.put('value', value);
    return value;
  }
  get value() {
    return this.ctx.storage.kv.get('value') ?? 0;
  }
  fail(message) {
    throw new RangeError(message);
  }
  fetch(request) {
    const { pathname } = new URL(request.url);
    return new Response(`${request.method} ${pathname} ${this.increment()}`, { status: 201, headers: { 'x-one': '1' } });
  }
}

function memory(t, options = {}) {
  const registry = open({ storageDir: ':memory:', ...options });
  t.after(() => registry.close());
  return registry;
}

test('an object keeps what it wrote, and another name is another object', async (t) => {
  const counters = memory(t).namespace('COUNTER', Counter, { storage: 'sqlite' });
  const a = counters.get(counters.idFromName('a'));
  assert.equal(await a.increment(), 1);
  assert.equal(await a.increment(2), 3);
  assert.equal(await a.value, 3);
  assert.equal(await counters.getByName('b').value, 0);
});

test('ids are what they are on Cloudflare', (t) => {
  const registry = memory(t);
  const counters = registry.namespace('COUNTER', Counter);
  const others = registry.namespace('OTHER', Counter);
  const id = counters.idFromName('a');
  assert.match(id.toString(), /^[0-9a-f]{64}$/);
  assert.equal(id.name, 'a');
  assert.ok(id.equals(counters.idFromName('a')));
  assert.notEqual(id.toString(), others.idFromName('a').toString());
  assert.equal(counters.idFromString(id.toString()).toString(), id.toString());
  assert.throws(() => counters.idFromString(others.idFromName('a').toString()), TypeError);
  assert.notEqual(counters.newUniqueId().toString(), counters.newUniqueId().toString());
});

test('a folder is made when it is missing, and found again', async (t) => {
  const storageDir = join(t.temporaryDirectory(), 'made', 'here');
  const first = open({ storageDir });
  assert.equal(await first.namespace('COUNTER', Counter).getByName('a').increment(), 1);
  await first.close();
  const second = open({ storageDir });
  assert.equal(await second.namespace('COUNTER', Counter).getByName('a').increment(), 2);
  await second.close();
  assert.equal(readdirSync(join(storageDir, 'objects/COUNTER')).length, 1, 'one SQLite file for the object');
});

test('a relative folder is below the working directory', async (t) => {
  const directory = t.temporaryDirectory();
  const before = process.cwd();
  process.chdir(directory);
  t.after(() => process.chdir(before));
  const registry = open({ storageDir: 'data' });
  await registry.namespace('COUNTER', Counter).getByName('a').increment();
  await registry.close();
  assert.ok(existsSync(join(directory, 'data/catalog.sqlite')));
});

test('in memory no file is touched and nothing is kept', async (t) => {
  const directory = t.temporaryDirectory();
  const before = process.cwd();
  process.chdir(directory);
  t.after(() => process.chdir(before));
  for (let round = 0; round < 2; round++) {
    const registry = open({ storageDir: ':memory:' });
    assert.equal(await registry.namespace('COUNTER', Counter).getByName('a').increment(), 1);
    await registry.close();
  }
  assert.deepEqual(readdirSync(directory), []);
});

test('two registries in memory know nothing of each other', async (t) => {
  const [one, two] = [memory(t), memory(t)].map((registry) => registry.namespace('COUNTER', Counter).getByName('a'));
  assert.equal(await one.increment(), 1);
  assert.equal(await one.increment(), 2);
  assert.equal(await two.increment(), 1);
});

test('fetch() of a stub', async (t) => {
  const stub = memory(t).namespace('COUNTER', Counter).getByName('a');
  const response = await stub.fetch('http://here/way', { method: 'POST', body: 'x' });
  assert.ok(response instanceof Response);
  assert.equal(response.status, 201);
  assert.equal(response.headers.get('x-one'), '1');
  assert.equal(await response.text(), 'POST /way 1');
  const again = await stub.fetch(new Request('http://here/again'));
  assert.equal(await again.text(), 'GET /again 2');
});

test('an error in the object reaches the caller', async (t) => {
  const stub = memory(t).namespace('COUNTER', Counter).getByName('a');
  await assert.rejects(stub.fail('too far'), (error) => error instanceof RangeError && error.message === 'too far' && error.remote === true);
  assert.equal(await stub.increment(), 1, 'the object goes on');
});

test('a commit that fails is an error for the caller, and the object starts anew', async (t) => {
  class Family extends DurableObject {
    constructor(ctx, env) {
      super(ctx, env);
      ctx.storage.sql.exec(`CREATE TABLE IF NOT EXISTS people (id INTEGER PRIMARY KEY,
        mother INTEGER REFERENCES people DEFERRABLE INITIALLY DEFERRED)`);
    }
    add(id, mother) {
      this.ctx.storage.sql.exec('INSERT INTO people VALUES (?, ?)', id, mother);
      return 'added';
    }
    count() {
      return this.ctx.storage.sql.exec('SELECT count(*) AS n FROM people').one().n;
    }
  }
  const family = memory(t).namespace('FAMILY', Family).getByName('a');
  assert.equal(await family.add(1, null), 'added');
  await assert.rejects(family.add(2, 99), /FOREIGN KEY constraint failed/);
  assert.equal(await family.count(), 1);
});

test('a class without extends serves fetch() and no RPC', async (t) => {
  class Plain {
    constructor(ctx) {
      this.ctx = ctx;
    }
    fetch() {
      this.ctx.storage.kv.put('seen', true);
      return new Response(String(this.ctx.storage.kv.get('seen')));
    }
    method() {}
  }
  const stub = memory(t).namespace('PLAIN', Plain).getByName('a');
  assert.equal(await (await stub.fetch('http://here/')).text(), 'true');
  await assert.rejects(stub.method(), /does not support RPC, because its class was not declared with `extends DurableObject`/);
});

test('env has the namespaces by name, and what the user gave', async (t) => {
  const client = { send: () => 'sent' };
  class Caller extends DurableObject {
    async go() {
      const counter = this.env.COUNTER.get(this.env.COUNTER.idFromName('a'));
      return [await counter.increment(), await counter.increment(), this.env.client === client, this.env.client.send()];
    }
  }
  const registry = memory(t, { env: { client } });
  registry.namespace('COUNTER', Counter);
  const callers = registry.namespace('CALLER', Caller);
  assert.deepEqual(await callers.getByName('x').go(), [1, 2, true, 'sent']);
});

test('two names of one key are the same objects', async (t) => {
  const registry = memory(t);
  const one = registry.namespace('ONE', Counter, { key: 'worker-Counter' });
  const two = registry.namespace('TWO', Counter, { key: 'worker-Counter' });
  assert.equal(await one.getByName('a').increment(), 1);
  assert.equal(await two.getByName('a').increment(), 2);
  class Other {}
  assert.throws(() => registry.namespace('THREE', Other, { key: 'worker-Counter' }), {
    message: 'The namespace key "worker-Counter" belongs to the class "Counter" already.',
  });
});

test('what open() and namespace() refuse, they name', (t) => {
  const registry = memory(t);
  registry.namespace('COUNTER', Counter);
  const cases = [
    [() => open(), 'The options of open() must be an object.'],
    [() => open({}), "open() needs storageDir: the folder where the objects live, or ':memory:'."],
    [() => open({ storageDir: '' }), "open() needs storageDir: the folder where the objects live, or ':memory:'."],
    [() => open({ storageDir: ':memory:', idleMs: 0 }), 'The idleMs of open() must be a whole number from 1 to 86400000.'],
    [() => open({ storageDir: ':memory:', dir: 1 }), 'open() has no option "dir", only storageDir, idleMs, env, alarmRetryMs, historyDays, historyBytes.'],
    [() => registry.namespace('', Counter), 'namespace() needs a name: a string that is not empty.'],
    [() => registry.namespace('X'), "The namespace \"X\" needs a class: namespace('X', MyClass)."],
    [() => registry.namespace('X', () => {}), "The namespace \"X\" needs a class: namespace('X', MyClass)."],
    [() => registry.namespace('COUNTER', Counter), 'The objects\' env has "COUNTER" already; register each namespace once, under a name of its own.'],
    [() => registry.namespace('X', Counter, { storage: 'disk' }), "The storage of the namespace \"X\" must be 'sqlite' or 'kv'."],
    [() => registry.namespace('X', Counter, { key: '' }), 'The key of the namespace "X" must be a string that is not empty.'],
    [() => registry.namespace('X', Counter, { kind: 1 }), 'namespace() has no option "kind", only storage, key.'],
  ];
  for (const [act, message] of cases) assert.throws(act, { message });
});

test('a folder that is not a data directory is left alone', (t) => {
  const directory = t.temporaryDirectory();
  writeFileSync(join(directory, 'letter.txt'), 'mine');
  assert.throws(() => open({ storageDir: directory }), {
    message: `The directory ${directory} is not a data directory of Perdure, and not empty (it has 'letter.txt' but no file 'format'). Choose another directory with storageDir.`,
  });
  assert.equal(readFileSync(join(directory, 'letter.txt'), 'utf8'), 'mine');
});

test('the process\'s globals are left alone', async (t) => {
  const names = ['fetch', 'Request', 'Response', 'Headers', 'setTimeout', 'setImmediate', 'queueMicrotask', 'WebSocketPair'];
  const before = names.map((name) => globalThis[name]);
  await memory(t).namespace('COUNTER', Counter).getByName('a').increment();
  assert.deepEqual(names.map((name) => globalThis[name]), before);
});
