// storage.transaction(): what belongs to it, what is left of it, and who waits for it.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startLab } from '../support/lab.mjs';

const lab = await startLab({ after });

/** Both kinds of storage: how to run something in an object of it. */
const kinds = { 'SQLite storage': lab.object, 'key-value storage': lab.keyed };

/** A test for each kind; it gets the means to run something in an object, and to see what is stored there. */
function testBoth(name, run) {
  for (const [kind, inObject] of Object.entries(kinds)) {
    const stored = (object) => inObject(object, async ({ storage }) => Object.fromEntries(await storage.list()));
    test(`${name} (${kind})`, () => run(inObject, stored));
  }
}

const tooLate = (method) =>
  `Error: Cannot call ${method}() on transaction that has already committed: did you move \`txn\` outside of the closure?`;
const rolledBack = (method) => `Error: Cannot ${method}() on rolled back transaction`;

testBoth('what its callback returns and throws, and when it runs', async (inObject) => {
  const results = await inObject('outcome', async ({ storage, attempt }) => {
    const order = [];
    order.push('before');
    const done = storage.transaction(() => void order.push('callback')).then(() => order.push('done'));
    order.push('after');
    await done;
    return [
      order,
      await storage.transaction(() => 5),
      await storage.transaction(async (...args) => args.length),
      await storage.transaction(async (txn) => [txn.constructor.name, String(txn)]),
      await storage.transaction(() => ({ then: (resolve) => resolve(7) })),
      await attempt(() => storage.transaction(() => { throw new RangeError('sync'); })),
      await attempt(() => storage.transaction(async () => { throw new RangeError('async'); })),
      await attempt(() => storage.transaction(() => Promise.reject(undefined))),
      await attempt(() => storage.transaction()),
      await attempt(() => storage.transaction(5)),
      await attempt(() => storage.transaction(async () => 5, 7)),
    ];
  });
  const wrongType = (parameter, type) => `TypeError: Failed to execute 'transaction' on 'DurableObjectStorage': parameter ${parameter} is not of type '${type}'.`;
  assert.deepEqual(results, [
    ['before', 'after', 'callback', 'done'], 5, 1, ['DurableObjectTransaction', '[object DurableObjectTransaction]'], 7,
    'RangeError: sync', 'RangeError: async', 'undefined', wrongType(1, 'function'), wrongType(1, 'function'), wrongType(2, 'TransactionOptions'),
  ]);
});

test('a throw and rollback() take back everything that was written inside, by whatever interface', async () => {
  for (const [name, end] of [['throws', 'throw'], ['rolls-back', 'rollback'], ['keeps', 'return']]) {
    const results = await lab.object(name, async ({ storage, sql, kv, attempt }, end) => {
      kv.put('before', 1);
      const seen = [];
      await attempt(() => storage.transaction(async (txn) => {
        await txn.put('txn', 1);
        await txn.put({ more: 2, gone: 3 });
        seen.push(await txn.delete('gone'), await txn.delete(['gone', 'txn']));
        await new Promise((resolve) => setTimeout(resolve, 5));
        await storage.put('storage', 1);
        kv.put('kv', 1);
        sql.exec('CREATE TABLE t (a)');
        await null;
        sql.exec('INSERT INTO t VALUES (7)');
        seen.push(await txn.get('storage'), await txn.get(['kv', 'more', 'none']), (await txn.list({ prefix: 's' })).size, kv.get('more'));
        if (end === 'throw') throw new Error('out');
        if (end === 'rollback') txn.rollback();
      }));
      return [seen, await attempt(() => sql.exec('SELECT a FROM t').one().a), Object.fromEntries(kv.list())];
    }, end);
    const kept = end === 'return';
    assert.deepEqual(results, [
      [true, 1, 1, new Map([['kv', 1], ['more', 2]]), 1, 2],
      kept ? 7 : 'Error: no such table: t: SQLITE_ERROR',
      { before: 1, ...(kept && { kv: 1, more: 2, storage: 1 }) },
    ], end);
  }
});

testBoth('writes of the run before it are not part of it, and one after rollback() neither', async (inObject) => {
  const results = await inObject('around', async ({ storage }) => {
    void storage.put('before', 1);
    const failing = storage.transaction(async () => { throw new Error('out'); }).catch(() => {});
    void storage.put('between', 1);
    await failing;
    const another = storage.transaction(async (txn) => {
      void txn.put('lost', 1);
      await new Promise((resolve) => setTimeout(resolve, 1));
      throw new Error('out');
    }).catch(() => {});
    queueMicrotask(() => storage.put('just before', 1));
    await another;
    await storage.transaction(async (txn) => {
      txn.put('lost', 1);
      txn.rollback();
      await storage.put('after', 1);
      throw new Error('out');
    }).catch(() => {});
    return Object.fromEntries(await storage.list());
  });
  assert.deepEqual(results, { after: 1, before: 1, between: 1, 'just before': 1 });
});

