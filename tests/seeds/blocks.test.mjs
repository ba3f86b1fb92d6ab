// What the guides for Durable Objects storage show, block by block, as programs.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { open } from '../../js/dist/index.js';
import { DurableObject } from '../../js/dist/workers.js';
import { job, labForEach } from '../support/lab-object.mjs';
import { test } from '../support/suite.mjs';

const { lab, inside } = labForEach();

// The storage API, part by part.

test('SQL: a query, its rows in every form', () =>
  inside(({ sql }) => {
    sql.exec('CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, status TEXT)');
    sql.exec("INSERT INTO users VALUES (1, 'Ann', 'active'), (2, 'Bob', 'gone'), (3, 'Cleo', 'active')");
    const query = (status = 'active') => sql.exec('SELECT * FROM users WHERE status = ?', status);
    assert.deepEqual(query().toArray().map(({ name }) => name), ['Ann', 'Cleo']);
    assert.deepEqual(query('gone').one(), { id: 2, name: 'Bob', status: 'gone' });
    assert.throws(() => query().one(), /Expected exactly one result from SQL query, but got multiple results\./);
    assert.throws(() => query('none').one(), /Expected exactly one result from SQL query, but got no results\./);
    assert.deepEqual([...query().raw()], [[1, 'Ann', 'active'], [3, 'Cleo', 'active']]);
    const seen = [];
    for (const row of query()) seen.push(row.id, row.name);
    assert.deepEqual(seen, [1, 'Ann', 3, 'Cleo']);
    assert.deepEqual(query().columnNames, ['id', 'name', 'status']);
  }));

test('the size of the database', () =>
  inside(({ storage }) => {
    const before = storage.sql.databaseSize;
    storage.sql.exec('CREATE TABLE t (b BLOB)');
    storage.sql.exec('INSERT INTO t VALUES (zeroblob(100000))');
    assert.ok(storage.sql.databaseSize >= before + 100_000);
  }));

test('a synchronous transaction moves money or does not', () =>
  inside(({ storage }) => {
    storage.sql.exec('CREATE TABLE accounts (id TEXT PRIMARY KEY, balance INTEGER CHECK (balance >= 0))');
    storage.sql.exec("INSERT INTO accounts VALUES ('a', 10), ('b', 0)");
    const move = (amount, from, to) =>
      storage.transactionSync(() => {
        storage.sql.exec('UPDATE accounts SET balance = balance + ? WHERE id = ?', amount, to);
        storage.sql.exec('UPDATE accounts SET balance = balance - ? WHERE id = ?', amount, from);
      });
    const balances = () => Object.fromEntries(storage.sql.exec('SELECT id, balance FROM accounts').raw());
    move(4, 'a', 'b');
    assert.deepEqual(balances(), { a: 6, b: 4 });
    assert.throws(() => move(7, 'a', 'b'), /CHECK constraint failed/);
    assert.deepEqual(balances(), { a: 6, b: 4 });
  }));

// The block as it is written: the object is younger than a day.
class Recovering extends DurableObject {
  async put(n) {
    await this.ctx.storage.put('n', n);
  }
  get() {
    return this.ctx.storage.get('n');
  }
  async recover() {
    const bookmark = await this.ctx.storage.getCurrentBookmark();
    const pastBookmark = await this.ctx.storage.getBookmarkForTime(
      Date.now() - 24 * 60 * 60 * 1000, // 24 hours ago
    );
    await this.ctx.storage.onNextSessionRestoreBookmark(pastBookmark);
    return bookmark;
  }
  async restore(bookmark) {
    await this.ctx.storage.onNextSessionRestoreBookmark(bookmark);
    this.ctx.abort('restore');
  }
  restart() {
    this.ctx.abort('restart');
  }
}

test('point-in-time recovery', async () => {
  const recovering = lab.registry.namespace('RECOVERING', Recovering);
  const object = () => recovering.getByName('a');
  await object().put(1);
  const bookmark = await object().recover();
  assert.equal(await object().get(), 1, 'it is restored at the next restart');
  await assert.rejects(object().restart(), { message: 'restart' });
  assert.equal(await object().get(), undefined, 'a day ago there was nothing');
  await assert.rejects(object().restore(bookmark), { message: 'restore' });
  assert.equal(await object().get(), 1);
});

