// ctx.storage.sql. The words of the errors are workerd's.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { build } from 'esbuild';
import { root } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';

const lab = await startLab({ after });

/** Runs each query in one object, in order; the rows, or the error as text. */
const runAll = (name, queries) =>
  lab.object(name, ({ sql, attempt }, queries) => queries.map(([query, ...bindings]) => attempt(() => sql.exec(query, ...bindings).toArray())), queries);

const bytes = (...values) => new Uint8Array(values).buffer;

test('bindings and results', async () => {
  const dateText = String(new Date(5));
  const values = [
    // what is bound, what comes back, its type in SQLite
    [null, null, 'null'],
    [undefined, null, 'null'],
    [NaN, null, 'null'],
    [1, 1, 'real'],
    [-0, -0, 'real'],
    [1.5e300, 1.5e300, 'real'],
    [Infinity, Infinity, 'real'],
    [2 ** 53, 2 ** 53, 'real'],
    ['', '', 'text'],
    ['plain', 'plain', 'text'],
    ['x'.repeat(5000), 'x'.repeat(5000), 'text'],
    ['é😀', 'é😀', 'text'],
    ['a\0b', 'a\0b', 'text'],
    ['\ud800', '\ufffd\ufffd\ufffd', 'text'],
    [true, 'true', 'text'],
    [false, 'false', 'text'],
    [[1], '1', 'text'],
    [new Date(5), dateText, 'text'],
    [new Uint8Array([1, 2, 3]).subarray(1), bytes(2, 3), 'blob'],
    [bytes(1), bytes(1), 'blob'],
    [new Float64Array([1]), bytes(0, 0, 0, 0, 0, 0, 240, 63), 'blob'],
    [new DataView(bytes(9)), bytes(9), 'blob'],
    [new Uint8Array(), bytes(), 'blob'],
  ];
  for (const [value, back, type] of values) {
    const row = await lab.object('bind', ({ sql }, value) => sql.exec('SELECT ?1 AS v, typeof(?1) AS t', value).one(), value);
    assert.deepEqual(row, { v: back, t: type });
  }
  const many = Array.from({ length: 100 }, (_, i) => (i % 2 ? i : 'text '.repeat(i)));
  const marks = many.map(() => '?').join();
  assert.deepEqual(await lab.object('bind', ({ sql }, marks, many) => [...sql.exec(`SELECT ${marks}`, ...many).raw()][0], marks, many), many);
  const errors = await lab.object('bind', ({ sql, attempt }) => [
    attempt(() => sql.exec('SELECT ?', 10n)),
    attempt(() => sql.exec('SELECT ?', Symbol('s'))),
    attempt(() => sql.exec()),
    attempt(() => sql.exec(Symbol('x'))),
    sql.exec(['SELECT 1 AS a']).toArray(),
    sql.exec('SELECT ?, ?', { toString() { sql.exec('SELECT 1, 2, ?', 'nested').toArray(); return 'x'; } }, 'y').raw().toArray(),
  ]);
  assert.deepEqual(errors, [
    'TypeError: Cannot convert a BigInt value to a number',
    'TypeError: Cannot convert a Symbol value to a string',
    "TypeError: Failed to execute 'exec' on 'SqlStorage': parameter 1 is not of type 'String'.",
    'TypeError: Cannot convert a Symbol value to a string',
    [{ a: 1 }],
    [['x', 'y']],
  ]);
});

test('numbers, names and order of columns', async () => {
  const rows = await runAll('columns', [
    ['SELECT 9007199254740993 AS a, 9223372036854775807 AS b, -9223372036854775808 AS c, 1e400 AS d, 1.0 AS e'],
    ["SELECT x'00ff' AS b, x'' AS empty, cast(x'ff' AS text) AS t"],
    ['SELECT 1 AS a, 2 AS a, 3 AS b'],
    ['SELECT 1 AS "", 3 AS "constructor", 4 AS "0", 5 AS "a b", 6 AS "é", 7 AS "\'""];"'],
    ['SELECT ?2 AS b, ?1 AS a, :c AS c', 1, 2, 3],
    ['SELECT 1+1, count(*)'],
  ]);
  assert.deepEqual(rows, [
    [{ a: 2 ** 53, b: 2 ** 63, c: -(2 ** 63), d: Infinity, e: 1 }],
    [{ b: bytes(0, 255), empty: bytes(), t: '\ufffd' }],
    [{ a: 2, b: 3 }],
    [{ '': 1, constructor: 3, 0: 4, 'a b': 5, é: 6, '\'"];': 7 }],
    [{ b: 2, a: 1, c: 3 }],
    [{ '1+1': 2, 'count(*)': 1 }],
  ]);
  const names = await lab.object('columns', ({ sql }) => {
    sql.exec('CREATE TABLE t (a, b)');
    return [
      sql.exec('SELECT 1 AS a, 2 AS a').columnNames,
      sql.exec('SELECT 1 AS a, 2 AS a').raw().toArray(),
      sql.exec('INSERT INTO t VALUES (1, 2)').columnNames,
      sql.exec('SELECT * FROM t').columnNames,
      Object.getPrototypeOf(sql.exec('SELECT 1 AS "__proto__"').one()) === Object.prototype,
      // The table changes under a statement that was prepared before.
      (sql.exec('ALTER TABLE t ADD COLUMN c DEFAULT 3'), sql.exec('SELECT * FROM t').columnNames),
      sql.exec('SELECT * FROM t').toArray(),
      (sql.exec('ALTER TABLE t RENAME COLUMN a TO z'), sql.exec('ALTER TABLE t DROP COLUMN b'), sql.exec('SELECT * FROM t').toArray()),
    ];
  });
  assert.deepEqual(names, [['a', 'a'], [[1, 2]], [], ['a', 'b'], true, ['a', 'b', 'c'], [{ a: 1, b: 2, c: 3 }], [{ z: 1, c: 3 }]]);
});

