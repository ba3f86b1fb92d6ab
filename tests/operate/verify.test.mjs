// perdure verify: a bit that is turned in a file of each kind is found, with the file, the place and the object.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, cpSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { temporaryDirectory } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';
import { operator } from '../support/operate.mjs';
import { until } from '../support/until.mjs';

const folder = temporaryDirectory({ after });

function turnBit(file, offset) {
  const descriptor = openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  assert.equal(readSync(descriptor, byte, 0, 1, offset), 1);
  byte[0] ^= 16;
  writeSync(descriptor, byte, 0, 1, offset);
  closeSync(descriptor);
}

const historyOf = (data) => join(data, 'history');
const historyFiles = (data) => readdirSync(historyOf(data)).filter((name) => name.endsWith('.history'));

/** A lab whose objects have a history file, in a folder of its own. */
const lab = await startLab({ after }, { threads: 2 });
for (const name of ['a', 'b']) {
  await lab.object(name, ({ sql }) => {
    sql.exec('CREATE TABLE t (a)');
    // More than a segment of the log.
    for (let i = 0; i < 24; i++) sql.exec('INSERT INTO t VALUES (randomblob(1900000))');
  });
  await lab.keyed(name, ({ storage }) => storage.put('k', 'v'));
}
await lab.object('letter', ({ sql }) => {
  sql.exec('CREATE TABLE t (a)');
  sql.exec("INSERT INTO t VALUES ('this is a letter')");
});
const letterBefore = await lab.object('letter', ({ storage }) => storage.getCurrentBookmark());
await lab.object('letter', ({ sql }) => void sql.exec("INSERT INTO t VALUES ('and another')"));
await lab.keyed('valued', ({ storage }) => storage.put('k', 'a value'));
const idOf = (name) => lab.worker(({ env }, name) => `${env.COUNTER.idFromName(name)}`, name);
const keyedIds = await lab.worker(({ env }) => ['a', 'b', 'valued'].map((name) => `${env.KEYED.idFromName(name)}`));
const ids = { a: await idOf('a'), b: await idOf('b'), letter: await idOf('letter') };

test('rows of an import are checked that are larger than those of objects', async () => {
  const from = join(folder, 'large');
  const into = operator(join(folder, 'imported'));
  mkdirSync(join(from, 'bench-Counter'), { recursive: true });
  execFileSync('sqlite3', [join(from, 'bench-Counter', `${ids.a}.sqlite`), 'CREATE TABLE t (a TEXT NOT NULL); CREATE INDEX i ON t (a); INSERT INTO t VALUES (hex(zeroblob(3000000)))']);
  assert.equal((await into('import', from, '--no-project')).code, 0);
  assert.deepEqual(await into('verify'), { code: 0, signal: null, stdout: 'Nothing is damaged.\n', stderr: '' });
});

test('an object that was taken back to before its first commit is not damaged, served or stopped', async (t) => {
  const data = join(folder, 'emptied');
  const other = await startLab(t, { data });
  for (const name of ['emptied', 'restored']) {
    await other.object(name, async ({ ctx, sql }) => {
      const bookmark = await ctx.storage.getCurrentBookmark();
      sql.exec('CREATE TABLE t (a)');
      await ctx.storage.onNextSessionRestoreBookmark(bookmark);
      ctx.abort();
    }).catch(() => {});
    assert.deepEqual(await other.object(name, ({ sql }) => sql.exec('SELECT name FROM sqlite_schema').toArray()), []);
  }
  const healthy = { code: 0, signal: null, stdout: 'Nothing is damaged.\n', stderr: '' };
  assert.deepEqual(await operator(other.data)('verify'), healthy);
  await other.stop();
  assert.deepEqual(await operator(other.data)('verify'), healthy);
});

test('nothing is damaged in what is being written', async () => {
  const writing = lab.object('b', async ({ sql }) => {
    const { setImmediate } = process.getBuiltinModule('node:timers/promises');
    for (let i = 0; i < 300; i++) {
      sql.exec('INSERT INTO t VALUES (randomblob(20000))');
      await setImmediate();
    }
  });
  const { code, stdout, stderr } = await operator(lab.data)('verify');
  await writing;
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'Nothing is damaged.\n', stderr: '' });
});

