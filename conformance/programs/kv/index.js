// The synchronous key-value storage.
import { DurableObject } from 'cloudflare:workers';
import { Program } from '../../support/program.mjs';
import { listOptions, oddKeys, ordered } from '../../sections/keys.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
}

const keys = (kv, options) => [...kv.list(options)].map(([key]) => key);

program.inObject('the object', ({ check, kv, storage }) => {
  check('tag', () => Object.prototype.toString.call(kv));
  check('constructor', () => kv.constructor.name);
  check('methods', () => Object.getOwnPropertyNames(Object.getPrototypeOf(kv)).sort());
  check('the same each time', () => storage.kv === kv);
  check('assigning', () => { storage.kv = 1; });
  check('new', () => new kv.constructor());
  check('get without kv', () => (0, kv.get)('a'));
  for (const method of ['get', 'put', 'delete', 'list']) check(`${method} of an object`, () => kv[method].call({}, 'a'));
  check('next without iterator', () => (0, kv.list().next)());
});

program.inObject('get, put, delete', ({ check, kv }) => {
  check('get of nothing', () => kv.get('a'));
  check('put', () => kv.put('a', 1));
  check('get', () => kv.get('a'));
  check('put again', () => (kv.put('a', { b: [1] }), kv.get('a')));
  check('delete', () => kv.delete('a'));
  check('delete again', () => kv.delete('a'));
  check('get after delete', () => kv.get('a'));
  check('put undefined', () => kv.put('u', undefined));
  check('get undefined', () => kv.get('u'));
  check('list undefined', () => [...kv.list()]);
  check('delete undefined', () => kv.delete('u'));
  check('get gives a copy', () => { kv.put('c', { n: 1 }); kv.get('c').n = 2; return [kv.get('c'), kv.get('c') === kv.get('c')]; });
  check('put takes a copy', () => { const value = { n: 1 }; kv.put('c', value); value.n = 2; return kv.get('c'); });
  check('options of put are ignored', () => kv.put('o', 1, { allowUnconfirmed: true }));
  check('more arguments', () => kv.get('o', 1, 2));
  check('thousand keys', () => {
    for (let i = 0; i < 1000; i++) kv.put(`n${i}`, i);
    let sum = 0;
    for (const [, value] of kv.list({ prefix: 'n' })) sum += value;
    return sum;
  });
});

program.inObject('wrong arguments', async ({ refused, kv }) => {
  kv.put('kept', 1);
  const dump = () => [...kv.list()];
  await refused('get()', () => kv.get(), dump);
  await refused('put()', () => kv.put(), dump);
  await refused('put(key)', () => kv.put('a'), dump);
  await refused('put(object)', () => kv.put({ a: 1 }), dump);
  await refused('delete()', () => kv.delete(), dump);
  const unclonable = {
    function: () => 1, 'function within': { deep: [() => 1] }, symbol: Symbol('s'), 'symbol within': [Symbol('s')], WeakMap: new WeakMap(),
    WeakSet: new WeakSet(), Promise: Promise.resolve(), class: class Named {}, proxy: new Proxy({}, {}), generator: (function* () {})(),
    this: kv,
  };
  if (typeof WeakRef !== 'undefined') unclonable.WeakRef = new WeakRef({});
  for (const [label, value] of Object.entries(unclonable)) await refused(`put of ${label}`, () => kv.put('kept', value), dump);
  await refused('put with a throwing getter', () => kv.put('kept', { get x() { throw new RangeError('no x'); } }), dump);
  await refused('put of a detached buffer', () => {
    const buffer = new ArrayBuffer(2);
    structuredClone(buffer, { transfer: [buffer] });
    kv.put('kept', buffer);
  }, dump);
  await refused('put of a URL', () => kv.put('kept', new URL('http://x/')), dump);
});

program.inObject('odd keys', ({ check, kv }) => {
  for (const [label, key] of Object.entries(oddKeys)) {
    check(`get of ${label}`, () => kv.get(key));
    check(`put of ${label}`, () => kv.put(key, label));
    check(`get of ${label}, then`, () => kv.get(key));
    check(`delete of ${label}`, () => kv.delete(key));
  }
  check('get of undefined', () => kv.get(undefined));
  check('put of undefined', () => kv.put(undefined, 1));
  check('list', () => [...kv.list()]);
  check('keys that differ in half a pair', () => {
    for (const key of ['\ud800', '\udc00', 'a\udfffb', '\ufffd']) kv.put(key, key.charCodeAt(0));
    return [[...kv.list()], kv.get('\ud800'), kv.get('\ufffd'), kv.get('\ufffd\ufffd\ufffd')];
  });
  check('delete of undefined', () => kv.delete(undefined));
  check('get of an array', () => { kv.put('a,b', 1); return kv.get(['a', 'b']); });
});

program.inObject('order', ({ check, kv }) => {
  for (const key of [...ordered].reverse()) kv.put(key, key.length);
  check('all', () => [...kv.list()]);
  check('backwards', () => keys(kv, { reverse: true }));
  check('as UTF-8 sorts', () => keys(kv).join('|') === ordered.join('|'));
  for (const key of ordered) check(`from ${JSON.stringify(key)}`, () => [
    keys(kv, { start: key, limit: 2 }), keys(kv, { startAfter: key, limit: 2 }), keys(kv, { end: key, reverse: true, limit: 2 }),
    keys(kv, { prefix: key, limit: 3 }),
  ]);
});

program.inObject('list', ({ check, kv }) => {
  for (const key of ['10', '9', 'A', 'B', 'a', 'a1', 'a10', 'a2', 'ab', 'b', 'z', '\u00e9', '\uffff', '\u{1f600}', '\u{10ffff}']) kv.put(key, key);
  for (const [label, options] of Object.entries(listOptions)) check(label, () => keys(kv, options));
});

