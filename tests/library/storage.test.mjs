// What an object's storage does, on every runtime.
import assert from 'node:assert/strict';
import { test } from '../support/suite.mjs';
import { job, labForEach } from '../support/lab-object.mjs';

const { lab, inside } = labForEach();

test('headers come back as they were', () =>
  inside(({ kv }) => {
    const headers = new Headers([['x-mine', '1'], ['Accept', 'a/b'], ['set-cookie', 'a=1'], ['set-cookie', 'b=2']]);
    kv.put('key', { headers, error: new TypeError('beside') });
    const read = kv.get('key');
    assert.ok(read.headers instanceof Headers);
    assert.deepEqual([...read.headers], [...headers]);
    assert.ok(read.error instanceof TypeError);
  }));

test('each kind of value comes back as it was', () =>
  inside(({ kv }) => {
    const values = [
      'é 🙂', '', 0, -0, NaN, 2 ** 53, true, null, { a: [1, { b: null }] }, new Date(5), new Map([[1, new Set(['a'])]]), 12345678901234567890n, /x/gi,
      Uint8Array.from([1, 2]), new Float64Array([0.5]), [undefined], new ArrayBuffer(3),
    ];
    for (const [i, value] of values.entries()) {
      kv.put('key', value);
      assert.deepEqual(kv.get('key'), value, `value ${i}`);
    }
    assert.throws(() => kv.put('key', () => {}), { name: 'DataCloneError' });
    assert.throws(() => kv.put('key', new WeakMap()), { name: 'DataCloneError' });
    assert.throws(() => kv.put('key', Promise.resolve()), { name: 'DataCloneError' });
    assert.deepEqual(kv.get('key'), new ArrayBuffer(3), 'what is refused changes nothing');
  }));

test('values are copies', () =>
  inside(({ kv }) => {
    const value = { list: [1], map: new Map([[1, 2]]) };
    kv.put('key', value);
    value.list.push(2);
    value.map.set(1, 3);
    const got = kv.get('key');
    got.list.push(3);
    assert.deepEqual(kv.get('key'), { list: [1], map: new Map([[1, 2]]) });
  }));

test('the asynchronous interface', () =>
  inside(async ({ storage }) => {
    await storage.put('one', 1);
    await storage.put({ two: 2, three: [3] });
    assert.equal(await storage.get('one'), 1);
    assert.equal(await storage.get('nothing'), undefined);
    assert.deepEqual(await storage.get(['two', 'one', 'nothing']), new Map([['one', 1], ['two', 2]]));
    assert.deepEqual([...(await storage.list()).keys()], ['one', 'three', 'two']);
    assert.deepEqual([...(await storage.list({ start: 'p', reverse: true, limit: 1 })).keys()], ['two']);
    assert.deepEqual([...(await storage.list({ startAfter: 'one', end: 'two' })).keys()], ['three']);
    assert.equal(await storage.delete('one'), true);
    assert.equal(await storage.delete('one'), false);
    assert.equal(await storage.delete(['two', 'three', 'four']), 2);
    await storage.put('last', 1);
    await storage.deleteAll();
    assert.equal((await storage.list()).size, 0);
    await storage.sync();
    await assert.rejects(storage.put('key', undefined), { name: 'TypeError', message: 'put() called with undefined value.' });
    await assert.rejects(storage.put('x'.repeat(2049), 1), { name: 'RangeError' });
    await assert.rejects(storage.get(Array.from({ length: 129 }, (_, i) => `${i}`)), { name: 'RangeError', message: 'Maximum number of keys is 128.' });
  }));

test('keys of any script, in the order of their UTF-8 bytes', () =>
  inside(({ kv }) => {
    const keys = ['a', 'é', 'Ω', '\uffee', '🙂'];
    for (const key of [...keys].reverse()) kv.put(key, key);
    assert.deepEqual([...kv.list()].map(([key]) => key), keys);
    for (const key of keys) assert.equal(kv.get(key), key);
  }));

test('SQL: types in and out, cursors, errors', () =>
  inside(({ sql }) => {
    sql.exec('CREATE TABLE t (i INTEGER PRIMARY KEY, r REAL, s TEXT, b BLOB)');
    sql.exec('INSERT INTO t VALUES (?, ?, ?, ?)', 1, 0.5, 'é 🙂', Uint8Array.from([1, 2]));
    sql.exec('INSERT INTO t VALUES (?, ?, ?, ?)', 2, null, 'x'.repeat(50_000), new ArrayBuffer(0));
    const rows = sql.exec('SELECT * FROM t ORDER BY i').toArray();
    assert.deepEqual(rows[0], { i: 1, r: 0.5, s: 'é 🙂', b: Uint8Array.from([1, 2]).buffer });
    assert.ok(rows[0].b instanceof ArrayBuffer);
    assert.deepEqual([rows[1].r, rows[1].s.length, rows[1].b.byteLength], [null, 50_000, 0]);
    const cursor = sql.exec('SELECT i, s FROM t ORDER BY i');
    assert.deepEqual(cursor.columnNames, ['i', 's']);
    assert.deepEqual(cursor.next().value, { i: 1, s: 'é 🙂' });
    assert.deepEqual([...sql.exec('SELECT i FROM t ORDER BY i').raw()], [[1], [2]]);
    assert.equal(sql.exec('SELECT count(*) AS n FROM t').one().n, 2);
    assert.throws(() => sql.exec('SELECT * FROM missing'), /no such table: missing/);
    assert.throws(() => sql.exec('INSERT INTO t (i) VALUES (1)'), /UNIQUE constraint failed: t\.i/);
    assert.throws(() => sql.exec('SELECT ?'), /Wrong number of parameter bindings for SQL query\./);
    assert.ok(sql.databaseSize > 0);
  }));

