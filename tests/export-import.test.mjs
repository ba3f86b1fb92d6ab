// What `perdure export` has written, `perdure import` takes for a project: with all values, names and alarms.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { objectFiles, root, sqlite, temporaryDirectory } from './support/files.mjs';
import { succeeding } from './support/operate.mjs';
import { runPerdure, serve } from './support/perdure.mjs';

const project = join(root, 'tests/fixtures/import-key-value');
const alarmMs = Date.UTC(2100, 0, 2);
const state = { ids: {} };

before(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'perdure-test-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const data = join(directory, 'data');
  const server = await serve({ after: (cleanup) => process.on('exit', cleanup) }, project, { data });
  for (const name of ['a', 'é "quoted"']) state.ids[name] = await server.text(`/fill?name=${encodeURIComponent(name)}`);
  await server.text(`/alarm?name=a&n=${alarmMs}`);
  state.ids.thing = await server.text('/fill?thing&name=thing&n=5');
  await server.text(`/alarm?thing&name=thing&n=${alarmMs + 1}`);
  state.ids.other = await server.text('/fill?thing&name=other&n=3');
  state.described = JSON.parse(await server.text('/describe?name=a'));
  state.thing = JSON.parse(await server.text('/describe?thing&name=thing'));
  await server.stop();
  state.out = join(directory, 'out');
  for (const namespace of ['old-Simple', 'old-Thing']) await succeeding(data)('export', namespace, state.out);
});

function copyOfExport(t) {
  const out = join(temporaryDirectory(t), 'out');
  cpSync(state.out, out, { recursive: true });
  return out;
}

const listOf = (out, namespace) => join(out, namespace, 'objects.jsonl');
const importInto = (data, out) => runPerdure(['import', out, '--project', project, '--data', data]);
const named = async (data, namespace) => Object.fromEntries(JSON.parse(await succeeding(data)('objects', 'ls', namespace, '--json')).map(({ id, name, alarm }) => [id, [name, alarm]]));
const isoOf = (ms) => new Date(ms).toISOString();

test('objects of both kinds come back with all they had', async (t) => {
  const simple = join(state.out, 'old-Simple', `${state.ids.a}.sqlite`);
  assert.equal(sqlite(simple, 'SELECT DISTINCT typeof(value) FROM _cf_KV ORDER BY 1'), 'blob\ntext', 'both forms');
  const data = join(temporaryDirectory(t), 'data');
  const { code, stdout, stderr } = await importInto(data, state.out);
  assert.equal(stderr, '');
  assert.equal(code, 0);
  assert.match(stdout, /^Imported 4 objects into \S+: 2 of Simple, 2 of Thing\.\n2 have an alarm/);
  assert.equal(objectFiles(data).length, 2);

  assert.deepEqual(await named(data, 'old-Thing'), {
    [state.ids.thing]: ['thing', isoOf(alarmMs + 1)],
    [state.ids.other]: ['other', null],
  });
  assert.deepEqual(await named(data, 'old-Simple'), {
    [state.ids.a]: ['a', isoOf(alarmMs)],
    // There is no place for the name of such an object but beside an alarm.
    [state.ids['é "quoted"']]: [null, null],
  });
  const server = await serve(t, project, { data });
  for (const name of ['a', 'é "quoted"']) assert.deepEqual(JSON.parse(await server.text(`/describe?name=${encodeURIComponent(name)}`)), state.described);
  assert.deepEqual(JSON.parse(await server.text('/describe?thing&name=thing')), state.thing);
  await server.stop();
});

test('a text that is not JSON is refused, with the file and the key', async (t) => {
  for (const value of ["'not JSON'", "''", "'1' || char(0) || '2'", "'[1,]'", "'{a: 1}'"]) {
    const out = copyOfExport(t);
    const file = join(out, 'old-Simple', `${state.ids.a}.sqlite`);
    execFileSync('sqlite3', [file, `UPDATE _cf_KV SET value = ${value} WHERE key = 'B'`]);
    const data = join(temporaryDirectory(t), 'data');
    const { code, stdout, stderr } = await importInto(data, out);
    assert.equal(
      stderr,
      `perdure: The file ${file} has a value in its table _cf_KV that is text and not JSON, with the key "B". Values are structured clones (BLOB) or JSON (TEXT): correct it where it was written, or delete it there.\n`,
      value,
    );
    assert.deepEqual([code, stdout], [1, '']);
    assert.ok(!existsSync(join(data, 'data.sqlite')) || sqlite(join(data, 'data.sqlite'), 'SELECT count(*) FROM sqlite_schema') === '0', 'nothing was imported');
  }
});

test('without the list an object has its name once it is reached by it and writes', async (t) => {
  const out = copyOfExport(t);
  rmSync(listOf(out, 'old-Thing'));
  const data = join(temporaryDirectory(t), 'data');
  assert.equal((await importInto(data, out)).code, 0);
  assert.deepEqual(await named(data, 'old-Thing'), { [state.ids.thing]: [null, isoOf(alarmMs + 1)], [state.ids.other]: [null, null] });
  const server = await serve(t, project, { data });
  await server.text('/describe?thing&name=other');
  assert.deepEqual((await named(data, 'old-Thing'))[state.ids.other], [null, null], 'it has only read');
  await server.text('/add?thing&name=other');
  assert.deepEqual((await named(data, 'old-Thing'))[state.ids.other], ['other', null]);
  await server.stop('SIGKILL');
  assert.deepEqual((await named(data, 'old-Thing'))[state.ids.other], ['other', null], 'after a crash');
});

test('a list that does not fit is refused', async (t) => {
  const line = `{"id":"${state.ids.other}","name":"another"}\n`;
  const what = 'this is not what "perdure export" writes: {"id": …, "name": …, "alarm": …}. Correct it, or remove the list: the objects are imported without their names then.';
  const cases = [
    [line, `, line 1: "another" is not the name of the object ${state.ids.other}. Correct it, or write null: the object is imported without its name then.`],
    ['{"id":', `, line 1: ${what}`],
    [`{"id":"${state.ids.other}","name":"other"}\nnull\n`, `, line 2: ${what}`],
    [`{"id":"${state.ids.other}","name":5}\n`, `, line 1: ${what}`],
    [`{"id":"${state.ids.other}","name":"other","alarm":"soon"}`, `, line 1: ${what}`],
    [`"${'x'.repeat(1 << 20)}"`, ' has a line of more than 1048576 bytes: it is not what "perdure export" writes. Remove it: the objects are imported without their names then.'],
  ];
  const out = copyOfExport(t);
  const file = listOf(out, 'old-Thing');
  const good = readFileSync(file, 'utf8');
  for (const [text, message] of cases) {
    writeFileSync(file, text);
    const data = join(temporaryDirectory(t), 'data');
    const { code, stderr } = await importInto(data, out);
    assert.equal(stderr, `perdure: ${file}${message}\n`);
    assert.equal(code, 1);
  }
  // Lines across the parts that are read at once; those of objects whose files are not there do not matter.
  const others = Array.from({ length: 20_000 }, (_, i) => `${JSON.stringify({ id: i.toString(16).padStart(64, '0'), name: `é ${i}`, alarm: null })}\n`);
  writeFileSync(file, `${others.join('')}${good.trimEnd()}`);
  const data = join(temporaryDirectory(t), 'data');
  assert.equal((await importInto(data, out)).code, 0);
  assert.deepEqual((await named(data, 'old-Thing'))[state.ids.other], ['other', null]);
});
