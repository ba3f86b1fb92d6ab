// A commit is one record of the log: the records are counted.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startLab } from '../support/lab.mjs';
import { logRecords } from '../support/log.mjs';

const lab = await startLab({ after });

/** Numbers up to this one are the engine's own databases, among them the shared key-value file. */
const reservedNumbers = 16;
const keyValueNumber = 2;

/** How many commits of objects `run` brings about in the object `name`. */
async function commits(name, run, inObject = lab.object) {
  const count = () => logRecords(lab.data).filter(({ object }) => object > reservedNumbers || object === keyValueNumber).length;
  await inObject(name, async ({ storage }) => { await storage.put('there', 0); await storage.sync(); });
  const before = count();
  await inObject(name, async (tools, run) => {
    await (0, eval)(run)(tools);
    await tools.storage.sync();
  }, run.toString());
  return count() - before;
}

test('writes without an await between them are one commit', async () => {
  const together = await commits('together', async ({ storage, kv, sql }) => {
    void storage.put('a', 1);
    void storage.put('b', 2);
    void storage.put({ c: 3, d: 4 });
    void storage.delete('a');
    kv.put('e', 5);
    sql.exec('CREATE TABLE t (a)');
    storage.transactionSync(() => kv.put('f', 6));
  });
  assert.equal(together, 1);
  const keyed = await commits('together', async ({ storage }) => {
    void storage.put('a', 1);
    void storage.put({ c: 3, d: 4 });
    void storage.delete('a');
    storage.transactionSync(() => void storage.put('f', 6));
  }, lab.keyed);
  assert.equal(keyed, 1);
});

for (const [kind, inObject] of [['SQLite storage', lab.object], ['key-value storage', lab.keyed]]) {
  test(`awaited writes are a commit each (${kind})`, async () => {
    const apart = await commits('apart', async ({ storage }) => {
      await storage.put('a', 1);
      await storage.put({ b: 2, c: 3 });
      await storage.delete('a');
      await storage.put('d', 4);
    }, inObject);
    assert.equal(apart, 4);
    const all = await commits('all', ({ storage }) => Promise.all([storage.put('a', 1), storage.put('b', 2), storage.delete('a')]), inObject);
    assert.equal(all, 1);
  });

  test(`what changes nothing is no commit (${kind})`, async () => {
    assert.equal(await commits('nothing', async ({ storage }) => {
      await storage.get('there');
      await storage.delete('none');
      await storage.put({});
      await storage.transaction(async (txn) => txn.get('there'));
      await storage.transaction(async (txn) => { await txn.put('a', 1); txn.rollback(); });
    }, inObject), 0);
  });

  test(`a transaction is one commit, nested ones with it, and what was written before it another (${kind})`, async () => {
    assert.equal(await commits('transaction', async ({ storage }) => {
      void storage.put('before', 1);
      await storage.transaction(async (txn) => {
        await txn.put('a', 1);
        await new Promise((resolve) => setTimeout(resolve, 1));
        await storage.transaction(async () => storage.put('b', 1));
        await storage.put('c', 1);
      });
    }, inObject), 2);
  });
}
