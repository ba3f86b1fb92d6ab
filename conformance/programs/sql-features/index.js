// What SQLite brings along: full text, JSON, mathematics, R-Tree, foreign keys and more.
import { DurableObject } from 'cloudflare:workers';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
}

/** A check of each query; those of a list run one after the other. */
const each = (check, sql, queries) => {
  for (const query of queries) check(query, () => sql.exec(query).toArray());
};

program.inObject('full text', ({ check, sql }) => {
  each(check, sql, [
    "CREATE VIRTUAL TABLE docs USING fts5(title, body, tokenize = 'porter unicode61')",
    "INSERT INTO docs VALUES ('First', 'the quick brown fox'), ('Second', 'lazy dogs running'), ('Third', 'caf\u00e9 na\u00efve r\u00e9sum\u00e9')",
    "SELECT title FROM docs WHERE docs MATCH 'fox'", "SELECT title FROM docs WHERE docs MATCH 'run'",
    "SELECT title FROM docs WHERE docs MATCH 'cafe'", "SELECT title FROM docs('quick OR lazy') ORDER BY title",
    "SELECT title FROM docs WHERE docs MATCH '\"quick brown\"'", "SELECT title FROM docs WHERE docs MATCH 'qu*'",
    "SELECT title FROM docs WHERE docs MATCH 'title:first'", "SELECT highlight(docs, 1, '<', '>') AS h FROM docs WHERE docs MATCH 'fox'",
    "SELECT snippet(docs, 1, '<', '>', '...', 2) AS s FROM docs WHERE docs MATCH 'fox'",
    "SELECT round(bm25(docs), 6) AS r FROM docs WHERE docs MATCH 'fox'",
    "SELECT title, round(rank, 6) AS r FROM docs WHERE docs MATCH 'the OR dogs' ORDER BY rank",
    "SELECT title FROM docs WHERE docs MATCH 'AND'", "SELECT title FROM docs WHERE docs MATCH ''",
    "SELECT title FROM docs WHERE docs MATCH '\"'", "SELECT title FROM docs WHERE title MATCH 'first'",
    "UPDATE docs SET body = 'changed' WHERE title = 'First'", "SELECT title FROM docs WHERE docs MATCH 'fox'".concat(' '),
    "DELETE FROM docs WHERE title = 'Second'", "INSERT INTO docs(docs) VALUES ('optimize')",
    "INSERT INTO docs(docs) VALUES ('integrity-check')", "INSERT INTO docs(docs) VALUES ('nonsense')", 'SELECT count(*) AS n FROM docs',
    "CREATE VIRTUAL TABLE vocab USING fts5vocab('docs', 'row')", 'SELECT term, doc, cnt FROM vocab ORDER BY term',
    "CREATE VIRTUAL TABLE tri USING fts5(x, tokenize = 'trigram')", "INSERT INTO tri VALUES ('hello world')",
    "SELECT x FROM tri WHERE tri MATCH 'llo'", "SELECT x FROM tri WHERE x LIKE '%o w%'", "CREATE TABLE content (id INTEGER PRIMARY KEY, x)",
    "CREATE VIRTUAL TABLE ext USING fts5(x, content = 'content', content_rowid = 'id')", "INSERT INTO content VALUES (1, 'external')",
    "INSERT INTO ext(rowid, x) VALUES (1, 'external')", "SELECT x FROM ext WHERE ext MATCH 'external'",
    "CREATE VIRTUAL TABLE bad USING fts5(x, nonsense = 1)", "CREATE VIRTUAL TABLE bad USING fts5(x, tokenize = 'nonsense')",
    'DROP TABLE docs', "SELECT name FROM sqlite_schema WHERE name LIKE 'docs%'",
  ]);
});

