// The commands for operators: each on a directory that two threads serve, and on the same one when nobody does.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { sqlite, temporaryDirectory } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';
import { operator, succeeding } from '../support/operate.mjs';

const lab = await startLab({ after }, { threads: 2 });
const perdure = operator(lab.data);
const done = succeeding(lab.data);
const folder = temporaryDirectory({ after });

/** As a checksum is, which is no id. */
const HEX_NAME = 'aB'.repeat(32);
const NAMES = ['a', HEX_NAME, 'b', 'c', 'd', 'e'];
/** Rows that are never there, and no end. */
const ENDLESS = 'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n WHERE x < 0';
const ALARM_MS = Date.UTC(2040, 0, 2, 3, 4, 5, 678);
for (const name of NAMES) {
  await lab.object(name, ({ sql, kv }, name) => {
    sql.exec('CREATE TABLE notes (id INTEGER PRIMARY KEY, text, bytes)');
    sql.exec('INSERT INTO notes VALUES (1, ?, ?), (9007199254740993, NULL, NULL)', `of ${name.length === 64 ? 'hex' : name}`, new Uint8Array([0, 255]));
    kv.put('topic', { name, list: [1, 'ü'] });
    kv.put('at', new Date(0));
  }, name);
  await lab.keyed(name, ({ storage }, name) => storage.put({ topic: [name], at: new Map([[1, 2]]) }), name);
}
await lab.object('a', ({ storage }, ms) => storage.setAlarm(ms), ALARM_MS);
await lab.keyed('b', ({ storage }, ms) => storage.setAlarm(ms), ALARM_MS);
const idOf = (namespace, name) => lab.worker(({ env }, namespace, name) => `${env[namespace].idFromName(name)}`, namespace, name);
const ids = { a: await idOf('COUNTER', 'a'), keyedB: await idOf('KEYED', 'b'), hex: await idOf('COUNTER', HEX_NAME) };
const startedMs = Date.now();

