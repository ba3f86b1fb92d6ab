// ctx.storage.kv and the key-value side of ctx.storage, which work on the same pairs.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { objectFiles, sqlite, temporaryDirectory } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';

const lab = await startLab({ after });

function values() {
  const shared = { n: 1 };
  const cycle = { list: [] };
  cycle.list.push(cycle);
  const manyKeys = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`key ${i}`, i]));
  return [
    null, true, 0, -0, NaN, Infinity, 1.5e-300, 2 ** 53, 10n, '', 'a\0b', '\ud800', 'é😀', 'x'.repeat(100_000),
    [], [1, [2, [3]]], [undefined, 1], [1, , 3], new Array(3), {}, { a: undefined }, { a: { b: null } }, manyKeys,
    new Date(5), /a/gi, new Map([[1, { a: new Set([2n]) }]]), new Uint8Array([1, 2, 3]).subarray(1), new Uint16Array([1, 2]),
    new Float64Array([0.5]), new DataView(new ArrayBuffer(2)), new ArrayBuffer(3), new Boolean(true), new String('x'),
    [shared, shared], cycle, JSON.parse('{"__proto__": {"a": 1}, "b": 2}'), { constructor: 1, toString: 2 }, { toJSON: 3 },
    new TypeError('an error'), Object.assign(new Uint8Array(70_000), [7]),
  ];
}

test('values of every kind come back as they were, over a kill too', async (t) => {
  const first = await startLab(t);
  const all = values();
  for (const [i, value] of all.entries()) {
    const back = await first.object('values', ({ kv }, key, value) => { kv.put(key, value); return [kv.get(key)]; }, `v${i}`, value);
    assert.deepEqual(back, [value], `value ${i}`);
  }
  const listed = await first.object('values', async ({ storage }) => storage.list());
  await first.stop('SIGKILL');
  const second = await startLab(t, { data: first.data });
  for (const [i, value] of all.entries()) {
    assert.deepEqual(await second.object('values', ({ storage }, key) => storage.get(key), `v${i}`), value, `value ${i}`);
    assert.deepEqual(listed.get(`v${i}`), value);
  }
  const identities = await second.object('values', ({ kv }, [pair, cycle]) => {
    const shared = kv.get(pair);
    const round = kv.get(cycle);
    return [shared[0] === shared[1], round.list[0] === round, kv.get(pair) === kv.get(pair)];
  }, [all.findIndex((value) => value?.[0]?.n === 1), all.findIndex((value) => value?.list)].map((i) => `v${i}`));
  assert.deepEqual(identities, [true, true, false]);
  await second.stop();
});

test('errors come back with their class, name and members, wherever they are in a value', async (t) => {
  const first = await startLab(t);
  await first.object('errors', ({ kv }) => {
    class Coded extends Error {
      name = 'Coded';
      code = 7;
    }
    const coded = new Coded('mine');
    const error = Object.assign(new RangeError('r', { cause: coded }), { at: new Date(5), self: undefined });
    error.self = error;
    kv.put('errors', { list: [error, coded], map: new Map([[coded, new Set([error])]]), dom: new DOMException('d', 'AbortError'), all: new AggregateError([coded, 1], 'both'), ['__proto__']: 1, hole: [, 1] });
  });
  await first.stop('SIGKILL');
  const second = await startLab(t, { data: first.data });
  const told = await second.object('errors', ({ kv }) => {
    const { list: [error, coded], map, dom, all, hole } = kv.get('errors');
    return {
      error: [error.constructor.name, error.message, error.at.getTime(), error.self === error, error.cause === coded, Object.keys(error), typeof error.stack],
      coded: [coded.constructor.name, coded.name, coded.message, coded.code],
      map: [[...map.keys()][0] === coded, map.get(coded).has(error)],
      dom: [dom instanceof DOMException, dom.name, dom.message, dom.code],
      all: [all.constructor.name, all.errors[0] === coded, all.errors[1]],
      hole: [0 in hole, hole.length],
    };
  });
  assert.deepEqual(told, {
    error: ['RangeError', 'r', 5, true, true, ['at', 'self'], 'string'],
    coded: ['Error', 'Coded', 'mine', 7],
    map: [true, true],
    dom: [true, 'AbortError', 'd', 20],
    all: ['AggregateError', true, 1],
    hole: [false, 2],
  });
  await second.stop();
});

