// The texts of errors, with their codes and offsets, and what a failed statement leaves.
import { DurableObject } from 'cloudflare:workers';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  rows() {
    return this.ctx.storage.sql.exec('SELECT a, b FROM t').toArray();
  }
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
}

program.inObject('syntax', ({ check, sql }) => {
  sql.exec('CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT UNIQUE)');
  const queries = [
    'SELEC 1', 'SELECT', 'SELECT FROM', 'SELECT * FROM', 'SELECT * FORM t', 'SELECT 1 1', 'SELECT 1,', 'SELECT (1', 'SELECT 1)',
    "SELECT 'a", 'SELECT "a', 'SELECT [a', 'SELECT `a', "SELECT x'1'", "SELECT x'zz'", 'SELECT 1 +', 'SELECT @', 'SELECT #', 'SELECT \\',
    'SELECT 1e', 'SELECT 0x', 'SELECT 12abc', 'INSERT INTO', 'INSERT INTO t', 'INSERT INTO t VALUES', 'INSERT INTO t VALUES (',
    'INSERT INTO t VALUES (1, 2, 3)', 'INSERT INTO t (a) VALUES (1, 2)', 'INSERT INTO t (nope) VALUES (1)', 'UPDATE t', 'UPDATE t SET',
    'UPDATE t SET nope = 1', 'DELETE t', 'CREATE TABLE', 'CREATE TABLE u', 'CREATE TABLE u ()', 'CREATE TABLE u (a, a)',
    'CREATE TABLE t (a)', 'CREATE TABLE u (a INTEGER PRIMARY KEY, PRIMARY KEY (a))', 'CREATE TABLE u (a TYPE WITH NONSENSE NULL NOT NULL)',
    'CREATE INDEX i ON nope(a)', 'CREATE INDEX i ON t(nope)', 'CREATE VIEW t AS SELECT 1',
    'CREATE TRIGGER tr AFTER INSERT ON nope BEGIN SELECT 1; END', 'CREATE TRIGGER tr', 'DROP TABLE nope', 'DROP VIEW nope',
    'DROP INDEX nope', 'DROP TRIGGER nope', 'DROP VIEW t', 'DROP TABLE t nonsense', 'ALTER TABLE nope RENAME TO x',
    'ALTER TABLE t RENAME COLUMN nope TO x', 'ALTER TABLE t DROP COLUMN a', 'ALTER TABLE t DROP COLUMN nope', 'ALTER TABLE t ADD COLUMN a',
    'ALTER TABLE t ADD COLUMN c NOT NULL', 'ALTER TABLE t ADD COLUMN c UNIQUE', 'SELECT * FROM nope', 'SELECT nope', 'SELECT nope FROM t',
    'SELECT t.nope FROM t', 'SELECT nope.a FROM t', 'SELECT a FROM t, t AS u', 'SELECT a FROM t JOIN t', 'SELECT nope()', 'SELECT abs()',
    'SELECT abs(1, 2)', 'SELECT count(1, 2)', 'SELECT max()', 'SELECT sum(sum(a)) FROM t', 'SELECT a FROM t WHERE count(*) > 1',
    'SELECT a FROM t HAVING a', 'SELECT a FROM t GROUP BY 5', 'SELECT a FROM t ORDER BY 5', 'SELECT 1 UNION SELECT 1, 2',
    'SELECT (SELECT 1, 2)', 'SELECT 1 IN (SELECT 1, 2)', 'SELECT 1 LIMIT', "SELECT 1 LIMIT 'x'", 'SELECT 1 LIMIT NULL',
    'SELECT row_number()', 'SELECT a OVER () FROM t', 'SELECT * ', 'SELECT t.*', 'WITH x AS (SELECT 1) SELECT * FROM y',
    'WITH x AS (SELECT * FROM x) SELECT * FROM x', 'WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT * FROM x, x) SELECT * FROM x',
    'VALUES (1), (2, 3)', "SELECT 'a' COLLATE nope", "SELECT 1 WHERE 'a' LIKE 'b' ESCAPE 'cc'", 'SELECT RAISE(ABORT, 1)', 'EXPLAIN',
    'PRAGMA', 'nonsense', '1', "'a'", '(SELECT 1)', 'SELECT \u00e9', 'SELECT \u{1f600}', 'SELECT 1 AS \u00e9, nope',
    "SELECT '\u00e9', nope", "SELECT '\u{1f600}', nope", '  \n  SELECT nope', 'SELECT nope, nope2', 'SELECT\n1,\nnope',
    'INSERT INTO nope VALUES (1)', 'INSERT INTO t DEFAULT VALUES RETURNING nope',
    'INSERT INTO t VALUES (1, 2) ON CONFLICT (nope) DO NOTHING', 'INSERT INTO t VALUES (1, 2) ON CONFLICT DO UPDATE SET a = 1',
    'REINDEX nope', 'ANALYZE nope', 'VACUUM nope',
  ];
  for (const query of queries) check(query.replaceAll('\n', '\\n'), () => sql.exec(query).toArray());
});

