// exec() with one and with several statements, and what they leave behind.
import { DurableObject } from 'cloudflare:workers';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
}

const rows = (sql) => sql.exec('SELECT a FROM t ORDER BY rowid').toArray().map((row) => row.a);

program.inObject('the query', ({ check, sql }) => {
  check('no argument', () => sql.exec());
  check('undefined', () => sql.exec(undefined));
  const odd = {
    number: 5, null: null, true: true, object: {}, array: ['SELECT 1 AS a'], 'two texts': ['SELECT 1', ' 2'],
    boxed: new String('SELECT 1 AS a'), symbol: Symbol('s'), bigint: 5n, bytes: new TextEncoder().encode('SELECT 1 AS a'),
  };
  for (const [label, value] of Object.entries(odd)) check(label, () => sql.exec(value).toArray());
  check('as a template tag', () => sql.exec`SELECT 1 AS a`.toArray());
  check('template tag with a value', () => sql.exec`SELECT ${1} AS a`.toArray());
  check('exec without sql', () => (0, sql.exec)('SELECT 1'));
  check('typeof exec', () => typeof sql.exec);
  check('methods', () => Object.getOwnPropertyNames(Object.getPrototypeOf(sql)).sort());
  check('tag', () => Object.prototype.toString.call(sql));
  check('new', () => new sql.constructor());
  check('returned object', () => Object.prototype.toString.call(sql.exec('SELECT 1')));
});

program.inObject('empty', ({ check, sql }) => {
  const queries = {
    nothing: '', spaces: '   ', newline: '\n', 'a line comment': '-- c', 'a block comment': '/* c */', 'open block comment': '/* c',
    semicolon: ';', semicolons: ';;;', 'semicolon and comment': '; -- c', nul: '\0', 'nul first': '\0SELECT 1', 'byte order mark': '\ufeff',
    'no-break space': '\u00a0',
  };
  for (const [label, query] of Object.entries(queries)) check(label, () => sql.exec(query).toArray());
});

program.inObject('around a statement', ({ check, sql }) => {
  const queries = {
    'semicolon behind': 'SELECT 1 AS a;', 'semicolon and space': 'SELECT 1 AS a; ', 'semicolon and newline': 'SELECT 1 AS a;\n',
    'semicolon and comment': 'SELECT 1 AS a; -- c', 'semicolon and block comment': 'SELECT 1 AS a; /* c */',
    'two semicolons': 'SELECT 1 AS a;;', 'two, with a space': 'SELECT 1 AS a; ;', 'comment behind': 'SELECT 1 AS a -- c',
    'block comment behind': 'SELECT 1 AS a /* c */', 'comment before': '-- c\nSELECT 1 AS a', 'semicolon before': ';SELECT 1 AS a',
    'semicolons before': '; ;SELECT 1 AS a', 'semicolon in a text': "SELECT ';' AS a", 'semicolon in a comment': 'SELECT 1 AS a /* ; */',
    'semicolon in a name': 'SELECT 1 AS "a;b"', 'nul behind': 'SELECT 1 AS a\0', 'nul within': 'SELECT 1\0 AS a',
    'nul after the semicolon': 'SELECT 1 AS a;\0', 'byte order mark before': '\ufeffSELECT 1 AS a',
    'tabs and newlines': '\t\r\nSELECT\n1\tAS a\f', 'lower case': 'select 1 as a',
  };
  for (const [label, query] of Object.entries(queries)) check(label, () => sql.exec(query).toArray());
});

program.inObject('several', ({ check, sql }) => {
  sql.exec('CREATE TABLE t (a)');
  check('the cursor is of the last', () => sql.exec('SELECT 1 AS a; SELECT 2 AS b').toArray());
  check('three', () => sql.exec('INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); SELECT count(*) AS n FROM t').one());
  check('bindings go to the last', () => sql.exec('INSERT INTO t VALUES (3); SELECT ? AS a', 'x').one());
  check('bindings of the first', () => sql.exec('INSERT INTO t VALUES (?); SELECT 1', 4));
  check('bindings of both', () => sql.exec('INSERT INTO t VALUES (?); SELECT ?', 4, 5));
  check('after these', () => rows(sql));
  check('too few for the last', () => sql.exec('INSERT INTO t VALUES (5); SELECT ?'));
  check('too many for the last', () => sql.exec('INSERT INTO t VALUES (6); SELECT 1', 1));
  check('then', () => rows(sql));
  check('the second is wrong', () => sql.exec('INSERT INTO t VALUES (7); SELEC 1'));
  check('the first is wrong', () => sql.exec('SELEC 1; INSERT INTO t VALUES (8)'));
  check('the second fails', () => sql.exec('INSERT INTO t VALUES (9); SELECT * FROM nope'));
  check('then again', () => rows(sql));
  check('a table and its use', () => sql.exec('CREATE TABLE u (b); INSERT INTO u VALUES (1); SELECT b FROM u').toArray());
  check('rows of those before are not kept', () => sql.exec('SELECT a FROM t; SELECT b FROM u').toArray());
  check('a trigger holds semicolons', () => sql.exec('CREATE TRIGGER tr AFTER INSERT ON u BEGIN INSERT INTO t VALUES (new.b); INSERT INTO t VALUES (-new.b); END; INSERT INTO u VALUES (50); SELECT count(*) AS n FROM t').one());
  check('BEGIN before', () => sql.exec('BEGIN; INSERT INTO t VALUES (10); COMMIT'));
  check('offset of an error in the second', () => sql.exec('SELECT 1;   SELECT nope'));
  check('offset of an error after a comment', () => sql.exec('-- c\n  SELECT nope'));
  check('30 statements', () => sql.exec(`${Array.from({ length: 30 }, (_, i) => `INSERT INTO t VALUES (${i + 100})`).join(';')}; SELECT count(*) AS n FROM t`).one());
});

