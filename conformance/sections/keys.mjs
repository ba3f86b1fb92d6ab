// Keys that sort, compare and convert in ways worth a check.

const encoder = new TextEncoder();

/** In the order of their UTF-8 bytes, which is not that of their UTF-16 units. */
export const ordered = [
  '', '\0', '\0\0', '\u0001', ' ', '!', '0', '10', '2', 'A', 'B', 'Z', 'a', 'a\0', 'a\u0001', 'a!', 'a1', 'a10', 'a2', 'aa', 'ab',
  'a\u00e9', 'a\uffff', 'a\u{10000}', 'b', 'z', '\u007f', '\u0080', '\u00e9', 'e\u0301', '\u07ff', '\u0800', '\ud7ff', '\ue000', '\ufeff',
  '\uffff', '\u{10000}', '\u{1f600}', '\u{10ffff}',
].sort((a, b) => compareBytes(utf8(a), utf8(b)));

function utf8(text) {
  return encoder.encode(text);
}

function compareBytes(a, b) {
  for (let i = 0; i < a.length && i < b.length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

/** What is no string, and what a method makes of it. */
export const oddKeys = {
  number: 5, '-0': -0, NaN: NaN, null: null, true: true, bigint: 10n, object: {}, 'empty array': [], boxed: new String('boxed'),
  symbol: Symbol('s'), 'object with toString': { toString: () => 'made' }, 'throwing toString': { toString() { throw new RangeError('no text'); } },
  'no prototype': Object.create(null), date: new Date(NaN), function: Math.max, emoji: '\u{1f600}', 'lone surrogate': '\ud800',
  'other lone surrogate': '\udfff', nul: 'a\0b', empty: '',
};

/** Options of list(), right and wrong. */
export const listOptions = {
  undefined, null: null, empty: {}, unknown: { unknown: 1 },
  'prefix a': { prefix: 'a' }, 'prefix empty': { prefix: '' }, 'prefix nowhere': { prefix: 'q' }, 'prefix whole key': { prefix: 'a10' },
  'prefix \\0': { prefix: '\0' }, 'prefix \\uffff': { prefix: '\uffff' }, 'prefix of a high surrogate': { prefix: '\ud83d' },
  'prefix \\u{10ffff}': { prefix: '\u{10ffff}' }, 'prefix a\\uffff': { prefix: 'a\uffff' }, 'prefix number': { prefix: 1 },
  'prefix null': { prefix: null }, 'prefix undefined': { prefix: undefined }, 'prefix object': { prefix: {} },
  'prefix symbol': { prefix: Symbol('p') },
  'start a1': { start: 'a1' }, 'start between': { start: 'a15' }, 'start empty': { start: '' }, 'start beyond': { start: '\u{10ffff}x' },
  'start number': { start: 2 }, 'start null': { start: null }, 'start undefined': { start: undefined },
  'startAfter a1': { startAfter: 'a1' }, 'startAfter between': { startAfter: 'a15' }, 'startAfter empty': { startAfter: '' },
  'startAfter last': { startAfter: '\u{10ffff}' }, 'startAfter null': { startAfter: null },
  'start and startAfter': { start: 'a', startAfter: 'a' }, 'start undefined and startAfter': { start: undefined, startAfter: 'a' },
  'start empty and startAfter empty': { start: '', startAfter: '' },
  'end a2': { end: 'a2' }, 'end between': { end: 'a15' }, 'end empty': { end: '' }, 'end null': { end: null },
  'end undefined': { end: undefined }, 'end \\0': { end: '\0' }, 'start and end': { start: 'a1', end: 'b' },
  'start = end': { start: 'a', end: 'a' }, 'end before start': { start: 'b', end: 'a' },
  'startAfter and end': { startAfter: 'a1', end: 'b' }, 'startAfter = end': { startAfter: 'a', end: 'a' },
  'limit 1': { limit: 1 }, 'limit 2': { limit: 2 }, 'limit beyond': { limit: 1000 }, 'limit 0': { limit: 0 }, 'limit -1': { limit: -1 },
  'limit 1.7': { limit: 1.7 }, 'limit 0.5': { limit: 0.5 }, 'limit text': { limit: '2' }, 'limit no number': { limit: 'x' },
  'limit NaN': { limit: NaN }, 'limit Infinity': { limit: Infinity }, 'limit -Infinity': { limit: -Infinity },
  'limit null': { limit: null }, 'limit undefined': { limit: undefined }, 'limit true': { limit: true }, 'limit object': { limit: {} },
  'limit bigint': { limit: 2n }, 'limit symbol': { limit: Symbol('l') }, 'limit 2^31 - 1': { limit: 2 ** 31 - 1 },
  'limit 2^31': { limit: 2 ** 31 }, 'limit -2^31 - 1': { limit: -(2 ** 31) - 1 }, 'limit 2^32 + 1': { limit: 2 ** 32 + 1 },
  'limit 2^53': { limit: 2 ** 53 }, 'limit date': { limit: new Date(2) },
  reverse: { reverse: true }, 'reverse false': { reverse: false }, 'reverse text': { reverse: 'x' }, 'reverse empty text': { reverse: '' },
  'reverse 0': { reverse: 0 }, 'reverse null': { reverse: null }, 'reverse undefined': { reverse: undefined },
  'reverse and limit': { reverse: true, limit: 3 }, 'reverse and prefix': { reverse: true, prefix: 'a' },
  'reverse, prefix and limit': { reverse: true, prefix: 'a', limit: 2 }, 'reverse and start': { reverse: true, start: 'a1' },
  'reverse and startAfter': { reverse: true, startAfter: 'a1' }, 'reverse and end': { reverse: true, end: 'a2' },
  'reverse, start, end and limit': { reverse: true, start: 'a', end: 'b', limit: 2 },
  'prefix and start': { prefix: 'a', start: 'a1' }, 'prefix and earlier start': { prefix: 'a', start: 'A' }, 'prefix and later start': { prefix: 'a', start: 'b' }, 'prefix and end': { prefix: 'a', end: 'a2' }, 'prefix and later end': { prefix: 'a', end: 'z' }, 'prefix and earlier end': { prefix: 'a', end: 'A' }, 'prefix and startAfter': { prefix: 'a', startAfter: 'a' }, 'all of them': {
    prefix: 'a', startAfter: 'a', end: 'ab', limit: 3, reverse: true,
  },
  'throwing getter': { get prefix() { throw new RangeError('no prefix'); } }, 'allowConcurrency and noCache': { allowConcurrency: true, noCache: true, limit: 1 },
  number: 5, text: 'a', true: true, array: [], function: () => 1, symbol: Symbol('o'), bigint: 1n, date: new Date(0),
  map: new Map([['limit', 1]]), inherited: Object.create({ limit: 1 }), 'no prototype': Object.assign(Object.create(null), { limit: 1 }),
};

/** What an object has from its classes, in whichever of them. */
export function methodsOf(object) {
  const names = new Set();
  for (let p = Object.getPrototypeOf(object); p !== Object.prototype; p = Object.getPrototypeOf(p)) for (const name of Object.getOwnPropertyNames(p)) names.add(name);
  return [...names].sort();
}
