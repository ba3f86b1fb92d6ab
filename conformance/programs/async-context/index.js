// What code finds in an AsyncLocalStorage: what was there when it was asked for, and nothing of other objects' code.
import { AsyncLocalStorage } from 'node:async_hooks';
import { DurableObject } from 'cloudflare:workers';
import { Program } from '../../support/program.mjs';

const program = new Program();
const context = new AsyncLocalStorage();
const store = () => context.getStore() ?? 'nothing';

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }

  store() {
    return store();
  }

  async storeAfterAwait() {
    await this.ctx.storage.get('key');
    return store();
  }

  fetch() {
    return new Response(store());
  }

  /** Holds the gate for so long. */
  block(ms) {
    return this.ctx.blockConcurrencyWhile(() => pause(ms));
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

program.inObject('own code', async ({ check, ctx }) => {
  const within = (name, code) => context.run(name, code);
  await check('after storage', () => within('a', async () => { await ctx.storage.get('key'); return store(); }));
  await check('after a commit', () => within('a', async () => { await ctx.storage.put('key', 1); return store(); }));
  await check('after sync', () => within('a', async () => { await ctx.storage.put('key', 2); await ctx.storage.sync(); return store(); }));
  await check('a timer', () => within('a', () => new Promise((resolve) => setTimeout(() => resolve(store()), 1))));
  await check('timers that are due together', async () => {
    const fires = [4, 1, 3, 2].map((ms) => within(`${ms} ms`, () => new Promise((resolve) => setTimeout(() => resolve(store()), ms))));
    for (const end = Date.now() + 10; Date.now() < end;);
    return Promise.all(fires);
  });
  await check('a timer that waits for a section', () => {
    const fires = within('timer', () => new Promise((resolve) => setTimeout(() => resolve(store()), 1)));
    return within('section', async () => { await ctx.blockConcurrencyWhile(() => pause(8)); return [store(), await fires]; });
  });
  await check('an interval', () => within('a', () => new Promise((resolve) => {
    const seen = [];
    const id = setInterval(() => {
      if (seen.push(store()) < 3) return;
      clearInterval(id);
      resolve(seen);
    }, 2);
  })));
  await check('setImmediate', () => within('a', () => new Promise((resolve) => setImmediate(() => resolve(store())))));
  await check('an immediate that waits for a section', () => {
    const fires = within('immediate', () => new Promise((resolve) => setImmediate(() => resolve(store()))));
    return within('section', async () => { await ctx.blockConcurrencyWhile(() => pause(8)); return [store(), await fires]; });
  });
  await check('scheduler.wait', () => within('a', async () => { await scheduler.wait(1); return store(); }));
  await check('queueMicrotask', () => within('a', () => new Promise((resolve) => queueMicrotask(() => resolve(store())))));
  await check('a section', () => within('a', () => ctx.blockConcurrencyWhile(async () => store())));
  await check('a section after a timer inside', () => within('a', () => ctx.blockConcurrencyWhile(async () => { await pause(1); return store(); })));
  await check('a section that had to wait', () => {
    const first = within('first', () => ctx.blockConcurrencyWhile(() => pause(5)));
    const second = within('second', () => ctx.blockConcurrencyWhile(async () => store()));
    return Promise.all([first, second]);
  });
  await check('after a section', () => within('a', async () => { await ctx.blockConcurrencyWhile(() => within('b', () => pause(1))); return store(); }));
  await check('transaction', () => within('a', () => ctx.storage.transaction(async () => store())));
  await check('transactionSync', () => within('a', () => ctx.storage.transactionSync(() => store())));
  await check('outside', () => store());
});

program.inObject('calls', async ({ check, env }) => {
  const within = (name, code) => context.run(name, code);
  const other = env.SUBJECT.getByName('other');
  await check('a method', () => within('a', () => other.store()));
  await check('a method after an await', () => within('a', () => other.storeAfterAwait()));
  await check('fetch', () => within('a', async () => (await other.fetch('http://host/')).text()));
  await check('several at once', () => Promise.all(['a', 'b', 'c'].map((name) => within(name, () => other.store()))));
  await check('behind a section', () => {
    const blocks = within('blocks', () => other.block(5));
    return Promise.all([blocks, ...['a', 'b'].map((name) => within(name, () => other.store()))]);
  });
  await check('after a call', () => within('a', async () => { await other.store(); return store(); }));
  await check('after several calls', () => Promise.all(['a', 'b', 'c'].map((name) => within(name, async () => { await other.store(); return store(); }))));
});

export default program.worker;
