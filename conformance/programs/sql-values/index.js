// How JavaScript's values become SQL's, and back.
import { DurableObject } from 'cloudflare:workers';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
}

const resizable = (length, max) => new ArrayBuffer(length, { maxByteLength: max });

/** Everything that a program might bind. */
const bindings = {
  undefined, null: null, true: true, false: false, zero: 0, '-0': -0, one: 1, minus: -1, NaN: NaN, Infinity: Infinity, '-Infinity': -Infinity,
  '1.5': 1.5, '2^31': 2 ** 31, '2^53': 2 ** 53, '2^53 - 1': 2 ** 53 - 1, '-2^53': -(2 ** 53), '2^63': 2 ** 63, '1e300': 1e300,
  smallest: Number.MIN_VALUE, largest: Number.MAX_VALUE, '0.1 + 0.2': 0.1 + 0.2,
  'empty text': '', text: 'x', 'text 5': '5', emoji: '\u{1f600}', 'lone high surrogate': '\ud800', 'lone low surrogate': 'a\udc00b',
  'nul within': 'a\0b', 'only nul': '\0',
  bom: '\ufeffx', 'text beyond Latin-1': '\u0100', 'Latin-1': '\u00ff', long: 'x'.repeat(10_000),
  bigint: 10n, 'bigint -2^63': -(2n ** 63n), 'bigint 2^64': 2n ** 64n, symbol: Symbol('s'), object: {}, array: [1, 'b'], 'empty array': [], nested: [[1], [2]],
  date: new Date(5), 'invalid date': new Date(NaN), map: new Map(), set: new Set([1]), regexp: /a/g, 'boxed text': new String('x'),
  'boxed number': new Number(3), 'boxed boolean': new Boolean(false),
  'object with toString': { toString: () => 'made' }, 'object with valueOf': { valueOf: () => 3 },
  'object with toPrimitive': { [Symbol.toPrimitive]: (hint) => hint },
  'object with throwing toString': { toString() { throw new RangeError('no text'); } }, 'no prototype': Object.create(null),
  error: new TypeError('e'), promise: Promise.resolve(1), weakmap: new WeakMap(),
  ArrayBuffer: new ArrayBuffer(2), 'empty ArrayBuffer': new ArrayBuffer(0), Uint8Array: new Uint8Array([1, 2]),
  'empty Uint8Array': new Uint8Array(), 'part of a buffer': new Uint8Array([1, 2, 3, 4]).subarray(1, 3),
  Int8Array: new Int8Array([-1]), Uint8ClampedArray: new Uint8ClampedArray([300]), Int16Array: new Int16Array([-2]),
  Uint16Array: new Uint16Array([1, 2]), Int32Array: new Int32Array([-3]), Uint32Array: new Uint32Array([2 ** 32 - 1]),
  Float32Array: new Float32Array([1.5]), Float64Array: new Float64Array([1]), BigInt64Array: new BigInt64Array([-1n]),
  BigUint64Array: new BigUint64Array([1n]), DataView: new DataView(new ArrayBuffer(3), 1),
  'resizable buffer': resizable(2, 8), 'view of a resizable buffer': new Uint8Array(resizable(3, 8)),
  'part of a resizable buffer': new Uint8Array(resizable(4, 8), 1, 2),
  SharedArrayBuffer: typeof SharedArrayBuffer === 'undefined' ? null : new Uint8Array(new SharedArrayBuffer(2)).fill(5).buffer,
  'view of a SharedArrayBuffer': typeof SharedArrayBuffer === 'undefined' ? null : new Uint8Array(new SharedArrayBuffer(3), 1).fill(7),
};

program.inObject('bound', ({ check, sql }) => {
  for (const [label, value] of Object.entries(bindings))
    check(label, () => sql.exec('SELECT ?1 AS value, typeof(?1) AS type', value).one());
});

program.inObject('stored', ({ check, sql }) => {
  sql.exec('CREATE TABLE plain (a); CREATE TABLE typed (i INTEGER, r REAL, t TEXT, b BLOB, n NUMERIC)');
  for (const label of ['null', 'true', 'zero', '-0', 'one', 'NaN', 'Infinity', '1.5', '2^53', '2^63', 'empty text', 'text', 'text 5', 'nul within', 'lone high surrogate', 'Uint8Array', 'empty ArrayBuffer']) {
    const value = bindings[label];
    check(`${label}, in a column without type`, () => sql.exec('INSERT INTO plain VALUES (?) RETURNING a, typeof(a) AS type', value).one());
    check(`${label}, in typed columns`, () => sql.exec('INSERT INTO typed VALUES (?1, ?1, ?1, ?1, ?1) RETURNING *, typeof(i) AS ti, typeof(r) AS tr, typeof(t) AS tt, typeof(b) AS tb, typeof(n) AS tn', value).one());
  }
});

program.inObject('placeholders', ({ check, sql }) => {
  const tries = [
    ['SELECT ? AS a'], ['SELECT ? AS a', 1], ['SELECT ? AS a', 1, 2], ['SELECT 1 AS a', 1], ['SELECT 1 AS a', undefined],
    ['SELECT ?, ?', 1], ['SELECT ?1 AS a, ?1 AS b', 1], ['SELECT ?2 AS a', 1, 2], ['SELECT ?2 AS a', 1],
    ['SELECT ?5 AS a', 1, 2, 3, 4, 5], ['SELECT :a AS a', 1], ['SELECT @a AS a', 1], ['SELECT $a AS a', 1], ['SELECT $a::b(c) AS a', 1],
    ['SELECT :a AS a, :a AS b', 1], ['SELECT :a AS a, ? AS b, ?1 AS c', 1, 2],
    ['SELECT :a AS a', { a: 1 }], ['SELECT ?0'], ['SELECT ?100 AS a', ...Array(100).fill(7)], ['SELECT ?101', 1],
    ['SELECT ?99999999999', 1], ["SELECT '?' AS a"], ['SELECT "?" FROM (SELECT 1 AS "?")'], ['SELECT 1 -- ?'], ['SELECT /* ? */ 1'],
    ['SELECT ?', [1]], ['SELECT ?, ?', [1, 2]],
  ];
  for (const [query, ...values] of tries)
    check(`${query} with ${values.length > 5 ? values.length : JSON.stringify(values)}`, () => sql.exec(query, ...values).toArray());
});

