// transactionSync() and transaction().
import { DurableObject } from 'cloudflare:workers';
import { addTransactionSections } from '../../sections/transactions.mjs';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
}

const back = () => {
  throw new Error('back');
};
const quietly = (run) => {
  try {
    return run();
  } catch (error) {
    return `caught ${error.message}`;
  }
};

program.inObject('transactionSync', async ({ check, refused, storage, sql, kv }) => {
  sql.exec('CREATE TABLE t (a)');
  const rows = () => sql.exec('SELECT a FROM t').toArray().map(({ a }) => a);
  const state = () => [rows(), [...kv.list()]];
  const insert = (a) => sql.exec('INSERT INTO t VALUES (?)', a).toArray();
  check('value', () => storage.transactionSync(() => 5));
  check('no value', () => storage.transactionSync(() => {}));
  check('arguments', () => storage.transactionSync(function (...args) { return args.length; }));
  check('this', () => storage.transactionSync(function () { return [this === undefined, this === globalThis, this === storage]; }));
  check('commits', () => { storage.transactionSync(() => { insert(1); kv.put('a', 1); }); return state(); });
  await refused('a throw', () => storage.transactionSync(() => { insert(2); kv.put('b', 2); throw new RangeError('no'); }), state);
  await refused('a throw of text', () => storage.transactionSync(() => { insert(2); throw 'text'; }), state);
  await refused('a throw of undefined', () => storage.transactionSync(() => { insert(2); throw undefined; }), state);
  await refused('an SQL error', () => storage.transactionSync(() => { insert(2); sql.exec('SELEC'); }), state);
  await refused('storage.put inside, then a throw', () => storage.transactionSync(() => { void storage.put('c', 3); back(); }), state);
  await refused('kv.delete inside, then a throw', () => storage.transactionSync(() => { kv.delete('a'); back(); }), state);
  await refused('CREATE TABLE inside, then a throw', () => storage.transactionSync(() => { sql.exec('CREATE TABLE u (b)'); back(); }), state);
  await refused('no table then', () => sql.exec('SELECT * FROM u'), state);
  await refused('no argument', () => storage.transactionSync(), state);
  for (const [label, value] of Object.entries({ number: 5, null: null, object: {}, text: 'x' })) await refused(`of ${label}`, () => storage.transactionSync(value), state);
  check('an error caught inside', () => { storage.transactionSync(() => { insert(3); quietly(() => sql.exec('SELEC')); insert(4); }); return rows(); });
  check('the error is the same object', () => {
    const error = new Error('x');
    try { storage.transactionSync(() => { throw error; }); } catch (caught) { return caught === error; }
  });
  check('nested', () => storage.transactionSync(() => storage.transactionSync(() => { insert(5); return 'inner'; })));
  check('nested, the inner throws', () => {
    storage.transactionSync(() => { insert(6); quietly(() => storage.transactionSync(() => { insert(7); back(); })); insert(8); });
    return rows();
  });
  check('nested, the outer throws', () => { quietly(() => storage.transactionSync(() => { storage.transactionSync(() => insert(9)); back(); })); return rows(); });
  check('nested, 20 deep', () => { const down = (n) => storage.transactionSync(() => (n === 0 ? insert(10) : down(n - 1))); down(20); return rows().at(-1); });
  check('nested, 20 deep, all thrown away', () => {
    const down = (n) => storage.transactionSync(() => { insert(100 + n); return n === 0 ? back() : down(n - 1); });
    return [quietly(() => down(20)), rows().at(-1)];
  });
  check('nested, every second is thrown away', () => {
    storage.transactionSync(() => {
      for (let i = 20; i < 26; i++) quietly(() => storage.transactionSync(() => { insert(i); if (i % 2) back(); }));
    });
    return rows().filter((a) => a >= 20);
  });
  check('two after each other, the second throws', () => {
    storage.transactionSync(() => insert(30));
    quietly(() => storage.transactionSync(() => { insert(31); back(); }));
    return rows().filter((a) => a >= 30);
  });
  check('writes before it stay', () => { insert(40); quietly(() => storage.transactionSync(() => { insert(41); back(); })); return rows().filter((a) => a >= 40); });
  check('a cursor inside', () => storage.transactionSync(() => [...sql.exec('SELECT count(*) AS n FROM t')][0].n > 0));
  check('a promise', () => {
    const result = storage.transactionSync(async () => { insert(50); return 5; });
    result.then?.(() => {}, () => {});
    return [result instanceof Promise, rows().includes(50)];
  });
  check('a thenable', () => typeof storage.transactionSync(() => ({ then() {} })));
  check('BEGIN inside', () => storage.transactionSync(() => sql.exec('BEGIN')));
  await check('in a microtask after a write', async () => {
    insert(60);
    await null;
    storage.transactionSync(() => insert(61));
    return rows().filter((a) => a >= 60);
  });
  await check('deleteAll inside', () => storage.transactionSync(() => { const done = storage.deleteAll(); done.catch(() => {}); return 'called'; }));
});