program.inObject('JSON', ({ check, sql }) => {
  each(check, sql, [
    `SELECT json(' {"a" :[1, 2] } ') AS v`, `SELECT json_extract('{"a":{"b":[1,2,3]}}', '$.a.b[1]') AS v`,
    `SELECT json_extract('{"a":1}', '$.a', '$.b') AS v`, `SELECT '{"a":{"b":1}}' -> 'a' AS v`, `SELECT '{"a":{"b":1}}' ->> '$.a.b' AS v`,
    `SELECT '[1,2]' -> 0 AS v, '[1,2]' ->> -1 AS w`, `SELECT json_type('{"a":null}', '$.a') AS v`,
    `SELECT json_array(1, 'a', NULL, 2.5) AS v`, `SELECT json_object('a', 1, 'b', json('[1]')) AS v`,
    `SELECT json_set('{"a":1}', '$.b', 2) AS v`, `SELECT json_insert('[1]', '$[#]', 2) AS v`,
    `SELECT json_replace('{"a":1}', '$.a', 'x') AS v`, `SELECT json_remove('{"a":1,"b":2}', '$.a') AS v`,
    `SELECT json_patch('{"a":1}', '{"b":2,"a":null}') AS v`, `SELECT json_quote('a"b') AS v`,
    `SELECT json_valid('{}') AS v, json_valid('{') AS w, json_valid(NULL) AS x`, `SELECT json_array_length('[1,2,3]') AS v`,
    `SELECT json_group_array(value) AS v FROM json_each('[3,1]')`, `SELECT json_group_object(key, value) AS v FROM json_each('{"a":1}')`,
    `SELECT key, value, type, atom, path FROM json_each('{"a":1,"b":[2]}')`, `SELECT fullkey, type FROM json_tree('{"a":[1,{"b":2}]}')`,
    `SELECT json_pretty('{"a":[1]}') AS v`, `SELECT json_error_position('{"a":x}') AS v`, `SELECT jsonb('[1]') AS v`,
    `SELECT json(jsonb('{"a":1}')) AS v`, `SELECT jsonb_extract('{"a":[1]}', '$.a') AS v`, `SELECT json('{a:1,}') AS v`,
    `SELECT json_extract('{"a":true}', '$.a') AS v, json_extract('{"a":1.0}', '$.a') AS w`,
    `SELECT json_extract('{"a":"\\u00e9"}', '$.a') AS v`, `SELECT json_extract('[9007199254740993]', '$[0]') AS v`,
    `CREATE TABLE j (d TEXT, a AS (d ->> 'a'), b AS (json_extract(d, '$.b')) STORED)`, `INSERT INTO j VALUES ('{"a":"x","b":2}')`,
    'SELECT * FROM j', `CREATE INDEX ja ON j(d ->> 'a')`, `SELECT b FROM j WHERE d ->> 'a' = 'x'`,
  ]);
});

program.inObject('mathematics', ({ check, sql }) => {
  each(check, sql, [
    'acos(1)', 'asin(1)', 'atan(1)', 'atan2(1, 2)', 'acosh(2)', 'asinh(1)', 'atanh(0.5)', 'ceil(1.2)', 'ceiling(-1.2)', 'cos(1)', 'cosh(1)',
    'degrees(1)', 'exp(1)', 'floor(-1.2)', 'ln(2)', 'log(100)', 'log(2, 8)', 'log10(100)', 'log2(8)', 'mod(7, 3)', 'mod(7.5, 2)', 'pi()',
    'pow(2, 10)', 'power(2, 0.5)', 'radians(180)', 'sin(1)', 'sinh(1)', 'sqrt(2)', 'tan(1)', 'tanh(1)', 'trunc(-1.7)', 'sqrt(-1)', 'ln(-1)',
    'log(-1)', "sqrt('4')", "sqrt('x')", 'sqrt(NULL)',
  ].map((call) => `SELECT ${call} AS v`));
});

program.inObject('R-Tree', ({ check, sql }) => {
  each(check, sql, [
    'CREATE VIRTUAL TABLE r USING rtree(id, x0, x1, y0, y1)', 'INSERT INTO r VALUES (1, 0, 10, 0, 10), (2, 20, 30, 20, 30)',
    'SELECT id FROM r WHERE x0 <= 5 AND x1 >= 5', 'SELECT * FROM r WHERE id = 2', 'INSERT INTO r VALUES (3, 10, 0, 0, 1)',
    'INSERT INTO r VALUES (1, 0, 1, 0, 1)', 'UPDATE r SET x1 = 50 WHERE id = 1', 'DELETE FROM r WHERE id = 2',
    'SELECT count(*) AS n FROM r', 'CREATE VIRTUAL TABLE ri USING rtree_i32(id, x0, x1, +label)', "INSERT INTO ri VALUES (1, 1, 2, 'one')",
    'SELECT * FROM ri', 'CREATE VIRTUAL TABLE bad USING rtree(id, x0)', "SELECT rtreecheck('r') AS v", 'DROP TABLE r',
  ]);
});

