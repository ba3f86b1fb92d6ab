// Random sequences of operations on SQL, kv and storage of a SQLite class.
import { DurableObject } from 'cloudflare:workers';
import { addRandomKv, addRandomStorage, sequences } from '../../sections/random.mjs';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
}

addRandomKv(program);
addRandomStorage(program);

const COLUMNS = ['a', 'b', 'c'];

/** A condition on the table, as text; literals and bindings by turns. */
function condition(c, bindings) {
  const operand = () => (c.chance(0.6) ? (bindings.push(bound(c)), '?') : literal(c));
  const comparison = () => `${c.of(COLUMNS)} ${c.of(['=', '<', '>=', '<>', 'IS', 'IS NOT'])} ${operand()}`;
  return c.chance(0.3) ? `${comparison()} ${c.of(['AND', 'OR'])} ${comparison()}` : comparison();
}

const bound = (c) => c.of([() => c.number(), () => c.text(), () => null, () => c.chance(0.5), () => new Uint8Array(c.below(4)).fill(7), () => c.below(10)])();
const literal = (c) => c.of(['0', '1', '2.5', '-3', "'a'", "''", 'NULL', "x'07'", '1e3', '9007199254740993', "'5'"]);

const statements = {
  insert: (c, bindings) => { bindings.push(bound(c), bound(c)); return `INSERT INTO t (a, b, c) VALUES (?, ?, ${literal(c)}) RETURNING *`; },
  'insert or': (c, bindings) => {
    bindings.push(c.below(8), bound(c));
    return `INSERT OR ${c.of(['IGNORE', 'REPLACE', 'FAIL', 'ABORT'])} INTO t (id, a) VALUES (?, ?)`;
  },
  upsert: (c, bindings) => {
    bindings.push(c.below(8), bound(c));
    return 'INSERT INTO t (id, b) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET b = excluded.b, c = c + 1 RETURNING id, b, c';
  },
  update: (c, bindings) => { bindings.push(bound(c)); const where = condition(c, bindings); return `UPDATE t SET ${c.of(COLUMNS)} = ? WHERE ${where}`; },
  delete: (c, bindings) => `DELETE FROM t WHERE ${condition(c, bindings)} RETURNING id`,
  select: (c, bindings) => `SELECT * FROM t WHERE ${condition(c, bindings)} ORDER BY ${c.of(COLUMNS)}, id LIMIT ${1 + c.below(6)}`,
  aggregate: (c, bindings) => `SELECT ${c.of(COLUMNS)} AS g, count(*) AS n, max(${c.of(COLUMNS)}) AS m, typeof(min(${c.of(COLUMNS)})) AS y FROM t WHERE ${condition(c, bindings)} GROUP BY 1 ORDER BY 1, 2`,
  join: (c) => `SELECT count(*) AS n FROM t AS x JOIN t AS y ON x.${c.of(COLUMNS)} ${c.of(['=', '<'])} y.${c.of(COLUMNS)}`,
  wrong: (c) => c.of([
    'SELEC', 'SELECT nope FROM t', "INSERT INTO t (id) VALUES ('x')", 'SELECT ?', 'INSERT INTO t (id) VALUES (1), (1)',
    'SELECT abs(-9223372036854775807 - 1)',
  ]),
  schema: (c) => c.of([
    'CREATE INDEX IF NOT EXISTS ta ON t(a)', 'DROP INDEX IF EXISTS ta', 'CREATE INDEX IF NOT EXISTS tbc ON t(b, c DESC)', 'REINDEX',
    'CREATE TABLE IF NOT EXISTS other AS SELECT 1 AS x', 'DROP TABLE IF EXISTS other',
  ]),
};

program.inObject('sql', async (tools) => {
  const { describe, sql, storage } = tools;
  const create = () => sql.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, a, b TEXT, c NUMERIC DEFAULT 0)').toArray();
  const run = (query, bindings) => {
    try {
      return describe(sql.exec(query, ...bindings).toArray());
    } catch (error) {
      return `throws ${describe(error)}`;
    }
  };
  const make = (c) => {
    const bindings = [];
    const query = statements[c.of(Object.keys(statements))](c, bindings);
    return [query, bindings];
  };
  const inTransaction = (c) => {
    const parts = [make(c), make(c)];
    const thrown = c.chance(0.5);
    const outcomes = [];
    try {
      storage.transactionSync(() => {
        for (const [query, bindings] of parts) outcomes.push(run(query, bindings));
        if (thrown) throw new Error('back');
      });
    } catch (error) {
      outcomes.push(error.message);
    }
    return [`transaction of ${describe(parts)}`, outcomes.join(' then ')];
  };
  const step = async (c) => {
    if (c.chance(0.2)) return inTransaction(c);
    if (c.chance(0.2)) await null; // the writes so far commit
    const [query, bindings] = make(c);
    return [`${query} with ${describe(bindings)}`, run(query, bindings)];
  };
  const end = async () => {
    const rows = describe([sql.exec('SELECT * FROM t ORDER BY id').toArray(), sql.exec('PRAGMA quick_check').toArray()]);
    await storage.deleteAll();
    create();
    return rows;
  };
  create();
  await sequences(tools, step, end);
});

export default program.worker;
