// The end of a registry: calls in flight, late calls, work that does not end.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { open } from '../../js/dist/index.js';
import { DurableObject } from '../../js/dist/workers.js';
import { test } from '../support/suite.mjs';

const CLOSED = { message: 'The registry has been closed.' };
const NOT_DONE = { message: 'The registry was closed before the object had finished its work.' };

/** Objects that tell their steps to `log` and go on when `gate` opens. */
function scene() {
  const log = [];
  let openGate;
  const gate = new Promise((resolve) => {
    openGate = resolve;
  });
  class Thing extends DurableObject {
    async slow() {
      await gate;
      this.ctx.storage.kv.put('slow', 1);
      return 'done';
    }
    write(value) {
      this.ctx.storage.kv.put('written', value);
    }
    read(key) {
      return this.ctx.storage.kv.get(key);
    }
    later() {
      this.ctx.waitUntil(gate.then(() => this.ctx.storage.kv.put('later', 1)));
    }
    async callAnother() {
      await gate;
      return this.env.THING.getByName('other').slow();
    }
    tellAnother() {
      void this.env.THING.getByName('other').write('told');
    }
    useLater() {
      gate.then(() => {
        try {
          this.ctx.storage.kv.put('too late', 1);
          log.push('written');
        } catch (error) {
          log.push(error.message);
        }
      });
    }
    useSqlLater() {
      const { sql } = this.ctx.storage;
      const cursor = sql.exec('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT i FROM n');
      cursor.next();
      gate.then(() => {
        for (const use of [() => sql.exec('SELECT 1'), () => [...cursor].length, () => sql.databaseSize]) {
          try {
            use();
            log.push('used');
          } catch {
            log.push('refused');
          }
        }
      });
    }
    forever() {
      return new Promise(() => {});
    }
  }
  return { Thing, log, openGate };
}

test('calls in flight finish, later ones are refused', async () => {
  const { Thing, openGate } = scene();
  const registry = open({ storageDir: ':memory:' });
  const things = registry.namespace('THING', Thing);
  const slow = things.getByName('a').slow();
  const nested = things.getByName('b').callAnother();
  await delay(5);
  const closing = registry.close();
  await assert.rejects(things.getByName('a').read('x'), CLOSED);
  await assert.rejects(things.getByName('a').fetch('http://here/'), CLOSED);
  openGate();
  assert.equal(await slow, 'done');
  assert.equal(await nested, 'done', 'objects call each other until they are done');
  await closing;
});

test('a call and close() in one breath', async () => {
  const { Thing } = scene();
  const registry = open({ storageDir: ':memory:' });
  const written = registry.namespace('THING', Thing).getByName('a').write(1);
  await registry.close();
  await written;
});

test('use after close() is an error that says so', async () => {
  const { Thing } = scene();
  const registry = open({ storageDir: ':memory:' });
  const things = registry.namespace('THING', Thing);
  const stub = things.getByName('a');
  await stub.write(1);
  const closing = registry.close();
  assert.equal(registry.close(), closing, 'closing twice is closing once');
  await closing;
  await assert.rejects(stub.read('x'), CLOSED);
  await assert.rejects(things.getByName('b').read('x'), CLOSED);
  await assert.rejects(async () => stub.value, CLOSED);
  assert.throws(() => registry.namespace('OTHER', Thing), CLOSED);
});

test('what an object has begun without a caller is finished', async (t) => {
  const { Thing, openGate } = scene();
  const storageDir = join(t.temporaryDirectory(), 'data');
  const registry = open({ storageDir });
  const things = registry.namespace('THING', Thing);
  await things.getByName('a').later();
  await things.getByName('a').tellAnother();
  setTimeout(openGate, 20);
  await registry.close();
  const again = open({ storageDir });
  const found = again.namespace('THING', Thing);
  assert.equal(await found.getByName('a').read('later'), 1);
  assert.equal(await found.getByName('other').read('written'), 'told');
  await again.close();
});

test('what does not end in time is reset, and its caller told', async (t) => {
  const { Thing } = scene();
  const storageDir = join(t.temporaryDirectory(), 'data');
  const registry = open({ storageDir });
  const things = registry.namespace('THING', Thing);
  await things.getByName('a').write('kept');
  const outcome = assert.rejects(things.getByName('a').forever(), NOT_DONE);
  await registry.close({ graceMs: 30 });
  await outcome;
  const again = open({ storageDir });
  assert.equal(await again.namespace('THING', Thing).getByName('a').read('written'), 'kept');
  await again.close();
});

test('code of an object that runs on after close() is refused its storage', async () => {
  const { Thing, log, openGate } = scene();
  const registry = open({ storageDir: ':memory:' });
  const stub = registry.namespace('THING', Thing).getByName('a');
  await stub.useLater();
  await stub.useSqlLater();
  await registry.close();
  openGate();
  await delay(5);
  assert.deepEqual(log, [
    'This Durable Object has been reset or evicted; this reference to its storage is not valid any more.',
    'refused', 'refused', 'refused',
  ]);
});

test('one registry at a time has a directory open', async (t) => {
  const storageDir = join(t.temporaryDirectory(), 'data');
  const first = open({ storageDir });
  const message = `The data directory ${storageDir} is open in this process already. Use that registry, or close it first.`;
  assert.throws(() => open({ storageDir }), { message });
  assert.throws(() => open({ storageDir: `${storageDir}/../data/` }), { message });
  const closing = first.close();
  assert.throws(() => open({ storageDir }), { message });
  await closing;
  await open({ storageDir }).close();
});

test('an object without work leaves memory after idleMs and keeps its state', async () => {
  let made = 0;
  class Thing extends DurableObject {
    constructor(ctx, env) {
      super(ctx, env);
      made++;
    }
    add() {
      this.ctx.storage.kv.put('n', (this.ctx.storage.kv.get('n') ?? 0) + 1);
      return this.ctx.storage.kv.get('n');
    }
  }
  const registry = open({ storageDir: ':memory:', idleMs: 20 });
  const stub = registry.namespace('THING', Thing).getByName('a');
  assert.equal(await stub.add(), 1);
  for (let waited = 0; waited < 200; waited++) {
    await delay(25);
    const n = await stub.add();
    assert.equal(n, waited + 2);
    if (made > 1) break;
  }
  assert.ok(made > 1, 'it was constructed anew');
  await registry.close();
});

test('a bad close()', async () => {
  const registry = open({ storageDir: ':memory:' });
  assert.throws(() => registry.close({ graceMs: -1 }), { message: 'The graceMs of close() must be a number of milliseconds, 0 or more.' });
  assert.throws(() => registry.close({ grace: 1 }), { message: 'close() has no option "grace", only graceMs.' });
  await registry.close();
});
