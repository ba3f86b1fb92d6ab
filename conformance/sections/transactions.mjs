// transaction(), the same for SQLite classes and for key-value classes.

import { methodsOf } from './keys.mjs';

const keysOf = async (storage, options) => [...(await storage.list(options)).keys()];
const pause = (ms = 2) => new Promise((resolve) => setTimeout(resolve, ms));

/** Every method of a transaction but those of alarms, called as it should be. */
const CALLS = {
  get: (txn) => txn.get('a'),
  'get of keys': (txn) => txn.get(['a']),
  put: (txn) => txn.put('a', 1),
  'put of pairs': (txn) => txn.put({ a: 1 }),
  delete: (txn) => txn.delete('a'),
  'delete of keys': (txn) => txn.delete(['a']),
  list: (txn) => txn.list(),
  deleteAll: (txn) => txn.deleteAll(),
  rollback: (txn) => txn.rollback(),
};

export function addTransactionSections(program) {
  program.inObject('transaction', async ({ check, refused, storage }) => {
    const dump = () => storage.list();
    await check('value', () => storage.transaction(async () => 5));
    await check('a function that is not async', () => storage.transaction(() => 5));
    await check('no value', () => storage.transaction(async () => {}));
    await check('a thenable', () => storage.transaction(() => ({ then: (resolve) => resolve(7) })));
    await check('arguments', () => storage.transaction(async (...args) => args.length));
    await check('the promise', () => Object.prototype.toString.call(storage.transaction(async () => {})));
    await check('when the function runs', async () => {
      const seen = [];
      const done = storage.transaction(async () => { seen.push('inside'); });
      seen.push('called');
      await done;
      return seen;
    });
    for (const [label, value] of Object.entries({ undefined, number: 5, null: null, object: {}, text: 'x' })) await refused(`of ${label}`, () => storage.transaction(value), dump);
    await refused('no argument', () => storage.transaction(), dump);
    await check('txn, tag', () => storage.transaction(async (txn) => Object.prototype.toString.call(txn)));
    await check('txn, constructor', () => storage.transaction(async (txn) => txn.constructor.name));
    await check('txn, methods', () => storage.transaction(async (txn) => methodsOf(txn)));
    await check('commits', async () => {
      await storage.transaction(async (txn) => { await txn.put('a', 1); await txn.put({ b: 2, c: 3 }); await txn.delete('c'); });
      return storage.list();
    });
    await check('reads its own writes', () => storage.transaction(async (txn) => {
      await txn.put('a', 10);
      await txn.delete('b');
      return [await txn.get('a'), await txn.get('b'), await txn.get(['a', 'b']), await txn.list()];
    }));
    await check('storage reads its writes', () => storage.transaction(async (txn) => { await txn.put('a', 11); return storage.get('a'); }));
    await check('it reads writes of storage', () => storage.transaction(async (txn) => { await storage.put('a', 12); return txn.get('a'); }));
    await check('without await', async () => {
      await storage.transaction(async (txn) => { void txn.put('n1', 1); void txn.put('n2', 2); });
      return keysOf(storage, { prefix: 'n' });
    });
    await refused('a throw', () => storage.transaction(async (txn) => { await txn.put('x', 1); await txn.delete('a'); throw new RangeError('no'); }), dump);
    await refused('a throw before any await', () => storage.transaction((txn) => { void txn.put('x', 1); throw new RangeError('no'); }), dump);
    await refused('a throw of text', () => storage.transaction(async (txn) => { await txn.put('x', 1); throw 'text'; }), dump);
    await refused('a throw of undefined', () => storage.transaction(async (txn) => { await txn.put('x', 1); throw undefined; }), dump);
    await refused('a throw takes writes of storage', () => storage.transaction(async () => { await storage.put('x', 1); throw new Error('back'); }), dump);
    await check('the error is the same object', async () => {
      const error = new Error('x');
      return storage.transaction(async () => { throw error; }).catch((caught) => caught === error);
    });
    await refused('a put that is refused', () => storage.transaction(async (txn) => { await txn.put('x', 1); await txn.put('y', () => 1); }), dump);
    await refused('across timers', () => storage.transaction(async (txn) => {
      await txn.put('x', 1);
      await pause();
      await txn.put('y', 1);
      await pause();
      throw new Error('back');
    }), dump);
    await check('it commits across timers', async () => {
      await storage.transaction(async (txn) => { await txn.put('t1', 1); await pause(); await txn.put('t2', 1); });
      return keysOf(storage, { prefix: 't' });
    });
    await check('options', () => storage.transaction(async (txn) => {
      await txn.put('o', 1, { allowUnconfirmed: true });
      return txn.get('o', { allowConcurrency: true, noCache: true });
    }));
    await check('list with options', () => storage.transaction(async (txn) => txn.list({ prefix: 'n', limit: 1, reverse: true })));
    await check('writes before it stay', async () => {
      void storage.put('before', 1);
      await storage.transaction(async () => { throw new Error('back'); }).catch(() => {});
      return storage.get('before');
    });
    await check('writes after it stay', async () => {
      const failed = storage.transaction(async (txn) => { await txn.put('x', 1); throw new Error('back'); }).catch(() => {});
      await failed;
      await storage.put('after', 1);
      return [await storage.get('x'), await storage.get('after')];
    });
    await check('two after each other', async () => {
      await storage.transaction(async (txn) => txn.put('s', 1));
      await storage.transaction(async (txn) => txn.put('s', (await txn.get('s')) + 1));
      return storage.get('s');
    });
    await check('two at once', async () => {
      const step = (txn) => txn.get('q').then(async (n = 0) => { await pause(); await txn.put('q', n + 1); });
      await Promise.all([storage.transaction(step), storage.transaction(step)]);
      return storage.get('q');
    });
    await check('ten at once, each counts', async () => {
      await Promise.all(Array.from({ length: 10 }, () => storage.transaction(async (txn) => {
        await txn.put('count', ((await txn.get('count')) ?? 0) + 1);
      })));
      return storage.get('count');
    });
  });

  program.inObject('rollback', async ({ check, refused, storage }) => {
    await storage.put('a', 1);
    const dump = () => storage.list();
    await refused('value', () => storage.transaction(async (txn) => { await txn.put('x', 1); txn.rollback(); return 'value'; }), dump);
    await refused('what it returns', () => storage.transaction(async (txn) => txn.rollback()), dump);
    await check('without txn', () => storage.transaction(async (txn) => (0, txn.rollback)()));
    await check('put without txn', () => storage.transaction(async (txn) => { try { void (0, txn.put)('x', 1); return 'no throw'; } catch (error) { return error; } }));
    await refused('twice', () => storage.transaction(async (txn) => { txn.rollback(); txn.rollback(); }), dump);
    await refused('then a throw', () => storage.transaction(async (txn) => { await txn.put('x', 1); txn.rollback(); throw new RangeError('after'); }), dump);
    await refused('with an argument', () => storage.transaction(async (txn) => txn.rollback(5)), dump);
    await refused('before any write', () => storage.transaction(async (txn) => { txn.rollback(); return 1; }), dump);
    await refused('puts without await', () => storage.transaction(async (txn) => { void txn.put('x', 1); txn.rollback(); }), dump);
    for (const [label, call] of Object.entries(CALLS)) await refused(`then ${label}`, () => storage.transaction(async (txn) => { await txn.put('x', 1); txn.rollback(); return call(txn); }), dump);
    for (const [label, call] of Object.entries(CALLS)) await refused(`then ${label}, caught`, () => storage.transaction(async (txn) => {
      txn.rollback();
      try { return await call(txn); } catch (error) { return error; }
    }), dump);
    await check('then another transaction', async () => {
      await storage.transaction(async (txn) => { txn.rollback(); });
      return storage.transaction(async (txn) => { await txn.put('b', 2); return txn.get('b'); });
    });
  });

  program.inObject('a txn that is kept', async ({ refused, storage }) => {
    await storage.put('a', 1);
    const dump = () => storage.list();
    const kept = async (end = async () => {}) => { let out; await storage.transaction(async (txn) => { out = txn; return end(txn); }).catch(() => {}); return out; };
    for (const [label, call] of Object.entries(CALLS)) {
      await refused(`after commit, ${label}`, async () => call(await kept()), dump);
      await refused(`after rollback, ${label}`, async () => call(await kept((txn) => txn.rollback())), dump);
      await refused(`after a throw, ${label}`, async () => call(await kept(() => { throw new Error('back'); })), dump);
    }
  });

  program.inObject('nested', async ({ check, refused, storage }) => {
    await storage.put('a', 1);
    const dump = () => storage.list();
    await check('value', () => storage.transaction(async () => storage.transaction(async () => 'inner')));
    await check('both commit', async () => {
      await storage.transaction(async (outer) => {
        await outer.put('b', 2);
        await storage.transaction(async (inner) => { await inner.put('c', 3); });
        await outer.put('d', 4);
      });
      return keysOf(storage);
    });
    await check('the inner sees the outer', () => storage.transaction(async (outer) => {
      await outer.put('e', 5);
      return storage.transaction(async (inner) => inner.get('e'));
    }));
    await check('the inner throws', async () => {
      await storage.transaction(async (outer) => {
        await outer.put('f', 1);
        await storage.transaction(async (inner) => { await inner.put('g', 1); throw new Error('back'); }).catch(() => {});
        await outer.put('h', 1);
      });
      return keysOf(storage);
    });
    await check('the inner rolls back', async () => {
      await storage.transaction(async (outer) => {
        await outer.put('i', 1);
        await storage.transaction(async (inner) => { await inner.put('j', 1); inner.rollback(); });
        await outer.put('k', 1);
      });
      return keysOf(storage);
    });
    await refused('the outer throws', () => storage.transaction(async () => {
      await storage.transaction(async (inner) => inner.put('x', 1));
      throw new Error('back');
    }), dump);
    await refused('the outer rolls back', () => storage.transaction(async (outer) => {
      await storage.transaction(async (inner) => inner.put('x', 1));
      outer.rollback();
    }), dump);
    await check('three deep', async () => {
      await storage.transaction(async () => storage.transaction(async () => storage.transaction(async (txn) => txn.put('deep', 3))));
      return storage.get('deep');
    });
    await check('two within, after each other', async () => {
      await storage.transaction(async () => {
        await storage.transaction(async (txn) => txn.put('w1', 1));
        await storage.transaction(async (txn) => { await txn.put('w2', 1); txn.rollback(); });
        await storage.transaction(async (txn) => txn.put('w3', 1));
      });
      return keysOf(storage, { prefix: 'w' });
    });
    await check('the outer txn within the inner', async () => {
      await storage.transaction(async (outer) => storage.transaction(async () => { await outer.put('outer', 1); }));
      return storage.get('outer');
    });
    await check('the outer rolls back within the inner', async () => {
      await storage.transaction(async (outer) => {
        await storage.transaction(async (inner) => { await inner.put('p', 1); outer.rollback(); });
      });
      return storage.get('p');
    });
  });

  program.inObject('the first key in a transaction that rolls back', async ({ check, storage }) => {
    const rolledBack = () => storage.transaction(async (txn) => { await txn.put('a', 1); txn.rollback(); });
    await check('list before', () => storage.list());
    await check('list', async () => { await rolledBack(); return storage.list(); });
    await check('list backwards', async () => { await rolledBack(); return storage.list({ reverse: true, limit: 1 }); });
    await check('get', async () => { await rolledBack(); return storage.get('a'); });
    await check('delete', async () => { await rolledBack(); return storage.delete('a'); });
    await check('put', async () => { await rolledBack(); await storage.put('b', 1); return storage.list(); });
    const calls = {
      get: (of) => of.get('a'), 'get of keys': (of) => of.get(['a', 'b']), list: (of) => of.list(),
      'list from a key': (of) => of.list({ start: 'a' }), 'list backwards': (of) => of.list({ reverse: true }),
      delete: (of) => of.delete('a'),
    };
    for (const [label, call] of Object.entries(calls)) {
      await check(`${label}, inside and after`, async () => {
        await storage.deleteAll();
        await storage.transaction(async (txn) => { await txn.put('a', 1); await call(txn); txn.rollback(); });
        return call(storage);
      });
      await check(`${label}, before, inside and after`, async () => {
        await storage.put('a', 1);
        await call(storage);
        await storage.deleteAll();
        await storage.transaction(async (txn) => { await txn.put('a', 1); await call(txn); txn.rollback(); });
        return call(storage);
      });
    }
  });

  program.inObject('deleteAll in a transaction', async ({ refused, storage }) => {
    await storage.put('a', 1);
    const dump = () => storage.list();
    await refused('of txn', () => storage.transaction(async (txn) => txn.deleteAll()), dump);
    await refused('of storage', () => storage.transaction(async () => storage.deleteAll()), dump);
    await refused('caught', () => storage.transaction(async (txn) => { try { await txn.deleteAll(); } catch (error) { return error.message; } }), dump);
  });

  program.inObject('wrong arguments of txn', async ({ refused, storage }) => {
    await storage.put('a', 1);
    const dump = () => storage.list();
    const wrong = {
      'get()': (txn) => txn.get(), 'put()': (txn) => txn.put(), 'put(key)': (txn) => txn.put('a'), 'delete()': (txn) => txn.delete(),
      'list(5)': (txn) => txn.list(5), 'list({ limit 0 })': (txn) => txn.list({ limit: 0 }),
      'list of start and startAfter': (txn) => txn.list({ start: 'a', startAfter: 'b' }), 'get with options': (txn) => txn.get('a', 5),
      'put with options': (txn) => txn.put('a', 2, 5), 'put of a function': (txn) => txn.put('a', () => 1),
      'put of pairs with a function': (txn) => txn.put({ a: 2, b: () => 1 }), 'sync': (txn) => txn.sync(),
      'transaction': (txn) => txn.transaction(() => 1),
    };
    for (const [label, call] of Object.entries(wrong)) await refused(label, () => storage.transaction(async (txn) => { await call(txn); }), dump);
    for (const [label, call] of Object.entries(wrong)) await refused(`${label}, caught`, () => storage.transaction(async (txn) => { try { await call(txn); } catch (error) { return error.message; } }), dump);
  });
}