test('cursors', async () => {
  const results = await lab.object('cursor', ({ sql, attempt }) => {
    const three = () => sql.exec('WITH n(a) AS (VALUES (1), (2), (3)) SELECT a FROM n');
    const take = (count, cursor) => (Array.from({ length: count }, () => cursor.next()), cursor);
    const broken = three();
    for (const row of broken) if (row.a === 1) break;
    return {
      array: three().toArray(),
      iterated: [...three()],
      raw: [[...three().raw()], three().raw().toArray(), take(1, three()).raw().toArray()],
      one: [three, () => take(1, three()), () => take(2, three()), () => take(3, three())].map((open) => attempt(() => open().one())),
      next: Array.from({ length: 5 }, ((cursor) => () => cursor.next())(three())),
      both: (() => { const c = three(); const r = c.raw(); return [r.next(), c.next(), r.next(), c.next(), r.next()]; })(),
      drained: (() => { const c = three(); c.toArray(); return [c.toArray(), c.next(), [...c.raw()]]; })(),
      broken: broken.toArray(),
    };
  });
  const done = { done: true, value: undefined };
  const multiple = 'Error: Expected exactly one result from SQL query, but got multiple results.';
  assert.deepEqual(results, {
    array: [{ a: 1 }, { a: 2 }, { a: 3 }],
    iterated: [{ a: 1 }, { a: 2 }, { a: 3 }],
    raw: [[[1], [2], [3]], [[1], [2], [3]], [[2], [3]]],
    one: [multiple, multiple, { a: 3 }, 'Error: Expected exactly one result from SQL query, but got no results.'],
    next: [{ done: false, value: { a: 1 } }, { done: false, value: { a: 2 } }, { done: false, value: { a: 3 } }, done, done],
    both: [{ done: false, value: [1] }, { done: false, value: { a: 2 } }, { done: false, value: [3] }, done, done],
    drained: [[], done, []],
    broken: [{ a: 2 }, { a: 3 }],
  });
});

test('long results, wide results, and cursors that are open at the same time', async () => {
  const results = await lab.object('open', async ({ sql, kv, storage, attempt }) => {
    sql.exec('CREATE TABLE t (a INTEGER PRIMARY KEY, text, data)');
    for (let i = 0; i < 1000; i++) sql.exec('INSERT INTO t VALUES (?, ?, ?)', i, i % 3 ? `row ${i}` : `é${'x'.repeat(i)}`, i % 7 ? null : new Uint8Array([i]));
    const query = 'SELECT * FROM t';
    const all = sql.exec(query).toArray();
    const right = all.every((row, i) => row.a === i && row.text === (i % 3 ? `row ${i}` : `é${'x'.repeat(i)}`) && (i % 7 ? row.data === null : new Uint8Array(row.data)[0] === i % 256));
    const one = sql.exec(query);
    const two = sql.exec(query);
    const interleaved = all.every(({ a }) => one.next().value.a === a && two.next().value.a === a);
    const kept = sql.exec('SELECT a FROM t');
    kept.next();
    await null; // commits
    kv.put('k', 1);
    await storage.put('l', 2);
    sql.exec('INSERT INTO t (a) VALUES (1000)');
    const rest = kept.toArray().length;
    const wide = sql.exec(`SELECT ${Array.from({ length: 100 }, (_, i) => `a AS c${i}`)} FROM t`).toArray();
    const dropped = sql.exec(query);
    dropped.next();
    const drop = attempt(() => sql.exec('DROP TABLE t'));
    dropped.toArray();
    const rolledBack = sql.exec(query);
    rolledBack.next();
    attempt(() => storage.transactionSync(() => { sql.exec('INSERT INTO t (a) VALUES (2000)'); throw new Error('x'); }));
    return {
      right, length: all.length, interleaved, rest,
      wide: [wide.length, Object.keys(wide[999]).length, wide[999].c99],
      drop,
      rolledBack: attempt(() => rolledBack.toArray().length),
      count: sql.exec('SELECT count(*) AS n FROM t').one().n,
    };
  });
  assert.deepEqual(results, {
    right: true, length: 1000, interleaved: true, rest: 1000, wide: [1001, 100, 999],
    drop: 'Error: database table is locked: SQLITE_LOCKED', rolledBack: 1000, count: 1001,
  });
});