program.inObject('iterators', async ({ check, kv, storage }) => {
  for (const key of ['a', 'b', 'c', 'd']) kv.put(key, key);
  const rest = (iterator) => [...iterator].map(([key]) => key);
  const invalidated = (between) => { const list = kv.list(); list.next(); between(); return rest(list); };
  check('constructor', () => kv.list().constructor.name);
  check('tag', () => Object.prototype.toString.call(kv.list()));
  check('its iterator is itself', () => { const list = kv.list(); return list[Symbol.iterator]() === list; });
  check('next', () => { const list = kv.list({ limit: 2 }); return [list.next(), list.next(), list.next(), list.next()]; });
  check('members of the end', () => { const list = kv.list({ prefix: 'q' }); return Object.keys(list.next()); });
  check('an entry is an array', () => Array.isArray(kv.list().next().value));
  check('for of with break', () => { const list = kv.list(); for (const entry of list) { void entry; break; } return rest(list); });
  check('new Map', () => new Map(kv.list()));
  check('Object.fromEntries', () => Object.fromEntries(kv.list()));
  check('destructuring', () => { const [first] = kv.list(); return first; });
  check('toArray()', () => { const list = kv.list(); return typeof list.toArray === 'function' ? list.toArray() : 'none'; });
  check('return()', () => typeof kv.list().return);
  check('new', () => new (kv.list().constructor)());
  check('another list()', () => invalidated(() => kv.list()));
  check('another list(), read', () => invalidated(() => [...kv.list()]));
  check('another list() with other options', () => invalidated(() => kv.list({ prefix: 'x' })));
  check('another list() that throws', () => invalidated(() => { try { kv.list({ limit: 0 }); } catch { /* on purpose */ } }));
  check('two, neither begun', () => { const a = kv.list(); kv.list(); return a.next(); });
  check('the newer one goes on', () => { kv.list().next(); const b = kv.list(); return rest(b); });
  check('one that has ended', () => { const a = kv.list(); rest(a); kv.list(); return a.next(); });
  check('one that has given all but the end', () => { const a = kv.list({ limit: 1 }); a.next(); kv.list(); return a.next(); });
  check('put of a later key', () => invalidated(() => kv.put('bb', 1)));
  check('put of an earlier key', () => invalidated(() => kv.put('0', 1)));
  check('put of a key that is there', () => { const list = kv.list(); list.next(); kv.put('c', 'new'); return [...list].filter(([key]) => key === 'c'); });
  check('delete of a later key', () => invalidated(() => kv.delete('bb')));
  check('delete of the key it stands on', () => { const list = kv.list(); const at = list.next().value[0]; kv.delete(at); return [at, rest(list)]; });
  check('get', () => invalidated(() => kv.get('a')));
  check('delete of all as they come', () => {
    for (let i = 0; i < 600; i++) kv.put(`x${i}`, i);
    let n = 0;
    for (const [key] of kv.list({ prefix: 'x' })) { kv.delete(key); n++; } return [n, keys(kv, { prefix: 'x' })];
  });
  check('clean up', () => { for (const key of keys(kv, { prefix: 'x' })) kv.delete(key); return keys(kv); });
  await check('across await', async () => { const list = kv.list(); list.next(); await null; return rest(list); });
  await check('across a timer', async () => { const list = kv.list(); list.next(); await new Promise((resolve) => setTimeout(resolve, 2)); return rest(list); });
  await check('storage.list()', async () => { const list = kv.list(); list.next(); await storage.list(); return rest(list); });
  await check('storage.put()', async () => { const list = kv.list(); list.next(); await storage.put('e', 1); return rest(list); });
  await check('transactionSync', () => { const list = kv.list(); list.next(); storage.transactionSync(() => kv.put('f', 1)); return rest(list); });
  await check('transactionSync that throws', () => {
    const list = kv.list();
    list.next();
    try { storage.transactionSync(() => { kv.put('g', 1); throw new Error('back'); }); } catch { /* on purpose */ } return rest(list);
  });
  await check('deleteAll', async () => { const list = kv.list(); list.next(); await storage.deleteAll(); return rest(list); });
});

program.inObject('limits', async ({ refused, check, kv }) => {
  kv.put('kept', 'v');
  const dump = () => [...kv.list()].map(([key, value]) => [key.length, value.length]);
  const withPut = async (name, key, value) => {
    await refused(name, () => kv.put(key, value), dump);
    for (const each of keys(kv)) if (each !== 'kept') kv.delete(each);
  };
  for (const size of [2047, 2048, 2049]) {
    const key = 'k'.repeat(size);
    await withPut(`put, a key of ${size}`, key, 'v');
    await refused(`get, a key of ${size}`, () => kv.get(key), dump);
    await refused(`delete, a key of ${size}`, () => kv.delete(key), dump);
    check(`list, a prefix of ${size}`, () => keys(kv, { prefix: key }));
    check(`list, a start of ${size}`, () => keys(kv, { start: key }));
    check(`list, an end of ${size}`, () => keys(kv, { end: key }));
  }
  for (const size of [1023, 1024, 1025]) await withPut(`put, a key of ${size} times \\u00e9`, '\u00e9'.repeat(size), 'v');
  for (const size of [
    131_071, 131_072, 131_073, 1_000_000, 2_000_000, 2_097_140, 2_097_151, 2_097_152,
  ]) await withPut(`put, a text of ${size}`, 'v', 'x'.repeat(size));
  for (const size of [2_000_000, 2_097_100, 2_097_152]) await withPut(`put, bytes, ${size}`, 'v', new Uint8Array(size));
});

export default program.worker;
