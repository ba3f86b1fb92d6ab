// Namespaces with key-value storage.
import assert from 'node:assert/strict';
import { open } from '../../js/dist/index.js';
import { DurableObject } from '../../js/dist/workers.js';
import { temporaryDirectory } from '../support/files.mjs';
import { test } from '../support/suite.mjs';

class Notes extends DurableObject {
  async add(text) {
    const n = ((await this.ctx.storage.get('count')) ?? 0) + 1;
    await this.ctx.storage.put({ count: n, [`note ${n}`]: { text, at: new Date(n) } });
    return n;
  }
  all() {
    return this.ctx.storage.list({ prefix: 'note ' });
  }
  async undone(text) {
    await this.ctx.storage.transaction(async (txn) => {
      await this.add(text);
      txn.rollback();
    });
    return this.all();
  }
  sql() {
    return this.ctx.storage.sql.databaseSize;
  }
}

test('objects of a key-value namespace, in memory', async (t) => {
  const registry = open({ storageDir: ':memory:' });
  t.after(() => registry.close());
  const notes = registry.namespace('NOTES', Notes, { storage: 'kv' });
  const a = notes.getByName('a');
  assert.equal(await a.add('first'), 1);
  const kept = new Map([['note 1', { text: 'first', at: new Date(1) }]]);
  assert.deepEqual(await a.all(), kept);
  assert.deepEqual(await a.undone('second'), kept);
  assert.deepEqual(await notes.getByName('b').all(), new Map());
  await assert.rejects(a.sql(), /^Error: SQL is not enabled for this Durable Object class\. .* `new_sqlite_classes`/);
});

test('a namespace keeps its objects, and its kind of storage for good', async (t) => {
  const storageDir = t.temporaryDirectory();
  const first = open({ storageDir });
  assert.equal(await first.namespace('NOTES', Notes, { storage: 'kv' }).getByName('a').add('first'), 1);
  await first.close();
  const second = open({ storageDir });
  t.after(() => second.close());
  const forGood = (had, asked) => ({
    message: `The objects of "NOTES" have ${had}, and that is for good: they cannot have ${asked}. Declare their class as it was, or a new one.`,
  });
  const error = forGood('key-value storage (new_classes)', 'SQLite storage (new_sqlite_classes)');
  assert.throws(() => second.namespace('NOTES', Notes), error);
  const notes = second.namespace('NOTES', Notes, { storage: 'kv' });
  assert.throws(() => second.namespace('OTHER', Notes, { key: 'NOTES' }), error);
  assert.equal(await notes.getByName('a').add('second'), 2);
  assert.equal((await notes.getByName('a').all()).size, 2);
});
