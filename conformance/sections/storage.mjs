// The asynchronous key-value storage, the same for SQLite classes and for key-value classes.
import { listOptions, methodsOf, oddKeys, ordered } from './keys.mjs';

const keysOf = async (storage, options) => [...(await storage.list(options)).keys()];
const ticks = (n) => Array.from({ length: n }).reduce((promise) => promise.then(() => {}), Promise.resolve());

/** Adds the sections to a program whose class is bound as SUBJECT. */
export function addStorageSections(program) {
  program.inObject('the object', ({ check, storage, ctx }) => {
    check('tag', () => Object.prototype.toString.call(storage));
    check('constructor', () => storage.constructor.name);
    check('methods', () => methodsOf(storage));
    check('new', () => new storage.constructor());
    check('assigning sql', () => { storage.sql = 1; });
    check('a member of one\'s own', () => { storage.mine = 1; return storage.mine; });
    check('get without storage', () => { const { get } = storage; return get('a'); });
    for (const method of ['get', 'put', 'delete', 'list', 'deleteAll', 'sync', 'transaction', 'transactionSync'])
      for (const [what, self] of [['nothing', undefined], ['a number', 1], ['an object', {}]])
        check(`${method} of ${what}`, () => storage[method].call(self, 'a'));
    for (const method of ['waitUntil', 'blockConcurrencyWhile', 'abort']) check(`${method} without ctx`, () => (0, ctx[method])(() => {}));
  });

  program.inObject('one key', async ({ check, storage }) => {
    await check('get of nothing', () => storage.get('a'));
    await check('put', () => storage.put('a', 1));
    await check('get', () => storage.get('a'));
    await check('put again', async () => { await storage.put('a', { b: [1, null] }); return storage.get('a'); });
    await check('delete', () => storage.delete('a'));
    await check('delete again', () => storage.delete('a'));
    await check('get after delete', () => storage.get('a'));
    await check('put undefined', () => storage.put('a', undefined));
    await check('put null', async () => { await storage.put('a', null); return storage.get('a'); });
    await check('get gives a copy', async () => {
      await storage.put('c', { n: 1 });
      (await storage.get('c')).n = 2;
      return [await storage.get('c'), (await storage.get('c')) === (await storage.get('c'))];
    });
    await check('put takes a copy', async () => { const value = { n: 1 }; const put = storage.put('c', value); value.n = 2; await put; return storage.get('c'); });
    await check('put takes a copy of bytes', async () => {
      const bytes = new Uint8Array([1]);
      const put = storage.put('c', bytes);
      bytes[0] = 2;
      await put;
      return storage.get('c');
    });
    await check('get without await sees a put without await', () => { void storage.put('d', 1); return storage.get('d'); });
    await check('delete without await sees a put without await', () => { void storage.put('d', 2); return storage.delete('d'); });
    await check('put, delete, get without await', () => { void storage.put('d', 2); void storage.delete('d'); return storage.get('d'); });
    await check('many at once', async () => {
      await Promise.all(Array.from({ length: 200 }, (_, i) => storage.put(`m${i}`, i)));
      return (await storage.list({ prefix: 'm' })).size;
    });
    await check('promises', () => Object.prototype.toString.call(storage.get('a')));
  });

  program.inObject('several keys', async ({ check, storage }) => {
    for (const key of ['b', 'a', '\u00e9', '\u{1f600}', '\uffff', 'c']) await storage.put(key, key);
    await check('get', () => storage.get(['b', 'a', 'nothing', 'b', '\u{1f600}', '\uffff', '\u00e9']));
    await check('get of none', () => storage.get([]));
    await check('get of unknown', () => storage.get(['x', 'y']));
    await check('get of numbers', () => storage.get([5, null, true]));
    await check('get with a symbol', () => storage.get(['a', Symbol('s')]));
    await check('get of holes', () => storage.get(['a', , 'b']));
    await check('get of an array-like', () => storage.get({ 0: 'a', length: 1 }));
    await check('get of a Set', () => storage.get(new Set(['a'])));
    await check('get of nested arrays', () => storage.get([['a'], ['b', 'c']]));
    await check('get of a typed array', () => storage.get(new Uint8Array([5])));
    await check('put', async () => { await storage.put({ p: 1, q: { r: 2 } }); return storage.get(['p', 'q']); });
    await check('put of none', () => storage.put({}));
    await check('put with undefined', async () => { await storage.put({ p: undefined, s: 3 }); return storage.get(['p', 's']); });
    await check('put with a number as key', async () => { await storage.put({ 5: 'five' }); return storage.get('5'); });
    await check('put of an array', () => storage.put(['x', 'y']));
    await check('put of an array, then', () => storage.get(['0', '1']));
    await check('put of a Map', () => storage.put(new Map([['m', 1]])));
    await check('put of a Map, then', () => storage.get('m'));
    await check('put of a date', () => storage.put(new Date(0)));
    await check('put of a function', () => storage.put(() => 1));
    await check('put of an instance', async () => { class Pair { constructor() { this.inst = 1; } } await storage.put(new Pair()); return storage.get('inst'); });
    await check('put of inherited members', async () => { await storage.put(Object.create({ inherited: 1 })); return storage.get('inherited'); });
    await check('put of no prototype', async () => { await storage.put(Object.assign(Object.create(null), { bare: 1 })); return storage.get('bare'); });
    await check('put of a symbol member', async () => { await storage.put({ [Symbol('s')]: 1, plain: 1 }); return storage.get('plain'); });
    await check('put with a getter', async () => { await storage.put({ get got() { return 7; } }); return storage.get('got'); });
    await check('put of a hidden member', async () => { await storage.put(Object.defineProperty({}, 'hidden', { value: 1 })); return storage.get('hidden'); });
    await check('put of an object and a value', () => storage.put({ a: 1 }, 'value'));
    await check('put of an object and a value, then', () => storage.get(['a', '[object Object]']));
    await check('put with options second', async () => { await storage.put({ opt: 1 }, { allowUnconfirmed: true }); return storage.get('opt'); });
    await check('delete', () => storage.delete(['p', 'q', 'nothing', 'q']));
    await check('delete of none', () => storage.delete([]));
    await check('delete of unknown', () => storage.delete(['x', 'y']));
    await check('delete of the same twice', async () => { await storage.put('twice', 1); return storage.delete(['twice', 'twice']); });
    await check('delete of numbers', () => storage.delete([5]));
    await check('what is left', () => storage.list());
  });

  program.inObject('wrong arguments', async ({ refused: refusedOnly, storage }) => {
    const dump = () => storage.list();
    const refused = async (name, run) => {
      await refusedOnly(name, run, dump);
      await storage.deleteAll();
      await storage.put('kept', 1);
    };
    await storage.put('kept', 1);
    await refused('get()', () => storage.get());
    await refused('put()', () => storage.put());
    await refused('put(key)', () => storage.put('a'));
    await refused('put(key, undefined)', () => storage.put('kept', undefined));
    await refused('put(undefined, 1)', () => storage.put(undefined, 1));
    await refused('put(null)', () => storage.put(null));
    await refused('put(5)', () => storage.put(5));
    await refused('put(Symbol)', () => storage.put(Symbol('s'), 1));
    await refused('delete()', () => storage.delete());
    await refused('get(undefined)', () => storage.get(undefined));
    for (const [label, options] of Object.entries({ number: 5, text: 'x', true: true, symbol: Symbol('o') })) {
      await refused(`get with options, ${label}`, () => storage.get('kept', options));
      await refused(`get of keys with options, ${label}`, () => storage.get(['kept'], options));
      await refused(`put with options, ${label}`, () => storage.put('kept', 2, options));
      await refused(`put of pairs with options, ${label}`, () => storage.put({ kept: 2 }, options));
      await refused(`delete with options, ${label}`, () => storage.delete('nothing', options));
      await refused(`list with options, ${label}`, () => storage.list(options));
      await refused(`deleteAll with options, ${label}`, () => storage.deleteAll(options));
    }
    for (const [label, options] of Object.entries({ null: null, undefined, empty: {}, array: [], function: () => 1, all: { allowConcurrency: true, allowUnconfirmed: true, noCache: true }, none: { allowConcurrency: false, allowUnconfirmed: false, noCache: false }, odd: { allowConcurrency: 'x', allowUnconfirmed: 5, noCache: null }, unknown: { unknown: 1 } })) {
      await refused(`get with options ${label}`, () => storage.get('kept', options));
      await refused(`put with options ${label}`, () => storage.put('kept', 1, options));
      await refused(`delete with options ${label}`, () => storage.delete('nothing', options));
    }
    const unclonable = {
      function: () => 1, 'function within': { deep: [() => 1] }, symbol: Symbol('s'), WeakMap: new WeakMap(), Promise: Promise.resolve(),
      proxy: new Proxy({}, {}), 'iterator': [][Symbol.iterator](), this: storage, URL: new URL('http://x/'),
    };
    for (const [label, value] of Object.entries(unclonable)) {
      await refused(`put of ${label}`, () => storage.put('kept', value));
      await refused(`put of pairs with ${label}`, () => storage.put({ first: 1, kept: value, last: 2 }));
    }
    await refused('put with a throwing getter', () => storage.put('kept', { get x() { throw new RangeError('no x'); } }));
    await refused('put of pairs with a throwing getter', () => storage.put({ first: 1, get x() { throw new RangeError('no x'); } }));
  });

  program.inObject('odd keys', async ({ check, storage }) => {
    for (const [label, key] of Object.entries(oddKeys)) {
      await check(`get of ${label}`, () => storage.get(key));
      await check(`put of ${label}`, () => storage.put(key, label));
      await check(`get of ${label}, then`, () => storage.get(key));
      await check(`delete of ${label}`, () => storage.delete(key));
    }
    await check('list', () => storage.list());
  });

  program.inObject('order', async ({ check, storage }) => {
    await Promise.all([...ordered].reverse().map((key) => storage.put(key, key.length)));
    await check('all', () => storage.list());
    await check('backwards', () => keysOf(storage, { reverse: true }));
    await check('get of all', () => storage.get([...ordered].reverse()));
    for (const key of ordered)
      await check(`from ${JSON.stringify(key)}`, async () => [
        await keysOf(storage, { start: key, limit: 2 }), await keysOf(storage, { startAfter: key, limit: 2 }),
        await keysOf(storage, { end: key, reverse: true, limit: 2 }), await keysOf(storage, { prefix: key, limit: 3 }),
      ]);
  });

  program.inObject('list', async ({ check, storage }) => {
    for (const key of ['10', '9', 'A', 'B', 'a', 'a1', 'a10', 'a2', 'ab', 'b', 'z', '\u00e9', '\uffff', '\u{1f600}', '\u{10ffff}']) await storage.put(key, key);
    await check('tag', async () => Object.prototype.toString.call(await storage.list()));
    await check('values', () => storage.list({ limit: 3 }));
    for (const [label, options] of Object.entries(listOptions)) await check(label, () => keysOf(storage, options));
    await check('page by page', async () => {
      const pages = [];
      for (let startAfter, page; (page = await keysOf(storage, { startAfter, limit: 4 })).length > 0; startAfter = page.at(-1)) pages.push(page);
      return pages;
    });
    await check('with writes that are not awaited', async () => { void storage.put('0new', 1); void storage.delete('10'); return keysOf(storage, { limit: 2 }); });
  });

  program.inObject('limits', async ({ refused, check, storage }) => {
    await storage.put('kept', 'v');
    const dump = async () => [...(await storage.list())].map(([key, value]) => [key.length, value?.length]);
    const count = async () => (await storage.list()).size;
    const withPut = async (name, ...args) => {
      await refused(name, () => storage.put(...args), name.includes('pairs') ? count : dump);
      for (const key of await keysOf(storage)) if (key !== 'kept') await storage.delete(key);
    };
    const many = (n) => Array.from({ length: n }, (_, i) => `n${i}`);
    for (const size of [2047, 2048, 2049]) {
      const key = 'k'.repeat(size);
      await withPut(`put, a key of ${size}`, key, 'v');
      await withPut(`put of pairs, a key of ${size}`, { first: 'v', [key]: 'v' });
      await refused(`get, a key of ${size}`, () => storage.get(key), dump);
      await refused(`get of keys, a key of ${size}`, () => storage.get(['kept', key]), dump);
      await refused(`delete, a key of ${size}`, () => storage.delete(key), dump);
      await refused(`delete of keys, a key of ${size}`, () => storage.delete(['nothing', key]), dump);
      await check(`list, a prefix of ${size}`, () => keysOf(storage, { prefix: key }));
      await check(`list, a start of ${size}`, () => keysOf(storage, { start: key }));
      await check(`list, a startAfter of ${size}`, () => keysOf(storage, { startAfter: key }));
      await check(`list, an end of ${size}`, () => keysOf(storage, { end: key }));
    }
    for (const size of [1024, 1025]) await withPut(`put, a key of ${size} times \\u00e9`, '\u00e9'.repeat(size), 'v');
    for (const size of [131_060, 131_072, 131_073]) {
      await withPut(`put, a text of ${size}`, 'v', 'x'.repeat(size));
      await withPut(`put, bytes, ${size}`, 'v', new Uint8Array(size));
      await withPut(`put of pairs, a text of ${size}`, { first: 'v', v: 'x'.repeat(size) });
    }
    for (const size of [2_000_000, 2_097_140, 2_097_152]) await withPut(`put, a text of ${size}`, 'v', 'x'.repeat(size));
    for (const n of [127, 128, 129]) {
      await withPut(`put of ${n} pairs`, Object.fromEntries(many(n).map((key) => [key, 'v'])));
      await refused(`get of ${n} keys`, async () => (await storage.get([...many(n - 1), 'kept'])).size, dump);
      await refused(`delete of ${n} keys`, () => storage.delete(many(n)), dump);
    }
    await withPut('put of 129 pairs, one undefined', Object.fromEntries(many(129).map((key, i) => [key, i === 5 ? undefined : 'v'])));
    await refused('get of 129 keys, all the same', async () => (await storage.get(Array(129).fill('kept'))).size, dump);
    await refused('get of 10,000 keys', async () => (await storage.get(many(10_000))).size, dump);
  });

  program.inObject('order of events', async ({ check, storage }) => {
    await check('put resolves after a microtask', async () => {
      const seen = [];
      const put = storage.put('a', 1).then(() => seen.push('put'));
      await null;
      seen.push('microtask');
      await put;
      return seen;
    });
    await check('in the order of the calls', async () => {
      const seen = [];
      await Promise.all([
        storage.put('a', 1).then(() => seen.push(1)), storage.put('b', 1).then(() => seen.push(2)),
        storage.put('c', 1).then(() => seen.push(3)),
      ]);
      return seen;
    });
    await check('the last put wins', async () => { await Promise.all([storage.put('a', 1), storage.put('a', 2), storage.put('a', 3)]); return storage.get('a'); });
    await check('put and delete by turns', async () => Promise.all([
      storage.put('x', 1), storage.delete('x'), storage.delete('x'), storage.put('x', 2), storage.get('x'), storage.list({ prefix: 'x' }),
    ]));
    await check('a put that is refused does not stop those after it', async () => {
      const outcomes = await Promise.allSettled([storage.put('r1', 1), storage.put('r2', () => 1), storage.put('r3', 3)]);
      return [outcomes.map(({ status }) => status), await keysOf(storage, { prefix: 'r' })];
    });
    await check('put without await, later', async () => { void storage.put('later', 1); await ticks(3); return storage.get('later'); });
  });

  program.inObject('deleteAll and sync', async ({ check, storage }) => {
    await check('sync of nothing', () => storage.sync());
    await check('sync after put', async () => { void storage.put('a', 1); return storage.sync(); });
    await check('deleteAll', () => storage.deleteAll());
    await check('list', () => storage.list());
    await check('deleteAll of nothing', () => storage.deleteAll());
    await check('put after deleteAll', async () => {
      void storage.put('a', 1);
      void storage.deleteAll();
      void storage.put('b', 2);
      await storage.sync();
      return storage.list();
    });
    await check('deleteAll, get without await', () => { void storage.deleteAll(); return storage.get('b'); });
    await check('options', () => storage.deleteAll({ allowUnconfirmed: true }));
    await check('sync with an argument', () => storage.sync(5));
  });
}
