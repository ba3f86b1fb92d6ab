// Classes of new_classes: all objects in one file, each as if it were alone.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { sqlite, temporaryDirectory, wranglerJson, writeFiles } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';
import { runPerdure, serve } from '../support/perdure.mjs';
import { createRandom } from '../support/random.mjs';

const lab = await startLab({ after });

test('the synchronous interfaces say what to change', async () => {
  const results = await lab.keyed('refuses', ({ storage, sql, kv, attempt }) => [
    [() => sql.exec('SELECT 1'), () => sql.databaseSize, () => storage.sql.exec('SELECT ?', 1)].map(attempt),
    [() => kv.get('a'), () => kv.put('a', 1), () => kv.delete('a'), () => kv.list({ limit: 0 })].map(attempt),
    [sql.constructor.name, kv.constructor.name],
    storage.transactionSync(() => 5),
  ]);
  const noSql =
    "Error: SQL is not enabled for this Durable Object class. To enable it, change `new_classes` to `new_sqlite_classes` within the 'migrations' field in your wrangler.jsonc or wrangler.toml file. If using workerd directly,set `enableSql = true` in your workerd config for the class. Note that this change cannot be made after the class is already deployed to production.";
  const noKv =
    "Error: The storage.kv (synchronous KV) API is only available for SQLite-backed Durable Objects, but this object's namespace is not declared to use SQLite. You can use the older, asyncronous interface via methods of `storage` itself (e.g. `storage.get()`). Alternatively, to enable SQLite, change `new_classes` to `new_sqlite_classes` within the 'migrations' field in your wrangler.jsonc or wrangler.toml file. If using workerd directly, set `enableSql = true` in your workerd config for the class. Note that this change cannot be made after the class is already deployed to production.";
  assert.deepEqual(results, [[noSql, noSql, noSql], [noKv, noKv, noKv, noKv], ['SqlStorage', 'SyncKvStorage'], 5]);
});

test('the synchronous interfaces look at their arguments first', async () => {
  const results = await lab.keyed('refuses arguments', ({ sql, kv, attempt }) => [
    [() => sql.exec(), () => kv.get(), () => kv.put('a'), () => kv.delete(), () => kv.list(1)].map(attempt),
    [typeof sql.prepare, typeof sql.ingest],
  ]);
  const wrong = (method, owner, parameter, type) => `TypeError: Failed to execute '${method}' on '${owner}': parameter ${parameter} is not of type '${type}'.`;
  assert.deepEqual(results, [
    [
      wrong('exec', 'SqlStorage', 1, 'String'), wrong('get', 'SyncKvStorage', 1, 'string'), wrong('put', 'SyncKvStorage', 2, 'Value'),
      wrong('delete', 'SyncKvStorage', 1, 'string'), wrong('list', 'SyncKvStorage', 1, 'ListOptions'),
    ],
    ['undefined', 'undefined'],
  ]);
});

test('bookmarks: there is no point-in-time recovery', async () => {
  const results = await lab.keyed('bookmarks', async ({ storage, attempt }) => [
    await storage.getCurrentBookmark(),
    await attempt(() => storage.getBookmarkForTime(Date.now())),
    await attempt(() => storage.onNextSessionRestoreBookmark('x')),
  ]);
  const none = "Error: This Durable Object's storage back-end does not implement point-in-time recovery.";
  assert.deepEqual(results, ['00000000-00000000-00000000-00000000000000000000000000000000', none, none]);
});

test('limits of values, at their boundaries, and what an error leaves', async () => {
  const results = await lab.keyed('limits', async ({ storage, attempt }) => {
    const text = (bytes) => 'x'.repeat(bytes - 2); // stored with its quotes
    const outcomes = [];
    for (const call of [
      () => storage.put('a', text(131_072)), () => storage.put('a', text(131_073)), () => storage.put('a', 'é'.repeat(65_536)),
      () => storage.put('b', new Uint8Array(200_000)), () => storage.put({ c: 1, d: text(131_073) }),
      () => storage.put('x'.repeat(2048), 1), () => storage.put('x'.repeat(2049), 1),
    ]) outcomes.push(await attempt(call));
    return [outcomes, [...(await storage.list()).values()].map((value) => value.length ?? value)];
  });
  const tooLarge = (size) => `RangeError: Values cannot be larger than 131072 bytes. A value of size ${size} was provided.`;
  assert.equal(results[0].splice(3, 1)[0].replace(/\d+ was/, 'N was'), tooLarge('N'));
  assert.deepEqual(results, [
    [undefined, tooLarge(131_073), tooLarge(131_074), tooLarge(131_073), undefined, 'RangeError: Keys cannot be larger than 2048 bytes. A key of size 2049 was provided.'],
    [131_070, 1],
  ]);
});