test('objects of the platform and of the runtime are refused, not stored as empty ones', async () => {
  const outcomes = await lab.object('platform', ({ kv, ctx, self, env, storage, attempt }) => {
    kv.put('kept', 1);
    class Sub extends URL {}
    globalThis.Mine = class Mine {
      x = 1;
    };
    const values = [new URL('http://x/'), new Sub('http://x/'), new AbortController(), { deep: new Map([[1, new Blob([])]]) }, ctx.id, ctx, env.COUNTER, self];
    const outcomes = [...values.map((value) => attempt(() => kv.put('kept', value))), attempt(() => kv.put('kept', [].values())), kv.get('kept')];
    kv.put('mine', new Mine());
    return [...outcomes, kv.get('mine')];
  });
  const refused = (name) => `DataCloneError: Could not serialize object of type "${name}". This type does not support serialization.`;
  assert.deepEqual(outcomes, [
    ...['URL', 'Sub', 'AbortController', 'Blob', 'DurableObjectId', 'DurableObjectState', 'DurableObjectNamespace', 'Counter'].map(refused),
    'DataCloneError: [object Array Iterator] could not be cloned.',
    1,
    { x: 1 },
  ]);
});

test('what JSON can say is stored as JSON text, all else as a BLOB', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const own = await startLab(t, { data });
  await own.object('types', ({ kv }) => { kv.put('json', { a: [1, 'é'] }); kv.put('clone', new Map()); });
  await own.stop();
  const [file] = objectFiles(data);
  assert.equal(sqlite(file, 'SELECT key, typeof(value), iif(typeof(value) = \'text\', value, \'\') FROM _cf_KV ORDER BY key'), 'clone|blob|\njson|text|{"a":[1,"é"]}');
});

test('what a put stores is what structured clone sees, whatever the value inherits or hides', async () => {
  const found = await lab.object('own-members', async ({ kv, storage }) => {
    const store = (name, value) => { kv.put(name, value); return kv.get(name); };
    // Too long for the way of small values, and short enough for it.
    const both = (make) => [store('small', make('s')), store('large', make('x'.repeat(100)))];
    const changing = (text) => {
      let reads = 0;
      return Object.defineProperty({ text }, 'n', { enumerable: true, get: () => (reads++ % 2 === 0 ? 1 : new Date(5)) });
    };
    const results = {
      changing: both(changing).map(({ n }) => n === 1 || n.getTime() === 5),
      hidden: both((text) => Object.defineProperty({ text: text[0] }, 'toJSON', { value: () => 'hidden' })),
      nested: both((text) => [Object.defineProperty([text[0]], 'toJSON', { value: () => 'hidden' })]),
      proxies: [],
    };
    for (const value of [new Proxy({ a: 1 }, {}), [new Proxy([1], {})], new Proxy({ a: 'x'.repeat(100) }, {})]) {
      try { kv.put('proxy', value); results.proxies.push('stored'); } catch (error) { results.proxies.push(error.name); }
    }
    const during = (define, make) => {
      define();
      try { return both(make); } finally { delete Object.prototype.extra; delete Object.prototype.toJSON; delete Array.prototype.toJSON; }
    };
    results.inherited = during(() => { Object.prototype.extra = 'inherited'; }, (text) => ({ a: { b: text[0] } })).map((value) => Object.keys(value.a));
    results.setter = during(() => Object.defineProperty(Object.prototype, 'extra', { configurable: true, set() {} }), (text) => ({ extra: text[0] })).map((value) => Object.keys(value));
    results.toJson = during(() => Object.defineProperty(Object.prototype, 'toJSON', { configurable: true, value: () => 'all' }), (text) => ({ a: [text[0]] }));
    results.arrayToJson = during(() => { Array.prototype.toJSON = () => 'all'; }, (text) => [text[0]]);
    Object.prototype.extra = 'inherited';
    await storage.put('through-storage', { a: 'x' });
    delete Object.prototype.extra;
    results.storage = Object.keys(await storage.get('through-storage'));
    return results;
  });
  assert.deepEqual(found, {
    changing: [true, true],
    hidden: [{ text: 's' }, { text: 'x' }],
    nested: [[['s']], [['x']]],
    proxies: ['DataCloneError', 'DataCloneError', 'DataCloneError'],
    inherited: [['b'], ['b']],
    setter: [['extra'], ['extra']],
    toJson: [{ a: ['s'] }, { a: ['x'] }],
    arrayToJson: [['s'], ['x']],
    storage: ['a'],
  });
});