test('rows read and written, as workerd counts them', async () => {
  // [query, counts before the first row was taken, counts at the end]; the numbers are workerd's.
  const counts = [
    ['CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT UNIQUE, c)', [1, 3], [1, 3]],
    ["INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2), (3, NULL, 3)", [3, 6], [3, 6]],
    ['SELECT * FROM t', [1, 0], [3, 0]],
    ['SELECT * FROM t WHERE a = 1', [1, 0], [1, 0]],
    ['SELECT * FROM t WHERE a = 100', [1, 0], [1, 0]],
    ["SELECT * FROM t WHERE b = 'x'", [1, 0], [1, 0]],
    ["SELECT * FROM t WHERE b = 'nope'", [0, 0], [0, 0]],
    ['SELECT * FROM t WHERE b > \'zzz\'', [1, 0], [1, 0]],
    ['SELECT * FROM t ORDER BY c DESC', [4, 0], [6, 0]],
    ['SELECT * FROM t LIMIT 1', [1, 0], [1, 0]],
    ['SELECT count(*) FROM t', [3, 0], [3, 0]],
    ['SELECT max(a) FROM t', [1, 0], [1, 0]],
    ['SELECT 1', [0, 0], [0, 0]],
    ['SELECT * FROM t x, t y', [2, 0], [12, 0]],
    ['WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n', [1, 0], [6, 0]],
    ["SELECT * FROM json_each('[1,2,3]')", [0, 0], [3, 0]],
    ["INSERT OR IGNORE INTO t VALUES (1, 'z', 0)", [1, 0], [1, 0]],
    ["INSERT INTO t VALUES (1, 'z', 0) ON CONFLICT (a) DO UPDATE SET b = 'z'", [1, 2], [1, 2]],
    ["INSERT INTO t (b) VALUES ('r'), ('s'), ('q') RETURNING a", [4, 6], [6, 6]],
    ['UPDATE t SET c = c + 1', [6, 6], [6, 6]],
    ["UPDATE t SET b = b || '!'", [6, 12], [6, 12]],
    ['SELECT 1; SELECT * FROM t WHERE a > 4', [1, 0], [2, 0]],
    ['DELETE FROM t WHERE a > 4', [2, 2], [2, 2]],
    ['DELETE FROM t', [0, 4], [0, 4]],
    ['CREATE VIRTUAL TABLE f USING fts5(x)', [1, 2], [1, 2]],
    ["INSERT INTO f VALUES ('a b'), ('b')", [0, 2], [0, 2]],
    ["SELECT * FROM f WHERE f MATCH 'b'", [0, 0], [2, 0]],
    ['PRAGMA table_info(t)', [0, 0], [0, 0]],
  ];
  const found = await lab.object('counts', ({ sql }, queries) =>
    queries.map((query) => {
      const cursor = sql.exec(query);
      const start = [cursor.rowsRead, cursor.rowsWritten];
      cursor.toArray();
      return [query, start, [cursor.rowsRead, cursor.rowsWritten]];
    }), counts.map(([query]) => query));
  for (const [i, expected] of counts.entries()) assert.deepEqual(found[i], expected);
  const steps = await lab.object('counts', ({ sql }) => {
    const each = (cursor, between = () => {}) => {
      const seen = [cursor.rowsRead];
      while (!cursor.next().done) { between(); seen.push(cursor.rowsRead); }
      return seen;
    };
    const numbers = 'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)';
    sql.exec(`${numbers} INSERT INTO t SELECT i, i, i FROM n`);
    const returned = sql.exec('UPDATE t SET c = 0 WHERE a < 40 RETURNING a');
    return {
      few: each(sql.exec('SELECT a FROM t LIMIT 4')),
      interrupted: each(sql.exec('SELECT a FROM t LIMIT 4'), () => sql.exec('SELECT * FROM t LIMIT 100').next()),
      // Over the batches in which rows are fetched.
      many: each(sql.exec('SELECT a FROM t'), () => sql.exec('SELECT 1').one()).every((read, i) => read === Math.min(i + 1, 600)),
      returned: [returned.rowsRead, ...each(returned).slice(-2)],
      again: [0, 1].map(() => { const cursor = sql.exec('SELECT * FROM t WHERE a = ?', 5); cursor.one(); return cursor.rowsRead; }),
    };
  });
  assert.deepEqual(steps, { few: [1, 2, 3, 4, 4], interrupted: [1, 2, 3, 4, 4], many: true, returned: [119, 157, 157], again: [1, 1] });
});