testBoth('it is one commit, made before its promise settles', async (inObject, stored) => {
  const aborted = async (name, when) => {
    await assert.rejects(inObject(name, async ({ storage, ctx }, when) => {
      const whole = storage.transaction(async (txn) => {
        await txn.put('a', 1);
        await new Promise((resolve) => setTimeout(resolve, 5));
        await txn.put('b', 1);
        if (when === 'inside') ctx.abort('the end');
      });
      await whole;
      ctx.abort('the end');
    }, when), { message: 'the end', durableObjectReset: true });
    return stored(name);
  };
  assert.deepEqual(await aborted('abort-inside', 'inside'), {});
  assert.deepEqual(await aborted('abort-after', 'after'), { a: 1, b: 1 });
});

testBoth('a txn that was rolled back, or kept past the end', async (inObject) => {
  const calls = ['get', 'put', 'delete', 'list', 'rollback', 'deleteAll'];
  const results = await inObject('misuse', async ({ storage, attempt }, calls) => {
    const tryAll = async (txn) => {
      const texts = [];
      for (const name of calls) {
        const args = { put: ['a', 1], list: [], rollback: [], deleteAll: [] }[name] ?? ['a'];
        texts.push(await attempt(() => txn[name](...args)));
      }
      return texts;
    };
    let kept;
    const rolledBack = await storage.transaction(async (txn) => {
      kept = txn;
      txn.rollback();
      return tryAll(txn);
    });
    let committed;
    await storage.transaction(async (txn) => void (committed = txn));
    let thrown;
    await storage.transaction(async (txn) => { thrown = txn; throw new Error('out'); }).catch(() => {});
    return [rolledBack, await tryAll(kept), await tryAll(committed), await tryAll(thrown), (await storage.list()).size];
  }, calls);
  const noDeleteAll = 'Error: Cannot call deleteAll() within a transaction';
  const undone = [...calls.slice(0, 4).map(rolledBack), undefined, noDeleteAll];
  assert.deepEqual(results, [undone, undone, [...calls.slice(0, 5).map(tooLate), noDeleteAll], undone, 0]);
});

testBoth('wrong arguments', async (inObject) => {
  const results = await inObject('arguments', async ({ storage, attempt }) => {
    return storage.transaction(async (txn) => {
      const texts = [];
      for (const call of [
        () => txn.get(), () => txn.get('a', 5), () => txn.get('a', null), () => txn.put(), () => txn.put('a'), () => txn.put('a', undefined, 5),
        () => txn.put('a', 1, 5), () => txn.put({ a: 1 }, 5), () => txn.delete(), () => txn.delete('a', 5), () => txn.list(5),
        () => txn.list({ limit: 0 }), () => txn.list({ start: 'a', startAfter: 'a' }), () => txn.put({ a: () => 1, b: 1 }),
        () => txn.put('x'.repeat(2049), 1), () => txn.get('x'.repeat(2049)), () => txn.delete(['x'.repeat(2049)]), () => storage.deleteAll(),
      ]) texts.push(await attempt(call));
      return [texts, (await txn.list()).size];
    });
  });
  const wrong = (method, parameter, type) => `TypeError: Failed to execute '${method}' on 'DurableObjectTransaction': parameter ${parameter} is not of type '${type}'.`;
  const keyTooLarge = 'RangeError: Keys cannot be larger than 2048 bytes. A key of size 2049 was provided.';
  assert.deepEqual(results, [[
    wrong('get', 1, 'string or Array'), wrong('get', 2, 'GetOptions'), undefined, wrong('put', 1, 'string or object'),
    'TypeError: put() called with undefined value.', wrong('put', 3, 'PutOptions'), wrong('put', 3, 'PutOptions'),
    'TypeError: put() may only be called with a single key-value pair and optional options as put(key, value, options) or with multiple key-value pairs and optional options as put(entries, options)',
    wrong('delete', 1, 'string or Array'), wrong('delete', 2, 'PutOptions'), wrong('list', 1, 'ListOptions'), 'TypeError: List limit must be positive.',
    'TypeError: list() cannot be called with both start and startAfter values.', 'DataCloneError: () => 1 could not be cloned.', keyTooLarge, keyTooLarge,
    keyTooLarge, 'Error: Cannot call deleteAll() within a transaction',
  ], 0]);
});