test('nor in what is being written faster than it can be looked at', async (t) => {
  const other = await startLab(t, { data: join(folder, 'fast'), threads: 2 });
  // Its pages are more than a view of it may keep.
  await other.object('large', ({ sql }) => {
    sql.exec('CREATE TABLE t (a)');
    for (let i = 0; i < 40; i++) sql.exec('INSERT INTO t VALUES (randomblob(1900000))');
  });
  let verified = false;
  const verifying = operator(other.data)('verify').finally(() => (verified = true));
  while (!verified) await other.object('large', ({ sql }) => void sql.exec('UPDATE t SET a = randomblob(1900000)'));
  const { code, stdout, stderr } = await verifying;
  if (code === 0) assert.deepEqual({ stdout, stderr }, { stdout: 'Nothing is damaged.\n', stderr: '' });
  else {
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /^perdure: .*\.sqlite \(bench-Counter "large", [0-9a-f]{64}\): changed so fast that only its pages were checked, and not how they belong together\.\nperdure: No damage was found, but not everything could be checked\. /);
  }
});

let copies = 0;
/** A copy of the data directory, damaged; -> the damages that are found. */
async function damagesOf(damage) {
  const data = join(folder, `${++copies}`);
  cpSync(lab.data, data, { recursive: true });
  const file = damage(data);
  const { code, stdout, stderr } = await operator(data)('verify', '--json');
  assert.equal(code, 4, stderr);
  assert.match(stderr, /^perdure: \d+ damages? found\. /);
  const found = JSON.parse(stdout);
  for (const each of found) assert.equal(each.file, file);
  const text = await operator(data)('verify');
  assert.ok(text.stdout.startsWith(`${file} at byte `), text.stdout);
  return found;
}