test('prepared statements: called as in workerd, and with values bound ahead', async () => {
  const results = await lab.object('prepare', ({ sql, attempt }) => {
    sql.prepare('CREATE TABLE users (id INTEGER PRIMARY KEY, name)').run();
    const insert = sql.prepare('INSERT INTO users (name) VALUES (?)');
    const select = sql.prepare('SELECT * FROM users WHERE id >= ? ORDER BY id');
    const { rowsRead, rowsWritten } = insert.bind('Alice').run();
    return {
      counts: { rowsRead, rowsWritten },
      chained: insert.bind('Bob') === insert && insert().toArray(),
      called: [insert('Carol').rowsWritten, insert().rowsWritten],
      all: select.bind(2).all(),
      raw: select.bind(3).raw(),
      first: [select.first(), select.bind(1).first('name'), select.bind(99).first(), select.bind(99).first('name')],
      twice: (() => { const one = select(1); const two = select(2); return [one.next().value.id, two.next().value.id, one.next().value.id]; })(),
      errors: [
        attempt(() => select.bind(1).first('nope')),
        attempt(() => select.bind().all()),
        attempt(() => insert('a', 'b')),
        attempt(() => sql.prepare()),
        attempt(() => sql.prepare('SELEC')()),
        attempt(() => new sql.Statement()),
        attempt(() => new sql.Cursor()),
        attempt(() => (0, sql.exec)('SELECT 1')).slice(0, 60),
      ],
      looks: [typeof insert, String(insert), insert instanceof sql.Statement, sql.exec('SELECT 1').constructor === sql.Cursor, sql.Cursor.name, Object.getOwnPropertyNames(insert)],
      iterators: [String(sql.exec('SELECT 1')[Symbol.iterator]()), String(sql.exec('SELECT 1').raw())],
      lazy: typeof sql.prepare('SELEC'),
    };
  });
  const bob = { id: 2, name: 'Bob' };
  assert.deepEqual(results, {
    counts: { rowsRead: 0, rowsWritten: 1 },
    chained: [],
    called: [1, 1],
    all: [bob, { id: 3, name: 'Carol' }, { id: 4, name: 'Bob' }],
    raw: [[3, 'Carol'], [4, 'Bob']],
    first: [{ id: 3, name: 'Carol' }, 'Alice', null, null],
    twice: [1, 2, 2],
    errors: [
      'TypeError: The result has no column "nope".',
      'Error: Wrong number of parameter bindings for SQL query.',
      'Error: Wrong number of parameter bindings for SQL query.',
      "TypeError: Failed to execute 'prepare' on 'SqlStorage': parameter 1 is not of type 'String'.",
      'Error: near "SELEC": syntax error at offset 0: SQLITE_ERROR',
      'TypeError: Illegal constructor',
      'TypeError: Illegal constructor',
      'TypeError: Illegal invocation: function called with incorrec',
    ],
    looks: ['function', '[object Statement]', true, true, 'Cursor', []],
    iterators: ['[object RowIterator]', '[object RawIterator]'],
    lazy: 'function',
  });
});

test('ingest runs what is complete of a script', async () => {
  const results = await lab.object('ingest', async ({ sql, attempt }) => {
    const done = (script) => attempt(() => sql.ingest(script));
    return [
      done('CREATE TABLE x (a); INSERT INTO x VALUES (1); INSERT INTO x VALUES (2); SELEC'),
      done(''), done('SELECT 1'), done('SELECT 1;  \n'), done('-- comment'), done("SELECT 'é😀'; SEL é"),
      done('SELEC 1;'), done('INSERT INTO x VALUES (3); SELEC 1;'), done('INSERT INTO x va; SELECT 1;'), done('INSERT INTO x VALUES (?);'),
      done('-- comment\n; SELECT 1;'), done('BEGIN;').slice(0, 40), attempt(() => sql.ingest()),
      done("INSERT INTO x VALUES ('a;b'); CREATE TRIGGER t AFTER DELETE ON x BEGIN SELECT 1; SELECT 2; END; DELETE"),
      done('CREATE TRIGGER u AFTER DELETE ON x BEGIN SELECT 1; SELECT'),
      done(`INSERT INTO x VALUES ('${'y;'.repeat(20_000)}'); SEL`),
      done('INSERT INTO x VALUES (4);'.repeat(6000)),
      done(`INSERT INTO x VALUES ('${'y'.repeat(150_000)}`).remainder.length,
      sql.exec('SELECT count(*) AS n FROM x').one().n,
    ];
  });
  const outcome = (statementCount, rowsRead, rowsWritten, remainder) => ({ remainder, rowsRead, rowsWritten, statementCount });
  assert.deepEqual(results, [
    outcome(3, 1, 4, ' SELEC'),
    outcome(0, 0, 0, ''), outcome(0, 0, 0, 'SELECT 1'), outcome(1, 0, 0, '  \n'), outcome(0, 0, 0, '-- comment'), outcome(1, 0, 0, ' SEL é'),
    'Error: near "SELEC": syntax error at offset 0: SQLITE_ERROR',
    'Error: near "SELEC": syntax error at offset 1: SQLITE_ERROR',
    'Error: near "va": syntax error at offset 14: SQLITE_ERROR',
    'Error: Wrong number of parameter bindings for SQL query.',
    'Error: SQL code did not contain a statement.',
    'Error: To execute a transaction, please ',
    "TypeError: Failed to execute 'ingest' on 'SqlStorage': parameter 1 is not of type 'string'.",
    outcome(2, 0, 2, ' DELETE'),
    outcome(0, 0, 0, 'CREATE TRIGGER u AFTER DELETE ON x BEGIN SELECT 1; SELECT'),
    outcome(1, 0, 1, ' SEL'),
    outcome(6000, 0, 6000, ''),
    150_023,
    6005,
  ]);
});

test('a row that fails takes the place of the one before it, and the cursor ends there', async () => {
  const results = await lab.object('fails', ({ sql, attempt }) => {
    const query = (good) => `SELECT json(column1) AS j FROM (VALUES ${[...Array(good).fill("('1')"), "('{')", "('2')"]})`;
    const take = (cursor) => { const rows = []; return [attempt(() => { for (const row of cursor) rows.push(row.j); }), rows.length, cursor.next().done]; };
    return [attempt(() => sql.exec(query(0))), ...[1, 2, 15, 16, 17, 300].map((good) => take(sql.exec(query(good))))];
  });
  const malformed = 'Error: malformed JSON: SQLITE_ERROR';
  // The 17th row is the first of a batch, which nobody has looked at when the 16th is taken.
  assert.deepEqual(results, [malformed, ...[0, 1, 14, 16, 16, 299].map((rows) => [malformed, rows, true])]);
});