// The table of the keys is made with the first of them, and goes with it.
program.inObject('the first key in a transaction that throws', async ({ check, storage, kv }) => {
  const throws = (run) => quietly(() => storage.transactionSync(() => { run(); back(); }));
  check('kv.list before', () => [...kv.list()]);
  check('kv.put', () => throws(() => kv.put('a', 1)));
  check('kv.list', () => [...kv.list()]);
  check('kv.get', () => kv.get('a'));
  check('kv.delete', () => kv.delete('a'));
  check('kv.put again', () => throws(() => kv.put('a', 1)));
  await check('storage.list', () => storage.list());
  check('kv.list inside', () => throws(() => { kv.put('a', 1); return [...kv.list()]; }));
  check('kv.list outside', () => [...kv.list({ reverse: true })]);
  check('kv.put that stays', () => { kv.put('b', 1); return [...kv.list()]; });
});

addTransactionSections(program);

program.inObject('transaction with SQL and kv', async ({ check, storage, sql, kv }) => {
  sql.exec('CREATE TABLE t (a)');
  const rows = () => sql.exec('SELECT a FROM t ORDER BY a').toArray().map(({ a }) => a);
  const insert = (a) => sql.exec('INSERT INTO t VALUES (?)', a).toArray();
  const state = () => [rows(), [...kv.list()]];
  await check('commits', async () => {
    await storage.transaction(async (txn) => { insert(1); kv.put('a', 1); await txn.put('b', 2); await storage.put('c', 3); });
    return state();
  });
  await check('a throw', () => storage.transaction(async (txn) => { insert(2); kv.put('d', 1); await txn.put('e', 2); throw new RangeError('no'); }));
  await check('a throw, then', () => Promise.resolve(state()));
  await check('rollback', async () => { await storage.transaction(async (txn) => { insert(3); kv.put('f', 1); txn.rollback(); }); return state(); });
  await check('SQL after rollback', async () => { await storage.transaction(async (txn) => { insert(4); txn.rollback(); insert(5); }); return rows(); });
  await check('kv after rollback', async () => {
    await storage.transaction(async (txn) => { txn.rollback(); kv.put('g', 1); });
    return [...kv.list({ prefix: 'g' })];
  });
  await check('storage after rollback', async () => {
    await storage.transaction(async (txn) => { txn.rollback(); await storage.put('h', 1); });
    return storage.get('h');
  });
  await check('across awaits', async () => {
    await storage.transaction(async () => { insert(6); await new Promise((resolve) => setTimeout(resolve, 2)); insert(7); });
    return rows();
  });
  await check('a throw across awaits', async () => {
    await storage.transaction(async () => {
      insert(8);
      await new Promise((resolve) => setTimeout(resolve, 2));
      insert(9);
      throw new Error('back');
    }).catch(() => {});
    return rows();
  });
  await check('transactionSync inside', () => storage.transaction(async () => storage.transactionSync(() => { insert(10); return 'inside'; })));
  await check('transactionSync inside throws', async () => {
    await storage.transaction(async () => {
      insert(11);
      quietly(() => storage.transactionSync(() => { insert(12); back(); }));
      await null;
      insert(13);
    });
    return rows();
  });
  await check('nested, the inner throws', async () => {
    await storage.transaction(async () => {
      insert(20);
      await storage.transaction(async () => { insert(21); throw new Error('back'); }).catch(() => {});
      insert(22);
    });
    return rows();
  });
  await check('nested, the outer throws', async () => {
    await storage.transaction(async () => { await storage.transaction(async () => insert(23)); throw new Error('back'); }).catch(() => {});
    return rows();
  });
  await check('inside transactionSync', async () => {
    let inner;
    storage.transactionSync(() => { inner = storage.transaction(async () => { insert(24); return 'inner'; }); });
    return [await inner, rows().includes(24)];
  });
  await check('writes before it stay', async () => {
    insert(30);
    await storage.transaction(async () => { insert(31); throw new Error('back'); }).catch(() => {});
    return rows().filter((a) => a >= 30);
  });
  await check('CREATE TABLE, then a throw', async () => {
    await storage.transaction(async () => { sql.exec('CREATE TABLE u (b)'); throw new Error('back'); }).catch(() => {});
    return sql.exec("SELECT name FROM sqlite_schema WHERE name = 'u'").toArray();
  });
  await check('BEGIN inside', () => storage.transaction(async () => sql.exec('BEGIN')));
  await check('an SQL error inside, caught', async () => {
    await storage.transaction(async () => { insert(40); quietly(() => sql.exec('SELEC')); insert(41); });
    return rows().filter((a) => a >= 40);
  });
  await check('sync inside', () => storage.transaction(async () => { insert(50); await storage.sync(); return rows().includes(50); }));
  await check('a cursor across the end', async () => {
    const cursor = await storage.transaction(async () => { const c = sql.exec('SELECT a FROM t ORDER BY a'); c.next(); return { c }; });
    return cursor.c.next().done;
  });
});

export default program.worker;