test('a transaction has a limit: past it all of it is taken back, and the object is reset', async () => {
  const message = 'A transaction of this Durable Object is larger than 64 MiB. Commit what it writes in smaller parts.';
  const writers = {
    'awaited in a transaction': ({ storage }, value) => storage.transaction(async (txn) => { for (let i = 0; ; i++) await txn.put(`k${i}`, value); }),
    'in a transaction, not awaited': ({ storage }, value) => storage.transaction(async (txn) => { for (let i = 0; i < 600; i++) txn.put(`k${i}`, value).catch(() => {}); }),
    'not awaited': ({ storage }, value) => { for (let i = 0; i < 600; i++) storage.put(`k${i}`, value).catch(() => {}); return 'acknowledged'; },
    'in transactionSync()': ({ storage }, value) => storage.transactionSync(() => { for (let i = 0; i < 600; i++) storage.put(`k${i}`, value).catch(() => {}); }),
    'pairs': ({ storage }, value) => {
      for (let i = 0; i < 500; i++) storage.put(`k${i}`, value).catch(() => {});
      return storage.put(Object.fromEntries(Array.from({ length: 128 }, (_, i) => [`p${i}`, value])));
    },
  };
  for (const [how, run] of Object.entries(writers)) {
    await lab.keyed(how, ({ storage }) => storage.put('kept', 1));
    await assert.rejects(lab.keyed(how, (tools, source) => (0, eval)(source)(tools, 'x'.repeat(120_000)), run.toString()), { message, durableObjectReset: true }, how);
    assert.deepEqual(await lab.keyed(how, async ({ storage }) => {
      await storage.put('after', 2);
      return [...(await storage.list())];
    }), [['after', 2], ['kept', 1]], how);
  }
});

