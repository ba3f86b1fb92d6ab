// `perdure import`: objects that workerd has made (its own binary, as `wrangler dev` runs it) go on on Perdure.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { open } from '../js/dist/index.js';
import { DurableObject } from '../js/dist/workers.js';
import { objectFiles, root, sqlite, temporaryDirectory, wranglerJson, writeFiles } from './support/files.mjs';
import { runPerdure, serve } from './support/perdure.mjs';
import { startWorkerd } from './support/workerd.mjs';

const project = join(root, 'tests/fixtures/import-project');
const alarmMs = Date.UTC(2100, 0, 2);

const expected = (rows) => ({
  rows,
  last: `note ${rows - 1}`,
  found: 3,
  map: 5,
  json: { a: [1, 'é 🙂', null], b: { c: true } },
  big: '12345678901234567890',
  keys: ['big', 'json', 'map'],
});

/** What workerd left: killed, so with write-ahead logs, and then stopped cleanly with one object more. */
const state = {};

before(async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'perdure-test-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  state.source = join(directory, '.wrangler/state');
  const storage = join(state.source, 'v3/do');
  const options = { source: join(project, 'index.js'), directory: join(directory, 'workerd'), className: 'Thing', key: 'old-Thing', storage };
  const cleanups = { after: (cleanup) => process.on('exit', cleanup) };
  const first = await startWorkerd(cleanups, options);
  state.ids = {
    a: await first.text('/fill?name=a&n=5'),
    big: await first.text('/fill?name=big&n=3000'),
    unique: await first.text('/fill?unique&n=3'),
  };
  await first.stop('SIGTERM');
  const second = await startWorkerd(cleanups, options);
  state.ids['with an alarm'] = await second.text('/fill?name=with+an+alarm&n=4');
  await second.text(`/alarm?name=with+an+alarm&n=${alarmMs}`);
  state.ids.killed = await second.text('/fill?name=killed&n=2000');
  await second.stop('SIGKILL');
});

/** The state as a test may spoil it. */
function copyOfState(t) {
  const source = join(temporaryDirectory(t), 'state');
  cpSync(state.source, source, { recursive: true });
  return source;
}

const importInto = (data, source, more = []) => runPerdure(['import', source, '--project', project, '--data', data, ...more]);

function digest(directory) {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.map((entry) => [entry.name, createHash('sha256').update(readFileSync(join(entry.parentPath ?? entry.path, entry.name))).digest('hex')]).sort();
}

test('objects are there by name and by id, and go on from there', async (t) => {
  const source = copyOfState(t);
  const object = join(source, 'v3/do/old-Thing', `${state.ids.killed}.sqlite-wal`);
  assert.ok(existsSync(object), 'workerd left a write-ahead log');
  const untouched = digest(source);
  const data = join(temporaryDirectory(t), 'data');
  const { code, stdout, stderr } = await importInto(data, source);
  assert.equal(stderr, '', 'no progress bar where nobody looks');
  assert.equal(
    stdout,
    `Imported 6 objects into ${data}: 6 of Thing.
1 has an alarm, which rings when the project is served:
  Thing ${state.ids['with an alarm']} at 2100-01-02T00:00:00.000Z
`,
  );
  assert.equal(code, 0);
  assert.deepEqual(digest(source), untouched, 'the source is only read');
  assert.ok(!existsSync(join(data, 'import')));

  const first = await serve(t, project, { data });
  const describe = async (server, query) => JSON.parse(await server.text(`/describe?${query}`));
  for (const [name, rows] of [['a', 5], ['big', 3000], ['with an alarm', 4], ['killed', 2000]]) {
    assert.deepEqual(await describe(first, new URLSearchParams({ name })), expected(rows), name);
    assert.deepEqual(await describe(first, `id=${state.ids[name]}`), expected(rows), `${name} by id`);
  }
  assert.deepEqual(await describe(first, `id=${state.ids.unique}`), expected(3));
  const added = { ...expected(3000), rows: 3001, last: 'added', keys: ['added', 'big', 'json', 'map'] };
  assert.deepEqual(JSON.parse(await first.text('/add?name=big')), added);
  await first.stop('SIGKILL');
  const second = await serve(t, project, { data });
  assert.deepEqual(await describe(second, 'name=big'), added, 'after a crash');
  assert.deepEqual(await describe(second, 'name=killed'), expected(2000));
  assert.equal((await second.stop()).code, 0);
  for (const file of objectFiles(data)) assert.equal(sqlite(file, 'PRAGMA integrity_check'), 'ok');
  assert.equal(
    sqlite(join(data, 'catalog.sqlite'), 'SELECT lower(hex(id)), name, time_ms, due_ms FROM alarms'),
    `${state.ids['with an alarm']}|with an alarm|${alarmMs}|${alarmMs}`,
  );
});

