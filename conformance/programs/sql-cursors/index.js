// Cursors, alone, side by side, and while their tables change.
import { DurableObject } from 'cloudflare:workers';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
}

const fill = (sql, count = 3) => {
  sql.exec('CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)');
  for (let i = 1; i <= count; i++) sql.exec('INSERT INTO t VALUES (?, ?)', i, `b${i}`).toArray();
};

program.inObject('reading', ({ check, sql }) => {
  fill(sql);
  const all = () => sql.exec('SELECT a FROM t ORDER BY a');
  const none = () => sql.exec('SELECT a FROM t WHERE a > 100');
  const single = () => sql.exec('SELECT a FROM t WHERE a = 2');
  check('toArray', () => all().toArray());
  check('toArray of none', () => none().toArray());
  check('toArray twice', () => { const c = all(); return [c.toArray(), c.toArray()]; });
  check('one', () => single().one());
  check('one of none', () => none().one());
  check('one of three', () => all().one());
  check('one twice', () => { const c = single(); c.one(); return c.one(); });
  check('one, then toArray', () => { const c = single(); c.one(); return c.toArray(); });
  check('one fails, then toArray', () => { const c = all(); try { c.one(); } catch { /* as checked above */ } return c.toArray(); });
  check('one fails, then next', () => { const c = all(); try { c.one(); } catch { /* as checked above */ } return c.next(); });
  check('one after next of two', () => { const c = sql.exec('SELECT a FROM t WHERE a < 3'); c.next(); return c.one(); });
  check('one after next of three', () => { const c = all(); c.next(); return c.one(); });
  check('next', () => { const c = all(); return [c.next(), c.next(), c.next(), c.next(), c.next()]; });
  check('next of none', () => none().next());
  check('members of the end', () => Object.keys(none().next()));
  check('members of a result', () => Object.keys(all().next()));
  check('next, then toArray', () => { const c = all(); c.next(); return [c.toArray(), c.toArray(), c.next()]; });
  check('spread', () => [...all()]);
  check('for of with break', () => { const c = all(); for (const row of c) { void row; break; } return c.toArray(); });
  check('for of twice', () => { const c = all(); return [[...c], [...c]]; });
  check('destructuring', () => { const [first, second] = all(); return [first, second]; });
  check('destructuring, then the rest', () => { const c = all(); const [first] = c; return [first, c.toArray()]; });
  check('iterator of the iterator', () => { const c = all(); return c[Symbol.iterator]() === c; });
  check('Array.from', () => Array.from(all(), (row) => row.a));
  check('Map of raw', () => new Map(sql.exec('SELECT a, b FROM t').raw()));
  check('raw', () => [...all().raw()]);
  check('raw, toArray', () => all().raw().toArray());
  check('raw of none', () => [...none().raw()]);
  check('raw, next', () => { const r = all().raw(); return [r.next(), r.next(), r.next(), r.next()]; });
  check('raw after next', () => { const c = all(); c.next(); return [...c.raw()]; });
  check('raw and cursor by turns', () => { const c = all(); const r = c.raw(); return [r.next(), c.next(), r.next(), c.next(), r.next()]; });
  check('raw twice', () => { const c = all(); return [c.raw().next(), c.raw().next()]; });
  check('raw after the end', () => { const c = all(); c.toArray(); return [...c.raw()]; });
  check('cursor after raw', () => { const c = all(); const r = [...c.raw()]; return [r, c.toArray()]; });
  check('raw, its iterator', () => { const r = all().raw(); return [typeof r[Symbol.iterator], typeof r.toArray, r[Symbol.iterator]() === r]; });
  check('raw, tag', () => Object.prototype.toString.call(all().raw()));
  check('raw, constructor', () => all().raw().constructor.name);
  check('columnNames', () => all().columnNames);
  check('columnNames twice', () => { const c = all(); return c.columnNames === c.columnNames; });
  check('columnNames at the end', () => { const c = all(); c.toArray(); return c.columnNames; });
  check('columnNames of INSERT', () => sql.exec("INSERT INTO t VALUES (50, 'x')").columnNames);
  check('columnNames of CREATE', () => sql.exec('CREATE TABLE other (x)').columnNames);
  check('columnNames of RETURNING', () => { const c = sql.exec('DELETE FROM t WHERE a = 50 RETURNING a AS gone, b'); return [c.columnNames, c.toArray()]; });
  check('assigning columnNames', () => { all().columnNames = 1; });
  check('an unknown member', () => all().nothing);
  check('methods', () => Object.getOwnPropertyNames(Object.getPrototypeOf(all())).sort());
  check('keys', () => Object.keys(all()));
  check('JSON', () => JSON.stringify(all()));
  check('constructor', () => all().constructor.name);
  check('constructor of sql', () => all().constructor === sql.Cursor);
  check('new', () => new (all().constructor)());
  check('next without cursor', () => (0, all().next)());
  for (const method of ['next', 'toArray', 'one', 'raw', Symbol.iterator])
    for (const [what, self] of [['a number', 1], ['an object', {}], ['sql', sql]])
      check(`${String(method)} of ${what}`, () => all()[method].call(self));
  check('next without raw iterator', () => (0, all().raw().next)());
  check('next without row iterator', () => (0, all()[Symbol.iterator]().next)());
  check('columnNames of the prototype', () => Object.getPrototypeOf(all()).columnNames);
  check('rowsRead of the prototype', () => Object.getPrototypeOf(all()).rowsRead);
  check('exec without sql', () => (0, sql.exec)('SELECT 1'));
  check('databaseSize of the prototype', () => Object.getPrototypeOf(sql).databaseSize);
  check('iterator helpers, map', () => { const c = all(); return typeof c.map === 'function' ? [...c.map((row) => row.a)] : 'none'; });
  check('iterator helpers, take', () => { const c = all(); return typeof c.take === 'function' ? [...c.take(1)] : 'none'; });
  check('return', () => typeof all().return);
  check('changing a row changes no other', () => { const [first] = all(); first.a = 99; return all().next().value; });
});

