// `perdure import` of key-value classes (new_classes): workerd has a file for each object, Perdure one for all.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { objectFiles, root, sqlite, temporaryDirectory } from './support/files.mjs';
import { runPerdure, serve } from './support/perdure.mjs';
import { startWorkerd } from './support/workerd.mjs';

const project = join(root, 'tests/fixtures/import-key-value');
const MANY = 100_000;
const MANY_BYTES = 100;
const LARGE_BYTES = 3_000_000;

/** What workerd left: objects with key-value storage, one of them with a write-ahead log, and one with SQLite storage. */
const state = { ids: {} };

before(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'perdure-test-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  state.source = join(directory, '.wrangler/state');
  const cleanups = { after: (cleanup) => process.on('exit', cleanup) };
  const options = { directory: join(directory, 'workerd'), storage: join(state.source, 'v3/do') };
  const simples = { ...options, source: join(project, 'simple.js'), className: 'Simple', key: 'old-Simple', enableSql: false };
  const first = await startWorkerd(cleanups, simples);
  state.ids.large = await first.text(`/large?name=large&bytes=${LARGE_BYTES}`);
  state.ids.many = await first.text(`/many?name=many&n=${MANY}&bytes=${MANY_BYTES}`);
  await first.stop('SIGTERM');
  const second = await startWorkerd(cleanups, simples);
  state.ids.killed = await second.text('/fill?name=killed');
  state.described = await second.text('/describe?name=killed');
  state.measured = await second.text('/measure?name=many');
  await second.stop('SIGKILL');
  const things = { ...options, source: join(root, 'tests/fixtures/import-project/index.js'), className: 'Thing', key: 'old-Thing' };
  const third = await startWorkerd(cleanups, things);
  state.ids.thing = await third.text('/fill?name=thing&n=5');
  await third.stop('SIGTERM');
});

const fileOf = (source, key, name) => join(source, 'v3/do', key, `${state.ids[name]}.sqlite`);

function copyOfState(t) {
  const source = join(temporaryDirectory(t), 'state');
  cpSync(state.source, source, { recursive: true });
  return source;
}

/** The state with the objects of these names only. */
function partOfState(t, names) {
  const source = copyOfState(t);
  for (const name of Object.keys(state.ids)) {
    if (!names.includes(name)) rmSync(fileOf(source, name === 'thing' ? 'old-Thing' : 'old-Simple', name));
  }
  return source;
}

const change = (file, sql) => execFileSync('sqlite3', [file, sql]);
const importInto = (data, source) => runPerdure(['import', source, '--project', project, '--data', data]);

/** The rows of data.sqlite, of a data directory that nobody has open. */
function rows(data) {
  const file = join(data, 'data.sqlite');
  return existsSync(file) ? Number(sqlite(file, 'SELECT count(*) FROM do_storage')) : 0;
}

test('an alarm that workerd keeps beside the files is there', async (t) => {
  const source = partOfState(t, ['killed', 'thing']);
  const alarmMs = Date.UTC(2100, 0, 2);
  change(join(source, 'v3/do/old-Simple/metadata.sqlite'), `INSERT INTO _cf_ALARM VALUES ('${state.ids.killed}', ${alarmMs}000000, 'killed')`);
  const data = join(temporaryDirectory(t), 'data');
  const { stdout } = await importInto(data, source);
  assert.match(stdout, new RegExp(`1 has an alarm, which rings when the project is served:\n  Simple ${state.ids.killed} at 2100-01-02T00:00:00.000Z\n`));
  assert.equal(sqlite(join(data, 'catalog.sqlite'), 'SELECT lower(hex(id)), name, time_ms, due_ms FROM alarms'), `${state.ids.killed}|killed|${alarmMs}|${alarmMs}`);
});

test('objects of both kinds are there, with the values that workerd gives', async (t) => {
  const source = copyOfState(t);
  assert.ok(existsSync(`${fileOf(source, 'old-Simple', 'killed')}-wal`), 'workerd left a write-ahead log');
  const data = join(temporaryDirectory(t), 'data');
  const { code, stdout, stderr } = await importInto(data, source);
  assert.equal(stderr, '');
  assert.equal(
    stdout,
    `Imported 5 objects into ${data}: 3 of Simple, 2 of Thing.\n`,
  );
  assert.equal(code, 0);
  assert.equal(objectFiles(data).length, 2, 'only the objects with SQLite storage have files: the filled one, and the one that answered first');
  assert.ok(!existsSync(join(data, 'import')));

  const first = await serve(t, project, { data });
  const expected = JSON.parse(state.described);
  assert.deepEqual(JSON.parse(await first.text('/describe?name=killed')), expected);
  assert.deepEqual(JSON.parse(await first.text(`/describe?id=${state.ids.killed}`)), expected, 'by id');
  assert.deepEqual(JSON.parse(await first.text('/measure?name=many')), JSON.parse(state.measured));
  assert.equal(JSON.parse(await first.text('/describe?thing&name=thing')).rows, 5);
  const { list } = JSON.parse(await first.text('/describe?name=large'));
  assert.deepEqual(list, [['large', ['Uint8Array', LARGE_BYTES, '7,7,7']]], 'larger than what may be put');
  const added = JSON.parse(await first.text('/add?name=killed'));
  assert.deepEqual(added.prefix, ['a\0b', 'a1', 'added'], 'goes on from there');
  await first.stop('SIGKILL');
  const second = await serve(t, project, { data });
  assert.deepEqual(JSON.parse(await second.text('/describe?name=killed')), added, 'after a crash');
  assert.deepEqual(JSON.parse(await second.text('/measure?name=many')), JSON.parse(state.measured));
  assert.equal((await second.stop()).code, 0);
  assert.equal(sqlite(join(data, 'data.sqlite'), 'PRAGMA integrity_check'), 'ok');
});