test('nested ones', async () => {
  const results = await lab.object('nested', async ({ storage, sql, kv, attempt }) => {
    const seen = [];
    sql.exec('CREATE TABLE t (a)');
    await storage.transaction(async (outer) => {
      await outer.put('kept', 1);
      seen.push(await attempt(() => storage.transaction(async (inner) => {
        await inner.put('lost', 1);
        await outer.put('lost too', 1);
        sql.exec('INSERT INTO t VALUES (1)');
        throw new Error('inner');
      })));
      await storage.transaction(async (inner) => {
        await inner.put('lost', 1);
        seen.push(await attempt(() => outer.rollback()));
        inner.rollback();
        seen.push(await attempt(() => inner.get('lost')), await outer.get('lost'), await outer.get('kept'));
        await storage.put('kept as the outer one is', 1);
      });
      const text = await storage.transaction(async () => {
        storage.transactionSync(() => kv.put('sync', 1));
        seen.push(attempt(() => storage.transactionSync(() => { kv.put('lost sync', 1); throw new Error('in sync'); })));
        seen.push(attempt(() => storage.transactionSync(() => outer.rollback())));
        return storage.transaction(async () => 'innermost');
      });
      seen.push(text);
    });
    await attempt(() => storage.transaction(async () => {
      await storage.transaction(async (inner) => inner.put('lost with the outer one', 1));
      throw new Error('outer');
    }));
    return [seen, Object.fromEntries(kv.list()), sql.exec('SELECT count(*) n FROM t').one().n];
  });
  const outerRollback = 'Error: Cannot roll back an outer transaction while a nested transaction is still running.';
  assert.deepEqual(results, [
    ['Error: inner', outerRollback, rolledBack('get'), undefined, 1, 'Error: in sync', outerRollback, 'innermost'],
    { kept: 1, 'kept as the outer one is': 1, sync: 1 },
    0,
  ]);
});

testBoth('those of one place run one after the other, and none is part of another', async (inObject) => {
  const results = await inObject('siblings', async ({ storage }) => {
    const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const trace = [];
    const slow = async (name, ms, fails) => {
      trace.push(`${name} begins`);
      await storage.put(name, 1);
      await wait(ms);
      trace.push(`${name} ends`);
      if (fails) throw new Error(name);
    };
    const all = [storage.transaction(() => slow('a', 20, true)), storage.transaction(() => slow('b', 5))];
    await wait(5);
    trace.push('c is asked for');
    all.push(storage.transaction(() => slow('c', 1)));
    const outcomes = (await Promise.allSettled(all)).map(({ status }) => status);
    await storage.transaction(async () => {
      void storage.transaction(() => slow('d', 10)); // not waited for, but a part all the same
      await null;
      trace.push('its callback ends');
    });
    trace.push('outer ends');
    return [trace, outcomes, Object.fromEntries(await storage.list())];
  });
  assert.deepEqual(results, [
    // What the timer wakes is code outside the transactions: it waits for those that were asked for before it.
    ['a begins', 'a ends', 'b begins', 'b ends', 'c is asked for', 'c begins', 'c ends', 'its callback ends', 'd begins', 'd ends', 'outer ends'],
    ['rejected', 'fulfilled', 'fulfilled'],
    { b: 1, c: 1, d: 1 },
  ]);
});

testBoth('events wait, in order, until it has committed', async (inObject) => {
  await lab.worker(({ shared }) => { shared.trace = []; });
  const enter = async ({ storage, shared }) => {
    await storage.transaction(async (txn) => {
      shared.trace.push('begins');
      await txn.put('n', 1);
      await new Promise((resolve) => setTimeout(resolve, 60));
      shared.trace.push('ends');
    });
    shared.trace.push('settled');
  };
  const first = inObject('gate', enter);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const others = [1, 2, 3].map(async (n) => {
    await new Promise((resolve) => setTimeout(resolve, 5 * n));
    return inObject('gate', async ({ shared, storage }, n) => { shared.trace.push(`${n} sees ${await storage.get('n')}`); }, n);
  });
  await Promise.all([first, ...others]);
  assert.deepEqual(await lab.worker(({ shared }) => shared.trace), ['begins', 'ends', 'settled', '1 sees 1', '2 sees 1', '3 sees 1']);
});

testBoth('an event that ends meanwhile commits nothing of it', async (inObject, stored) => {
  await inObject('left-behind', ({ storage, ctx }) => {
    const left = storage.transaction(async (txn) => {
      await txn.put('lost', 1);
      await new Promise((resolve) => setTimeout(resolve, 30));
      txn.rollback();
    });
    ctx.waitUntil(left);
  });
  assert.deepEqual(await stored('left-behind'), {});
});