program.inObject('many rows', ({ check, sql }) => {
  sql.exec('CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)');
  sql.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO t SELECT i, 'row ' || i FROM n");
  for (const limit of [1, 255, 256, 257, 511, 512, 513, 5000]) check(`${limit} rows`, () => {
    let sum = 0, count = 0;
    for (const row of sql.exec('SELECT a, b FROM t ORDER BY a LIMIT ?', limit)) { sum += row.a; count++; if (row.b !== `row ${row.a}`) throw new Error(row.b); }
    return [count, sum];
  });
  check('long texts', () => sql.exec("SELECT a, b || printf('%.*c', 20000, 'x') AS long FROM t WHERE a <= 300").toArray().reduce((sum, row) => sum + row.long.length, 0));
  check('blobs', () => sql.exec('SELECT zeroblob(a) AS z FROM t WHERE a <= 1000').toArray().reduce((sum, row) => sum + row.z.byteLength, 0));
  check('one() among many', () => sql.exec('SELECT a FROM t').one());
  check('an error after rows', () => {
    const c = sql.exec("SELECT CASE WHEN a < 4 THEN a ELSE abs(-9223372036854775808) END AS v FROM t");
    return [c.next().value, c.next().value, c.next().value, c.next()];
  });
  check('an error in toArray', () => sql.exec('SELECT CASE WHEN a < 3000 THEN a ELSE abs(-9223372036854775808) END AS v FROM t').toArray());
  check('after an error', () => sql.exec('SELECT count(*) AS n FROM t').one());
});

const counts = (cursor) => [cursor.rowsRead, cursor.rowsWritten];