test('a long result is in memory one batch at a time', async (t) => {
  const own = await startLab(t);
  const { bytes, sum } = await own.object('million', ({ sql }) => {
    const rows = 'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100000) SELECT i, hex(zeroblob(100)) AS text FROM n';
    let sum = 0;
    let most = 0;
    const before = process.memoryUsage().rss;
    for (const { i } of sql.exec(rows)) {
      sum += 1;
      if (i % 50_000 === 0) most = Math.max(most, process.memoryUsage().rss);
    }
    return { bytes: most - before, sum };
  });
  assert.equal(sum, 1_100_000);
  // All rows would be 220 MB of text alone; what the collector has not got to yet is far less.
  assert.ok(bytes < 120e6, `${bytes} bytes more`);
});

test('a write that returns rows has happened when exec() returns', async () => {
  const counts = await lab.object('returning', async ({ sql }) => {
    sql.exec('CREATE TABLE t (a)');
    const cursor = sql.exec('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO t SELECT i FROM n RETURNING a');
    const there = sql.exec('SELECT count(*) AS n FROM t').one().n;
    cursor.next();
    await new Promise((resolve) => setTimeout(resolve, 5)); // commits
    return [there, cursor.toArray().length, sql.exec('INSERT INTO t VALUES (?) RETURNING a, a + 1 AS b', 5).one()];
  });
  assert.deepEqual(counts, [1000, 999, { a: 5, b: 6 }]);
});

test('what RETURNING gives is held in batches, up to a limit', async (t) => {
  const own = await startLab(t);
  const numbers = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)';
  const result = await own.object('many', async ({ sql }, numbers) => {
    sql.exec('CREATE TABLE t (a, b)');
    const start = performance.now();
    let sum = 0;
    for (const { a } of sql.exec(`${numbers} INSERT INTO t SELECT i, 'text' FROM n RETURNING a, b, a + 1, a + 2`, 200_000)) sum += a;
    return { sum, slow: performance.now() - start > 20_000 };
  }, numbers);
  assert.deepEqual(result, { sum: 200_000 * 200_001 / 2, slow: false });
  const tooMuch = () => own.object('too much', ({ sql, attempt }, numbers) => {
    sql.exec('CREATE TABLE IF NOT EXISTS t (a)');
    return attempt(() => sql.exec(`${numbers} INSERT INTO t SELECT i FROM n RETURNING zeroblob(1048576)`, 300));
  }, numbers);
  await assert.rejects(tooMuch, /^Error: The rows that a single statement returned with RETURNING are larger than 256 MiB; its transaction was rolled back\. Write fewer rows at a time: SQLITE_TOOBIG$/);
  const left = await own.object('too much', ({ sql }) => sql.exec("SELECT name FROM sqlite_master WHERE type = 'table'").toArray());
  assert.deepEqual(left, []);
});

test('renaming a table to a name of the engine is refused and undone', async () => {
  const refused = 'Error: not authorized: SQLITE_AUTH';
  const results = await runAll('rename', [
    ['CREATE TABLE ""(a); CREATE TABLE "a""b"(a); CREATE TRIGGER spy AFTER INSERT ON "" BEGIN INSERT INTO "a""b" VALUES (new.a); END'],
    ['ALTER TABLE "" RENAME TO _cf_x'],
    ['SELECT 1; ALTER TABLE "" RENAME TO _cf_KV; SELECT 2'],
    ['ALTER TABLE "a""b" RENAME TO "_CF_x"'],
    ['INSERT INTO "" VALUES (5)'],
    ['ALTER TABLE "a""b" RENAME TO b'],
    ['ALTER TABLE b RENAME COLUMN a TO _cf_a'],
    ['SELECT * FROM b'],
    ["SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"],
  ]);
  assert.deepEqual(results, [[], refused, refused, refused, [], [], [], [{ _cf_a: 5 }], [{ name: '' }, { name: 'b' }]]);
});

test('the statements that stay prepared are those that were used last; none is lost', async () => {
  const { outputFiles } = await build({ entryPoints: [join(root, 'js/src/runtime/sql.ts')], bundle: true, write: false, format: 'esm', platform: 'node' });
  const { SqlEngine } = await import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);
  const prepared = [];
  const finalized = [];
  const exchange = { header: new Int32Array(16), kinds: [], numbers: [] };
  const native = {
    prepare: (slot, query) => [prepared.push(query) - 1, 0, false, true],
    run: () => { exchange.header.set([0, 1, 0, 0]); },
    finalize: (id) => finalized.push(prepared[id]),
  };
  const engine = new SqlEngine({ slot: 0, native, exchange, alive: true, check() {}, began() {}, failed() {} });
  for (let i = 0; i < 5000; i++) {
    engine.exec(`SELECT ${i}`, []);
    engine.exec('hot', []);
    if (i < 900) engine.exec('warm', []);
  }
  assert.equal(prepared.filter((query) => query === 'hot').length, 1);
  assert.deepEqual([finalized.includes('hot'), finalized.includes('warm')], [false, true]);
  assert.ok(prepared.length - finalized.length <= 1000);
  // In the order of their last use.
  assert.deepEqual(finalized.filter((query) => query !== 'warm'), Array.from({ length: finalized.length - 1 }, (_, i) => `SELECT ${i}`));
  // What is used once, because its text came with another statement or is in use, goes even when it cannot be bound.
  const stay = prepared.length - finalized.length;
  native.prepare = (slot, query) => [prepared.push(query) - 1, 1, false, false];
  assert.throws(() => engine.exec('SELECT 1; SELECT ?', [1n]), /BigInt/);
  assert.throws(() => engine.exec('SELECT 1; SELECT ?', [1, 2]), /Wrong number/);
  assert.equal(prepared.length - finalized.length, stay);
  native.prepare = (slot, query) => [prepared.push(query) - 1, 0, false, true];
  const long = 'x'.repeat(300_000);
  for (let i = 0; i < 10; i++) engine.exec(`${i}${long}`, []);
  assert.ok(prepared.filter((query) => !finalized.includes(query)).join('').length <= 1 << 20);
});