program.inObject('constraints', async ({ refused, sql }) => {
  sql.exec(`PRAGMA foreign_keys = ON;
    CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE t (a INTEGER PRIMARY KEY, u TEXT UNIQUE, n NOT NULL DEFAULT 1, c CHECK (c > 0), p REFERENCES parent(id), g AS (a * 2), CONSTRAINT named CHECK (u <> 'forbidden'));
    CREATE TABLE strict_table (i INT, r REAL, x TEXT, b BLOB, y ANY) STRICT;
    CREATE TABLE without_rowid (k TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE two (a, b, UNIQUE (a, b));
    CREATE UNIQUE INDEX lower_u ON t (lower(u));
    CREATE TRIGGER refusing BEFORE DELETE ON two BEGIN SELECT RAISE(ABORT, 'not from here'); END;
    INSERT INTO parent VALUES (1); INSERT INTO t (a, u, c, p) VALUES (1, 'one', 1, 1); INSERT INTO without_rowid VALUES ('k'); INSERT INTO two VALUES (1, 2)`);
  const dump = () => ['parent', 't', 'strict_table', 'without_rowid', 'two'].map((table) => sql.exec(`SELECT * FROM ${table}`).toArray());
  const queries = [
    "INSERT INTO t (a) VALUES (1)", "INSERT INTO t (u) VALUES ('one')", "INSERT INTO t (u) VALUES ('ONE')",
    'INSERT INTO t (n) VALUES (NULL)', 'INSERT INTO t (c) VALUES (0)', "INSERT INTO t (u) VALUES ('forbidden')",
    'INSERT INTO t (p) VALUES (99)', 'INSERT INTO t (g) VALUES (1)', "INSERT INTO t (a) VALUES ('text')", 'INSERT INTO t (a) VALUES (1.5)',
    'DELETE FROM parent', 'UPDATE parent SET id = 2', 'DROP TABLE parent', "INSERT INTO strict_table (i) VALUES ('x')",
    'INSERT INTO strict_table (i) VALUES (1.5)', "INSERT INTO strict_table (r) VALUES ('x')", "INSERT INTO strict_table (x) VALUES (x'00')",
    "INSERT INTO strict_table (b) VALUES ('x')", 'CREATE TABLE bad (a NONSENSE) STRICT', 'CREATE TABLE bad (a) STRICT',
    "INSERT INTO without_rowid VALUES ('k')", 'INSERT INTO without_rowid VALUES (NULL)', 'SELECT rowid FROM without_rowid',
    'INSERT INTO two VALUES (1, 2)', 'DELETE FROM two', 'UPDATE OR FAIL t SET c = -1', 'UPDATE OR ABORT t SET c = -1',
    'INSERT OR IGNORE INTO t (a, c) VALUES (1, 5)', 'INSERT INTO t (a, c) VALUES (5, 1), (6, 0)',
    'INSERT OR FAIL INTO t (a, c) VALUES (7, 1), (8, 0)', 'CREATE UNIQUE INDEX not_unique ON t ((1)); INSERT INTO t (a) VALUES (20)',
    'INSERT INTO t (a, p) SELECT 30, 99', 'ALTER TABLE t ADD COLUMN z CHECK (z > 0) DEFAULT 0', 'UPDATE t SET a = a + 1, u = \'one\'',
  ];
  for (const query of queries) await refused(query, () => sql.exec(query).toArray(), dump);
});