test('changing a value after put or get changes nothing that is stored', async () => {
  const results = await lab.object('mutate', async ({ kv, storage }) => {
    const value = { n: 1, list: [1] };
    kv.put('k', value);
    value.n = 2;
    value.list.push(2);
    const got = kv.get('k');
    got.n = 3;
    got.list.push(3);
    const bytes = new Uint8Array([1]);
    const put = storage.put('b', bytes);
    bytes[0] = 2;
    await put;
    const same = new Date(0);
    kv.put('d', same);
    same.setTime(1);
    return [kv.get('k'), (await storage.get('b'))[0], kv.get('d').getTime()];
  });
  assert.deepEqual(results, [{ n: 1, list: [1] }, 1, 0]);
});

test('keys', async () => {
  const results = await lab.object('keys', async ({ kv, storage, attempt }) => {
    const keys = ['', 'a\0b', 'é', 5, null, undefined, true, {}, 'x'.repeat(2048), 'é'.repeat(1024)];
    for (const [i, key] of keys.entries()) kv.put(key, i);
    return [
      keys.every((key, i) => kv.get(key) === i),
      kv.get('5'),
      kv.get('undefined'),
      keys.every((key) => kv.delete(key) && !kv.delete(key)),
      await storage.delete('none'),
      [...kv.list()],
    ];
  });
  assert.deepEqual(results, [true, 3, 5, true, false, []]);
});

test('list: bounds, order by UTF-8 bytes, and options', async () => {
  const keys = ['10', '9', 'B', 'a', 'a1', 'a2', 'b', 'z', 'é', '\uffff', '😀'];
  await lab.object('list', ({ kv }, keys) => { for (const key of [...keys].reverse()) kv.put(key, key); }, keys);
  const cases = [
    [undefined, keys],
    [null, keys],
    [{ unknown: 1 }, keys],
    [{ prefix: 'a' }, ['a', 'a1', 'a2']],
    [{ prefix: '' }, keys],
    [{ prefix: '\uffff' }, ['\uffff']],
    [{ prefix: 5 }, []],
    [{ start: 'a1' }, keys.slice(4)],
    [{ startAfter: 'a1' }, keys.slice(5)],
    [{ startAfter: '' }, keys],
    [{ end: 'a2' }, keys.slice(0, 5)],
    [{ end: '' }, []],
    [{ start: 'b', end: 'a' }, []],
    [{ limit: 2 }, ['10', '9']],
    [{ limit: '2' }, ['10', '9']],
    [{ limit: 1.7 }, ['10']],
    [{ reverse: true }, [...keys].reverse()],
    [{ reverse: true, limit: 2, prefix: 'a' }, ['a2', 'a1']],
    [{ prefix: 'a', start: 'a1', end: 'a2' }, ['a1']],
    [{ prefix: 'a', start: 'b' }, []],
    [{ prefix: 'a', startAfter: 'a', reverse: true }, ['a2', 'a1']],
    [{ startAfter: 'é', reverse: true }, ['😀', '\uffff']],
    [{ start: 'x'.repeat(3000) }, keys.slice(7)],
  ];
  for (const [options, expected] of cases) {
    const [sync, async_] = await lab.object('list', async ({ kv, storage }, options) => [[...kv.list(options)], [...(await storage.list(options))]], options);
    const pairs = expected.map((key) => [key, key]);
    assert.deepEqual([sync, async_], [pairs, pairs], JSON.stringify(options));
  }
  const both = 'TypeError: list() cannot be called with both start and startAfter values.';
  const positive = 'TypeError: List limit must be positive.';
  const mistakes = [
    [{ start: 'a', startAfter: 'a' }, both], [{ limit: 0 }, positive], [{ limit: -1 }, positive], [{ limit: 'x' }, positive], [{ limit: null }, positive],
    [{ limit: Infinity }, positive], [{ limit: 2 ** 31 }, 'TypeError: Value out of range. Must be between -2147483648 and 2147483647 (inclusive).'],
  ];
  for (const [options, text] of mistakes) {
    assert.deepEqual(await lab.object('list', async ({ kv, storage, attempt }, options) => [attempt(() => kv.list(options)), await attempt(() => storage.list(options))], options), [text, text]);
  }
});