test('cursors that nobody holds any more do not keep their statements', async () => {
  const done = await lab.object('abandoned', async ({ sql }) => {
    sql.exec('CREATE TABLE t (a)');
    for (let i = 0; i < 100; i++) sql.exec('INSERT INTO t VALUES (?)', i);
    for (let i = 0; i < 2000; i++) sql.exec('SELECT * FROM t').next();
    for (let i = 0; i < 2000; i++) sql.exec(`SELECT ${i} AS a, '${'x'.repeat(2000)}'`).one();
    await new Promise((resolve) => setTimeout(resolve, 10));
    return sql.exec('SELECT count(*) AS n FROM t').one().n;
  });
  assert.equal(done, 100);
});

test('several statements: all run, bindings go to the last, its cursor comes back', async () => {
  const noStatement = 'Error: SQL code did not contain a statement.';
  const onlyLast = 'Error: When executing multiple SQL statements in a single call, only the last statement can have parameters.';
  const results = await runAll('several', [
    ['CREATE TABLE t (a); INSERT INTO t VALUES (1); SELECT * FROM t'],
    ['INSERT INTO t VALUES (2); SELECT a FROM t WHERE a > ?;\n', 1],
    ['INSERT INTO t VALUES (?); SELECT 1', 5],
    ['INSERT INTO t VALUES (3); SELEC'],
    ['SELECT count(*) AS n FROM t'],
    [''], ['  '], ['-- comment'], ['/* c */'], [';'], [';;SELECT 1;;'], ['SELECT 1; -- comment'], ['SELECT 1\0'],
    ['SELECT 1 AS a;'],
    ['/* before */ SELECT 2 AS a -- behind'],
  ]);
  assert.deepEqual(results, [
    [{ a: 1 }],
    [{ a: 2 }],
    onlyLast,
    'Error: near "SELEC": syntax error at offset 0: SQLITE_ERROR',
    [{ n: 3 }],
    noStatement, noStatement, noStatement, noStatement, noStatement, noStatement, noStatement, noStatement,
    [{ a: 1 }],
    [{ a: 2 }],
  ]);
});

test('errors', async () => {
  const constraint = (text, kind) => `${text}: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_${kind})`;
  await runAll('errors', [
    ['CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT UNIQUE, c CHECK (c > 0), d NOT NULL DEFAULT 0); INSERT INTO t (a, b) VALUES (1, 1)'],
    ['CREATE TABLE child (a REFERENCES t (a))'],
    ['CREATE TABLE strict (a INT) STRICT'],
  ]);
  const wrongCount = 'Wrong number of parameter bindings for SQL query.';
  const mistakes = [
    ['SELEC 1', 'near "SELEC": syntax error at offset 0: SQLITE_ERROR'],
    ['SELECT * FROM nope', 'no such table: nope: SQLITE_ERROR'],
    ['SELECT nope FROM t', 'no such column: nope at offset 7: SQLITE_ERROR'],
    ['SELECT nope(1)', 'no such function: nope at offset 7: SQLITE_ERROR'],
    ['SELECT "a', 'unrecognized token: ""a" at offset 7: SQLITE_ERROR'],
    ['SELECT (', 'incomplete input: SQLITE_ERROR'],
    ["SELECT json('{')", 'malformed JSON: SQLITE_ERROR'],
    ['SELECT abs(-9223372036854775808)', 'integer overflow: SQLITE_ERROR'],
    ['CREATE TABLE t (a)', 'table t already exists at offset 13: SQLITE_ERROR'],
    ['INSERT INTO t (a) VALUES (1)', constraint('UNIQUE constraint failed: t.a', 'PRIMARYKEY')],
    ['INSERT INTO t (b) VALUES (1)', constraint('UNIQUE constraint failed: t.b', 'UNIQUE')],
    ['INSERT INTO t (c) VALUES (0)', constraint('CHECK constraint failed: c > 0', 'CHECK')],
    ['INSERT INTO t (d) VALUES (NULL)', constraint('NOT NULL constraint failed: t.d', 'NOTNULL')],
    ['INSERT INTO child VALUES (9)', constraint('FOREIGN KEY constraint failed', 'FOREIGNKEY')],
    ["INSERT INTO strict VALUES ('x')", constraint('cannot store TEXT value in INT column strict.a', 'DATATYPE')],
    ['SELECT ?', wrongCount],
    ['SELECT 1', wrongCount, 1],
    ['SELECT ?101', 'variable number must be between ?1 and ?100 at offset 7: SQLITE_ERROR', 1],
    [`CREATE TABLE wide (${Array.from({ length: 101 }, (_, i) => `c${i}`)})`, 'too many columns on wide: SQLITE_ERROR'],
    ["SELECT 'a' LIKE ?", 'LIKE or GLOB pattern too complex: SQLITE_ERROR', 'a'.repeat(51)],
  ];
  const found = await runAll('errors', mistakes.map(([query, , ...bindings]) => [query, ...bindings]));
  for (const [i, [query, message]] of mistakes.entries()) assert.equal(found[i], `Error: ${message}`, query.slice(0, 100));
  const [tooLong] = await runAll('errors', [[`SELECT '${'x'.repeat(100_000)}'`]]);
  assert.match(tooLong, /^Error: statement too long.*: SQLITE_TOOBIG$/);
  // A statement that fails is undone by itself; what came before it in the run stays.
  const left = await lab.object('errors', ({ sql, attempt }) => {
    sql.exec('INSERT INTO t (a) VALUES (10)');
    attempt(() => sql.exec('INSERT INTO t (a) VALUES (11), (12), (10)'));
    return sql.exec('SELECT a FROM t ORDER BY a').raw().toArray().flat();
  });
  assert.deepEqual(left, [1, 10]);
});

