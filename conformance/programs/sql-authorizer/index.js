// What SQL may not do: transactions, other files, reserved names, pragmas, functions.
import { DurableObject } from 'cloudflare:workers';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
}

/** Tables, indexes and rows as they are. */
const dump = (sql) => () => [sql.exec("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE '\\_cf\\_%' ESCAPE '\\' ORDER BY name").toArray(), sql.exec('SELECT * FROM t ORDER BY a').toArray()];

function setUp({ sql, kv }) {
  sql.exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT UNIQUE); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')");
  kv.put('key', 'value');
}

program.inObject('transactions', async ({ refused, sql, kv }) => {
  setUp({ sql, kv });
  for (const query of [
    'BEGIN', 'BEGIN IMMEDIATE', 'BEGIN EXCLUSIVE', 'begin deferred transaction', 'COMMIT', 'END', 'END TRANSACTION', 'ROLLBACK',
    'SAVEPOINT a', 'RELEASE a', 'ROLLBACK TO a', 'INSERT INTO t VALUES (9, NULL); COMMIT', 'EXPLAIN BEGIN',
  ])
    await refused(query, () => sql.exec(query).toArray(), dump(sql));
});

program.inObject('files', async ({ refused, sql, kv }) => {
  setUp({ sql, kv });
  const queries = [
    "ATTACH 'x.db' AS x", "ATTACH ':memory:' AS x", "ATTACH '' AS x", 'DETACH x', 'DETACH main', 'VACUUM', "VACUUM INTO '/tmp/x'",
    "VACUUM main", "SELECT load_extension('x')", "SELECT readfile('/etc/passwd')", "SELECT writefile('/tmp/x', 'y')", "SELECT edit('x')",
    'CREATE VIRTUAL TABLE c USING csv(filename=1)', "CREATE VIRTUAL TABLE z USING zipfile('x')", "SELECT * FROM fsdir('/')",
    "SELECT fts3_tokenizer('simple')",
  ];
  for (const query of queries) await refused(query, () => sql.exec(query).toArray(), dump(sql));
});