test('what exists is not overwritten', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const server = await serve(t, project, { data });
  await server.text('/fill?name=a&n=3');
  await server.stop();
  const { code, stdout, stderr } = await importInto(data, state.source);
  assert.equal(
    stderr,
    `perdure: 1 of 6 objects exist already in ${data}: old-Thing/${state.ids.a}. Nothing was imported; choose another data folder with --data.\n`,
  );
  assert.deepEqual([code, stdout], [1, '']);
  const again = await serve(t, project, { data });
  assert.equal(JSON.parse(await again.text('/describe?name=a')).rows, 3);
  await again.stop();
  assert.equal(objectFiles(data).length, 1);
});

test('a second import of the same is refused', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  assert.equal((await importInto(data, state.source)).code, 0);
  const { code, stderr } = await importInto(data, state.source);
  assert.match(stderr, /^perdure: 6 of 6 objects exist already in .*, and 3 more\. Nothing was imported/);
  assert.equal(code, 1);
});

test('one damaged file, and nothing is imported', async (t) => {
  const folder = (source) => join(source, 'v3/do/old-Thing');
  const damages = {
    'a text': [(file) => writeFileSync(file, 'this is not a database, although it is long enough to be one '.repeat(100)), /cannot be read as a SQLite database: file is not a database/],
    'half of it': [(file) => truncateSync(file, 4096 * 3), /is damaged: |cannot be read as a SQLite database: database disk image is malformed/],
    'a changed page': [(file) => {
      const bytes = readFileSync(file);
      bytes.fill(0x55, 4096 * 2, 4096 * 3);
      writeFileSync(file, bytes);
    }, /is damaged: |cannot be read as a SQLite database: database disk image is malformed/],
  };
  for (const [what, [damage, message]] of Object.entries(damages)) {
    const source = copyOfState(t);
    const file = join(folder(source), `${state.ids.big}.sqlite`);
    damage(file);
    const data = join(temporaryDirectory(t), 'data');
    const { code, stdout, stderr } = await importInto(data, source);
    assert.match(stderr, message, what);
    assert.ok(stderr.startsWith(`perdure: The file ${file} `), `${what}: ${stderr}`);
    assert.deepEqual([code, stdout], [1, ''], what);
    assert.ok(!existsSync(join(data, 'objects')) || objectFiles(data).length === 0, what);
    assert.ok(!existsSync(join(data, 'import')), what);
  }
});

