// The program that bench/vs-workerd.mjs loads, the same file on both servers.
import { DurableObject } from 'cloudflare:workers';

const SMALL = { name: 'Ada', visits: 7, tags: ['a', 'b'] };
const KEYS = 1000;
const ROWS = 40_000;

export class Bench extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.pings = 0;
    this.sql.exec('CREATE TABLE IF NOT EXISTS data(key TEXT PRIMARY KEY, value INTEGER)');
  }

  ping() {
    return ++this.pings;
  }

  value() {
    return this.sql.exec("SELECT value FROM data WHERE key = 'counter'").toArray()[0]?.value ?? 0;
  }

  increment() {
    const rows = this.sql.exec('SELECT value FROM data WHERE key = ?', 'counter').toArray();
    const value = (rows[0]?.value ?? 0) + 1;
    this.sql.exec('INSERT OR REPLACE INTO data VALUES (?, ?)', 'counter', value);
    return value;
  }

  // Increments this object, then those with the names in `rest`, each called by the one before it; the sum.
  async chain(rest) {
    const value = this.increment();
    return rest.length === 0 ? value : value + (await object(this.env, rest[0]).chain(rest.slice(1)));
  }

  // Brings the object into the state in which run(loop, n) starts; its time is not measured.
  prepare(loop) {
    this.sql.exec('DROP TABLE IF EXISTS items');
    this.sql.exec('CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT, score REAL, note TEXT)');
    const rows = { 'sql-insert': 0, 'sql-select': KEYS, 'sql-iterate': ROWS }[loop] ?? 0;
    for (let i = 0; i < rows; i++) {
      this.sql.exec('INSERT INTO items VALUES (?, ?, ?, ?)', i, `name ${i}`, i / 2, 'note');
    }
    if (loop.startsWith('kv-') || loop.startsWith('storage-')) {
      for (let i = 0; i < KEYS; i++) this.ctx.storage.kv.put(`key${i}`, SMALL);
    }
  }

  // Fills the store with `count` keys for listPages(); its time is not measured.
  async prepareList(count) {
    for (let i = 0; i < count; i++) {
      this.ctx.storage.kv.put(listKey(i), SMALL);
      if (i % 10_000 === 9_999) await null; // commits
    }
    return count;
  }

  // Microseconds for each of n pages of ten keys: one after the other from a place in the middle, or
  // each from a place of its own.
  async listPages(count, n, order) {
    const { storage } = this.ctx;
    let found = 0;
    let startAfter = listKey(count >> 1);
    let seed = 1;
    const start = performance.now();
    for (let i = 0; i < n; i++) {
      if (order === 'random') {
        seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
        startAfter = listKey(seed % (count - 10));
      } else if (i % 40 === 0) {
        startAfter = listKey(count >> 1);
      }
      const page = await storage.list({ startAfter, limit: 10 });
      found += page.size;
      if (order !== 'random') startAfter = [...page.keys()].pop();
    }
    const micros = ((performance.now() - start) * 1000) / n;
    if (found !== n * 10) throw new Error(`${found} pairs in ${n} pages`);
    return micros;
  }

  // Runs a loop n times and returns a number that proves that the work was done; check(loop, n)
  // in the benchmark knows which.
  async run(loop, n) {
    const { sql } = this;
    const { storage } = this.ctx;
    let sum = 0;
    switch (loop) {
      case 'sql-insert':
        for (let i = 0; i < n; i++) {
          sql.exec('INSERT INTO items(name, score, note) VALUES (?, ?, ?)', 'name', i, 'note');
        }
        return sql.exec('SELECT count(*) AS n FROM items').one().n;
      case 'sql-select':
        for (let i = 0; i < n; i++) {
          sum += sql.exec('SELECT * FROM items WHERE id = ?', i % KEYS).one().id;
        }
        return sum;
      case 'sql-iterate':
        for (let pass = 0; pass < n / ROWS; pass++) {
          for (const row of sql.exec('SELECT * FROM items')) sum += row.id;
        }
        return sum;
      case 'kv-put':
        for (let i = 0; i < n; i++) storage.kv.put(`key${i % KEYS}`, { ...SMALL, visits: i });
        return storage.kv.get(`key${(n - 1) % KEYS}`)?.visits;
      case 'kv-get':
        for (let i = 0; i < n; i++) sum += storage.kv.get(`key${i % KEYS}`).visits;
        return sum;
      case 'storage-put':
        for (let i = 0; i < n; i++) storage.put(`key${i % KEYS}`, { ...SMALL, visits: i });
        return (await storage.get(`key${(n - 1) % KEYS}`))?.visits;
      case 'storage-get':
        for (let i = 0; i < n; i++) sum += (await storage.get(`key${i % KEYS}`)).visits;
        return sum;
      case 'storage-put-await':
        for (let i = 0; i < n; i++) {
          await storage.put(`key${i % KEYS}`, { ...SMALL, visits: i });
        }
        return (await storage.get(`key${(n - 1) % KEYS}`))?.visits;
      default:
        throw new Error(`unknown loop ${loop}`);
    }
  }
}

const listKey = (i) => `key${String(i).padStart(8, '0')}`;

const object = (env, name) => env.BENCH.get(env.BENCH.idFromName(name));

// Calls a method on the objects prefix+from .. prefix+to, all at once, and adds up the results.
async function addUp(env, method, { prefix, from, to }) {
  const calls = [];
  for (let i = Number(from); i <= Number(to); i++) calls.push(object(env, prefix + i)[method]());
  return (await Promise.all(calls)).reduce((sum, value) => sum + value, 0);
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const query = url.searchParams;
    switch (url.pathname) {
      case '/hello':
        return new Response('hi');
      case '/rpc':
        return new Response(await object(env, 'rpc').ping());
      case '/increment':
        return new Response(await object(env, query.get('name')).increment());
      case '/chain': {
        const [first, ...rest] = query.get('names').split(',');
        return new Response(await object(env, first).chain(rest));
      }
      case '/sum-increment':
        return new Response(await addUp(env, 'increment', Object.fromEntries(query)));
      case '/sum-value':
        return new Response(await addUp(env, 'value', Object.fromEntries(query)));
      case '/prepare':
        return new Response(await object(env, 'loops').prepare(query.get('loop')));
      case '/prepare-list': {
        const count = Number(query.get('count'));
        return new Response(await object(env, `list ${count}`).prepareList(count));
      }
      case '/list-pages': {
        const count = Number(query.get('count'));
        const pages = Number(query.get('n'));
        return new Response(await object(env, `list ${count}`).listPages(count, pages, query.get('order')));
      }
      case '/run':
        return new Response(
          await object(env, 'loops').run(query.get('loop'), Number(query.get('n'))),
        );
      default:
        return new Response('not found', { status: 404 });
    }
  },
};