program.inObject('foreign keys', ({ check, sql }) => {
  each(check, sql, [
    'PRAGMA foreign_keys', 'CREATE TABLE p (id INTEGER PRIMARY KEY)',
    'CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p(id) ON DELETE CASCADE)',
    'CREATE TABLE n (p REFERENCES p(id) ON DELETE SET NULL ON UPDATE CASCADE)',
    'CREATE TABLE d (p REFERENCES p(id) DEFERRABLE INITIALLY DEFERRED)', 'INSERT INTO c VALUES (1, 1)',
    'INSERT INTO p VALUES (1), (2), (3)', 'INSERT INTO c VALUES (1, 1), (2, 2)', 'INSERT INTO n VALUES (1), (2)',
    'DELETE FROM p WHERE id = 1', 'SELECT * FROM c', 'SELECT * FROM n', 'UPDATE p SET id = 20 WHERE id = 3', 'INSERT INTO n VALUES (99)',
    'INSERT INTO c VALUES (3, NULL)', 'PRAGMA foreign_key_check', 'PRAGMA foreign_key_list(c)', 'PRAGMA foreign_keys = OFF',
    'INSERT INTO c VALUES (50, 99)', 'PRAGMA foreign_keys '.concat(' '), 'PRAGMA foreign_keys = ON',
    'CREATE TABLE bad (p REFERENCES nope(id))', 'INSERT INTO bad VALUES (1)', 'INSERT INTO bad VALUES (NULL)', 'DROP TABLE p',
  ]);
});

program.inObject('deferred foreign keys', async ({ check, sql, storage }) => {
  sql.exec('CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p(id))');
  check('in a transaction', () => storage.transactionSync(() => {
    sql.exec('PRAGMA defer_foreign_keys = ON');
    sql.exec('INSERT INTO c VALUES (7)');
    sql.exec('INSERT INTO p VALUES (7)');
    return sql.exec('SELECT * FROM c').toArray();
  }));
  await check('it ends with the transaction', async () => { await storage.sync(); return sql.exec('PRAGMA defer_foreign_keys').one(); });
  check('never mended', () => storage.transactionSync(() => { sql.exec('PRAGMA defer_foreign_keys = ON'); sql.exec('INSERT INTO c VALUES (8)'); return 'inside'; }));
  check('mended after that', () => { sql.exec('DELETE FROM c WHERE p = 8'); return sql.exec('SELECT * FROM c').toArray(); });
});

