// Statements that are prepared, and ingest(), which workerd has behind a flag.
import { DurableObject } from 'cloudflare:workers';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
}

program.inObject('prepare', async ({ check, refused, sql, storage }) => {
  sql.exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')");
  const dump = () => sql.exec('SELECT * FROM t').toArray();
  check('typeof prepare', () => typeof sql.prepare);
  check('typeof a statement', () => typeof sql.prepare('SELECT 1'));
  check('constructor', () => sql.prepare('SELECT 1').constructor.name);
  check('constructor of sql', () => typeof sql.Statement);
  check('new Statement', () => new sql.Statement());
  check('call', () => sql.prepare('SELECT a FROM t ORDER BY a')().toArray());
  check('call with a binding', () => sql.prepare('SELECT b FROM t WHERE a = ?')(2).one());
  check('call with bindings', () => sql.prepare('SELECT ? AS x, ? AS y')('p', null).one());
  check('call again', () => { const s = sql.prepare('SELECT b FROM t WHERE a = ?'); return [s(1).one(), s(3).one(), s(1).one()]; });
  check('call with too few', () => sql.prepare('SELECT ?')());
  check('call with too many', () => sql.prepare('SELECT 1')(1));
  check('two cursors of one statement', () => {
    const s = sql.prepare('SELECT a FROM t ORDER BY a');
    const first = s();
    first.next();
    const second = s();
    second.next();
    return [second.toArray(), (() => { try { return first.toArray(); } catch (error) { return error; } })()];
  });
  check('a finished cursor, then call', () => {
    const s = sql.prepare('SELECT a FROM t ORDER BY a');
    const first = s();
    first.toArray();
    s();
    return first.toArray();
  });
  check('columnNames', () => sql.prepare('SELECT a, b FROM t')().columnNames);
  check('raw', () => [...sql.prepare('SELECT a, b FROM t')().raw()]);
  check('rowsRead and rowsWritten', () => { const c = sql.prepare('SELECT a FROM t')(); c.toArray(); return [c.rowsRead, c.rowsWritten]; });
  check('INSERT', () => { sql.prepare('INSERT INTO t VALUES (?, ?)')(4, 'w').toArray(); return dump(); });
  check('INSERT at once', () => { sql.prepare('INSERT INTO t VALUES (?, ?)')(5, 'v'); return dump().length; });
  await refused('a wrong text', () => sql.prepare('SELEC 1'), dump);
  await refused('an unknown table', () => sql.prepare('SELECT * FROM nope'), dump);
  await refused('empty', () => sql.prepare(''), dump);
  await refused('a comment', () => sql.prepare('-- c'), dump);
  await refused('no argument', () => sql.prepare(), dump);
  await refused('of a number', () => sql.prepare(5), dump);
  await refused('BEGIN', () => sql.prepare('BEGIN'), dump);
  await refused('a reserved name', () => sql.prepare('SELECT * FROM _cf_KV'), dump);
  await refused('a binding that cannot be bound', () => sql.prepare('INSERT INTO t VALUES (?, 1)')(10n), dump);
  await refused('a constraint', () => sql.prepare('INSERT INTO t VALUES (?, ?)')(1, 'x'), dump);
  check('semicolon behind', () => sql.prepare('SELECT 1 AS a;')().toArray());
  check('several statements', () => sql.prepare('SELECT 1 AS a; SELECT 2 AS b')().toArray());
  check('several statements, the first takes bindings', () => sql.prepare('SELECT ?; SELECT 2')(1).toArray());
  check('prepare runs nothing', () => { sql.prepare('DELETE FROM t'); return dump().length; });
  check('the table changes before the call', () => {
    sql.exec('CREATE TABLE u (a)');
    const s = sql.prepare('SELECT * FROM u');
    sql.exec('ALTER TABLE u ADD COLUMN b');
    return s().columnNames;
  });
  check('the table is gone at the call', () => { const s = sql.prepare('SELECT * FROM u'); sql.exec('DROP TABLE u'); return s().toArray(); });
  check('in transactionSync that throws', () => {
    const s = sql.prepare("INSERT INTO t VALUES (?, 'back')");
    try { storage.transactionSync(() => { s(50).toArray(); throw new Error('back'); }); } catch { /* on purpose */ } return dump().length;
  });
  await check('across await', async () => { const s = sql.prepare('SELECT count(*) AS n FROM t'); await storage.sync(); return s().one(); });
  await check('after deleteAll', async () => { const s = sql.prepare('SELECT count(*) AS n FROM t'); await storage.deleteAll(); return s().one(); });
});

program.inObject('ingest', async ({ check, refused, sql }) => {
  sql.exec('CREATE TABLE t (a)');
  const dump = () => sql.exec('SELECT a FROM t').toArray().map(({ a }) => a);
  check('typeof', () => typeof sql.ingest);
  check('whole', () => { const result = sql.ingest('INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);'); return [result, dump()]; });
  check('with a rest', () => [sql.ingest('INSERT INTO t VALUES (3); INSERT INTO t VAL'), dump()]);
  check('only a rest', () => [sql.ingest('INSERT INTO t'), dump()]);
  check('empty', () => sql.ingest(''));
  check('a comment', () => sql.ingest('-- c\n'));
  check('a comment and a statement', () => [sql.ingest('-- c\nINSERT INTO t VALUES (4);'), dump()]);
  check('piece by piece', () => {
    let rest = '';
    for (const piece of ['INSERT INTO t ', 'VALUES (5', ');INSERT', ' INTO t VALUES (6);']) rest = sql.ingest(rest + piece).remainder;
    return [rest, dump()];
  });
  check('rows read are let go', () => sql.ingest('SELECT * FROM t;'));
  await refused('an error in the first', () => sql.ingest('SELEC 1; INSERT INTO t VALUES (7);'), dump);
  check('an error in the second', () => sql.ingest('INSERT INTO t VALUES (8); SELEC 1;'));
  check('an error in the second, then', dump);
  await refused('a binding', () => sql.ingest('INSERT INTO t VALUES (?);'), dump);
  await refused('BEGIN', () => sql.ingest('BEGIN;'), dump);
  await refused('no argument', () => sql.ingest(), dump);
  check('a trigger', () => {
    const result = sql.ingest('CREATE TRIGGER tr AFTER INSERT ON t WHEN new.a > 0 BEGIN SELECT 1; END; INSERT INTO t VALUES (9);');
    return [result, dump().at(-1)];
  });
});

export default program.worker;