test('list: long ones, changes on the way, one at a time', async () => {
  const results = await lab.object('iterate', async ({ kv, storage, attempt }) => {
    for (let i = 0; i < 1000; i++) kv.put(`k${String(i).padStart(4, '0')}`, i);
    const forwards = [...kv.list()].map(([, value]) => value);
    const backwards = [...kv.list({ reverse: true, limit: 777 })].map(([, value]) => value);
    const changing = kv.list();
    changing.next();
    kv.put('k0000a', 'new, near');
    kv.put('l', 'new, far');
    kv.delete('k0999');
    const rest = [...changing].map(([key]) => key);
    const kept = kv.list();
    kept.next();
    await null;
    const goesOn = kept.next().value[0];
    const first = kv.list();
    const second = kv.list();
    return {
      forwards: forwards.length === 1000 && forwards.every((value, i) => value === i),
      backwards: backwards.length === 777 && backwards.every((value, i) => value === 999 - i),
      far: [rest.includes('l'), rest.includes('k0999')],
      goesOn,
      first: attempt(() => first.next()),
      second: second.next().value[0],
      whole: (await storage.list()).size,
    };
  });
  assert.deepEqual(results, {
    forwards: true, backwards: true, far: [true, false], goesOn: 'k0000a',
    first: 'Error: kv.list() iterator was invalidated because a new call to kv.list() was started. Only one kv.list() iterator can exist at a time.',
    second: 'k0000', whole: 1001,
  });
});

test('an iterator of kv.list() sees what happens to the keys before it', async () => {
  const results = await lab.object('live', async ({ kv, storage, attempt }) => {
    const start = async (count = 3) => { await storage.deleteAll(); for (let i = 0; i < count; i++) kv.put(`k${1000 + i}`, i); const list = kv.list(); list.next(); return list; };
    const rest = (list) => [...list].map(([, value]) => value);
    const after = async (run, count) => { const list = await start(count); await attempt(() => run(list)); return rest(list); };
    const long = await start(500);
    let deleted = 0;
    for (const [key] of long) { kv.delete(key); deleted++; }
    return {
      put: await after(() => kv.put('k1000b', 'new')),
      changed: await after(() => kv.put('k1002', 'new')),
      removed: await after(() => kv.delete('k1001')),
      behind: await after(() => kv.put('k0', 'new')),
      awaited: await after(() => storage.put('k2', 'new')),
      rolledBack: await after((list) => storage.transactionSync(() => { kv.put('k1000b', 1); list.next(); throw new Error('x'); })),
      emptied: await after(() => storage.deleteAll()),
      reverse: (await start(), kv.list({ reverse: true, start: 'k', limit: 2 }).toArray().map(([key]) => key)),
      deleted, left: kv.list({ prefix: 'k15' }).toArray().length,
      newer: await attempt(async () => { const list = await start(); kv.list(); return list.next(); }),
      asynchronous: await attempt(async () => { const list = await start(); await storage.list(); return list.next(); }),
      ended: await (async () => { const list = await start(); rest(list); kv.list(); return list.next(); })(),
      looks: [String(kv), String(kv.list()), attempt(() => new (kv.list().constructor)()), kv.list()[Symbol.iterator]().next !== undefined],
    };
  });
  const invalidated = 'Error: kv.list() iterator was invalidated because a new call to kv.list() was started. Only one kv.list() iterator can exist at a time.';
  assert.deepEqual(results, {
    put: ['new', 1, 2], changed: [1, 'new'], removed: [2], behind: [1, 2], awaited: [1, 2, 'new'], rolledBack: [1, 2], emptied: [],
    reverse: ['k1002', 'k1001'], deleted: 499, left: 0, newer: invalidated, asynchronous: invalidated, ended: { done: true, value: undefined },
    looks: ['[object SyncKvStorage]', '[object ListIterator]', 'TypeError: Illegal constructor', true],
  });
});