program.inObject('reserved names', async ({ refused, check, sql, kv }) => {
  setUp({ sql, kv });
  const queries = [
    'CREATE TABLE _cf_x(a)', 'CREATE TABLE _CF_x(a)', 'CREATE TABLE "_cf_y"(a)', 'CREATE TABLE [_cf_y](a)', 'CREATE TABLE main._cf_x(a)',
    'CREATE TABLE IF NOT EXISTS _cf_KV(a)', 'CREATE VIEW _cf_v AS SELECT 1', 'CREATE INDEX _cf_i ON t(b)',
    'CREATE TRIGGER _cf_t AFTER INSERT ON t BEGIN SELECT 1; END', 'ALTER TABLE t RENAME TO _cf_z', 'ALTER TABLE t RENAME TO _CF_Z',
    'DROP TABLE _cf_KV', 'DELETE FROM _cf_KV', 'UPDATE _cf_KV SET value = 1', "INSERT INTO _cf_KV VALUES ('a', 1)", 'SELECT * FROM _cf_KV',
    'SELECT key FROM _cf_KV', 'SELECT count(*) FROM _cf_KV', 'SELECT 1 FROM _cf_KV', 'SELECT * FROM _CF_KV', 'SELECT * FROM main._cf_KV',
    'SELECT * FROM t WHERE b IN (SELECT key FROM _cf_KV)', 'WITH x AS (SELECT * FROM _cf_KV) SELECT * FROM x',
    'CREATE VIEW v AS SELECT * FROM _cf_KV', 'SELECT * FROM v', 'DROP VIEW v', 'CREATE TABLE copy AS SELECT * FROM _cf_KV',
    'CREATE INDEX i ON _cf_KV(value)', 'CREATE TRIGGER tr AFTER INSERT ON _cf_KV BEGIN SELECT 1; END', 'ALTER TABLE _cf_KV RENAME TO x',
    'ALTER TABLE _cf_KV ADD COLUMN x', 'SELECT * FROM _cf_METADATA', 'SELECT * FROM _cf_nope', 'DROP TABLE _cf_nope',
    'DROP TABLE IF EXISTS _cf_nope', 'DROP TABLE IF EXISTS _cf_KV', 'INSERT INTO _cf_nope VALUES (1)',
    "INSERT INTO t SELECT 9, key FROM _cf_KV", 'CREATE VIRTUAL TABLE _cf_f USING fts5(x)', 'SELECT rowid FROM _cf_KV', 'REINDEX _cf_KV',
    'ANALYZE _cf_KV', 'PRAGMA table_info(_cf_KV)', 'PRAGMA index_list(_cf_KV)', 'EXPLAIN SELECT * FROM _cf_KV', 'CREATE TABLE sqlite_x(a)',
    'CREATE TABLE fk (a REFERENCES _cf_KV(key))', 'DROP TABLE IF EXISTS fk',
  ];
  for (const query of queries) await refused(query, () => sql.exec(query).toArray(), dump(sql));
  check('a trigger that writes there', () => {
    sql.exec("CREATE TRIGGER tr2 AFTER INSERT ON t BEGIN INSERT INTO _cf_KV VALUES ('a', 1); END");
    return sql.exec("INSERT INTO t VALUES (50, 'q')").toArray();
  });
  check('drop that trigger', () => sql.exec('DROP TRIGGER IF EXISTS tr2').toArray());
  check('kv is unharmed', () => [...kv.list()]);
  check('a column of such a name', () => sql.exec('CREATE TABLE c (_cf_col); INSERT INTO c VALUES (1); SELECT _cf_col FROM c').toArray());
  check('an alias of such a name', () => sql.exec('SELECT 1 AS _cf_a').toArray());
  check('a table alias of such a name', () => sql.exec('SELECT _cf_t.a FROM t AS _cf_t LIMIT 1').toArray());
  check('a CTE of such a name', () => sql.exec('WITH _cf_w AS (SELECT 1 AS a) SELECT a FROM _cf_w').toArray());
  check('a name with it in the middle', () => sql.exec('CREATE TABLE x_cf_(a)').toArray());
  check('a name like it', () => sql.exec('CREATE TABLE _cfx(a)').toArray());
  check('in the schema', () => sql.exec("SELECT type, name, tbl_name FROM sqlite_schema WHERE name LIKE '\\_cf\\_K%' ESCAPE '\\'").toArray());
});

program.inObject('the schema table', async ({ refused, sql, kv }) => {
  setUp({ sql, kv });
  for (const query of [
    "UPDATE sqlite_schema SET sql = ''", 'DELETE FROM sqlite_schema', "INSERT INTO sqlite_master VALUES ('table','z','z',0,'')",
    'DROP TABLE sqlite_schema', 'DROP TABLE sqlite_sequence', 'CREATE TABLE auto (a INTEGER PRIMARY KEY AUTOINCREMENT)',
    'SELECT * FROM sqlite_sequence', 'INSERT INTO auto VALUES (NULL)', 'SELECT name, seq FROM sqlite_sequence',
    'UPDATE sqlite_sequence SET seq = 50', 'INSERT INTO auto VALUES (NULL) RETURNING a', "DELETE FROM sqlite_sequence WHERE name = 'auto'",
    'DROP TABLE auto', 'SELECT name FROM sqlite_temp_schema', 'SELECT name FROM sqlite_temp_master',
  ])
    await refused(query, () => sql.exec(query).toArray(), dump(sql));
});

program.inObject('temporary', async ({ refused, sql, kv }) => {
  setUp({ sql, kv });
  for (const query of [
    'CREATE TEMP TABLE tmp(a)', 'CREATE TEMPORARY TABLE tmp(a)', 'CREATE TABLE temp.tmp(a)', 'CREATE TEMP VIEW tv AS SELECT 1',
    'CREATE TEMP TRIGGER tt AFTER INSERT ON t BEGIN SELECT 1; END', 'CREATE TEMP TABLE x AS SELECT 1', 'DROP TABLE temp.x',
    'CREATE INDEX temp.i ON t(b)', 'CREATE VIRTUAL TABLE temp.f USING fts5(x)',
  ])
    await refused(query, () => sql.exec(query).toArray(), dump(sql));
});

