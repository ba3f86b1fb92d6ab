// What is committed together, when, and what is left after something fails. A commit is one record of
// the log, so commits are counted by what a kill leaves behind and by what a reset takes away.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startLab } from '../support/lab.mjs';

const lab = await startLab({ after });

/** What is stored in the object `name` afterwards. */
const stored = (name) => lab.object(name, ({ kv }) => Object.fromEntries(kv.list()));

/** Runs in an object that is reset at its end: only what was committed on the way is left. */
async function committedBeforeAbort(name, run) {
  await assert.rejects(lab.object(name, async (tools, run) => {
    await (0, eval)(run)(tools);
    tools.ctx.abort('the end');
  }, run.toString()), { message: 'the end' });
  return stored(name);
}

test('writes without an await are one transaction', async () => {
  const together = await committedBeforeAbort('together', ({ kv, storage, sql, ctx }) => {
    kv.put('a', 1);
    void storage.put('b', 2);
    sql.exec('CREATE TABLE t (a)');
    ctx.abort('the end');
  });
  assert.deepEqual(together, {});
  const afterAwait = await committedBeforeAbort('after-await', async ({ kv, ctx }) => {
    kv.put('a', 1);
    kv.put('b', 2);
    await null;
    await null;
    kv.put('c', 3);
    ctx.abort('the end');
  });
  assert.deepEqual(afterAwait, { a: 1, b: 2 });
});

test('an awaited write is a transaction of its own', async () => {
  const left = await committedBeforeAbort('awaited', async ({ storage, ctx }) => {
    await storage.put('a', 1);
    await storage.put({ b: 2, c: 3 });
    await storage.delete('b');
    void storage.put('d', 4);
    ctx.abort('the end');
  });
  assert.deepEqual(left, { a: 1, c: 3 });
});

test('a method that throws keeps what it wrote', async () => {
  await assert.rejects(lab.object('throws', ({ kv }) => { kv.put('a', 1); throw new Error('after'); }), { message: 'after' });
  await assert.rejects(lab.object('throws', async ({ kv }) => { await null; kv.put('b', 2); throw new Error('after'); }), { message: 'after' });
  assert.deepEqual(await stored('throws'), { a: 1, b: 2 });
});

test('a message leaves after the commit of the run that sent it, and not at all when that run is lost', async () => {
  const seen = await lab.object('sender', async ({ kv, env, attempt, ctx }) => {
    kv.put('a', 1);
    const call = env.COUNTER.getByName('receiver').run('({ kv }) => kv.put("got", 1)');
    kv.put('b', 2);
    await call;
    return [...kv.list()].length;
  });
  assert.equal(seen, 2);
  await assert.rejects(lab.object('lost-sender', ({ kv, env, ctx }) => {
    kv.put('a', 1);
    env.COUNTER.getByName('lost-receiver').run('({ kv }) => kv.put("got", 1)').catch(() => {});
    ctx.abort('lost');
  }), { message: 'lost' });
  assert.deepEqual(await stored('receiver'), { got: 1 });
  assert.deepEqual(await stored('lost-receiver'), {});
});

test('a commit that fails resets the object, and nobody is told that it worked', async () => {
  // A foreign key that is checked at the commit, and violated.
  await lab.object('commit-fails', ({ sql }) => sql.exec('CREATE TABLE t (a PRIMARY KEY); CREATE TABLE child (a REFERENCES t DEFERRABLE INITIALLY DEFERRED)').toArray());
  const error = { durableObjectReset: true, message: /^FOREIGN KEY constraint failed: SQLITE_CONSTRAINT/ };
  const returns = lab.object('commit-fails', ({ sql, kv, env }) => {
    kv.put('a', 1);
    sql.exec('INSERT INTO child VALUES (1)');
    env.COUNTER.getByName('told').run('({ kv }) => kv.put("got", 1)').catch(() => {});
    return 'it worked';
  });
  await assert.rejects(returns, error);
  const awaits = lab.object('commit-fails', async ({ sql, storage, shared }) => {
    sql.exec('INSERT INTO child VALUES (1)');
    shared.put = await storage.put('a', 1).then(() => 'it worked', (error) => error.message);
  });
  await assert.rejects(awaits, error);
  assert.match(await lab.worker(({ shared }) => shared.put), error.message);
  const goesOn = lab.object('commit-fails', async ({ sql }) => {
    sql.exec('INSERT INTO child VALUES (1)');
    await new Promise((resolve) => setTimeout(resolve, 10));
    return 'it worked';
  });
  await assert.rejects(goesOn, error);
  assert.deepEqual(await stored('commit-fails'), {});
  assert.deepEqual(await stored('told'), {});
});