test('storage.get, put and delete', async () => {
  const results = await lab.object('async', async ({ storage, kv }) => [
    await storage.get('none'),
    await storage.put('a', 1),
    await storage.put({ b: 2, c: 3, skipped: undefined }),
    await storage.get('a', { allowConcurrency: true, noCache: true }),
    await storage.get(['c', 'a', 'none', 'a']),
    [...(await storage.get(['c', 'a'])).keys()],
    await storage.get([]),
    await storage.delete('a'),
    await storage.delete('a'),
    await storage.delete(['b', 'none']),
    await storage.put('d', 1, { allowUnconfirmed: true }),
    (void storage.put('e', 5), kv.get('e')),
    (kv.put('f', 6), await storage.get('f')),
    [...(await storage.list()).keys()],
  ]);
  assert.deepEqual(results, [
    undefined, undefined, undefined, 1, new Map([['a', 1], ['c', 3]]), ['a', 'c'], new Map(), true, false, 1, undefined, 5, 6, ['c', 'd', 'e', 'f'],
  ]);
});

test('mistakes write nothing', async () => {
  const keyTooLarge = 'RangeError: Keys cannot be larger than 2048 bytes. A key of size 2049 was provided.';
  const results = await lab.object('mistakes', async ({ storage, kv, attempt }) => {
    const many = Object.fromEntries(Array.from({ length: 129 }, (_, i) => [`k${i}`, i]));
    const tries = [
      () => storage.put('a', undefined),
      () => storage.put('a'),
      () => storage.put(),
      () => storage.get(),
      () => storage.delete(),
      () => storage.put('a', () => 1),
      () => storage.put({ a: 1, b: Symbol('x') }),
      () => storage.put('x'.repeat(2049), 1),
      () => storage.put(many),
      () => storage.get(Object.keys(many)),
      () => storage.delete(Object.keys(many)),
      () => kv.put('a', new WeakMap()),
      () => kv.put('a', { get x() { throw new Error('getter'); } }),
      () => kv.put('x'.repeat(2049), 1),
      () => kv.put('a', 'x'.repeat(2 << 20)),
      () => kv.put('a', new Uint8Array(2 << 20)),
      () => kv.get(Symbol('s')),
      () => kv.get(),
      () => kv.put('a'),
    ];
    const errors = [];
    for (const each of tries) errors.push(await attempt(each));
    return [errors, [...kv.list()]];
  });
  const wrongType = (method, types, parameter = 1, of = 'DurableObjectStorage') => `TypeError: Failed to execute '${method}' on '${of}': parameter ${parameter} is not of type '${types}'.`;
  const pair = (size) => `RangeError: Values cannot be larger than 2097152 bytes together with their key. A pair of size ${size} was provided.`;
  const [errors, left] = results;
  const expected = [
    'TypeError: put() called with undefined value.',
    'TypeError: put() called with undefined value.',
    wrongType('put', 'string or object'),
    wrongType('get', 'string or Array'),
    wrongType('delete', 'string or Array'),
    'DataCloneError: () => 1 could not be cloned.',
    'DataCloneError: Symbol(x) could not be cloned.',
    keyTooLarge,
    'RangeError: Maximum number of key value pairs is 128.',
    'RangeError: Maximum number of keys is 128.',
    'RangeError: Maximum number of keys is 128.',
    'DataCloneError: #<WeakMap> could not be cloned.',
    'Error: getter',
    keyTooLarge,
    pair((2 << 20) + 3),
    /^RangeError: Values cannot be larger than 2097152 bytes together with their key\./,
    'TypeError: Cannot convert a Symbol value to a string',
    wrongType('get', 'string', 1, 'SyncKvStorage'),
    wrongType('put', 'Value', 2, 'SyncKvStorage'),
  ];
  for (const [i, text] of expected.entries()) (text instanceof RegExp ? assert.match : assert.equal)(errors[i], text);
  assert.deepEqual(left, []);
});