program.inObject('effects at once', ({ check, sql }) => {
  sql.exec('CREATE TABLE t (a)');
  check('INSERT without reading', () => (sql.exec('INSERT INTO t VALUES (1)'), rows(sql)));
  check('UPDATE without reading', () => (sql.exec('UPDATE t SET a = a + 1'), rows(sql)));
  check('INSERT RETURNING', () => sql.exec('INSERT INTO t VALUES (10) RETURNING a').one());
  check('INSERT RETURNING, three rows, toArray', () => sql.exec('INSERT INTO t VALUES (11), (12), (13) RETURNING a').toArray());
  check('then', () => rows(sql));
  check('UPDATE RETURNING, toArray', () => sql.exec('UPDATE t SET a = a * 2 RETURNING a').toArray());
  check('DELETE RETURNING, toArray', () => sql.exec('DELETE FROM t WHERE a > 20 RETURNING a').toArray());
  check('then again', () => rows(sql));
  check('result of INSERT', () => sql.exec('INSERT INTO t VALUES (1)').toArray());
  check('one() of INSERT', () => sql.exec('INSERT INTO t VALUES (1)').one());
  check('changes()', () => sql.exec('SELECT changes() AS n').one());
  check('last_insert_rowid()', () => sql.exec('SELECT last_insert_rowid() > 0 AS n').one());
});

program.inObject('RETURNING that nobody reads', ({ check, sql }) => {
  sql.exec('CREATE TABLE t (a)');
  check('one row', () => (sql.exec('INSERT INTO t VALUES (1) RETURNING a'), rows(sql)));
  check('three rows', () => (sql.exec('INSERT INTO t VALUES (2), (3), (4) RETURNING a'), rows(sql)));
});

program.inObject('the statement cache', ({ check, sql }) => {
  sql.exec('CREATE TABLE t (a)');
  check('the same text many times', () => {
    for (let i = 0; i < 500; i++) sql.exec('INSERT INTO t VALUES (?)', i);
    return sql.exec('SELECT count(*) AS n, sum(a) AS s FROM t').one();
  });
  check('many texts', () => {
    let sum = 0;
    for (let i = 0; i < 500; i++) sum += sql.exec(`SELECT ${i} AS a`).one().a;
    return sum;
  });
  check('large texts, more than 1 MiB of them', () => {
    let sum = 0;
    for (let i = 0; i < 30; i++) sum += sql.exec(`SELECT ${i} AS a /* ${'x'.repeat(90_000)} */`).one().a;
    return sum;
  });
  check('a column that is added is seen', () => {
    sql.exec('CREATE TABLE u (a)');
    sql.exec('INSERT INTO u VALUES (1)');
    const before = sql.exec('SELECT * FROM u').toArray();
    sql.exec('ALTER TABLE u ADD COLUMN b DEFAULT 2');
    return [before, sql.exec('SELECT * FROM u').toArray(), sql.exec('SELECT * FROM u').columnNames];
  });
  check('a table that is dropped and made anew', () => {
    sql.exec('DROP TABLE u');
    sql.exec('CREATE TABLE u (z)');
    return [sql.exec('SELECT * FROM u').columnNames, sql.exec('SELECT * FROM u').toArray()];
  });
  check('a table that is gone', () => {
    sql.exec('DROP TABLE u');
    return sql.exec('SELECT * FROM u');
  });
  check('bindings do not stay', () => {
    sql.exec('SELECT ? AS a', 'first').toArray();
    return sql.exec('SELECT ? AS a', null).one();
  });
});

program.inObject('size', async ({ check, sql, kv, storage }) => {
  check('databaseSize of a new object', () => sql.databaseSize);
  sql.exec('CREATE TABLE t (a)');
  check('after CREATE TABLE', () => sql.databaseSize);
  sql.exec('INSERT INTO t VALUES (zeroblob(100000))');
  check('after 100,000 bytes', () => sql.databaseSize);
  sql.exec('DELETE FROM t');
  check('after DELETE', () => sql.databaseSize);
  kv.put('a', 1);
  check('after kv.put', () => sql.databaseSize);
  check('assigning', () => { sql.databaseSize = 1; });
  check('where it lives', () => Object.keys(sql).includes('databaseSize'));
  await storage.deleteAll();
  check('after deleteAll', () => sql.databaseSize);
  check('of no sql', () => Object.getOwnPropertyDescriptor(Object.getPrototypeOf(sql), 'databaseSize') === undefined);
});

export default program.worker;
