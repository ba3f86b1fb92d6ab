// Every limit: one below, at, one above.
import { DurableObject } from 'cloudflare:workers';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
}

/** A check of `run(n)` for each of the numbers. */
const around = (check, label, numbers, run) => {
  for (const n of numbers) check(`${label}, ${n}`, () => run(n));
};
const list = (n, item) => Array.from({ length: n }, (_, i) => item(i)).join(', ');

program.inObject('columns', ({ check, sql }) => {
  around(check, 'of a table', [99, 100, 101], (n) => sql.exec(`CREATE TABLE w${n} (${list(n, (i) => `c${i}`)})`).toArray());
  around(check, 'of a result', [99, 100, 101], (n) => sql.exec(`SELECT ${list(n, String)}`).columnNames.length);
  around(check, 'of a view', [100, 101], (n) => sql.exec(`CREATE VIEW v${n} AS SELECT ${list(n, String)}`).toArray());
  around(check, 'of an index', [99, 100, 101], (n) => sql.exec(`CREATE INDEX i${n} ON w99 (${list(n, (i) => `c${i % 99}`)})`).toArray());
  around(check, 'of ORDER BY', [99, 100, 101], (n) => sql.exec(`SELECT 1 AS a ORDER BY ${list(n, () => 'a')}`).toArray());
  around(check, 'of GROUP BY', [100, 101], (n) => sql.exec(`SELECT 1 AS a FROM (SELECT 1 AS a) GROUP BY ${list(n, () => 'a')}`).toArray());
  around(check, 'that are set', [100, 101], (n) => sql.exec(`UPDATE w100 SET ${list(n, (i) => `c${i % 100} = 1`)}`).toArray());
  around(check, 'of VALUES', [99, 100, 101], (n) => sql.exec(`INSERT INTO w99 VALUES (${list(n, String)})`).toArray());
  check('ALTER TABLE ADD beyond', () => sql.exec('ALTER TABLE w100 ADD COLUMN more').toArray());
  check('ALTER TABLE ADD up to', () => sql.exec('ALTER TABLE w99 ADD COLUMN more').toArray());
  around(check, 'of a CREATE TABLE AS', [100, 101], (n) => sql.exec(`CREATE TABLE as${n} AS SELECT ${list(n, (i) => `${i} AS c${i}`)}`).toArray());
});

program.inObject('bindings', ({ check, sql }) => {
  around(check, 'positions', [99, 100, 101], (n) => sql.exec(`SELECT ${list(n, () => '?')}`, ...Array(n).fill(1)).columnNames.length);
  around(check, 'numbers', [99, 100, 101], (n) => sql.exec(`SELECT ?${n} AS a`, ...Array(n).fill(1)).toArray());
  around(check, 'names', [100, 101], (n) => sql.exec(`SELECT ${list(n, (i) => `:n${i}`)}`, ...Array(n).fill(1)).columnNames.length);
  around(check, 'in a list', [100, 101], (n) => sql.exec(`SELECT 1 IN (${list(n, () => '?')}) AS a`, ...Array(n).fill(1)).toArray());
});

program.inObject('the text of a statement', ({ check, sql }) => {
  around(check, 'ASCII', [99_998, 99_999, 100_000, 100_001], (n) => sql.exec(`SELECT 1 AS a${' '.repeat(n - 13)}`).toArray());
  around(check, 'bytes of UTF-8', [99_999, 100_000, 100_001], (n) => sql.exec(`SELECT '${'\u00e9'.repeat(45_000)}' = '' AS a${' '.repeat(n - 90_000 - 18)}`).toArray());
  around(check, 'a text in it', [99_980, 100_000], (n) => sql.exec(`SELECT length('${'x'.repeat(n)}') AS a`).toArray());
  around(check, 'two statements, together', [99_999, 100_001, 150_000], (n) => sql.exec(`SELECT 1${' '.repeat(n - 60_000)};SELECT 2 AS a${' '.repeat(59_978)}`).toArray());
  check('a comment', () => sql.exec(`SELECT 1 AS a /* ${'x'.repeat(200_000)} */`).toArray());
  check('200,000 spaces', () => sql.exec(' '.repeat(200_000)).toArray());
});

program.inObject('values', ({ check, sql }) => {
  sql.exec('CREATE TABLE t (a)');
  const sizes = [1_999_999, 2_000_000, 2_097_152, 2_097_153];
  around(check, 'a bound text', sizes, (n) => sql.exec('SELECT length(?) AS n', 'x'.repeat(n)).one());
  around(check, 'a bound blob', sizes, (n) => sql.exec('SELECT length(?) AS n', new Uint8Array(n)).one());
  around(check, 'a stored blob', sizes, (n) => sql.exec('INSERT INTO t VALUES (zeroblob(?))', n).toArray());
  around(check, 'a stored text', sizes, (n) => sql.exec('INSERT INTO t VALUES (?)', 'x'.repeat(n)).toArray());
  around(check, 'zeroblob()', [2_097_152, 2_097_153], (n) => sql.exec('SELECT length(zeroblob(?)) AS n', n).one());
  around(check, 'a text that is put together', [1_000_000, 1_048_576, 1_048_577], (n) => sql.exec('SELECT length(?1 || ?1) AS n', 'x'.repeat(n)).one());
  around(check, 'hex()', [1_048_576, 1_048_577], (n) => sql.exec('SELECT length(hex(zeroblob(?))) AS n', n).one());
  around(check, 'replace()', [262_144, 262_145], (n) => sql.exec("SELECT length(replace(?, 'x', '12345678')) AS n", 'x'.repeat(n)).one());
  around(check, 'printf()', [99_999, 100_000, 100_001, 3_000_000], (n) => sql.exec("SELECT length(printf('%.*c', ?, 'x')) AS n", n).one());
  around(check, 'group_concat()', [20, 22], (n) => sql.exec("WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM i WHERE x < ?1) SELECT length(group_concat(?2, '')) AS n FROM i", n, 'x'.repeat(100_000)).one());
  check('rows kept', () => sql.exec('SELECT count(*) AS n, max(length(a)) AS longest FROM t').one());
});