/** Runs in an object: a random sequence of operations of the asynchronous interface, and their outcomes. */
async function randomOperations({ storage, attempt }, seed) {
  let state = seed;
  const below = (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const key = () => ['', 'a', 'a\0', 'b', 'B', 'é', '\uffff', '😀', 'key 10', 'key 9'][below(10)];
  const keys = () => Array.from({ length: below(4) }, key);
  const value = () => [null, below(100), 'é', { n: below(9) }, [1, [2]], new Map([[1, new Date(5)]]), new Uint8Array(below(3)), -0, 'x'.repeat(below(9000))][below(9)];
  const bound = () => (below(2) === 0 ? {} : { [['start', 'startAfter', 'end', 'prefix'][below(4)]]: key() });
  const outcomes = [];
  const operations = [
    (of) => of.put(key(), value()),
    (of) => of.put(Object.fromEntries(keys().map((each) => [each, value()]))),
    (of) => of.get(key()),
    (of) => of.get(keys()),
    (of) => of.delete(key()),
    (of) => of.delete(keys()),
    (of) => of.list({ ...bound(), ...bound(), reverse: below(2) === 0, ...(below(2) === 0 && { limit: 1 + below(4) }) }),
    (of) => of.list(),
    () => storage.sync(),
    () => (below(5) === 0 ? storage.deleteAll() : undefined),
  ];
  const sequence = async (of, length, depth) => {
    for (let i = 0; i < length; i++) {
      const what = below(operations.length + 2);
      if (what < operations.length) {
        const outcome = attempt(() => operations[what](of));
        outcomes.push(below(3) === 0 ? 'not awaited' : await outcome);
      } else if (depth < 3) {
        outcomes.push(await attempt(() => storage.transaction(async (txn) => {
          await sequence(below(2) === 0 ? txn : storage, below(6), depth + 1);
          const end = below(4);
          if (end === 0) txn.rollback();
          if (end === 1) throw new Error('out');
        })));
      }
    }
  };
  await sequence(storage, 300, 0);
  outcomes.push(await storage.list());
  return outcomes;
}

test('every operation has the outcome that it has on SQLite storage', async (t) => {
  const seed = Number(process.env.PERDURE_SEED ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`PERDURE_SEED=${seed}`);
  const random = createRandom(seed);
  for (let round = 0; round < 10; round++) {
    const start = Math.floor(random() * 2 ** 32);
    const outcomes = await Promise.all([lab.keyed, lab.object].map((inObject) => inObject(`random ${round}`, randomOperations, start)));
    assert.deepEqual(outcomes[0], outcomes[1]);
  }
});

test('objects do not see one another, and deleteAll() takes one of them', async () => {
  const write = ({ storage }, value) => storage.put({ a: value, b: value });
  await lab.keyed('one', write, 1);
  await lab.keyed('two', write, 2);
  await lab.keyed('one', async ({ storage }) => { await storage.deleteAll(); await storage.put('c', 1); });
  const all = (name) => lab.keyed(name, async ({ storage }) => Object.fromEntries(await storage.list()));
  assert.deepEqual([await all('one'), await all('two')], [{ c: 1 }, { a: 2, b: 2 }]);
});

test('what an object writes while another one is in a transaction that rolls back is there after a kill', async (t) => {
  const first = await startLab(t);
  await first.keyed('long', ({ storage }) => storage.put('n', 'before'));
  const long = first.keyed('long', async ({ storage, shared }) => {
    await storage.transaction(async (txn) => {
      await txn.put('n', 'lost');
      await txn.put('new', 'lost');
      await new Promise((resolve) => { shared.finish = resolve; });
      txn.rollback();
    });
    return storage.get('n');
  });
  for (let i = 0; i < 20; i++) await first.keyed('other', ({ storage }, i) => storage.put(`k${i}`, i), i);
  const between = await first.keyed('other', ({ storage }) => storage.transaction(async (txn) => {
    await txn.put('transaction', 'kept');
    return txn.get('k19');
  }));
  assert.equal(between, 19);
  await first.worker(({ shared }) => shared.finish());
  assert.equal(await long, 'before');
  // One more that is open when the process dies.
  first.keyed('long', ({ storage }) => storage.transaction(async (txn) => {
    await txn.put('n', 'not committed');
    await new Promise(() => {});
  })).catch(() => {});
  await first.keyed('other', ({ storage }) => storage.put('last', 1));
  await first.stop('SIGKILL');

  const second = await startLab(t, { data: first.data });
  const all = (name) => second.keyed(name, async ({ storage }) => Object.fromEntries(await storage.list()));
  const expected = { last: 1, transaction: 'kept' };
  for (let i = 0; i < 20; i++) expected[`k${i}`] = i;
  assert.deepEqual(await all('other'), expected);
  assert.deepEqual(await all('long'), { n: 'before' });
  await second.stop();
});

test('after a clean stop the file is for every SQLite tool', async (t) => {
  const own = await startLab(t);
  const id = await own.keyed('readable', async ({ storage, ctx }) => {
    await storage.put({ json: { a: [1, 'é'] }, clone: new Map() });
    return ctx.id.toString();
  });
  await own.stop();
  const file = join(own.data, 'data.sqlite');
  assert.equal(
    sqlite(file, "SELECT namespace, id, key, typeof(value), iif(typeof(value) = 'text', value, '') FROM do_storage ORDER BY key"),
    `bench-Keyed|${id}|clone|blob|\nbench-Keyed|${id}|json|text|{"a":[1,"é"]}`,
  );
  assert.equal(sqlite(file, 'PRAGMA integrity_check'), 'ok');
  // It was checkpointed; the log knows nothing of it any more.
  const again = await startLab(t, { data: own.data });
  assert.deepEqual(await again.keyed('readable', ({ storage }) => storage.get('json')), { a: [1, 'é'] });
  await again.keyed('readable', ({ storage }) => storage.put('more', 1));
  await again.stop('SIGKILL');
  const last = await startLab(t, { data: own.data });
  assert.deepEqual(await last.keyed('readable', async ({ storage }) => [...(await storage.list()).keys()]), ['clone', 'json', 'more']);
  await last.stop();
});

const source = (className) => `
import { DurableObject } from 'cloudflare:workers';
export class ${className} extends DurableObject {
  async count() {
    const n = ((await this.ctx.storage.get('n')) ?? 0) + 1;
    await this.ctx.storage.put('n', n);
    return n;
  }
}
export default { fetch: async (request, env) => new Response(String(await env.THING.getByName('a').count())) };`;

test('a class keeps its objects and its kind of storage for good', async (t) => {
  const directory = temporaryDirectory(t);
  const data = join(directory, 'data');
  const project = (className, migrations) => writeFiles(directory, {
    'index.ts': source(className),
    'wrangler.jsonc': wranglerJson({ durable_objects: { bindings: [{ name: 'THING', class_name: className }] }, migrations }),
  });
  const count = async () => {
    const server = await serve(t, directory, { data });
    const text = await server.text('/');
    await server.stop();
    return text;
  };
  const created = { tag: 'v1', new_classes: ['Thing'] };
  project('Thing', [created]);
  assert.equal(await count(), '1');
  assert.equal(await count(), '2');
  const renamed = { tag: 'v2', renamed_classes: [{ from: 'Thing', to: 'Other' }] };
  project('Other', [created, renamed]);
  assert.equal(await count(), '3');
  const anew = { tag: 'v3', deleted_classes: ['Other'], new_sqlite_classes: ['Thing'] };
  project('Thing', [created, renamed, anew]);
  assert.equal(await count(), '1', 'another class under the same name');

  project('Thing', [{ tag: 'v1', new_sqlite_classes: ['Thing'] }]);
  const { code, stderr } = await runPerdure(['serve', directory, '--port', '0', '--data', data]);
  assert.equal(
    stderr,
    'perdure: The objects of "test-Thing" have key-value storage (new_classes), and that is for good: they cannot have SQLite storage (new_sqlite_classes). Declare their class as it was, or a new one.\n',
  );
  assert.equal(code, 1);
});