test('what is damaged while nobody serves it', async (t) => {
  await lab.stop();
  // The checkpoint at the end of a server leaves segments that the next one makes history of.
  const again = await startLab(t, { data: lab.data });
  await until(() => existsSync(historyOf(lab.data)) && historyFiles(lab.data).length > 0, 'history');
  await again.stop();
  const clean = await operator(lab.data)('verify');
  assert.deepEqual(clean, { code: 0, signal: null, stdout: 'Nothing is damaged.\n', stderr: '' });

  await t.test('the database of an object', async () => {
    const [first] = await damagesOf((data) => {
      const file = join(data, 'objects/bench-Counter', `${ids.a}.sqlite`);
      turnBit(file, 4096); // what kind of page it is
      return file;
    });
    assert.deepEqual([first.offset, first.objects], [4096, [{ namespace: 'bench-Counter', id: ids.a, name: 'a' }]]);
  });

  await t.test('a letter of a text, which no structure shows', async () => {
    let at;
    const found = await damagesOf((data) => {
      const file = join(data, 'objects/bench-Counter', `${ids.letter}.sqlite`);
      at = readFileSync(file).indexOf('a letter');
      turnBit(file, at);
      assert.equal(execFileSync('sqlite3', [file, 'PRAGMA integrity_check'], { encoding: 'utf8' }), 'ok\n');
      return file;
    });
    const page = Math.floor(at / 4096);
    assert.deepEqual(found, [
      {
        file: found[0].file,
        offset: page * 4096,
        objects: [{ namespace: 'bench-Counter', id: ids.letter, name: 'letter' }],
        problem: `page ${page + 1} does not match its checksum`,
      },
    ]);
  });

  await t.test('a damaged page is refused wherever it is read, until it is accepted as it is', async () => {
    const data = join(folder, 'refused');
    cpSync(lab.data, data, { recursive: true });
    const file = join(data, 'objects/bench-Counter', `${ids.letter}.sqlite`);
    const at = readFileSync(file).indexOf('a letter');
    turnBit(file, at);
    const perdure = operator(data);
    const refused = new RegExp(`The file ${file} is damaged: page \\d+, at byte \\d+, does not match its checksum\\. `);
    const tries = [['sql', 'SELECT a FROM t'], ['sql', "UPDATE t SET a = 'new'", '--write'], ['export', folder], ['restore', '--to', letterBefore]];
    for (const [command, ...args] of tries) {
      const { code, stderr } = await perdure(command, 'bench-Counter', 'letter', ...args);
      assert.match(stderr, refused, command);
      assert.notEqual(code, 0);
    }
    assert.equal((await perdure('verify')).code, 4);
    const accepted = await perdure('verify', '--accept');
    assert.equal(accepted.stdout, 'Nothing is damaged.\n');
    assert.match(accepted.stderr, new RegExp(`^perdure: ${file} \\(bench-Counter "letter", ${ids.letter}\\): 1 page that does not match the checksums counts from now on as it is\\.`));
    assert.equal((await perdure('sql', 'bench-Counter', 'letter', 'SELECT count(*) n FROM t')).code, 0);
    assert.equal((await perdure('verify')).code, 0);
  });

  await t.test('a value in the shared key-value file', async () => {
    const found = await damagesOf((data) => {
      const file = join(data, 'data.sqlite');
      turnBit(file, readFileSync(file).indexOf('a value'));
      return file;
    });
    assert.equal(found.length, 1);
    assert.match(found[0].problem, /^page \d+ does not match its checksum$/);
    assert.equal(found[0].offset % 4096, 0);
    // All that are on the page.
    assert.deepEqual(found[0].objects.map(({ namespace, id }) => `${namespace} ${id}`).sort(), keyedIds.map((id) => `bench-Keyed ${id}`).sort());
  });

  await t.test('the catalog', async () => {
    const found = await damagesOf((data) => {
      const file = join(data, 'catalog.sqlite');
      turnBit(file, readFileSync(file).indexOf(Buffer.from(ids.letter, 'hex')));
      return file;
    });
    assert.equal(found[0].offset % 4096, 0);
    assert.match(found[0].problem, /^page \d+ does not match its checksum$/);
  });

  await t.test('a history file', async () => {
    const found = await damagesOf((data) => {
      const file = join(historyOf(data), historyFiles(data)[0]);
      turnBit(file, 100_000);
      return file;
    });
    assert.ok(found.every(({ offset }) => offset !== null && offset <= 100_000), JSON.stringify(found));
    assert.ok(found.some(({ objects }) => objects.some(({ id }) => id === ids.a || id === ids.b)), JSON.stringify(found));
  });

  await t.test('a file that is not there', async () => {
    const data = join(folder, 'missing');
    const file = join(data, 'objects/bench-Counter', `${ids.b}.sqlite`);
    cpSync(lab.data, data, { recursive: true, filter: (source) => !source.endsWith(`${ids.b}.sqlite`) });
    const { code, stdout } = await operator(data)('verify');
    assert.match(stdout, new RegExp(`^${file} \\(bench-Counter "b", ${ids.b}\\): The file ${file} is missing, with \\d+ bytes\\. Restore it from a backup\\.\n$`));
    assert.equal(code, 4);
  });
});

function remove(data, name) {
  rmSync(join(data, name), { recursive: true });
  return join(data, name);
}

function write(data, name, text) {
  writeFileSync(join(data, name), text);
  return join(data, name);
}

function turn(data, name, offset) {
  turnBit(join(data, name), offset);
  return join(data, name);
}

/** What is damaged so that nothing can be opened, or not all of it; -> the file that is found. And where in it. */
const UNOPENED = [
  ['no checkpoint', (data) => remove(data, 'log/checkpoint'), 0],
  ['no log', (data) => remove(data, 'log'), 0],
  ['a file "format" of something else', (data) => write(data, 'format', 'a format\n'), null],
  ['no catalog', (data) => remove(data, 'catalog.sqlite'), null],
  ['an empty catalog', (data) => write(data, 'catalog.sqlite', ''), null],
  ['a catalog that is no database', (data) => write(data, 'catalog.sqlite', 'x'.repeat(8192)), null],
  ['a damaged page of the catalog', (data) => turn(data, 'catalog.sqlite', 8192), 8192],
];