test('memory that is shared is bound as the bytes that it has', async () => {
  const results = await lab.object('shared memory', ({ sql }) => {
    const shared = new SharedArrayBuffer(3);
    new Uint8Array(shared).set([1, 2, 3]);
    return [shared, new Uint8Array(shared, 1), new DataView(shared, 2), new SharedArrayBuffer(0)].map((value) => {
      const row = sql.exec('SELECT hex(?1) AS hex, typeof(?1) AS type', value).one();
      return `${row.type} ${row.hex}`;
    });
  });
  assert.deepEqual(results, ['blob 010203', 'blob 0203', 'blob 03', 'blob ']);
});

test('what user SQL may not do', async () => {
  await lab.object('auth', ({ sql, kv }) => { kv.put('secret', 1); sql.exec('CREATE TABLE t (b)'); });
  const refused = 'Error: not authorized: SQLITE_AUTH';
  for (const query of [
    "ATTACH 'x.db' AS x", 'DETACH x', 'CREATE TABLE _cf_x (a)', 'CREATE TABLE "_CF_x" (a)', 'CREATE VIEW _cf_v AS SELECT 1', 'CREATE INDEX _cf_i ON t (b)',
    'ALTER TABLE t RENAME TO _cf_z', 'DROP TABLE _cf_KV', 'DELETE FROM _cf_KV', 'CREATE TEMP TABLE a (b)', 'PRAGMA journal_mode', 'PRAGMA synchronous=OFF',
    'PRAGMA user_version=5', 'PRAGMA writable_schema=ON', 'SELECT * FROM pragma_page_count', 'CREATE VIRTUAL TABLE d USING dbstat',
  ]) {
    assert.deepEqual(await runAll('auth', [[query]]), [refused], query);
  }
  for (const query of ['BEGIN', 'COMMIT', 'ROLLBACK', 'SAVEPOINT a', 'RELEASE a', 'END']) {
    assert.match((await runAll('auth', [[query]]))[0], /please use the state\.storage\.transaction\(\) or state\.storage\.transactionSync\(\) APIs/, query);
  }
  const others = await runAll('auth', [
    ['SELECT * FROM _cf_KV'], ['SELECT sqlite_version()'], ["VACUUM INTO '/tmp/x'"], ["SELECT readfile('/etc/passwd')"],
  ]);
  for (const text of others) assert.match(String(text), /prohibited|not authorized|cannot VACUUM|no such function|SQLITE_AUTH/);
  const extension = await runAll('auth', [["SELECT load_extension('x')"], ["SELECT LOAD_EXTENSION('x', 'y')"]]);
  assert.deepEqual(extension, Array(2).fill('Error: not authorized: SQLITE_ERROR'));
  assert.equal(await lab.object('auth', ({ kv }) => kv.get('secret')), 1);
});

test('pragmas and functions are those that workerd has', async () => {
  const refused = 'Error: not authorized: SQLITE_AUTH';
  const noFunction = (name) => `Error: not authorized to use function: ${name} at offset 7: SQLITE_ERROR`;
  assert.deepEqual(await runAll('lists', [
    ['PRAGMA recursive_triggers = t'], ['PRAGMA page_size = 512'], ['PRAGMA optimize(t)'], ['PRAGMA table_info'],
    ['SELECT power(1, 2)'], ["SELECT json_pretty('1')"], ["SELECT unistr('a')"],
    ['PRAGMA recursive_triggers = yes'], ['PRAGMA optimize(-1)'], ["SELECT length(printf('%.*c', 300000, 'x')) AS n"],
    [`SELECT 1 AS a WHERE 5 IN (${Array.from({ length: 9000 }, (_, i) => `abs(${i})`)})`],
  ]), [refused, refused, refused, refused, noFunction('power'), noFunction('json_pretty'), noFunction('unistr'), [], [], [{ n: 100_000 }], [{ a: 1 }]]);
});

