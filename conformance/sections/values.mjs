// Values that a program may store or pass, made anew each time so that no check sees another's.

class Point {
  constructor() {
    this.x = 1;
  }
  get y() {
    return 2;
  }
}

class CodedError extends Error {
  constructor(message) {
    super(message);
    this.name = 'CodedError';
    this.code = 7;
  }
}

const cycle = () => {
  const a = { name: 'a' };
  a.self = a;
  a.list = [a];
  return a;
};

const resizable = (length, max) => new ArrayBuffer(length, { maxByteLength: max });
const filled = (Type) => new Type(Type.name.startsWith('Big') ? [1n, 2n ** 63n - 1n] : [1, 300, -1.5]);
const shared = () => {
  const part = { p: 1 };
  return { first: part, second: part, map: new Map([[part, part]]) };
};

/** What structured clone takes, by label. */
export const cloneables = () => ({
  null: null, true: true, false: false, zero: 0, '-0': -0, NaN: NaN, Infinity: Infinity, '-Infinity': -Infinity, '1.5': 1.5,
  '2^53': 2 ** 53, '2^53 + 2': 2 ** 53 + 2, '-2^53': -(2 ** 53), '2^31': 2 ** 31, '-2^31 - 1': -(2 ** 31) - 1, '1e308': 1e308,
  smallest: 5e-324, '0.1': 0.1,
  'bigint 0': 0n, 'bigint -1': -1n, 'bigint 2^64': 2n ** 64n, 'bigint 2^200': 2n ** 200n,
  'empty text': '', text: 'text', Latin1: '\u00ff\u0080', 'two bytes': '\u0100', emoji: '\u{1f600}', 'lone high surrogate': '\ud800',
  'lone low surrogate': 'a\udc00', 'surrogates in the wrong order': '\udc00\ud800', nul: 'a\0b', 'line separators': '\u2028\u2029',
  quotes: '"\\\'\n\t', 'byte order mark': '\ufeff', 'text like JSON': '{"a":1}', 'long text': 'x'.repeat(5000),
  'long emoji': '\u{1f600}'.repeat(2000),
  'empty object': {}, 'empty array': [], object: { a: 1, b: 'x', c: null }, nested: { a: { b: { c: [1, [2, { d: 3 }]] } } },
  'undefined member': { a: undefined, b: 1 }, 'undefined in an array': [undefined, 1], hole: [1, , 3], 'only holes': new Array(3),
  'array with members': Object.assign([1], { extra: 2 }), '-0 within': { a: -0, b: [-0] }, 'NaN within': [NaN, Infinity, { a: -Infinity }],
  'bigint within': { a: 1n },
  'number keys': { 2: 'two', 1: 'one', b: 0, a: 0 }, '__proto__ key': JSON.parse('{"__proto__":{"x":1}}'),
  'constructor key': { constructor: 1, toString: 2 }, 'odd keys': { '': 1, '\u{1f600}': 2, '\ud800': 3, 'a\0': 4, 'a b': 5 },
  'key order': { z: 1, a: 2, m: 3 }, 'symbol key': { [Symbol('s')]: 1, a: 2 }, getter: { get a() { return 1; }, b: 2 },
  'hidden member': Object.defineProperty({ a: 1 }, 'b', { value: 2, enumerable: false }), frozen: Object.freeze({ a: 1 }),
  'frozen array': Object.freeze([1]),
  'deep (500)': Array.from({ length: 500 }).reduce((inner) => ({ inner }), 1),
  'wide (2000)': Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`k${i}`, i])),
  'long array': Array.from({ length: 5000 }, (_, i) => i), 'array of objects': Array.from({ length: 50 }, (_, i) => ({ i, s: `s${i}` })),
  'more than 32 objects': Array.from({ length: 40 }, (_, i) => [i]),
  cycle: cycle(), 'array in itself': (() => { const list = [1]; list.push(list); return list; })(), shared: shared(),
  'map in itself': (() => { const map = new Map(); map.set('me', map); return map; })(),
  Date: new Date(5), 'Date 0': new Date(0), 'Date before 1970': new Date(-1), 'Date invalid': new Date(NaN),
  'Date at the end': new Date(8.64e15), 'Date with a member': Object.assign(new Date(1), { extra: 1 }),
  Map: new Map([['a', 1], [{ k: 1 }, [2]], [NaN, -0]]), 'Map of Maps': new Map([[new Map([[1, 2]]), new Set([new Set()])]]),
  Set: new Set([1, 'a', null, undefined]), 'empty Map': new Map(), 'empty Set': new Set(),
  'Map within': { m: new Map([['d', new Date(1)]]) },
  RegExp: /a+b/gi, 'RegExp with lastIndex': Object.assign(/a/g, { lastIndex: 3 }), 'RegExp v': new RegExp('[a]', 'v'),
  Boolean: new Boolean(false), Number: new Number(-0), String: new String('boxed'), BigInt: Object(5n),
  ...Object.fromEntries([
    Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array,
    BigUint64Array,
  ].map((Type) => [Type.name, filled(Type)])),
  ArrayBuffer: new Uint8Array([1, 2, 3]).buffer, 'empty ArrayBuffer': new ArrayBuffer(0), DataView: new DataView(new Uint8Array([1, 2, 3, 4]).buffer, 1, 2), 'empty Uint8Array': new Uint8Array(), 'part of a buffer': new Uint8Array([1, 2, 3, 4]).subarray(1, 3), 'Uint16Array at an offset': new Uint16Array(new Uint8Array([0, 0, 1, 0, 2, 0]).buffer, 2, 2), 'two views of a buffer': (() => {
    const buffer = new Uint8Array([1, 2]).buffer;
    return [new Uint8Array(buffer), new Uint8Array(buffer, 1), buffer];
  })(), 'large bytes': new Uint8Array(100_000).fill(7), 'bytes within': { b: new Uint8Array([1]) },
  'resizable ArrayBuffer': resizable(2, 8), 'view of a resizable buffer': new Uint8Array(resizable(3, 8)),
  'view of fixed length of a resizable buffer': new Uint8Array(resizable(4, 8), 1, 2),
  'DataView of a resizable buffer': new DataView(resizable(4, 8), 1), 'array with bytes': Object.assign(new Uint8Array([1]), { extra: 1 }),
  Error: new Error('e'), 'Error without message': new Error(), TypeError: new TypeError('t'), RangeError: new RangeError('r'), SyntaxError: new SyntaxError('s'), EvalError: new EvalError('v'), ReferenceError: new ReferenceError('f'), URIError: new URIError('u'), 'Error with members': Object.assign(new Error('m'), { code: 5, extra: { a: 1 } }), 'Error with cause': new Error('outer', { cause: new TypeError('inner') }), 'Error with a plain cause': new Error('outer', { cause: { a: 1 } }), 'AggregateError': new AggregateError([new Error('a'), 'b'], 'all'), 'named Error': Object.assign(new Error('n'), { name: 'Named' }), 'own class of Error': new CodedError('mine'), DOMException: new DOMException('d', 'AbortError'), 'Error within': { e: new RangeError('within') }, 'Errors within': (() => {
    const e = Object.assign(new Error('e'), { code: 1 });
    return [e, new Map([[e, new Set([e])]]), { e }];
  })(), 'Error with an empty name': Object.assign(new Error('x'), { name: '' }),
});