test('a commit that fails, and one that SQLite gives up by itself, reset the object', async () => {
  await lab.object('fails', ({ sql }) => sql.exec('CREATE TABLE t (a PRIMARY KEY); INSERT INTO t VALUES (1); CREATE TABLE child (a REFERENCES t DEFERRABLE INITIALLY DEFERRED)').toArray());
  const deferred = lab.object('fails', async ({ storage, sql }) => {
    await storage.transaction(async (txn) => {
      await txn.put('lost', 1);
      sql.exec('INSERT INTO child VALUES (99)');
    });
    return 'it worked';
  });
  await assert.rejects(deferred, { durableObjectReset: true, message: /^FOREIGN KEY constraint failed: SQLITE_CONSTRAINT/ });
  const rolledBack = lab.object('fails', async ({ storage, sql, attempt }) => {
    await storage.transaction(async (txn) => {
      await txn.put('lost', 1);
      attempt(() => sql.exec('INSERT OR ROLLBACK INTO t VALUES (1)'));
      await attempt(() => txn.put('lost too', 1));
    });
    return 'it worked';
  });
  await assert.rejects(rolledBack, { durableObjectReset: true, message: /^UNIQUE constraint failed: t\.a: SQLITE_CONSTRAINT/ });
  const mended = await lab.object('fails', async ({ storage, sql, kv }) => {
    await storage.transaction(async (txn) => {
      await storage.transaction(async () => sql.exec('INSERT INTO child VALUES (99)'));
      sql.exec('DELETE FROM child');
      await txn.put('kept', 1);
    });
    return [...kv.list()];
  });
  assert.deepEqual(mended, [['kept', 1]]);
});

test('cursors go on over its end', async () => {
  const results = await lab.object('cursors', async ({ storage, sql }) => {
    sql.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)');
    const rest = async (end) => {
      let cursor;
      await storage.transaction(async (txn) => {
        cursor = sql.exec('SELECT a FROM t');
        cursor.next();
        sql.exec('INSERT INTO t VALUES (4)');
        if (end === 'rollback') txn.rollback();
      });
      return cursor.toArray().map(({ a }) => a).slice(0, 2);
    };
    return [await rest('rollback'), await rest('commit'), sql.exec('SELECT count(*) n FROM t').one().n];
  });
  assert.deepEqual(results, [[2, 3], [2, 3], 4]);
});

testBoth('blockConcurrencyWhile() and transaction() within one another', async (inObject) => {
  const results = await inObject('blocks', async ({ storage, ctx }) => {
    await storage.transaction(async (txn) => {
      await ctx.blockConcurrencyWhile(() => storage.put('lost', 1));
      txn.rollback();
    });
    const inside = await ctx.blockConcurrencyWhile(async () => {
      await storage.transaction((txn) => txn.put('kept', 1));
      return storage.get('kept');
    });
    return [inside, Object.fromEntries(await storage.list())];
  });
  assert.deepEqual(results, [1, { kept: 1 }]);
});

test('a transaction that is too large resets the object', async () => {
  const tooLarge = lab.object('too-large', async ({ storage, sql, attempt }) => {
    sql.exec('CREATE TABLE t (a)');
    await storage.sync();
    await storage.transaction(async (txn) => {
      await txn.put('lost', 1);
      for (let i = 0; i < 300; i++) sql.exec('INSERT INTO t VALUES (zeroblob(1000000))');
    });
  });
  await assert.rejects(tooLarge, { durableObjectReset: true, message: 'database or disk is full: SQLITE_FULL' });
  assert.deepEqual(await lab.object('too-large', ({ kv, sql }) => [[...kv.list()], sql.exec('SELECT count(*) n FROM t').one().n]), [[], 0]);
});

test('an object is not evicted while one is open', async (t) => {
  const own = await startLab(t, { args: ['--idle-ms', '10'] });
  for (const inObject of [own.object, own.keyed]) {
    await inObject('long', ({ storage, shared, self }) => {
      self.mark = 'the same';
      void storage.transaction(async (txn) => {
        await txn.put('a', 1);
        await new Promise((resolve) => { shared.finish = resolve; }); // nothing else keeps the object
        await txn.put('b', self.mark);
      });
    });
    await new Promise((resolve) => setTimeout(resolve, 60));
    await own.worker(({ shared }) => shared.finish());
    assert.deepEqual(await inObject('long', async ({ storage }) => Object.fromEntries(await storage.list())), { a: 1, b: 'the same' });
  }
  await own.stop();
});