test('what keeps a data directory from being opened', async (t) => {
  const whole = join(folder, 'whole');
  const server = await startLab(t, { data: whole });
  await server.object('a', ({ kv }) => kv.put('k', 'v'));
  await server.stop();
  const copied = () => {
    const data = join(folder, `${++copies}`);
    cpSync(whole, data, { recursive: true });
    return data;
  };
  for (const [what, damage, offset] of UNOPENED) {
    await t.test(what, async () => {
      const data = copied();
      const file = damage(data);
      const { code, stdout, stderr } = await operator(data)('verify', '--json');
      assert.equal(code, 4, stderr);
      const found = JSON.parse(stdout);
      for (const each of found) assert.deepEqual([each.file, each.objects], [file, []]);
      assert.equal(found[0].offset, offset);
    });
  }
  await t.test('a newer version is no damage', async () => {
    const data = copied();
    write(data, 'format', 'perdure 99\n');
    const { code, stdout, stderr } = await operator(data)('verify');
    assert.match(stderr, /^perdure: The data directory \S+ was written by a newer Perdure \(format 99; /);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
  });
  await t.test('what is no data directory is none', async () => {
    const data = copied();
    remove(data, 'format');
    assert.equal((await operator(data)('verify')).code, 3);
  });
});

test('a record in the log of a running server', async (t) => {
  const running = await startLab(t, { data: join(folder, 'running'), threads: 2 });
  await running.object('a', ({ kv }) => kv.put('first', 'x'.repeat(1000)));
  await running.object('b', ({ kv }) => kv.put('second', 'y'.repeat(1000)));
  const [name] = readdirSync(join(running.data, 'log')).filter((each) => each.endsWith('.log'));
  const file = join(running.data, 'log', name);
  const bytes = readFileSync(file);
  const at = bytes.indexOf('x'.repeat(100));
  assert.ok(at > 0);
  turnBit(file, at + 50);
  const { code, stdout } = await operator(running.data)('verify', '--json');
  assert.equal(code, 4);
  const [damage, ...more] = JSON.parse(stdout);
  assert.deepEqual(more, []);
  assert.equal(damage.file, file);
  assert.ok(damage.offset < at && damage.offset > at - 4096, `${damage.offset} ${at}`);
  assert.deepEqual(damage.objects.map(({ namespace, name }) => [namespace, name]), [['bench-Counter', 'a']]);
  running.child.kill('SIGKILL');
  await running.end();
  // It was durable: a start refuses it, and so does a command, with the place.
  const refused = await operator(running.data)('verify');
  assert.ok(refused.stdout.startsWith(`${file} at byte ${damage.offset}: `), refused.stdout);
  assert.equal(refused.stderr, 'perdure: 1 damage found. Put back a backup of the data directory, or import what was exported of its objects into a new one (perdure import).\n');
  assert.equal(refused.code, 4);
  const opened = await operator(running.data)('objects', 'ls');
  assert.match(opened.stderr, /^perdure: The log is damaged: .*\.log/);
  assert.equal(opened.code, 4);
});

/** Makes checking the log of a server last for minutes: segments that are all zeros, and no room on the disk. */
function lengthen(data) {
  for (let i = 0; i < 100; i++) truncateSync(create(join(data, 'log', `${9_000_000_000_000_000n + BigInt(i)}.log`)), 2 ** 32 - 4096);
}

function create(path) {
  writeFileSync(path, '');
  return path;
}

/** A client that is told what is checked, until it is well on the way; -> its request. */
async function beginVerify(data) {
  const asked = request({ socketPath: join(data, 'admin.sock'), path: '/v1/verify', method: 'POST' });
  asked.on('error', () => {});
  asked.end('{}');
  const [response] = await once(asked, 'response');
  response.on('error', () => {});
  const [frame] = await once(response, 'data');
  const { of, done, total } = JSON.parse(frame.subarray(5, 5 + frame.readUInt32LE(1)));
  assert.equal(of, 'log');
  assert.ok(done < total, `${done} of ${total}`);
  response.resume();
  return asked;
}

test('a server that stops does not wait for the end of a check', async (t) => {
  const server = await startLab(t);
  lengthen(server.data);
  await beginVerify(server.data);
  const { code, stderr } = await server.stop();
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
});

test('a check ends when its client does', async (t) => {
  const server = await startLab(t);
  lengthen(server.data);
  // As many as operations at one time.
  const clients = await Promise.all(Array.from({ length: 16 }, () => beginVerify(server.data)));
  assert.equal((await operator(server.data)('stats')).code, 5);
  for (const client of clients) client.destroy();
  await until(async () => (await operator(server.data)('stats')).code === 0, 'room for a command');
});