test('an object that has keys is not overwritten, and nothing else is imported', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const server = await serve(t, project, { data });
  await server.text('/large?name=killed&bytes=10');
  await server.stop();
  const { code, stdout, stderr } = await importInto(data, state.source);
  assert.equal(
    stderr,
    `perdure: 1 of 5 objects exist already in ${data}: old-Simple/${state.ids.killed}. Nothing was imported; choose another data folder with --data.\n`,
  );
  assert.deepEqual([code, stdout], [1, '']);
  assert.equal(rows(data), 1);
  assert.ok(!existsSync(join(data, 'objects')));

  const others = partOfState(t, ['many', 'thing']);
  assert.equal((await importInto(data, others)).code, 0, 'those beside it can be imported');
  const again = await importInto(data, others);
  assert.match(again.stderr, /^perdure: 3 of 3 objects exist already in /);
  const last = await serve(t, project, { data });
  assert.deepEqual(JSON.parse(await last.text('/describe?name=killed')).list, [['large', ['Uint8Array', 10, '7,7,7']]]);
  assert.deepEqual(JSON.parse(await last.text('/measure?name=many')), JSON.parse(state.measured));
  await last.stop();
});

test('a damaged or foreign file, and nothing is imported', async (t) => {
  const cases = {
    'a text': [(file) => writeFileSync(file, 'this is not a database, although it is long enough to be one '.repeat(100)), /cannot be read as a SQLite database: file is not a database/],
    'a changed page': [(file) => {
      const bytes = readFileSync(file);
      bytes.fill(0x55, 4096 * 2, 4096 * 3);
      writeFileSync(file, bytes);
    }, /is damaged: |cannot be read as a SQLite database: database disk image is malformed/],
    'a table of its own': [(file) => change(file, 'CREATE TABLE notes (a)'), /has the table "notes": its class has SQLite storage\. Declare it in new_sqlite_classes\.\n$/],
    'a number for a value': [(file) => change(file, "INSERT INTO _cf_KV VALUES ('x', 5)"), /has a pair in its table _cf_KV that is not a text and a structured clone \(BLOB\) or JSON \(TEXT\)\.\n$/],
    'a value without end': [(file) => change(file, "INSERT INTO _cf_KV VALUES ('vast', zeroblob(67108864))"),
      /has a key with a value of 67108868 bytes together, "vast"; key-value storage takes 67108864\. Delete it or split it where it was written\.\n$/],
  };
  for (const [what, [spoil, message]] of Object.entries(cases)) {
    const source = copyOfState(t);
    const file = fileOf(source, 'old-Simple', 'many');
    spoil(file);
    const data = join(temporaryDirectory(t), 'data');
    const { code, stdout, stderr } = await importInto(data, source);
    assert.match(stderr, message, what);
    assert.ok(stderr.startsWith(`perdure: The file ${file} `), `${what}: ${stderr}`);
    assert.deepEqual([code, stdout], [1, ''], what);
    assert.equal(rows(data), 0, what);
    assert.ok(!existsSync(join(data, 'objects')) || objectFiles(data).length === 0, what);
  }
});

test('an import that is killed leaves nothing, and can be done again', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const child = spawn(process.execPath, [join(root, 'bin/perdure'), 'import', state.source, '--project', project, '--data', data], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  // The copy of the last object is there: what follows is written to the shared file and the catalog.
  const copies = () => existsSync(join(data, 'import', state.ids.thing));
  while (!copies() && child.exitCode === null) await delay(1);
  child.kill('SIGKILL');
  assert.deepEqual(await exited, [null, 'SIGKILL']);
  const server = await serve(t, project, { data });
  assert.deepEqual(JSON.parse(await server.text('/measure?name=many')), { keys: 0, length: 0 });
  assert.deepEqual(JSON.parse(await server.text('/describe?name=killed')).list, []);
  await server.stop();
  assert.equal(rows(data), 0);
  assert.equal((await importInto(data, state.source)).code, 0);
  const again = await serve(t, project, { data });
  assert.deepEqual(JSON.parse(await again.text('/measure?name=many')), JSON.parse(state.measured));
  await again.stop();
});
