// NOT RUN: blocks of the guides that need what is not served yet. When one is, its test moves to
// blocks.test.mjs. To see what is missing: node tests/seeds/pending.mjs
import assert from 'node:assert/strict';
import { DurableObject } from '../../js/dist/workers.js';
import { labForEach } from '../support/lab-object.mjs';
import { test } from '../support/suite.mjs';

const { lab, inside } = labForEach();

test('going back to a bookmark (needs point-in-time recovery)', async () => {
  const bookmark = await inside(async ({ storage }) => {
    await storage.put('n', 1);
    return storage.getCurrentBookmark();
  });
  await inside(({ storage }) => storage.put('n', 2));
  const restart = inside(async ({ ctx, storage }) => {
    assert.equal(typeof (await storage.getBookmarkForTime(Date.now())), 'string');
    await storage.onNextSessionRestoreBookmark(bookmark);
    ctx.abort('restore');
  });
  await assert.rejects(restart, { message: 'restore' });
  assert.equal(await inside(({ storage }) => storage.get('n')), 1);
});

class BatchProcessor extends DurableObject {
  pending = [];
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec('CREATE TABLE IF NOT EXISTS processed_items (item TEXT, timestamp INTEGER)');
  }
  async addItem(item) {
    this.pending.push(item);
    if (!(await this.ctx.storage.getAlarm())) await this.ctx.storage.setAlarm(Date.now() + 20);
  }
  async alarm() {
    const items = [...this.pending];
    this.pending = [];
    this.sql.exec(`INSERT INTO processed_items (item, timestamp) VALUES ${items.map(() => '(?, ?)').join(', ')}`, ...items.flatMap((item) => [item, Date.now()]));
  }
  items() {
    return this.sql.exec('SELECT item FROM processed_items').toArray().map(({ item }) => item);
  }
  async cleanup() {
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.deleteAll();
  }
}

test('a batch by an alarm, and the clean-up (needs alarms)', async () => {
  const batch = lab.registry.namespace('BATCH', BatchProcessor).getByName('a');
  await batch.addItem('one');
  await batch.addItem('two');
  for (let tries = 0; tries < 100 && (await batch.items()).length === 0; tries++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(await batch.items(), ['one', 'two']);
  await batch.cleanup();
});