program.inObject('at run time', ({ check, sql }) => {
  const queries = [
    "SELECT json('{')", "SELECT json_extract('{}', 'x')", "SELECT json_extract('{', '$.a')", "SELECT '{' -> 'a'",
    "SELECT json_each.value FROM json_each('[')", 'SELECT abs(-9223372036854775808)',
    "SELECT sum(9223372036854775807 + x) FROM (SELECT 0 AS x UNION ALL SELECT 1)",
    'SELECT sum(x) FROM (SELECT 9223372036854775807 AS x UNION ALL SELECT 1)', "SELECT zeroblob(-1)", "SELECT zeroblob(5000000000)",
    "SELECT 'a' LIKE 'a' ESCAPE ''", "SELECT json_object('a')", "SELECT json_object(1, 2)", "SELECT json_array(x'00')",
    "SELECT json_patch('{', '{}')", "SELECT ntile(0) OVER ()", "SELECT nth_value(1, 0) OVER ()", "SELECT strftime('%Q', 'now')",
    "SELECT date('nonsense')", "SELECT char(-1)", "SELECT substr('abc', 'x')", "SELECT round('x')", "SELECT likelihood(1, 2)",
    "SELECT printf('%z')", "SELECT json_group_object('a')", "SELECT count(*) OVER (ROWS BETWEEN 1 FOLLOWING AND 1 PRECEDING)",
    "SELECT sum(1) OVER (ROWS -1 PRECEDING)", "SELECT jsonb('x')", "SELECT json_valid('{}', 99)", "SELECT unhex('xyz')",
    "SELECT pow('a', 2), sqrt(-1), ln(0), log(0), acos(2), mod(5, 0)",
  ];
  for (const query of queries) check(query, () => sql.exec(query).toArray());
});

program.inObject('ON CONFLICT ROLLBACK', async ({ check, sql, storage }) => {
  sql.exec('CREATE TABLE t (a UNIQUE ON CONFLICT ROLLBACK, b UNIQUE); INSERT INTO t VALUES (1, 1)');
  await storage.sync();
  await check('INSERT', () => sql.exec('INSERT INTO t VALUES (1, 5)').toArray());
});
program.inWorker('after ON CONFLICT ROLLBACK', async ({ check, env }) => {
  await check('what is left', () => env.SUBJECT.getByName('ON CONFLICT ROLLBACK').rows());
});

program.inObject('OR ROLLBACK', async ({ check, sql, storage }) => {
  sql.exec('CREATE TABLE t (a UNIQUE, b UNIQUE); INSERT INTO t VALUES (1, 1)');
  await storage.sync();
  sql.exec('INSERT INTO t VALUES (2, 2)');
  await check('INSERT OR ROLLBACK', () => sql.exec('INSERT OR ROLLBACK INTO t VALUES (1, 5)').toArray());
});
program.inWorker('after OR ROLLBACK', async ({ check, env }) => {
  await check('what is left', () => env.SUBJECT.getByName('OR ROLLBACK').rows());
});

program.inObject('RAISE(ROLLBACK)', async ({ check, sql, storage }) => {
  sql.exec("CREATE TABLE t (a, b); CREATE TRIGGER tr BEFORE INSERT ON t WHEN new.a = 9 BEGIN SELECT RAISE(ROLLBACK, 'all back'); END; INSERT INTO t VALUES (1, 1)");
  await storage.sync();
  await check('INSERT', () => sql.exec('INSERT INTO t VALUES (9, 5)').toArray());
});
program.inWorker('after RAISE(ROLLBACK)', async ({ check, env }) => {
  await check('what is left', () => env.SUBJECT.getByName('RAISE(ROLLBACK)').rows());
});

program.inObject('the error', ({ check, sql }) => {
  const caught = () => { try { sql.exec('SELEC 1'); } catch (error) { return error; } };
  check('class', () => caught().constructor === Error);
  check('own members', () => Object.getOwnPropertyNames(caught()).filter((name) => name !== 'stack').sort());
  check('the object goes on', () => sql.exec('SELECT 1 AS a').one());
});

export default program.worker;