program.inObject('results', ({ check, sql }) => {
  const expressions = [
    '0', '-1', '1.0', '1.5', '-0.0', '9007199254740991', '9007199254740992', '9007199254740993', '-9007199254740993', '9223372036854775807',
    '-9223372036854775808', '9223372036854775807 + 1', '1e400', '-1e400', '1e308 * 10', '0x10', '1_000',
    '1 / 0', '1 / 2', '1 % 0', '5.0 / 2', '2147483648', '4294967296', "''", "'x'", "x''", "x'00ff'", 'NULL', "cast(x'ff' AS TEXT)",
    "cast(x'41004a' AS TEXT)", "'a' || char(0) || 'b'", "char(55296)", "char(128512)", "cast('12abc' AS INTEGER)", "cast('1.5' AS REAL)",
    'cast(1.9 AS INTEGER)',
    '1 = 1', 'true', 'false', 'NOT 1', "'a' = 'A'", "'a' < 'B'", "x'41' = 'A'", '1 IS NULL', "CAST(5 AS TEXT)", "typeof(1.0)",
    "zeroblob(3)", "hex(x'0aff')", "quote('it''s')", "quote(x'01')", "instr('abc','c')", "length('\u{1f600}')", "length(x'0102')",
    "substr('h\u00e9llo', 2, 1)", "upper('\u00e9')", "unicode('\u{1f600}')", "round(2.5)", "abs(-5)", "max(1, 'a')", "min(NULL, 1)",
    "iif(0, 1, 2)", "nullif(1, 1)", "coalesce(NULL, 2)", "printf('%5.2f|%s|%d', 1.005, 'x', 7)", "replace('aaa','a','b')", "trim('  x ')",
    "random() IS NOT NULL", "typeof(random())", "sum(1)", "total(1)", "avg(2)", "group_concat('x')", "count(*)",
  ];
  for (const expression of expressions) check(expression, () => sql.exec(`SELECT ${expression} AS value`).one().value);
  check('a row', () => sql.exec('SELECT 1 AS a, 2.5 AS b, \'x\' AS c, x\'01\' AS d, NULL AS e').one());
  check('a blob is a new buffer each time', () => {
    const [first, second] = sql.exec("SELECT x'01' AS a UNION ALL SELECT x'01'").toArray();
    new Uint8Array(first.a)[0] = 9;
    return [second.a, first.a.constructor.name, Object.prototype.toString.call(first.a)];
  });
  check('changing what was bound changes nothing', () => {
    const bytes = new Uint8Array([1]);
    sql.exec('CREATE TABLE copy (a)');
    sql.exec('INSERT INTO copy VALUES (?)', bytes);
    bytes[0] = 2;
    return sql.exec('SELECT a FROM copy').one();
  });
});

program.inObject('columns', ({ check, sql }) => {
  check('a blob in a column named __proto__', () => Object.getPrototypeOf(sql.exec(`SELECT x'01' AS "__proto__"`).one()) instanceof ArrayBuffer);
  const queries = [
    'SELECT 1', 'SELECT 1 + 1', 'SELECT 1 AS a, 2 AS a, 3 AS b', 'SELECT 1 AS ""', 'SELECT 1 AS "a b"', 'SELECT 1 AS "__proto__"', 'SELECT NULL AS "__proto__", 2 AS b',
    `SELECT 1 AS a, 'x' AS "__proto__", 2 AS "__proto__"`,
    'SELECT 1 AS "constructor"', 'SELECT 1 AS "1", 2 AS "0", 3 AS z', 'SELECT 1 AS "\u00e9"', "SELECT 1 AS '\u{1f600}'", "SELECT 'x'",
    "SELECT 'x' AS 'y'", 'SELECT (SELECT 2)', 'SELECT a FROM (SELECT 1 AS a)', 'SELECT x.a FROM (SELECT 1 AS a) AS x',
    'SELECT * FROM (SELECT 1 AS a), (SELECT 2 AS a)', 'SELECT x.*, y.* FROM (SELECT 1 AS a) x, (SELECT 2 AS b) y', 'VALUES (1, 2)',
    'SELECT COUNT(*), max(1)', 'SELECT 1 AS toString', 'SELECT 1 AS [b c], 2 AS `d`', 'SELECT 1 AS "length"',
  ];
  for (const query of queries) {
    check(`${query}, names`, () => sql.exec(query).columnNames);
    check(`${query}, rows`, () => sql.exec(query).toArray());
    check(`${query}, raw`, () => [...sql.exec(query).raw()]);
  }
  check('prototype of a row', () => Object.getPrototypeOf(sql.exec('SELECT 1 AS a').one()) === Object.prototype);
  check('members of a row', () => Object.getOwnPropertyDescriptor(sql.exec('SELECT 1 AS a').one(), 'a'));
  check('100 columns', () => Object.keys(sql.exec(`SELECT ${Array.from({ length: 100 }, (_, i) => `${i} AS c${i}`).join()}`).one()).length);
});

export default program.worker;