test('transactionSync', async () => {
  const result = await lab.object('sync', ({ storage, kv, attempt }) => {
    const fail = (error) => { throw error; };
    return {
      value: storage.transactionSync(() => { kv.put('kept', 1); return 'value'; }),
      thrown: attempt(() => storage.transactionSync(() => { kv.put('lost', 1); void storage.put('lost2', 1); fail(new RangeError('out')); })),
      text: attempt(() => storage.transactionSync(() => fail('just text'))),
      nested: storage.transactionSync(() => {
        kv.put('outer', 1);
        const inner = attempt(() => storage.transactionSync(() => { kv.put('inner', 1); fail(new Error('in')); }));
        return [inner, storage.transactionSync(() => { kv.put('inner2', 1); return kv.get('outer'); })];
      }),
      outerFails: attempt(() => storage.transactionSync(() => { storage.transactionSync(() => kv.put('lost3', 1)); fail(new Error('outer')); })),
      promise: attempt(() => storage.transactionSync(async () => { kv.put('lost4', 1); })),
      notFunction: attempt(() => storage.transactionSync(5)),
      arguments: storage.transactionSync((...args) => args.length),
      calledOn: storage.transactionSync(function () { 'use strict'; return this === globalThis; }),
    };
  });
  assert.deepEqual(result, {
    value: 'value',
    thrown: 'RangeError: out',
    text: 'just text',
    nested: ['Error: in', 1],
    outerFails: 'Error: outer',
    promise: 'TypeError: The callback of transactionSync() must be synchronous, but it returned a promise.',
    notFunction: "TypeError: Failed to execute 'transactionSync' on 'DurableObjectStorage': parameter 1 is not of type 'function'.",
    arguments: 0,
    calledOn: true,
  });
  assert.deepEqual(await stored('sync'), { inner2: 1, kept: 1, outer: 1 });
});

test('a transaction that SQLite rolls back by itself resets the object', async () => {
  await lab.object('or-rollback', ({ sql }) => sql.exec('CREATE TABLE t (a PRIMARY KEY); INSERT INTO t VALUES (1)').toArray());
  const rolledBack = lab.object('or-rollback', ({ sql, kv, attempt }) => {
    kv.put('lost', 1);
    attempt(() => sql.exec('INSERT OR ROLLBACK INTO t VALUES (1)'));
  });
  await assert.rejects(rolledBack, { durableObjectReset: true, message: /^UNIQUE constraint failed: t\.a: SQLITE_CONSTRAINT/ });
  assert.deepEqual(await stored('or-rollback'), {});
});

test('storage.put settles with its commit; sync() when all is durable', async () => {
  const order = await lab.object('settle', async ({ storage, kv }) => {
    const trace = [];
    const put = storage.put('a', 1).then(() => trace.push('put'));
    queueMicrotask(() => trace.push('microtask'));
    trace.push('run');
    await put;
    kv.put('b', 2);
    trace.push(await storage.sync());
    return trace;
  });
  assert.deepEqual(order, ['run', 'microtask', 'put', undefined]);
});

test('what was answered is durable, what a kill leaves is never half a transaction', async (t) => {
  const first = await startLab(t);
  const answered = [];
  const writing = (async () => {
    for (let n = 1; ; n++) {
      await first.object('pair', ({ kv }, n) => { kv.put('a', n); kv.put('b', n); }, n);
      answered.push(n);
    }
  })().catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 200));
  await first.stop('SIGKILL');
  await writing;
  const second = await startLab(t, { data: first.data });
  const { a, b } = await second.object('pair', ({ kv }) => Object.fromEntries(kv.list()));
  assert.equal(a, b);
  assert.ok(a >= answered.at(-1), `${answered.at(-1)} was answered, ${a} is there`);
  await second.stop();
});

test('a request to the outside leaves after the commit, and not at all when the run is lost', async () => {
  const url = await lab.handle('/hit', (request, env, ctx, shared) => new Response(String((shared.hits = (shared.hits ?? 0) + 1))));
  const first = await lab.object('outside', async ({ kv }, url) => {
    kv.put('n', 1);
    return (await fetch(url)).text();
  }, url);
  assert.equal(first, '1');
  const aborted = lab.object('outside', ({ kv, ctx }, url) => {
    kv.put('n', 2);
    fetch(url).catch(() => {});
    ctx.abort('lost');
  }, url);
  await assert.rejects(aborted, { message: 'lost' });
  assert.equal(await (await fetch(url)).text(), '2');
});