/** Those that only storage takes; a call between objects refuses them. */
export const storables = () => ({
  'class instance': new Point(), 'no prototype': Object.assign(Object.create(null), { a: 1 }),
  'with a prototype': Object.assign(Object.create({ inherited: 1 }), { own: 2 }), 'class instance within': [new Point()],
  arguments: (function () { return arguments; })(1, 2),
  'array of a class': new (class List extends Array {})(1, 2, 3), 'map of a class': new (class Dictionary extends Map {})([[1, 2]]),
  'date of a class': new (class Day extends Date {})(3), 'bytes of a class': new (class Bytes extends Uint8Array {})([1, 2]), Math,
  Headers: new Headers({ a: 'b' }), Blob: new Blob(['b']), 'empty Headers': new Headers(),
  'Headers of many': new Headers([['x-a', '1'], ['X-A', '2'], ['set-cookie', 'q=1'], ['Set-Cookie', 'r=2'], ['Accept', 'y\u00e9'], ['x-empty', '']]),
  'Headers within': { headers: new Headers({ 'content-type': 'text/plain' }), error: new RangeError('beside'), map: new Map([['k', new Headers({ via: 'v' })]]) },
  'Headers twice': (() => { const headers = new Headers({ etag: 'e' }); return [headers, headers, { a: 1 }]; })(),
  'Headers of a class': new (class Mine extends Headers {})({ a: 'b' }), 'Headers of an error': Object.assign(new Error('e'), { headers: new Headers({ age: '1' }) }),
});