test('forms of arguments and options', async () => {
  const results = await lab.object('forms', async ({ storage, attempt }) => {
    const calls = [
      () => storage.get('a', 5), () => storage.get(['a'], 'x'), () => storage.get('a', null), () => storage.get('a', () => 1), () => storage.get(undefined),
      () => storage.put('a', 1, 5), () => storage.put('a', undefined, 5), () => storage.put({ a: 1 }, 5), () => storage.put({ a: 1 }, undefined, 5),
      () => storage.put([1, 2]), () => storage.put(null), () => storage.delete('a', 5), () => storage.delete(['a'], 5), () => storage.deleteAll(5),
      () => storage.list(5), () => storage.get('x'.repeat(2049)), () => storage.get(['a', 'x'.repeat(2049)]), () => storage.delete(['a', 'x'.repeat(2049)]),
      () => storage.put(() => {}, 1), () => new storage.constructor(),
    ];
    const outcomes = [];
    for (const call of calls) outcomes.push(await attempt(call));
    const atOnce = [() => storage.delete(), () => storage.delete('a', 5), () => storage.delete([Symbol('s')])].map((call) => {
      try {
        return call() && 'a promise';
      } catch (error) {
        return error.constructor.name;
      }
    });
    const written = (await storage.list()).size;
    await storage.put({ allowUnconfirmed: 1 }, { allowUnconfirmed: 'x', noCache: 1 });
    await storage.put('null', 1, null);
    await storage.put(new Map([['a', 1]]));
    return [outcomes, atOnce, written, Object.fromEntries(await storage.list()), await storage.get(['null', , 'a']), await storage.deleteAll(null)];
  });
  const wrong = (method, parameter, type) => `TypeError: Failed to execute '${method}' on 'DurableObjectStorage': parameter ${parameter} is not of type '${type}'.`;
  const undefinedValue = 'TypeError: put() called with undefined value.';
  const putForms = 'TypeError: put() may only be called with a single key-value pair and optional options as put(key, value, options) or with multiple key-value pairs and optional options as put(entries, options)';
  const keyTooLarge = 'RangeError: Keys cannot be larger than 2048 bytes. A key of size 2049 was provided.';
  assert.deepEqual(results, [
    [
      wrong('get', 2, 'GetOptions'), wrong('get', 2, 'GetOptions'), undefined, undefined, undefined,
      wrong('put', 3, 'PutOptions'), wrong('put', 3, 'PutOptions'),
      putForms, wrong('put', 3, 'PutOptions'), undefinedValue, undefinedValue, wrong('delete', 2, 'PutOptions'), wrong('delete', 2, 'PutOptions'),
      wrong('deleteAll', 1, 'PutOptions'), wrong('list', 1, 'ListOptions'), keyTooLarge, keyTooLarge, keyTooLarge,
      putForms, 'TypeError: Illegal constructor',
    ],
    ['TypeError', 'TypeError', 'TypeError'],
    0,
    { allowUnconfirmed: 1, null: 1 },
    new Map([['null', 1]]),
    undefined,
  ]);
});

test('deleteAll, sync and what is written around them', async () => {
  const results = await lab.object('delete-all', async ({ storage, sql, attempt }) => {
    sql.exec('CREATE TABLE t (a)');
    void storage.put('before', 1);
    const deleted = storage.deleteAll();
    void storage.put('after', 2);
    await deleted;
    return [
      Object.fromEntries(await storage.list()),
      attempt(() => sql.exec('SELECT * FROM t')),
      await attempt(() => { let inside; storage.transactionSync(() => { inside = storage.deleteAll(); }); return inside; }),
      await storage.sync(),
      await storage.get('after'),
    ];
  });
  assert.deepEqual(results, [
    { after: 2 }, 'Error: no such table: t: SQLITE_ERROR', 'Error: Cannot call deleteAll() within a transaction', undefined, 2,
  ]);
});

test('what is not served yet says so', async () => {
  const errors = await lab.object('absent', async ({ ctx, attempt }) => {
    const ofContext = [
      'acceptWebSocket', 'getWebSockets', 'getTags', 'setWebSocketAutoResponse', 'getWebSocketAutoResponse',
      'getWebSocketAutoResponseTimestamp', 'setHibernatableWebSocketEventTimeout', 'getHibernatableWebSocketEventTimeout',
    ];
    const found = [];
    for (const name of ofContext) found.push([`ctx.${name}()`, await attempt(() => ctx[name]())]);
    found.push(['ctx.exports.default, which is no class of objects,', await attempt(() => ctx.exports.default)]);
    return found;
  });
  assert.equal(errors.length, 9);
  for (const [name, text] of errors) assert.equal(text, `Error: ${name} is not served by this version of Perdure.`);
});