program.inObject('rows', ({ check, sql }) => {
  sql.exec('CREATE TABLE t (a, b)');
  around(check, 'two blobs, together', [2_000_000, 2_097_152, 4_000_000], (n) => sql.exec('INSERT INTO t VALUES (zeroblob(?1), zeroblob(?2))', Math.floor(n / 2), Math.ceil(n / 2)).toArray());
});

program.inObject('patterns', ({ check, sql }) => {
  around(check, 'LIKE', [49, 50, 51], (n) => sql.exec("SELECT 'abc' LIKE ? AS a", 'a'.repeat(n)).toArray());
  around(check, 'GLOB', [49, 50, 51], (n) => sql.exec("SELECT 'abc' GLOB ? AS a", 'a'.repeat(n)).toArray());
  around(check, 'LIKE in UTF-8', [24, 25, 26], (n) => sql.exec("SELECT 'abc' LIKE ? AS a", '\u00e9'.repeat(n)).toArray());
  check('LIKE with ESCAPE', () => sql.exec("SELECT 'a%c' LIKE ? ESCAPE '!' AS a", 'a!%c').toArray());
  check('NOT LIKE beyond', () => sql.exec("SELECT 'abc' NOT LIKE ? AS a", 'a'.repeat(51)).toArray());
});

program.inObject('structure', ({ check, sql }) => {
  around(check, 'terms of UNION', [2, 3, 4, 5, 6, 7], (n) => sql.exec(Array.from({ length: n }, (_, i) => `SELECT ${i} AS a`).join(' UNION ALL ')).toArray().length);
  around(check, 'rows of VALUES', [5, 6, 500], (n) => sql.exec(`VALUES ${list(n, (i) => `(${i})`)}`).toArray().length);
  around(check, 'rows of INSERT', [500], (n) => {
    sql.exec('CREATE TABLE many (a)');
    return sql.exec(`INSERT INTO many VALUES ${list(n, (i) => `(${i})`)}`).toArray();
  });
  around(check, 'depth of an expression', [98, 99, 100, 101], (n) => sql.exec(`SELECT ${Array(n).fill('1').join(' + ')} AS a`).toArray());
  around(check, 'parentheses', [50, 101, 200], (n) => sql.exec(`SELECT ${'('.repeat(n)}1${')'.repeat(n)} AS a`).toArray());
  around(check, 'NOT upon NOT', [98, 99, 100, 101], (n) => sql.exec(`SELECT ${'NOT '.repeat(n)} 1 AS a`).toArray());
  around(check, 'arguments of a function', [31, 32, 33, 100, 127, 128], (n) => sql.exec(`SELECT max(${list(n, String)}) AS a`).toArray());
  around(check, 'joined tables', [2, 20, 63, 64, 65], (n) => sql.exec(`SELECT count(*) AS a FROM ${list(n, (i) => `(SELECT 1) AS t${i}`)}`).toArray());
  around(check, 'subqueries within each other', [20, 50, 100], (n) => sql.exec(`${'SELECT * FROM ('.repeat(n)}SELECT 1 AS a${')'.repeat(n)}`).toArray());
  around(check, 'common table expressions', [20, 100], (n) => sql.exec(`WITH ${list(n, (i) => `t${i} AS (SELECT ${i} AS a)`)} SELECT a FROM t${n - 1}`).toArray());
  around(check, 'CASE branches', [50, 200], (n) => sql.exec(`SELECT CASE 5 ${Array.from({ length: n }, (_, i) => `WHEN ${i} THEN ${i}`).join(' ')} END AS a`).toArray());
  around(check, 'operations of a statement', [400, 2_000, 6_000, 20_000], (n) => sql.exec(`SELECT 1 IN (${list(n, (i) => `abs(${i})`)}) AS a`).toArray());
  check('triggers that call each other', () => {
    sql.exec('PRAGMA recursive_triggers = ON; CREATE TABLE loop (a); CREATE TRIGGER again AFTER INSERT ON loop BEGIN INSERT INTO loop VALUES (new.a + 1); END');
    return sql.exec('INSERT INTO loop VALUES (1)').toArray();
  });
  around(check, 'depth of triggers', [5, 9, 10, 11, 100], (n) => {
    sql.exec(`DELETE FROM loop; DROP TRIGGER IF EXISTS again; DROP TRIGGER IF EXISTS again${n}; CREATE TRIGGER again${n} AFTER INSERT ON loop WHEN new.a < ${n} BEGIN INSERT INTO loop VALUES (new.a + 1); END`);
    try {
      sql.exec('INSERT INTO loop VALUES (1)');
      return sql.exec('SELECT count(*) AS n FROM loop').one();
    } finally { sql.exec(`DROP TRIGGER again${n}`); }
  });
  around(check, 'depth of JSON', [500, 1_000, 1_001], (n) => sql.exec("SELECT json_valid(?) AS a", '['.repeat(n) + ']'.repeat(n)).toArray());
  around(check, 'tables', [200], (n) => {
    for (let i = 0; i < n; i++) sql.exec(`CREATE TABLE t${i} (a)`);
    return sql.exec("SELECT count(*) AS n FROM sqlite_schema WHERE name LIKE 't%'").one();
  });
  check('a long name', () => sql.exec(`CREATE TABLE ${'n'.repeat(50_000)} (a)`).toArray());
});

export default program.worker;