test('going back to a bookmark', async () => {
  const bookmark = await inside(async ({ storage }) => {
    await storage.put('n', 1);
    return storage.getCurrentBookmark();
  });
  await inside(({ storage }) => storage.put('n', 2));
  const restart = inside(async ({ ctx, storage }) => {
    assert.equal(typeof (await storage.getBookmarkForTime(Date.now())), 'string');
    await storage.onNextSessionRestoreBookmark(bookmark);
    ctx.abort('restore');
  });
  await assert.rejects(restart, { message: 'restore' });
  assert.equal(await inside(({ storage }) => storage.get('n')), 1);
});

test('synchronous key-value', () =>
  inside(({ kv }) => {
    assert.equal(kv.get('key'), undefined);
    kv.put('key', { data: 'value' });
    assert.deepEqual(kv.get('key'), { data: 'value' });
    assert.equal(kv.delete('key'), true);
    assert.equal(kv.delete('key'), false);
    kv.put('user:2', 'b');
    kv.put('user:1', 'a');
    kv.put('other', 'c');
    const seen = [];
    for (const [key, value] of kv.list({ prefix: 'user:' })) seen.push(key, value);
    assert.deepEqual(seen, ['user:1', 'a', 'user:2', 'b']);
  }));

test('asynchronous key-value: one and several', () =>
  inside(async ({ storage }) => {
    await storage.put('key', 'value');
    assert.equal(await storage.get('key'), 'value');
    await storage.put({ key1: 1, key2: [2], key3: { three: 3 } });
    const map = await storage.get(['key1', 'key2', 'key4']);
    assert.ok(map instanceof Map);
    assert.deepEqual(map, new Map([['key1', 1], ['key2', [2]]]));
    assert.equal(await storage.delete('key'), true);
    assert.equal(await storage.delete(['key1', 'key2', 'key4']), 2);
  }));

test('asynchronous key-value: lists', () =>
  inside(async ({ storage }) => {
    for (let i = 90; i < 210; i++) storage.put(`user:${String(i).padStart(3, '0')}`, i);
    storage.put('x', 0);
    assert.equal((await storage.list()).size, 121);
    const map = await storage.list({ prefix: 'user:', start: 'user:100', end: 'user:200', limit: 50, reverse: true });
    assert.deepEqual([...map.values()], Array.from({ length: 50 }, (_, i) => 199 - i));
  }));

test('deleteAll() and sync()', () =>
  inside(async ({ storage, sql }) => {
    await storage.put('a', 1);
    sql.exec('CREATE TABLE t (i)');
    await storage.sync();
    await storage.deleteAll();
    assert.equal((await storage.list()).size, 0);
    assert.throws(() => sql.exec('SELECT * FROM t'), /no such table: t/);
    await storage.sync();
  }));

test('options of reads and writes are taken', () =>
  inside(async ({ storage }) => {
    await storage.put('a', 1, { allowConcurrency: true, allowUnconfirmed: true, noCache: true });
    assert.equal(await storage.get('a', { allowConcurrency: true, noCache: true }), 1);
    assert.deepEqual(await storage.get(['a'], { noCache: true }), new Map([['a', 1]]));
    assert.deepEqual(await storage.list({ allowConcurrency: true, noCache: true }), new Map([['a', 1]]));
    assert.equal(await storage.delete('a', { allowUnconfirmed: true }), true);
  }));

test('writes without await are one transaction, an awaited one is its own', async () => {
  const together = job(({ ctx, storage }) => {
    storage.put('a', 1);
    storage.put('b', 2);
    storage.put('c', 3);
    ctx.abort('together');
  });
  await assert.rejects(lab.labs.getByName('a').run(together), { message: 'together' });
  assert.equal(await inside(async ({ storage }) => (await storage.list()).size), 0);
  const apart = job(async ({ ctx, storage }) => {
    await storage.put('a', 1);
    await storage.put('b', 2);
    storage.put('c', 3);
    ctx.abort('apart');
  });
  await assert.rejects(lab.labs.getByName('a').run(apart), { message: 'apart' });
  assert.deepEqual(await inside(({ storage }) => storage.list()), new Map([['a', 1], ['b', 2]]));
});