program.inObject('rows read and written', ({ check, sql }) => {
  sql.exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT UNIQUE); INSERT INTO t VALUES (1,'x'),(2,'y'),(3,'z')");
  const queries = [
    'SELECT * FROM t', 'SELECT * FROM t WHERE a = 1', "SELECT * FROM t WHERE b = 'x'", 'SELECT count(*) FROM t', 'SELECT 1',
    "INSERT INTO t VALUES (10,'j')", "INSERT INTO t VALUES (11,'k'),(12,'l')", "INSERT INTO t VALUES (13,'m') RETURNING a",
    "UPDATE t SET b = b || '1'", 'UPDATE t SET a = a WHERE a = 1', 'DELETE FROM t WHERE a > 9', 'CREATE TABLE w (a)',
    'INSERT INTO w VALUES (1)', 'INSERT INTO w SELECT a FROM t', 'CREATE INDEX wi ON w(a)', 'INSERT INTO w VALUES (9)', 'DELETE FROM w',
    'DROP TABLE w', 'INSERT OR IGNORE INTO t VALUES (1, NULL)', "INSERT INTO t VALUES (1,'u') ON CONFLICT(a) DO UPDATE SET b = 'q'",
    "REPLACE INTO t VALUES (1,'r')", 'SELECT * FROM t LIMIT 1', 'SELECT * FROM t ORDER BY b DESC', 'SELECT a FROM t WHERE a > 100',
    'WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM x WHERE n<5) SELECT * FROM x', 'SELECT 1; SELECT a FROM t',
    'PRAGMA table_info(t)', 'ALTER TABLE t ADD COLUMN z', 'SELECT t.a FROM t, t AS t2 WHERE t.a = t2.a', 'EXPLAIN SELECT 1',
    'SELECT max(a) FROM t', 'SELECT min(b) FROM t', 'SELECT group_concat(b) FROM t', 'UPDATE t SET z = 1 WHERE a > 100',
  ];
  for (const [i, query] of queries.entries()) {
    check(`${i + 1} ${query}`, () => {
      const cursor = sql.exec(query);
      const start = counts(cursor);
      const rows = cursor.toArray().length;
      return { start, end: counts(cursor), rows };
    });
  }
  check('after each next', () => { const c = sql.exec('SELECT a FROM t'); const seen = [counts(c)]; while (!c.next().done) seen.push(counts(c)); return seen; });
  check('after one()', () => { const c = sql.exec('SELECT a FROM t WHERE a = 1'); c.one(); return counts(c); });
  check('after raw()', () => { const c = sql.exec('SELECT a FROM t'); c.raw().next(); return counts(c); });
  check('through a trigger', () => {
    sql.exec('CREATE TABLE log (m); CREATE TRIGGER tr AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.a); END');
    return counts(sql.exec('UPDATE t SET z = 2'));
  });
  check('of several statements', () => counts(sql.exec("INSERT INTO log VALUES (1); INSERT INTO log VALUES (2)")));
  check('of bindings', () => counts(sql.exec('SELECT * FROM t WHERE a IN (?, ?)', 1, 2)));
  check('typeof', () => { const c = sql.exec('SELECT 1'); return [typeof c.rowsRead, typeof c.rowsWritten]; });
  check('assigning rowsRead', () => { sql.exec('SELECT 1').rowsRead = 5; });
});

program.inObject('side by side', ({ check, sql }) => {
  fill(sql, 600);
  const text = 'SELECT a FROM t ORDER BY a';
  check('the same text, by turns', () => {
    const [c, d] = [sql.exec(text), sql.exec(text)];
    return [c.next(), d.next(), c.next(), d.next(), c.toArray().length, d.toArray().length];
  });
  check('the same text with bindings', () => {
    const q = 'SELECT a FROM t WHERE a > ? ORDER BY a';
    const [c, d] = [sql.exec(q, 100), sql.exec(q, 500)];
    return [c.next().value, d.next().value, c.next().value, d.next().value, c.toArray().length, d.toArray().length];
  });
  check('within each other', () => {
    let pairs = 0;
    for (const x of sql.exec('SELECT a FROM t WHERE a <= 20')) for (const y of sql.exec('SELECT a FROM t WHERE a <= 20')) if (x.a < y.a) pairs++;
    return pairs;
  });
  check('deep within each other', () => {
    const down = (n) => (n === 0 ? 0 : [...sql.exec('SELECT a FROM t WHERE a <= 2')].reduce((sum) => sum + 1 + down(n - 1), 0));
    return down(6);
  });
  check('20 open', () => {
    const open = Array.from({ length: 20 }, () => sql.exec(text));
    return open.map((c, i) => { for (let n = 0; n < i; n++) c.next(); return c.next().value.a; });
  });
  check('writes while reading', () => {
    let n = 0;
    for (const row of sql.exec('SELECT a FROM t WHERE a <= 400 ORDER BY a')) {
      sql.exec("UPDATE t SET b = 'w' WHERE a = ?", row.a);
      n++;
    } return [n, sql.exec("SELECT count(*) AS n FROM t WHERE b = 'w'").one().n];
  });
  check('reading a table to write another', () => {
    sql.exec('CREATE TABLE copy (a)');
    for (const { a } of sql.exec(text)) sql.exec('INSERT INTO copy VALUES (?)', a);
    return sql.exec('SELECT count(*) AS n, sum(a) AS s FROM copy').one();
  });
  check('kv while reading', () => { let n = 0; for (const { a } of sql.exec('SELECT a FROM t WHERE a <= 10')) { n += a; } return n; });
});