test('an object of another class, of another project', async (t) => {
  const source = copyOfState(t);
  const other = join(source, 'v3/do/old-Other');
  mkdirSync(other);
  cpSync(join(source, 'v3/do/old-Thing', `${state.ids.a}.sqlite`), join(other, `${'0'.repeat(64)}.sqlite`));
  const data = join(temporaryDirectory(t), 'data');
  const missing = await importInto(data, source);
  assert.equal(
    missing.stderr,
    `perdure: ${join(other, `${'0'.repeat(64)}.sqlite`)}: "old-Other" is no class of the project "old", which has "old-Thing". Add the class to its migrations, or give a folder without it. (Ids belong to a key: renaming the folder does not help.)\n`,
  );
  assert.equal(missing.code, 1);
  assert.ok(!existsSync(data), 'the data folder was not touched');

  const renamed = copyOfState(t);
  renameSync(join(renamed, 'v3/do/old-Thing'), join(renamed, 'v3/do/test-Thing'));
  const directory = writeFiles(temporaryDirectory(t), { 'wrangler.json': wranglerJson(), 'index.ts': 'export default {};' });
  const foreign = await runPerdure(['import', renamed, '--project', directory]);
  assert.match(foreign.stderr, /: its id was not made for the namespace "test-Thing"\. The folder's name must be the unique key that the objects were made with\.\n$/);
  assert.equal(foreign.code, 1);
});

test('objects with SQLite storage are refused for a key-value class', async (t) => {
  const directory = writeFiles(temporaryDirectory(t), {
    'wrangler.json': wranglerJson({ name: 'old', migrations: [{ tag: 'v1', new_classes: ['Thing'] }] }),
    'index.ts': 'export default {};',
  });
  const { code, stderr } = await runPerdure(['import', state.source, '--project', directory]);
  assert.match(stderr, /^perdure: The file \S+ has the table "notes": its class has SQLite storage\. Declare it in new_sqlite_classes\.\n$/);
  assert.equal(code, 1);
});

test('a key-value class beside the imported one keeps its kind of storage', async (t) => {
  const directory = writeFiles(temporaryDirectory(t), {
    'wrangler.json': wranglerJson({
      name: 'old',
      durable_objects: { bindings: ['Thing', 'Simple'].map((name) => ({ name: name.toUpperCase(), class_name: name })) },
      migrations: [{ tag: 'v1', new_sqlite_classes: ['Thing'], new_classes: ['Simple'] }],
    }),
    'index.ts': `import { DurableObject } from 'cloudflare:workers';
      export class Thing extends DurableObject {}
      export class Simple extends DurableObject {
        async put() { await this.ctx.storage.put('a', 1); return this.ctx.storage.get('a'); }
      }
      export default { fetch: async (request, env) => Response.json(await env.SIMPLE.getByName('a').put()) };`,
  });
  const data = join(directory, 'data');
  assert.equal((await runPerdure(['import', state.source, '--project', directory, '--data', data])).code, 0);
  const server = await serve(t, directory, { data });
  assert.equal(await server.text('/'), '1');
  await server.stop();
});

test('no folder, no objects, no project', async (t) => {
  const empty = temporaryDirectory(t);
  const data = join(empty, 'data');
  const cases = [
    [[join(empty, 'nowhere'), '--project', project], `There is no folder ${join(empty, 'nowhere')}. Give the one that "wrangler dev" keeps its state in (.wrangler/state), or the folder of workerd's localDisk.`],
    [[empty, '--project', project], `There are no objects in ${empty}: no <name>-<class>/<id>.sqlite in it or in a folder below.`],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await runPerdure(['import', ...args, '--data', data]);
    assert.equal(stderr, `perdure: ${message}\n`);
    assert.equal(code, 1);
  }
  const without = await runPerdure(['import', state.source, '--project', empty]);
  assert.match(without.stderr, /wrangler/);
  assert.equal(without.code, 1);
  assert.ok(!existsSync(data));
});

test('objects of any key, for a program that uses the package', async (t) => {
  class Thing extends DurableObject {
    count() {
      return this.ctx.storage.sql.exec('SELECT count(*) AS n FROM notes').one().n;
    }
  }
  const data = join(temporaryDirectory(t), 'data');
  const without = await runPerdure(['import', state.source, '--no-project']);
  assert.equal(without.stderr, 'perdure: Without a project, say where the objects will live: --data <folder>.\n');
  const { code, stdout } = await runPerdure(['import', state.source, '--no-project', '--data', data]);
  assert.match(stdout, /^Imported 6 objects into \S+: 6 of old-Thing\.\n/);
  assert.equal(code, 0);
  const registry = open({ storageDir: data });
  const things = registry.namespace('THING', Thing, { key: 'old-Thing' });
  assert.equal(things.idFromName('big').toString(), state.ids.big);
  assert.equal(await things.getByName('big').count(), 3000);
  assert.equal(await things.get(things.idFromString(state.ids.unique)).count(), 3);
  await registry.close();
});

test('the same object in two places', async (t) => {
  const source = copyOfState(t);
  cpSync(join(source, 'v3/do'), join(source, 'v4/do'), { recursive: true });
  const { code, stderr } = await importInto(join(temporaryDirectory(t), 'data'), source);
  assert.match(stderr, /^perdure: The object [0-9a-f]{64} is there twice: \S+ and \S+\. Give the folder of one of them\.\n$/);
  assert.equal(code, 1);
});

test('on a terminal there is a progress bar', (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const command = [process.execPath, join(root, 'bin/perdure'), 'import', state.source, '--project', project, '--data', data];
  const output = execFileSync('script', ['-qec', command.map((part) => `'${part}'`).join(' '), '/dev/null'], { encoding: 'utf8', env: { ...process.env, TERM: 'xterm' } });
  assert.match(output, /importing .*0\/6/);
  assert.match(output, /Imported 6 objects/);
});