test('rows that were read and written', () =>
  inside(({ sql }) => {
    sql.exec('CREATE TABLE t (i INTEGER)');
    assert.equal(sql.exec('INSERT INTO t VALUES (1), (2)').rowsWritten, 2);
    const cursor = sql.exec('SELECT * FROM t');
    cursor.toArray();
    assert.equal(cursor.rowsRead, 2);
  }));

test('fluent statements', () =>
  inside(({ sql }) => {
    sql.exec('CREATE TABLE users (name TEXT)');
    sql.prepare('INSERT INTO users (name) VALUES (?)').bind('Alice').run();
    assert.equal(sql.exec('SELECT name FROM users').one().name, 'Alice');
  }));

test('an asynchronous transaction', () =>
  inside(async ({ storage }) => {
    await storage.put('balance', 10);
    const withdraw = (amount) =>
      storage.transaction(async (txn) => {
        const balance = await txn.get('balance');
        if (balance >= amount) await txn.put('balance', balance - amount);
        else txn.rollback();
      });
    await withdraw(4);
    await withdraw(7);
    assert.equal(await storage.get('balance'), 6);
  }));

// The overview's counter. As it is written there its first increment finds no row, which one() refuses.

class SqlCounter extends DurableObject {
  sql;
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec('CREATE TABLE IF NOT EXISTS data(key TEXT PRIMARY KEY, value INTEGER)');
  }
  async increment() {
    return this.sql
      .exec('INSERT OR REPLACE INTO data VALUES (?, ?) RETURNING value', 'counter',
        (this.sql.exec('SELECT value FROM data WHERE key = ?', 'counter').one()?.value || 0) + 1)
      .one().value;
  }
  async begin() {
    this.sql.exec("INSERT INTO data VALUES ('counter', 0)");
  }
}

test('a counter in SQL', async () => {
  const counter = lab.registry.namespace('COUNTER', SqlCounter).getByName('a');
  await assert.rejects(counter.increment(), /Expected exactly one result from SQL query, but got no results\./);
  await counter.begin();
  assert.equal(await counter.increment(), 1);
  assert.equal(await counter.increment(), 2);
});

// The patterns.

class Migrating extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec('CREATE TABLE IF NOT EXISTS _meta(key TEXT PRIMARY KEY, value TEXT)');
    const ver = this.sql.exec("SELECT value FROM _meta WHERE key = 'schema_version'").toArray()[0]?.value || '0';
    if (ver === '0') this.sql.exec("CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT); INSERT OR REPLACE INTO _meta VALUES ('schema_version', '1')");
    if (ver === '1') this.sql.exec("ALTER TABLE users ADD COLUMN email TEXT; UPDATE _meta SET value = '2' WHERE key = 'schema_version'");
  }
  schema() {
    const version = this.sql.exec('SELECT value FROM _meta').one().value;
    return [version, ...this.sql.exec('SELECT name FROM pragma_table_info(?)', 'users').toArray().map(({ name }) => name)];
  }
}

test('a schema migrates one step at each start', async (t) => {
  const storageDir = join(t.temporaryDirectory(), 'data');
  for (const expected of [['1', 'id', 'name'], ['2', 'id', 'name', 'email'], ['2', 'id', 'name', 'email']]) {
    const once = open({ storageDir });
    assert.deepEqual(await once.namespace('THING', Migrating).getByName('a').schema(), expected);
    await once.close();
  }
});

class UserCache extends DurableObject {
  cache = new Map();
  async getUser(id) {
    if (this.cache.has(id)) return this.cache.get(id);
    const user = await this.ctx.storage.get(`user:${id}`);
    if (user) this.cache.set(id, user);
    return user;
  }
  async updateUser(id, data) {
    const updated = { ...(await this.getUser(id)), ...data };
    this.cache.set(id, updated);
    await this.ctx.storage.put(`user:${id}`, updated);
    return updated;
  }
  async forget() {
    this.ctx.abort('forget');
  }
}

test('a cache in memory over the storage', async () => {
  const users = lab.registry.namespace('USERS', UserCache);
  assert.equal(await users.getByName('a').getUser('1'), undefined);
  assert.deepEqual(await users.getByName('a').updateUser('1', { name: 'Ann' }), { name: 'Ann' });
  assert.deepEqual(await users.getByName('a').updateUser('1', { age: 3 }), { name: 'Ann', age: 3 });
  await assert.rejects(users.getByName('a').forget());
  assert.deepEqual(await users.getByName('a').getUser('1'), { name: 'Ann', age: 3 }, 'another instance reads it again');
});

