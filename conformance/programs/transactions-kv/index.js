// transaction() on a key-value class.
import { DurableObject } from 'cloudflare:workers';
import { addTransactionSections } from '../../sections/transactions.mjs';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
  put(key, value) {
    return this.ctx.storage.put(key, value);
  }
  all() {
    return this.ctx.storage.list();
  }
}

addTransactionSections(program);

program.inObject('two objects', async ({ check, storage, env }) => {
  const other = env.SUBJECT.getByName('the other');
  await check('one rolls back while the other writes', async () => {
    await storage.transaction(async (txn) => { await txn.put('mine', 1); await other.put('theirs', 1); txn.rollback(); });
    return [await storage.list(), await other.all()];
  });
  await check('one throws while the other writes', async () => {
    await storage.transaction(async (txn) => { await txn.put('mine', 1); await other.put('more', 2); throw new Error('back'); }).catch(() => {});
    return [await storage.list(), await other.all()];
  });
  await check('deleteAll of one', async () => { await storage.put('mine', 1); await storage.deleteAll(); return [await storage.list(), await other.all()]; });
});

export default program.worker;