program.inObject('while the table changes', ({ check, sql, storage }) => {
  const open = () => {
    sql.exec('DROP TABLE IF EXISTS t');
    fill(sql);
    const cursor = sql.exec('SELECT a FROM t ORDER BY b');
    cursor.next();
    return cursor;
  };
  // Ordered by a column without index, the rows are sorted before the first: no later change is seen.
  check('INSERT', () => { const c = open(); sql.exec("INSERT INTO t VALUES (20, 'z')"); return c.toArray(); });
  check('DELETE', () => { const c = open(); sql.exec('DELETE FROM t'); return c.toArray(); });
  check('CREATE of another', () => { const c = open(); sql.exec('CREATE TABLE IF NOT EXISTS other (x)'); return c.toArray(); });
  check('ALTER', () => { const c = open(); sql.exec('ALTER TABLE t ADD COLUMN c'); return c.toArray(); });
  check('CREATE INDEX', () => { const c = open(); sql.exec('CREATE INDEX ti ON t(b)'); return c.toArray(); });
  check('transactionSync', () => { const c = open(); storage.transactionSync(() => sql.exec("INSERT INTO t VALUES (30, 'z')")); return c.toArray(); });
  check('transactionSync that throws', () => {
    const c = open();
    try {
      storage.transactionSync(() => { sql.exec("INSERT INTO t VALUES (31, 'z')"); throw new Error('back'); });
    } catch { /* on purpose */ } return c.toArray();
  });
  check('opened in a transactionSync that throws', () => {
    open().toArray();
    let c;
    try {
      storage.transactionSync(() => {
        c = sql.exec('SELECT a FROM t ORDER BY b');
        c.next();
        sql.exec("INSERT INTO t VALUES (32, 'z')");
        throw new Error('back');
      });
    } catch { /* on purpose */ } return c.toArray();
  });
  check('opened in a transactionSync', () => {
    open().toArray();
    const c = storage.transactionSync(() => { const d = sql.exec('SELECT a FROM t ORDER BY b'); d.next(); return d; });
    return c.toArray();
  });
});

program.inObject('DROP under a cursor', ({ check, sql }) => {
  fill(sql);
  const cursor = sql.exec('SELECT a FROM t ORDER BY b');
  cursor.next();
  check('DROP', () => sql.exec('DROP TABLE t').toArray());
  check('the rest', () => cursor.toArray());
  check('DROP at the end', () => sql.exec('DROP TABLE t').toArray());
});

program.inObject('across await', async ({ check, sql, storage }) => {
  fill(sql);
  const open = () => { const cursor = sql.exec('SELECT a FROM t ORDER BY b'); cursor.next(); return cursor; };
  await check('a microtask', async () => { const c = open(); await null; return c.toArray(); });
  await check('a timer', async () => { const c = open(); await new Promise((resolve) => setTimeout(resolve, 5)); return c.toArray(); });
  await check('a timer after a write', async () => {
    const c = open();
    sql.exec("INSERT INTO t VALUES (60, 'z')");
    await new Promise((resolve) => setTimeout(resolve, 5));
    return c.toArray();
  });
  await check('sync()', async () => { const c = open(); sql.exec("INSERT INTO t VALUES (61, 'z')"); await storage.sync(); return c.toArray(); });
  await check('put()', async () => { const c = open(); await storage.put('a', 1); return c.toArray(); });
  await check('deleteAll()', async () => { const c = open(); await storage.deleteAll(); return c.toArray(); });
});

export default program.worker;