class RateLimiter extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec('CREATE TABLE IF NOT EXISTS requests (key TEXT, timestamp INTEGER)');
  }
  async checkLimit(key, limit, window) {
    const now = Date.now();
    this.sql.exec('DELETE FROM requests WHERE key = ? AND timestamp < ?', key, now - window);
    const count = this.sql.exec('SELECT COUNT(*) as count FROM requests WHERE key = ?', key).one().count;
    if (count >= limit) return false;
    this.sql.exec('INSERT INTO requests (key, timestamp) VALUES (?, ?)', key, now);
    return true;
  }
}

test('a rate limiter lets through what it should, also under concurrent calls', async () => {
  const limiter = lab.registry.namespace('LIMITER', RateLimiter).getByName('a');
  const answers = await Promise.all(Array.from({ length: 8 }, () => limiter.checkLimit('client', 3, 60_000)));
  assert.deepEqual(answers, [true, true, true, false, false, false, false, false]);
  assert.equal(await limiter.checkLimit('another', 3, 60_000), true);
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(await limiter.checkLimit('client', 3, 1), true, 'what is older than the window does not count');
});

class InitializedCounter extends DurableObject {
  value;
  constructor(ctx, env) {
    super(ctx, env);
    ctx.blockConcurrencyWhile(async () => {
      this.value = (await ctx.storage.get('value')) || 0;
    });
  }
  async increment() {
    this.value++;
    this.ctx.storage.put('value', this.value);
    return this.value;
  }
}

test('state that is read before the first event', async (t) => {
  const storageDir = join(t.temporaryDirectory(), 'data');
  for (const expected of [[1, 2, 3], [4, 5, 6]]) {
    const once = open({ storageDir });
    const counter = once.namespace('COUNTER', InitializedCounter).getByName('a');
    assert.deepEqual(await Promise.all([counter.increment(), counter.increment(), counter.increment()]), expected);
    await once.close();
  }
});

class SafeCounter extends DurableObject {
  async begin() {
    await this.ctx.storage.put('counter', 0);
  }
  async getUniqueNumber() {
    const val = await this.ctx.storage.get('counter');
    await this.ctx.storage.put('counter', val + 1);
    return val;
  }
  async increment() {
    const val = await this.ctx.storage.get('counter');
    this.ctx.storage.put('counter', val + 1);
    return new Response(String(val));
  }
}

test('numbers are unique without a lock', async () => {
  const counter = lab.registry.namespace('COUNTER', SafeCounter).getByName('a');
  await counter.begin();
  const numbers = await Promise.all(Array.from({ length: 20 }, () => counter.getUniqueNumber()));
  assert.deepEqual(numbers, Array.from({ length: 20 }, (_, i) => i));
  const responses = await Promise.all([counter.increment(), counter.increment()]);
  assert.deepEqual(await Promise.all(responses.map((response) => response.text())), ['20', '21']);
});

class BatchProcessor extends DurableObject {
  pending = [];
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec('CREATE TABLE IF NOT EXISTS processed_items (item TEXT, timestamp INTEGER)');
  }
  async addItem(item) {
    this.pending.push(item);
    if (!(await this.ctx.storage.getAlarm())) await this.ctx.storage.setAlarm(Date.now() + 20);
  }
  async alarm() {
    const items = [...this.pending];
    this.pending = [];
    this.sql.exec(`INSERT INTO processed_items (item, timestamp) VALUES ${items.map(() => '(?, ?)').join(', ')}`, ...items.flatMap((item) => [item, Date.now()]));
  }
  items() {
    return this.sql.exec('SELECT item FROM processed_items').toArray().map(({ item }) => item);
  }
  async cleanup() {
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.deleteAll();
  }
}

test('a batch by an alarm, and the clean-up', async () => {
  const batch = lab.registry.namespace('BATCH', BatchProcessor).getByName('a');
  await batch.addItem('one');
  await batch.addItem('two');
  for (let tries = 0; tries < 100 && (await batch.items()).length === 0; tries++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(await batch.items(), ['one', 'two']);
  await batch.cleanup();
});