/** The commands, with how a test that goes twice is told apart. */
function commands(state) {
  const title = (text) => `${text} (${state})`;

  test(title('objects ls lists what there is, with sizes, times and alarms'), async () => {
    const listed = JSON.parse(await done('objects', 'ls', 'bench-Counter', '--json'));
    assert.deepEqual(listed.map(({ name }) => name).sort(), NAMES);
    for (const { namespace, id, bytes, changed, alarm, name } of listed) {
      assert.equal(namespace, 'bench-Counter');
      assert.match(id, /^[0-9a-f]{64}$/);
      assert.equal(bytes % 4096, 0);
      assert.ok(bytes >= 8192, `${bytes}`);
      assert.ok(Math.abs(Date.parse(changed) - startedMs) < 900_000, changed);
      assert.equal(alarm, name === 'a' ? new Date(ALARM_MS).toISOString() : null);
    }
    assert.equal(listed.find(({ name }) => name === 'a').id, ids.a);
    const keyed = JSON.parse(await done('objects', 'ls', 'bench-Keyed', '--json'));
    assert.equal(keyed.length, NAMES.length);
    const { name, bytes, changed, alarm } = keyed.find(({ id }) => id === ids.keyedB);
    assert.deepEqual({ name, changed, alarm }, { name: 'b', changed: null, alarm: new Date(ALARM_MS).toISOString() });
    assert.ok(bytes > 10 && bytes < 100, `${bytes}`);
    const table = (await done('objects', 'ls')).split('\n');
    assert.match(table[0], /^NAMESPACE +NAME +ID +SIZE +CHANGED +ALARM$/);
    assert.equal(table.filter((line) => line.includes('2040-01-02T03:04:05Z')).length, 2);
    assert.equal(table.filter((line) => /^bench-Counter .* \d+\.0 KiB /.test(line)).length, NAMES.length);
  });

  test(title('sql prints a table, JSON and CSV, with every value as it is'), async () => {
    const select = ['sql', 'bench-Counter', 'b', 'SELECT id, text, bytes, 1e999 AS big FROM notes ORDER BY id'];
    assert.equal(await done(...select), 'id                text  bytes    big\n1                 of b  x\'00ff\'  Infinity\n9007199254740993  NULL  NULL     Infinity\n');
    assert.equal(await done(...select, '--json'), '[\n{"id":1,"text":"of b","bytes":{"hex":"00ff"},"big":9e999},\n{"id":9007199254740993,"text":null,"bytes":null,"big":9e999}\n]\n');
    // JSON has no word for it, but numbers of any size: readers of doubles get it back.
    assert.deepEqual(JSON.parse(await done('sql', 'bench-Counter', 'b', 'SELECT 1e999 AS x, -1e999 AS y', '--json')), [{ x: Infinity, y: -Infinity }]);
    assert.equal(await done(...select, '--csv'), 'id,text,bytes,big\n1,of b,00ff,Infinity\n9007199254740993,,,Infinity\n');
    assert.equal(await done('sql', 'bench-Counter', 'b', `SELECT 'a,"b' AS x, '' AS x, 'l' || char(10) || 'm' AS "y,z"`, '--csv'), 'x,x,"y,z"\n"a,""b","","l\nm"\n');
    assert.equal(await done('sql', 'bench-Counter', 'b', 'SELECT 1 AS x, 2 AS x WHERE 0', '--json'), '[]\n');
    assert.equal(await done('sql', 'bench-Counter', 'b', 'SELECT 1 AS x, 2 AS x', '--json'), '[\n{"x":1,"x:1":2}\n]\n');
    assert.equal(await done('sql', 'bench-Counter', 'b', `SELECT 1 AS a, 2 AS A, count(*), 'b' || char(10)`), "a  A  count(*)  'b' || char(10)\n1  2  1         b\\n\n");
    assert.equal(await done('sql', 'bench-Counter', 'b', `SELECT 7; SELECT char(27) || '[31m' AS x; -- red`), 'x\n\\x1b[31m\n');
    assert.equal(await done('sql', 'bench-Counter', ids.a, 'SELECT text FROM notes WHERE id = 1'), 'text\nof a\n');
  });

  test(title('sql only reads without --write'), async () => {
    for (const sql of ['DELETE FROM notes', 'CREATE TEMP TABLE x (y)', 'SELECT 1; UPDATE notes SET text = 1', 'PRAGMA user_version = 1']) {
      const { code, stderr, stdout } = await perdure('sql', 'bench-Counter', 'c', sql);
      assert.equal(stderr, 'perdure: This statement would write, and only reading is allowed: SQLITE_READONLY. Nothing was changed; add --write if it should be.\n');
      assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
    }
    assert.equal(await done('sql', 'bench-Counter', 'c', 'SELECT count(*) AS n FROM notes'), 'n\n2\n');
  });

  test(title('sql reads no more at once than a named limit'), async () => {
    const large = await perdure('sql', 'bench-Counter', 'c', 'SELECT zeroblob(500000000)');
    assert.deepEqual(large, { code: 1, signal: null, stdout: '', stderr: 'perdure: string or blob too big: SQLITE_TOOBIG\n' });
    const wide = await perdure('sql', 'bench-Counter', 'c', `SELECT ${Array(9).fill('zeroblob(2000000)').join()}`);
    assert.deepEqual(wide, { code: 1, signal: null, stdout: '', stderr: 'perdure: A row of the result has more than 16 MiB. Read fewer columns, or parts of them: substr().\n' });
    assert.equal(await done('sql', 'bench-Counter', 'c', 'SELECT length(zeroblob(2000000)) AS n', '--csv'), 'n\n2000000\n');
    const setting = await perdure('sql', 'bench-Counter', 'c', 'PRAGMA hard_heap_limit = 100000');
    assert.equal(setting.stderr, 'perdure: PRAGMA hard_heap_limit is refused: it does not only tell about the database: SQLITE_AUTH\n');
  });

  test(title('sql --write is one transaction, all of it or nothing'), async () => {
    const failing = await perdure('sql', 'bench-Counter', 'd', "INSERT INTO notes (text) VALUES ('lost'); INSERT INTO absent VALUES (1)", '--write');
    assert.equal(failing.stderr, 'perdure: no such table: absent: SQLITE_ERROR\n');
    assert.equal(failing.code, 1);
    const written = await perdure('sql', 'bench-Counter', 'd', "CREATE TABLE IF NOT EXISTS log (a); INSERT INTO log VALUES ('x'), ('y') RETURNING a", '--write');
    assert.deepEqual(written, { code: 0, signal: null, stdout: 'a\nx\ny\n', stderr: '2 rows written.\n' });
    const rows = await done('sql', 'bench-Counter', 'd', "SELECT (SELECT count(*) FROM log) AS log, (SELECT count(*) FROM notes WHERE text = 'lost') AS lost", '--csv');
    assert.equal(rows, `log,lost\n${state === 'served' ? 2 : 4},0\n`);
  });

  test(title('sql --write counts the rows of all its statements'), async () => {
    const counted = async (sql) => (await perdure('sql', 'bench-Counter', 'd', sql, '--write')).stderr;
    assert.equal(await counted('DROP TABLE IF EXISTS q; CREATE TABLE q (x UNIQUE); INSERT INTO q VALUES (1), (2); UPDATE q SET x = x + 2; SELECT * FROM q'), '4 rows written.\n');
    assert.equal(await counted('DELETE FROM q WHERE x = 3; SELECT 1'), '1 row written.\n');
    assert.equal(await counted('SELECT 1; SELECT 2'), '0 rows written.\n');
    // On a terminal both streams are one.
    const mixed = await operator(lab.data, { wrapper: ['sh', '-c', 'exec "$@" 2>&1', 'sh'] })('sql', 'bench-Counter', 'd', 'UPDATE q SET x = x RETURNING x', '--write', '--json');
    assert.equal(mixed.stdout, '[\n{"x":4}\n]\n1 row written.\n');
  });

  test(title('sql --write that takes longer than --timeout is stopped, and writes nothing'), async () => {
    for (const rest of [ENDLESS, `INSERT INTO notes (id) ${ENDLESS}`]) {
      const { code, stdout, stderr } = await perdure('sql', 'bench-Counter', 'd', `INSERT INTO notes (text) VALUES ('lost'); ${rest}`, '--write', '--timeout', '0.2');
      assert.equal(stderr, 'perdure: It was stopped after 0.2 s, in which the object has served nobody; nothing was written. Write less at a time, or give it longer: --timeout <seconds>.\n');
      assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
    }
    assert.equal(await done('sql', 'bench-Counter', 'd', "SELECT count(*) AS n FROM notes WHERE text = 'lost' OR text IS NULL", '--csv'), 'n\n1\n');
    await done('sql', 'bench-Counter', 'd', 'UPDATE notes SET text = text', '--write');
  });

  test(title('a name may look like an id'), async () => {
    assert.equal(await done('sql', 'bench-Counter', HEX_NAME, 'SELECT text FROM notes WHERE id = 1', '--csv'), 'text\nof hex\n');
    assert.equal(await done('sql', 'bench-Counter', ids.hex.toUpperCase(), 'SELECT text FROM notes WHERE id = 1', '--csv'), 'text\nof hex\n');
    assert.equal((await perdure('sql', 'bench-Counter', HEX_NAME.toLowerCase(), 'SELECT 1')).code, 3);
    await done('kv', 'put', 'bench-Counter', HEX_NAME, 'k', JSON.stringify(state));
    assert.equal(await done('kv', 'get', 'bench-Counter', HEX_NAME, 'k'), `${JSON.stringify(state)}\n`);
  });

  test(title('sql --write that returns more than one message holds writes nothing'), async () => {
    const { code, stdout, stderr } = await perdure('sql', 'bench-Counter', 'd', "INSERT INTO notes (text) VALUES ('lost'); SELECT hex(zeroblob(900000)) FROM json_each('[1,2,3,4,5,6,7,8,9,10,11,12]')", '--write');
    assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
    assert.equal(stderr, 'perdure: The statement returns more than 16 MiB; nothing was written. Read without --write, or write fewer rows at a time.\n');
    assert.equal(await done('sql', 'bench-Counter', 'd', "SELECT count(*) AS n FROM notes WHERE text = 'lost'", '--csv'), 'n\n0\n');
  });

  test(title('sql --write can do no more than the object itself'), async () => {
    for (const sql of ['DELETE FROM _cf_METADATA', 'UPDATE _cf_KV SET value = 1', 'BEGIN', "ATTACH 'x' AS y", 'PRAGMA journal_mode = WAL']) {
      const { code, stderr } = await perdure('sql', 'bench-Counter', 'a', sql, '--write');
      assert.equal(code, 1, sql);
      assert.match(stderr, /SQLITE_AUTH|To execute a transaction|prohibited|not authorized/, sql);
    }
    const [{ alarm }] = JSON.parse(await done('objects', 'ls', 'bench-Counter', '--json')).filter(({ name }) => name === 'a');
    assert.equal(alarm, new Date(ALARM_MS).toISOString());
    // Reading them is harmless.
    assert.equal(await done('sql', 'bench-Counter', 'a', 'SELECT value / 1000000 AS ms FROM _cf_METADATA WHERE key = 1', '--csv'), `ms\n${ALARM_MS}\n`);
  });

  test(title('sql on an object of key-value storage says why not'), async () => {
    const { code, stderr } = await perdure('sql', 'bench-Keyed', 'a', 'SELECT 1');
    assert.equal(stderr, 'perdure: The objects of bench-Keyed have key-value storage (new_classes): no tables, so no SQL. Use "perdure kv".\n');
    assert.equal(code, 1);
  });

  for (const [namespace, topic, at] of [
    ['bench-Counter', '{"name":"e","list":[1,"ü"]}', '1970-01-01T00:00:00.000Z'],
    ['bench-Keyed', '["e"]', 'Map(1) { 1 => 2 }'],
  ])
    test(title(`kv reads and writes objects of ${namespace}`), async () => {
      const kv = (command, ...args) => done('kv', command, namespace, 'e', ...args);
      assert.equal(await kv('get', 'topic'), `${topic}\n`);
      assert.equal(await kv('get', 'at'), `${at}\n`);
      assert.equal(await kv('ls'), `KEY    VALUE\nat     ${at}\ntopic  ${topic}\n`);
      assert.equal(await kv('ls', '--json'), `[\n{"key":"at","text":${JSON.stringify(at)}},\n{"key":"topic","value":${topic}}\n]\n`);
      assert.equal(await kv('put', 'toast', '{"__proto__": 1, "x": -0.5}'), '');
      assert.equal(await kv('put', 'tüür', '"ü"'), '');
      assert.equal(await kv('get', 'toast'), '{"__proto__":1,"x":-0.5}\n');
      const keys = async (...options) => JSON.parse(await kv('ls', '--json', ...options)).map(({ key }) => key);
      assert.deepEqual(await keys('--prefix', 't'), ['toast', 'topic', 'tüür']);
      assert.deepEqual(await keys('--prefix', 'to', '--reverse'), ['topic', 'toast']);
      assert.deepEqual(await keys('--start', 'b', '--end', 'topic'), ['toast']);
      assert.deepEqual(await keys('--limit', '2'), ['at', 'toast']);
      assert.equal(await kv('rm', 'toast', 'tüür'), '');
      assert.deepEqual(await keys(), ['at', 'topic']);
      const missing = await perdure('kv', 'get', namespace, 'e', 'toast');
      assert.deepEqual(missing, { code: 3, signal: null, stdout: '', stderr: 'perdure: There is no key "toast".\n' });
      const again = await perdure('kv', 'rm', namespace, 'e', 'toast');
      assert.deepEqual(again, { code: 3, signal: null, stdout: '', stderr: 'perdure: There is no key "toast".\n' });
      await kv('put', 'toast', '1');
      const some = await perdure('kv', 'rm', namespace, 'e', 'x', 'toast', 'y', 'toast');
      assert.deepEqual([some.code, some.stderr], [3, 'perdure: There are no keys "x", "y". The other one was removed.\n']);
      const long = await perdure('kv', 'put', namespace, 'e', 'k'.repeat(2049), '1');
      assert.equal(long.stderr, 'perdure: Keys cannot be larger than 2048 bytes. A key of size 2049 was provided.\n');
    });

  test(title('what does not exist is named, and not made'), async () => {
    const nowhere = await perdure('objects', 'ls', 'Counter');
    assert.equal(
      nowhere.stderr,
      'perdure: There is no namespace "Counter" in the data directory. A namespace is "<name of the project>-<class>". There are: bench-Counter, bench-Fetchless, bench-Keyed, bench-Plain.\n',
    );
    assert.equal(nowhere.code, 3);
    const tries = [['sql', 'SELECT 1'], ['sql', 'SELECT 1', '--write'], ['kv', 'get', 'k'], ['kv', 'put', 'k', '1'], ['kv', 'rm', 'k'], ['kv', 'ls'], ['export', folder]];
    for (const [command, ...rest] of tries) {
      const args = command === 'kv' ? [command, rest[0], 'bench-Counter', 'nobody', ...rest.slice(1)] : [command, 'bench-Counter', 'nobody', ...rest];
      const { code, stderr } = await perdure(...args);
      assert.equal(stderr, 'perdure: There is no object named "nobody" in bench-Counter. "perdure objects ls bench-Counter" lists those that are there.\n');
      assert.equal(code, 3, args.join(' '));
    }
    const foreign = await perdure('sql', 'bench-Counter', ids.keyedB, 'SELECT 1');
    assert.equal(foreign.stderr, `perdure: There is no object named "${ids.keyedB}" in bench-Counter. "perdure objects ls bench-Counter" lists those that are there. (Nor is that the id of one: it was not made for bench-Counter.)\n`);
    assert.equal(foreign.code, 3);
    assert.equal(JSON.parse(await done('objects', 'ls', 'bench-Counter', '--json')).length, NAMES.length);
  });

  test(title('--create makes an object, with its name'), async () => {
    await done('kv', 'put', 'bench-Fetchless', 'made', 'by', JSON.stringify(state), '--create');
    const made = JSON.parse(await done('objects', 'ls', 'bench-Fetchless', '--json'));
    assert.deepEqual(made.map(({ name }) => name), ['made']);
    assert.equal(await done('kv', 'get', 'bench-Fetchless', 'made', 'by'), `${JSON.stringify(state)}\n`);
  });

  test(title('export writes whole SQLite files, and an import takes them'), async () => {
    const out = join(folder, state);
    assert.match(await done('export', 'bench-Counter', out), /^Exported 6 objects \(\d+\.\d KiB\) to .*bench-Counter\n$/);
    assert.match(await done('export', 'bench-Keyed', out), /^Exported 6 objects /);
    const file = join(out, 'bench-Counter', `${ids.a}.sqlite`);
    assert.equal(sqlite(file, 'PRAGMA integrity_check; SELECT text FROM notes WHERE id = 1'), 'ok\nof a');
    assert.equal(sqlite(join(out, 'bench-Keyed', `${ids.keyedB}.sqlite`), "SELECT value FROM _cf_KV WHERE key = 'topic'"), '["b"]');
    const list = readFileSync(join(out, 'bench-Counter/objects.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
    assert.deepEqual(list.map(({ name }) => name).sort(), NAMES);
    assert.equal(list.find(({ name }) => name === 'a').alarm, new Date(ALARM_MS).toISOString());
    assert.deepEqual(readdirSync(join(out, 'bench-Counter')).sort(), ['objects.jsonl', ...list.map((each) => each.file)].sort());

    // A folder that is there and takes no other.
    assert.deepEqual(await perdure('export', 'bench-Counter', '/proc/perdure'), {
      code: 1,
      signal: null,
      stdout: '',
      stderr: "perdure: ENOENT: no such file or directory, mkdir '/proc/perdure'\n",
    });
    const full = await perdure('export', 'bench-Counter', out);
    assert.equal(full.stderr, `perdure: The folder ${join(out, 'bench-Counter')} is not empty. Nothing is overwritten: give another one.\n`);
    const twice = await perdure('export', 'bench-Counter', 'a', out);
    assert.equal(twice.stderr, `perdure: The file ${file} is there already. Nothing is overwritten: give another folder, or remove it.\n`);
    assert.ok(!existsSync(`${file}.partial`));
    await done('export', 'bench-Counter', 'a', join(out, 'one'));
    assert.deepEqual(readdirSync(join(out, 'one/bench-Counter')), [`${ids.a}.sqlite`]);

    const copy = succeeding(join(folder, `${state} again`));
    await copy('import', join(out, 'one'), '--no-project');
    assert.equal(await copy('sql', 'bench-Counter', 'a', 'SELECT text FROM notes WHERE id = 1'), 'text\nof a\n');
    const [imported] = JSON.parse(await copy('objects', 'ls', '--json'));
    assert.equal(imported.id, ids.a);
    assert.ok(imported.bytes >= 8192 && Math.abs(Date.parse(imported.changed) - Date.now()) < 60_000);
    assert.equal(imported.alarm, new Date(ALARM_MS).toISOString());
  });

  test(title('stats counts'), async () => {
    const stats = JSON.parse(await done('stats', '--json'));
    assert.equal(stats.dataDirectory, lab.data);
    assert.deepEqual(stats.namespaces, [
      { key: 'bench-Counter', storage: 'sqlite', objects: 6, alarms: 1 },
      { key: 'bench-Fetchless', storage: 'sqlite', objects: 1, alarms: 0 },
      { key: 'bench-Keyed', storage: 'kv', objects: 6, alarms: 1 },
      { key: 'bench-Plain', storage: 'sqlite', objects: 0, alarms: 0 },
    ]);
    assert.ok(stats.log.appendedLsn >= stats.log.durableLsn && stats.log.durableLsn > 0);
    const text = await done('stats');
    assert.match(text, /^bench-Counter +6 objects \(SQLite storage\), 1 alarm$/m);
    if (state === 'stopped') {
      assert.equal(stats.server, null);
      return;
    }
    assert.equal(stats.server.pid, lab.child.pid);
    assert.equal(stats.server.port, lab.port);
    assert.equal(stats.server.objectsInMemory.length, 2);
    assert.match(text, new RegExp(`^server +process ${lab.child.pid} serves bench on port ${lab.port} for (\\d+ min )?\\d+ s$`, 'm'));
  });
}

commands('served');

test('nothing of the commands has been said by the server, and it stops', async () => {
  const { code, stderr } = await lab.stop();
  assert.equal(stderr, '');
  assert.equal(code, 0);
  assert.ok(!existsSync(join(lab.data, 'admin.sock')));
  assert.deepEqual(existsSync(join(lab.data, 'export')) ? readdirSync(join(lab.data, 'export')) : [], []);
});

commands('stopped');

test('wrong usage', async () => {
  for (const [args, message] of [
    [['objects', 'rm'], /unknown (command 'rm'|option '--data')/],
    [['sql', 'bench-Counter', 'a'], /missing required argument 'SQL'/],
    [['kv', 'ls', 'bench-Counter', 'a', '--limit', '0'], /Give a whole number from 1\.\nRun "perdure kv ls --help" for what there is\.\n$/],
    [['history', 'bench-Counter', 'a', '--limit', '1000001'], /Give a whole number from 1 to 1000000\./],
    [['kv', 'put', 'bench-Counter', 'a', 'k', 'no json'], /the value is no JSON: .* A text is written with its quotes: '"text"'\.\n/],
    [['sql', 'bench-Counter', 'a', 'SELECT 1', '--json', '--csv'], /option '--csv' cannot be used with option '--json'/],
    [['restore', 'bench-Counter', 'a', '--to', '0000002a-00000007-00000000-7e4f'], /It looks like a bookmark, but is not a whole one\. /],
    [['restore', 'bench-Counter', 'a', '--to', 'yesterday'], /Give a time such as .* Or give a bookmark, /],
    [['kv', 'put', 'bench-Counter', 'a', 'k'], /missing required argument 'JSON'/],
    [['sql', 'bench-Counter', 'a', 'SELECT 1', '--create'], /option '--create' does nothing without '--write'/],
    [['sql', 'bench-Counter', 'a', 'SELECT 1', '--timeout', '5'], /option '--timeout' does nothing without '--write'/],
    [['sql', 'bench-Counter', 'a', 'SELECT 1', '--write', '--timeout', '0'], /Give seconds, up to 86400/],
  ]) {
    const { code, stderr } = await perdure(...args);
    assert.match(stderr, message);
    assert.equal(code, 2, args.join(' '));
  }
  const other = await operator(folder)('stats');
  assert.deepEqual([other.code, other.stderr.split(': ').slice(0, 2)], [3, ['perdure', `${folder} is no data directory`]]);
  const nothing = await operator(join(folder, 'nothing'))('objects', 'ls');
  assert.equal(nothing.stderr, `perdure: There is no data directory ${join(folder, 'nothing')}. Say where the objects live: --data <folder> (a served project has them in its .perdure).\n`);
  assert.equal(nothing.code, 3);
  assert.ok(!existsSync(join(folder, 'nothing')));
});

test('each command has help with examples', async () => {
  for (const command of [['objects', 'ls'], ['sql'], ['kv', 'get'], ['kv', 'put'], ['kv', 'rm'], ['kv', 'ls'], ['export'], ['stats']]) {
    const { code, stdout } = await operator(lab.data)(...command, '--help');
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`Examples:\n  perdure ${command.join(' ')} ?`));
    assert.match(stdout, /Exit codes: 0 done/);
  }
});