program.inObject('pragmas', ({ check, sql, kv }) => {
  setUp({ sql, kv });
  const refusedNames = [
    'journal_mode', 'synchronous', 'user_version', 'application_id', 'page_count', 'freelist_count', 'cache_size', 'cache_spill',
    'function_list', 'pragma_list', 'module_list', 'compile_options', 'encoding', 'auto_vacuum', 'temp_store', 'busy_timeout',
    'wal_checkpoint', 'database_list', 'collation_list', 'max_page_count', 'locking_mode', 'secure_delete', 'trusted_schema', 'nope',
    'integrity_check', 'writable_schema', 'mmap_size', 'incremental_vacuum', 'shrink_memory', 'soft_heap_limit', 'hard_heap_limit',
    'threads', 'query_only', 'read_uncommitted', 'schema_version', 'cell_size_check', 'checkpoint_fullfsync', 'fullfsync',
    'journal_size_limit', 'stats', 'full_column_names', 'short_column_names', 'empty_result_callbacks', 'count_changes', 'analysis_limit',
    'automatic_index', 'wal_autocheckpoint', 'data_store_directory', 'temp_store_directory', 'parser_trace', 'vdbe_debug',
    'legacy_file_format',
  ];
  for (const name of refusedNames) check(`PRAGMA ${name}`, () => sql.exec(`PRAGMA ${name}`).toArray());
  const settings = [
    'defer_foreign_keys', 'foreign_keys', 'recursive_triggers', 'case_sensitive_like', 'legacy_alter_table', 'reverse_unordered_selects',
    'ignore_check_constraints',
  ];
  for (const name of settings) {
    check(`PRAGMA ${name}`, () => sql.exec(`PRAGMA ${name}`).toArray());
    check(`PRAGMA ${name} = 1`, () => sql.exec(`PRAGMA ${name} = 1`).toArray());
    check(`PRAGMA ${name}, then`, () => sql.exec(`PRAGMA ${name}`).toArray());
    check(`PRAGMA ${name} = OFF`, () => sql.exec(`PRAGMA ${name} = OFF`).toArray());
    check(`PRAGMA main.${name}`, () => sql.exec(`PRAGMA main.${name}`).toArray());
  }
  check('PRAGMA foreign_keys = ON', () => sql.exec('PRAGMA foreign_keys = ON').toArray());
  const queries = [
    'PRAGMA foreign_key_check', 'PRAGMA foreign_key_check(t)', 'PRAGMA foreign_key_list(t)', 'PRAGMA table_info(t)',
    'PRAGMA table_info("t")', 'PRAGMA table_info(nope)', 'PRAGMA table_info', 'PRAGMA TABLE_INFO(t)', 'PRAGMA main.table_info(t)',
    'PRAGMA temp.table_info(t)', 'PRAGMA table_xinfo(t)', 'PRAGMA table_list(t)', 'PRAGMA index_list(t)',
    'PRAGMA index_info(sqlite_autoindex_t_1)', 'PRAGMA index_xinfo(sqlite_autoindex_t_1)', 'PRAGMA optimize', 'PRAGMA optimize(0x10002)',
    'PRAGMA quick_check', 'PRAGMA quick_check(1)', 'PRAGMA quick_check(t)', 'PRAGMA page_size', 'PRAGMA page_size = 8192',
    'PRAGMA user_version = 5', 'PRAGMA journal_mode = DELETE', 'PRAGMA synchronous = OFF', 'PRAGMA writable_schema = ON',
    "SELECT * FROM pragma_table_info('t')", 'SELECT name FROM pragma_table_list WHERE name = \'t\'', 'SELECT * FROM pragma_page_count',
    'SELECT * FROM pragma_user_version', 'SELECT * FROM pragma_page_size', 'SELECT * FROM pragma_function_list',
    "SELECT m.name, i.name FROM sqlite_schema m, pragma_table_info(m.name) i WHERE m.name = 't'", 'PRAGMA', 'PRAGMA table_info(',
    'EXPLAIN PRAGMA table_info(t)',
  ];
  for (const query of queries) check(query, () => sql.exec(query).toArray());
});