test('many rows', () =>
  inside(({ sql }) => {
    sql.exec('CREATE TABLE t (i INTEGER, s TEXT)');
    for (let i = 0; i < 3000; i++) sql.exec('INSERT INTO t VALUES (?, ?)', i, `row ${i}`);
    let sum = 0;
    for (const { i, s } of sql.exec('SELECT i, s FROM t')) {
      assert.equal(s, `row ${i}`);
      sum += i;
    }
    assert.equal(sum, (2999 * 3000) / 2);
  }));

test('transactionSync() is all or nothing', () =>
  inside(({ storage, kv }) => {
    kv.put('n', 1);
    assert.throws(() =>
      storage.transactionSync(() => {
        kv.put('n', 2);
        storage.transactionSync(() => kv.put('m', 2));
        throw new Error('no');
      }), /^Error: no$/);
    assert.deepEqual([kv.get('n'), kv.get('m')], [1, undefined]);
    assert.equal(storage.transactionSync(() => (kv.put('n', 3), 'value')), 'value');
    assert.equal(kv.get('n'), 3);
  }));

test('an event runs to its next wait for something else before another begins', async () => {
  const trace = [];
  const mark5 = (mark) => async ({ storage }) => {
    for (let step = 0; step < 5; step++) {
      trace.push(mark);
      await storage.get('key');
      await storage.put('key', mark);
      await null;
    }
  };
  await Promise.all(['a', 'b', 'c', 'd'].map((mark) => inside(mark5(mark))));
  assert.equal(trace.join(''), 'aaaaabbbbbcccccddddd');
});

test('read, add, write is safe without a lock', async () => {
  const add = async ({ storage }) => {
    const n = (await storage.get('n')) ?? 0;
    await storage.put('n', n + 1);
    return n;
  };
  const seen = await Promise.all(Array.from({ length: 50 }, () => inside(add)));
  assert.deepEqual(seen.sort((x, y) => x - y), Array.from({ length: 50 }, (_, i) => i));
});

test('blockConcurrencyWhile() holds other events back', async () => {
  const trace = [];
  const blocking = inside(({ ctx }) => ctx.blockConcurrencyWhile(async () => {
    trace.push('begin');
    await new Promise((resolve) => setTimeout(resolve, 10));
    trace.push('end');
    return 'value';
  }));
  const other = inside(() => void trace.push('other'));
  assert.equal(await blocking, 'value');
  await other;
  assert.deepEqual(trace, ['begin', 'end', 'other']);
});

test('objects call each other, back and forth', async () => {
  const add = ({ kv }) => {
    kv.put('n', (kv.get('n') ?? 0) + 1);
    return kv.get('n');
  };
  const number = job(add);
  const total = await inside(async ({ env }) => {
    let last;
    for (let i = 0; i < 20; i++) last = await env.LAB.getByName(`other ${i % 2}`).run(number);
    return last;
  });
  assert.equal(total, 10);
});

test('what passes between objects is a copy', async () => {
  const sent = { list: [1], date: new Date(5), map: new Map([[1, { deep: true }]]), bytes: Uint8Array.from([1, 2]) };
  const got = await inside(() => sent);
  assert.deepEqual(got, sent);
  assert.notEqual(got, sent);
  assert.notEqual(got.list, sent.list);
  assert.notEqual(got.map.get(1), sent.map.get(1));
  await assert.rejects(inside(() => [() => {}]), { name: 'DataCloneError' });
  await assert.rejects(inside(() => ({ instance: new (class Mine {})() })), { name: 'DataCloneError' });
  const error = await inside(() => new TypeError('a result'));
  assert.ok(error instanceof TypeError && error.message === 'a result');
});

test('abort() resets the object, and its state is that of the last commit', async () => {
  await inside(({ kv }) => kv.put('n', 1));
  const stub = lab.labs.getByName('a');
  const aborting = job(({ ctx, kv }) => {
    kv.put('n', 2);
    ctx.abort('enough');
  });
  await assert.rejects(stub.run(aborting), { message: 'enough' });
  assert.equal(await inside(({ kv }) => kv.get('n')), 1);
});

test('a thousand objects', async () => {
  const write = job(({ kv }) => kv.put('n', 1));
  const read = job(({ kv }) => kv.get('n'));
  const names = Array.from({ length: 1000 }, (_, i) => `object ${i}`);
  await Promise.all(names.map((name) => lab.labs.getByName(name).run(write)));
  const found = await Promise.all(names.map((name) => lab.labs.getByName(name).run(read)));
  assert.ok(found.every((value) => value === 1));
});

test('waitUntil() work that fails is reported, nothing else happens', async () => {
  const reported = [];
  const before = console.error;
  console.error = (...parts) => reported.push(parts);
  try {
    await inside(({ ctx }) => ctx.waitUntil(Promise.reject(new Error('in the background'))));
    await new Promise((resolve) => setTimeout(resolve, 5));
  } finally {
    console.error = before;
  }
  assert.equal(reported.length, 1);
  assert.match(String(reported[0][0]), /Lab "a": a promise given to waitUntil\(\) was rejected/);
  assert.equal(reported[0][1].message, 'in the background');
});