/** What is refused everywhere. */
export const refusedValues = () => ({
  function: () => 1, 'async function': async () => 1, class: class Named {}, method: { method() {} }.method, 'function within': { a: [() => 1] }, symbol: Symbol('s'), 'well-known symbol': Symbol.iterator, 'symbol within': [Symbol('s')], WeakMap: new WeakMap(), WeakSet: new WeakSet(), WeakRef: new WeakRef({}), Promise: Promise.resolve(1), generator: (function* () {})(), 'array iterator': [].values(), 'map iterator': new Map().entries(), proxy: new Proxy({}, {}), 'toJSON': { toJSON() { return 1; } }, 'boxed symbol': Object(Symbol('b')), FinalizationRegistry: new FinalizationRegistry(() => {}), AbortController: new AbortController(), TextEncoder: new TextEncoder(), Intl: new Intl.NumberFormat('en'), 'throwing getter': { get a() { throw new RangeError('no a'); } }, 'detached buffer': (() => { const buffer = new ArrayBuffer(4); structuredClone(buffer, { transfer: [buffer] }); return buffer; })(), 'view of a detached buffer': (() => {
    const view = new Uint8Array(4);
    structuredClone(view.buffer, { transfer: [view.buffer] });
    return view;
  })(), 'too deep (100,000)': Array.from({ length: 100_000 }).reduce((inner) => [inner], 1),
});

const WAYS = {
  put: (tools, key, value) => tools.storage.put(key, value).then(() => tools.storage.get(key)),
  'put of pairs': (tools, key, value) => tools.storage.put({ [key]: value }).then(() => tools.storage.get([key])).then((found) => found.get(key)),
  kv: async (tools, key, value) => {
    tools.kv.put(key, value);
    return tools.kv.get(key);
  },
};

/** A section for each of the `ways` that a value can be stored and read. */
export function addValueSections(program, ways) {
  for (const way of ways) {
    program.inObject(`through ${way}`, async (tools) => {
      for (const [label, value] of Object.entries({ ...cloneables(), ...storables() })) await tools.check(label, () => WAYS[way](tools, label, value));
      await tools.check('identities within', async () => {
        const { first, second, map } = await WAYS[way](tools, 'identities', shared());
        return [first === second, [...map.keys()][0] === first, map.get(first) === second];
      });
      await tools.check('prototypes', async () => {
        const { a, b } = await WAYS[way](tools, 'prototypes', { a: {}, b: [] });
        return [Object.getPrototypeOf(a) === Object.prototype, Object.getPrototypeOf(b) === Array.prototype];
      });
    });
    program.inObject(`refused by ${way}`, async (tools) => {
      await tools.storage.put('kept', 1);
      for (const [label, value] of Object.entries(refusedValues())) await tools.refused(label, () => WAYS[way](tools, 'refused', value), async () => [...(await tools.storage.list({ prefix: 'k' }))]);
    });
  }
  program.inObject('all at once', async ({ check, storage }) => {
    const values = cloneables();
    const labels = Object.keys(values);
    for (let i = 0; i < labels.length; i += 100) await storage.put(Object.fromEntries(labels.slice(i, i + 100).map((label) => [label, values[label]])));
    await check('list, the labels', async () => [...(await storage.list()).keys()]);
    await check('list, the values', async () => {
      const found = await storage.list();
      return labels.filter((label) => program.describe(found.get(label)) !== program.describe(values[label]));
    });
  });
}