program.inObject('functions', ({ check, sql }) => {
  const refusedCalls = [
    'sqlite_version()', 'sqlite_source_id()', "sqlite_compileoption_used('x')", 'sqlite_compileoption_get(1)', "sqlite_log(1, 'x')",
    'fts5_source_id()', "unistr('a')", "unistr_quote('a')", "soundex('a')", 'geopoly_area(NULL)', 'sqlite_offset(1)', 'median(1)',
    'percentile(1, 50)', "regexp('a', 'a')", "'a' REGEXP 'a'", "'a' MATCH 'a'", "load_extension('x')", "subtype('x')", 'sha3(1)',
    "decimal('1')", 'uuid()', 'nope()', 'nope(1, 2)', "if(1, 2, 3)", "parse_create('x')",
  ];
  for (const call of refusedCalls) check(call, () => sql.exec(`SELECT ${call} AS value`).toArray());
  const calls = [
    "abs(-1)", 'changes()', 'total_changes() >= 0', 'last_insert_rowid()', "char(65, 66)", "concat('a', 'b', NULL)",
    "concat_ws('-', 'a', 'b')", "format('%d', 3)", "glob('a*', 'ab')", "hex('a')", "unhex('41')", "ifnull(NULL, 1)", "iif(1, 2, 3)",
    "instr('ab', 'b')", "length('ab')", "like('a%', 'AB')", "likelihood(1, 0.5)", 'likely(1)', 'unlikely(1)', "lower('AB')", "ltrim(' a')",
    "rtrim('a ')", "trim('xax', 'x')", 'max(1, 2)', 'min(1, 2)', "nullif(1, 2)", "octet_length('\u00e9')", "printf('%s', 1)", "quote('a')",
    'typeof(randomblob(1))', "replace('ab', 'b', 'c')", 'round(1.25, 1)', 'sign(-2)', "substr('abc', 2)", "substring('abc', 2, 1)",
    "typeof(1)", "unicode('a')", "upper('ab')", 'zeroblob(1)', "date('2020-01-01', '+1 month')", "time('12:00')", "datetime('2020-01-01')",
    "julianday('2020-01-01')", "strftime('%Y', '2020-01-01')", "unixepoch('2020-01-01')", "timediff('2020-01-02', '2020-01-01')",
    "date('now') IS NOT NULL", 'CURRENT_TIMESTAMP IS NOT NULL', "string_agg('a', ',')",
  ];
  for (const call of calls) check(call, () => sql.exec(`SELECT ${call} AS value`).toArray());
  check('generate_series', () => sql.exec('SELECT value FROM generate_series(1, 2)').toArray());
  check('dbstat', () => sql.exec('SELECT * FROM dbstat').toArray());
  check('bytecode', () => sql.exec("SELECT * FROM bytecode('SELECT 1')").toArray());
  check('sqlite_stmt', () => sql.exec('SELECT * FROM sqlite_stmt').toArray());
  check('fts4', () => sql.exec('CREATE VIRTUAL TABLE v USING fts4(x)').toArray());
  check('fts3', () => sql.exec('CREATE VIRTUAL TABLE v USING fts3(x)').toArray());
  check('dbstat table', () => sql.exec('CREATE VIRTUAL TABLE v USING dbstat').toArray());
  check('geopoly', () => sql.exec('CREATE VIRTUAL TABLE v USING geopoly(x)').toArray());
  check('an unknown module', () => sql.exec('CREATE VIRTUAL TABLE v USING nope(x)').toArray());
});

export default program.worker;