program.inObject('windows, upserts and others', ({ check, sql }) => {
  each(check, sql, [
    'CREATE TABLE s (g, v)', "INSERT INTO s VALUES ('a', 1), ('a', 2), ('b', 3), ('b', 4)",
    'SELECT g, v, row_number() OVER (PARTITION BY g ORDER BY v DESC) AS n FROM s ORDER BY g, v',
    'SELECT v, sum(v) OVER (ORDER BY v) AS t FROM s',
    'SELECT v, lag(v) OVER w AS l, lead(v, 1, 0) OVER w AS r FROM s WINDOW w AS (ORDER BY v)',
    'SELECT v, rank() OVER (ORDER BY g) AS r, dense_rank() OVER (ORDER BY g) AS d, ntile(2) OVER (ORDER BY v) AS n FROM s ORDER BY v',
    'SELECT sum(v) FILTER (WHERE v > 1) AS s FROM s', 'SELECT group_concat(v, \'-\' ORDER BY v DESC) AS s FROM s',
    'SELECT g, sum(v) AS s FROM s GROUP BY g HAVING s > 3', 'CREATE TABLE k (id INTEGER PRIMARY KEY, n INT DEFAULT 0, w TEXT)',
    'INSERT INTO k (id) VALUES (1) RETURNING *',
    "INSERT INTO k (id, w) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET n = n + 1, w = excluded.w RETURNING *",
    "INSERT INTO k (id) VALUES (1) ON CONFLICT DO NOTHING RETURNING *", "INSERT OR REPLACE INTO k VALUES (1, 5, 'y') RETURNING *",
    'UPDATE k SET n = n * 2 RETURNING n', 'UPDATE k SET n = s.v FROM s WHERE s.v = 4 RETURNING n', 'DELETE FROM k RETURNING id',
    'CREATE TABLE gen (a INT, b INT AS (a * 2) VIRTUAL, c TEXT AS (a || \'x\') STORED)', 'INSERT INTO gen (a) VALUES (3) RETURNING *',
    'WITH RECURSIVE f(n, v) AS (SELECT 0, 1 UNION ALL SELECT n + 1, v * (n + 1) FROM f WHERE n < 10) SELECT v FROM f WHERE n = 10',
    'WITH t AS MATERIALIZED (SELECT 1 AS a) SELECT * FROM t', 'SELECT * FROM s LEFT JOIN k ON k.id = s.v ORDER BY v LIMIT 1',
    'SELECT * FROM k FULL JOIN (SELECT 1 AS z)', 'SELECT * FROM (SELECT 1 AS a) NATURAL JOIN (SELECT 1 AS a, 2 AS b)',
    'SELECT v FROM s EXCEPT SELECT 1 INTERSECT SELECT 2', 'SELECT (1, 2) = (1, 2) AS v, (1, 2) < (1, 3) AS w',
    'SELECT 1 IS DISTINCT FROM NULL AS v', 'CREATE VIEW vw (x) AS SELECT v FROM s WHERE v > 2', 'SELECT * FROM vw',
    'INSERT INTO vw VALUES (1)', 'CREATE TRIGGER vi INSTEAD OF INSERT ON vw BEGIN INSERT INTO s VALUES (\'v\', new.x); END',
    'INSERT INTO vw VALUES (100)', 'SELECT v FROM s WHERE g = \'v\'', 'CREATE INDEX part ON s(v) WHERE g = \'a\'',
    'CREATE INDEX expr ON s(v + 1)', 'EXPLAIN QUERY PLAN SELECT * FROM s WHERE v + 1 = 3',
    "SELECT 'B' COLLATE NOCASE = 'b' AS v, 'a ' COLLATE RTRIM = 'a' AS w",
    "SELECT 'abc' GLOB 'a*' AS v, 'ABC' LIKE 'a%' AS w, 'ABC' GLOB 'a*' AS x", 'ANALYZE', 'REINDEX', 'ALTER TABLE s RENAME TO s2',
    'ALTER TABLE s2 RENAME COLUMN v TO value', 'ALTER TABLE s2 ADD COLUMN z DEFAULT 5', 'SELECT * FROM s2 LIMIT 1',
    'ALTER TABLE k DROP COLUMN w', 'SELECT sql FROM sqlite_schema WHERE name = \'k\'',
    'CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT)', 'INSERT INTO auto DEFAULT VALUES RETURNING id', 'DELETE FROM auto',
    'INSERT INTO auto DEFAULT VALUES RETURNING id '.concat(' '), 'CREATE TABLE IF NOT EXISTS auto (nonsense)', 'DROP TABLE IF EXISTS nope',
  ]);
});

program.inObject('time', ({ check, sql }) => {
  each(check, sql, [
    "SELECT date('2024-02-29', '+1 year') AS v", "SELECT datetime(0, 'unixepoch') AS v",
    "SELECT datetime('2024-01-01 12:00', '+90 minutes') AS v", "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', '2024-01-01 00:00:00.123') AS v",
    "SELECT unixepoch('2024-01-01') AS v", "SELECT julianday('2024-01-01') AS v",
    "SELECT date('2024-01-31', 'start of month', '-1 day') AS v", "SELECT strftime('%w %j %s', '2024-01-01') AS v",
    "SELECT datetime('2024-01-01', 'localtime') = datetime('2024-01-01') AS v", "SELECT unixepoch('now') > 1700000000 AS v",
    "SELECT typeof(unixepoch('now', 'subsec')) AS v", "SELECT date('nonsense') AS v",
  ]);
  check('now stands still within a statement', () => sql.exec("SELECT julianday('now') = julianday('now') AS v").one());
});

export default program.worker;
