// Which code belongs to a transaction is told by its asynchronous context, which runtimes keep each in their own way.
import assert from 'node:assert/strict';
import { open } from '../../js/dist/index.js';
import { DurableObject } from '../../js/dist/workers.js';
import { test } from '../support/suite.mjs';

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

class Thing extends DurableObject {
  /** Two that have nothing to do with each other; the first fails while the second one waits. */
  async siblings() {
    const { storage } = this.ctx;
    const first = storage.transaction(async (txn) => {
      await txn.put('lost', 1);
      await wait(20);
      throw new Error('out');
    });
    await wait(5);
    const second = storage.transaction((txn) => txn.put('kept', 1));
    const outcomes = await Promise.allSettled([first, second]);
    return outcomes.map(({ status }) => status);
  }

  /** One inside another that takes it along, asked for after a timer and after a call. */
  async nested(other) {
    const { storage } = this.ctx;
    await storage.transaction(async (txn) => {
      await wait(5);
      await storage.transaction((inner) => inner.put('lost after a timer', 1));
      await this.env.THING.getByName(other).siblings();
      await storage.transaction((inner) => inner.put('lost after a call', 1));
      txn.rollback();
    });
  }

  all() {
    return this.ctx.storage.list();
  }
}

for (const storage of ['sqlite', 'kv']) {
  test(`transactions that are nested and that are not (${storage})`, async (t) => {
    const registry = open({ storageDir: ':memory:' });
    t.after(() => registry.close());
    const things = registry.namespace('THING', Thing, { storage });
    const kept = new Map([['kept', 1]]);
    for (let round = 0; round < 3; round++) {
      const name = `a${round}`;
      const thing = things.getByName(name);
      assert.deepEqual(await thing.siblings(), ['rejected', 'fulfilled']);
      await thing.nested(`${name} other`);
      assert.deepEqual(await thing.all(), kept);
      assert.deepEqual(await things.getByName(`${name} other`).all(), kept);
    }
  });
}