test('what belongs to the platform looks like it', async () => {
  const results = await lab.object('looks', async ({ sql, storage, attempt }) => {
    const fresh = sql.databaseSize;
    sql.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)');
    const cursor = sql.exec('SELECT a FROM t');
    const errors = ['columnNames', 'rowsRead', 'rowsWritten'].map((name) => attempt(() => { cursor[name] = 1; }));
    cursor.next();
    await storage.deleteAll();
    return [
      fresh, String(sql), String(cursor), ...errors, attempt(() => { sql.databaseSize = 1; }), attempt(() => new sql.constructor()),
      cursor.columnNames === cursor.columnNames, attempt(() => cursor.toArray()),
    ];
  });
  const readOnly = (name, type) => `TypeError: Cannot assign to read only property '${name}' of object '#<${type}>'`;
  assert.deepEqual(results, [
    4096, '[object SqlStorage]', '[object Cursor]', ...['columnNames', 'rowsRead', 'rowsWritten'].map((name) => readOnly(name, 'Cursor')),
    readOnly('databaseSize', 'SqlStorage'), 'TypeError: Illegal constructor', true,
    'Error: SQLite query was canceled because the database was deleted.',
  ]);
});

test('what SQLite comes with', async () => {
  const results = await runAll('extensions', [
    ["CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES ('hello world'); SELECT x FROM f WHERE f MATCH 'hello'"],
    ['CREATE VIRTUAL TABLE r USING rtree(id, x0, x1); INSERT INTO r VALUES (1, 0, 2); SELECT id FROM r WHERE x0 < 1'],
    ["SELECT json_extract('{\"a\":1}', '$.a') AS a, '{\"a\":2}' ->> 'a' AS b, sqrt(4) AS c"],
    ['CREATE TABLE t (a PRIMARY KEY, n, twice AS (n * 2)); INSERT INTO t VALUES (1, 1) ON CONFLICT DO UPDATE SET n = n + 1 RETURNING *'],
    ['INSERT INTO t VALUES (1, 1) ON CONFLICT DO UPDATE SET n = n + 1 RETURNING *'],
    ['SELECT a, row_number() OVER (ORDER BY a) AS r FROM t'],
    ['PRAGMA foreign_keys'],
    ['PRAGMA quick_check'],
  ]);
  assert.deepEqual(results, [
    [{ x: 'hello world' }], [{ id: 1 }], [{ a: 1, b: 2, c: 2 }], [{ a: 1, n: 1, twice: 2 }], [{ a: 1, n: 2, twice: 4 }], [{ a: 1, r: 1 }],
    [{ foreign_keys: 1 }], [{ quick_check: 'ok' }],
  ]);
});

test('databaseSize and deleteAll', async () => {
  const again = await lab.object('as-new', async ({ sql, storage }) => {
    const inserted = () => {
      sql.exec('CREATE TABLE p (id INTEGER PRIMARY KEY AUTOINCREMENT); CREATE TABLE c (p REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED)');
      sql.exec('INSERT INTO c VALUES (99)');
      return sql.exec('INSERT INTO p DEFAULT VALUES RETURNING id').one().id;
    };
    const first = inserted();
    sql.exec('ANALYZE');
    await storage.deleteAll(); // while a foreign key is violated
    const left = sql.exec('SELECT name FROM sqlite_master').toArray();
    const size = sql.databaseSize;
    const second = inserted();
    await storage.deleteAll();
    return [first, left, size, second];
  });
  assert.deepEqual(again, [1, [], 4096, 1]);
  const results = await lab.object('size', async ({ sql, kv, storage, attempt }) => {
    sql.exec('CREATE TABLE t (a)');
    const created = sql.databaseSize;
    sql.exec('INSERT INTO t VALUES (zeroblob(100000))');
    const grown = sql.databaseSize;
    sql.exec('DELETE FROM t');
    const shrunk = sql.databaseSize;
    for (let i = 0; i < 1000; i++) sql.exec('INSERT INTO t VALUES (?)', i);
    kv.put('k', 1);
    const open = sql.exec('SELECT * FROM t');
    open.next();
    await storage.deleteAll();
    sql.exec('CREATE TABLE other (b)');
    return {
      sizes: [created, grown > 100_000, shrunk < 20_000],
      open: attempt(() => open.toArray()),
      left: [kv.get('k'), sql.exec("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'").raw().toArray(), (await storage.list()).size],
    };
  });
  assert.deepEqual(results, {
    sizes: [8192, true, true],
    open: 'Error: SQLite query was canceled because the database was deleted.',
    left: [undefined, [['other']], 0],
  });
});

test('a virtual table over an internal table reads nothing of it', async () => {
  const errors = await lab.object('content-table', async ({ sql, kv, attempt }) => {
    kv.put('secret', 'value');
    sql.exec("CREATE VIRTUAL TABLE peek USING fts5(key, value, content='_cf_KV', content_rowid='key')");
    return [
      await attempt(() => sql.exec('SELECT * FROM peek').toArray()),
      await attempt(() => sql.exec("INSERT INTO peek(peek) VALUES ('rebuild')").toArray()),
    ];
  });
  for (const text of errors) assert.match(String(text), /Error: .*SQLITE_(AUTH|ERROR)/);
});
