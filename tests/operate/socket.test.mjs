// The admin socket: who may open it, what is left of it, and clients that do not behave. And what operators' reads and
// writes are to objects that are at work.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, temporaryDirectory } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';
import { operator, succeeding } from '../support/operate.mjs';
import { until } from '../support/until.mjs';

const launcher = join(root, 'bin/perdure');
const SELECT = ['sql', 'bench-Counter', 'a', 'SELECT a FROM t', '--csv'];
/** Rows without an end. */
const ENDLESS = 'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT hex(zeroblob(500)), x FROM n';
/** No row at all, and no end. */
const SILENT = 'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n WHERE x < 0';

const makeTable = (lab) => lab.object('a', ({ sql }) => void sql.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1)'));

/** A command that goes on; `output` is what it has printed. */
function begin(t, args, options = {}) {
  const child = spawn(process.execPath, [launcher, ...args], { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  t.after(() => child.kill('SIGKILL'));
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) child[name].setEncoding('utf8').on('data', (text) => (output[name] += text));
  return { child, output, closed: once(child, 'close') };
}

/** Asks as the command line does, and leaves what comes unread. */
async function ask(data, name, args) {
  const asked = request({ socketPath: join(data, 'admin.sock'), path: `/v1/${name}`, method: 'POST' });
  asked.on('error', () => {});
  asked.end(JSON.stringify(args));
  const [response] = await once(asked, 'response');
  response.on('error', () => {});
  return { asked, response };
}

test('only its owner can open the socket', async (t) => {
  const lab = await startLab(t, { threads: 2 });
  const socket = statSync(join(lab.data, 'admin.sock'));
  assert.ok(socket.isSocket());
  assert.equal(socket.mode & 0o777, 0o600);
  assert.equal(socket.uid, process.getuid());
  assert.ok(!existsSync(join(lab.data, 'admin.new')));
});

test('another user is told so', { skip: process.getuid() !== 0 && 'only root can be somebody else' }, async (t) => {
  const lab = await startLab(t);
  for (let folder = lab.data; folder !== '/'; folder = join(folder, '..')) if (statSync(folder).uid === 0 && folder.includes('perdure-test')) chmodSync(folder, 0o755);
  const { closed, output } = begin(t, [...SELECT, '--data', lab.data], { uid: 65_534, gid: 65_534, cwd: '/' });
  const [code] = await closed;
  assert.match(output.stderr, /^perdure: The admin socket in .* is for the user who serves it: run this command as that one \(.*EACCES.*\)\.\n$/);
  assert.equal(code, 5);
});

test('another user is told so when nobody serves', { skip: process.getuid() !== 0 && 'only root can be somebody else' }, async (t) => {
  const lab = await startLab(t);
  await makeTable(lab);
  await lab.stop();
  for (let folder = lab.data; folder.includes('perdure-test'); folder = join(folder, '..')) chmodSync(folder, 0o755);
  const somebody = async (...args) => {
    const { closed, output } = begin(t, [...args, '--data', lab.data], { uid: 65_534, gid: 65_534, cwd: '/' });
    const [code] = await closed;
    return { code, ...output };
  };
  const refused = (message) => ({ code: 5, stdout: '', stderr: `perdure: ${message}\n` });
  const { data } = lab;
  const unwritable = (why) => refused(`The data directory ${data} cannot be written by this user, which each command needs, if only for its lock. Run this one as the owner, or on a copy (${why}).`);
  for (const command of [SELECT, ['verify'], ['stats']]) assert.deepEqual(await somebody(...command), unwritable(`Cannot open ${data}/LOCK: Permission denied`));
  chmodSync(data, 0o700);
  assert.deepEqual(await somebody(...SELECT), refused(`The data directory ${data} is another user's, and this one may not look into it: run this command as the owner (EACCES: permission denied, stat '${data}/format').`));
  const nothing = await somebody('objects', 'ls', '--data', join(data, 'nothing'));
  assert.equal(nothing.code, 5, 'what is in there cannot be known');
  // One's own, which may only be read.
  spawnSync('chown', ['-R', '65534:65534', data]);
  spawnSync('chmod', ['-R', 'a-w', data]);
  assert.deepEqual(await somebody(...SELECT), unwritable(`Cannot open ${data}/LOCK: Permission denied`));
  chmodSync(join(data, 'LOCK'), 0o600);
  assert.deepEqual(await somebody(...SELECT), unwritable(`Cannot open ${data}/log/0000000000000001.log: Permission denied`));
  spawnSync('chmod', ['-R', 'u+w', data]);
  assert.deepEqual(await somebody(...SELECT), { code: 0, stdout: 'a\n1\n', stderr: '' });
});

test('a data directory deeper than an address of a socket is long', async (t) => {
  const data = join(temporaryDirectory(t), 'deep-'.repeat(15), 'deeper-'.repeat(15), 'data');
  mkdirSync(data, { recursive: true });
  const lab = await startLab(t, { data });
  assert.ok(Buffer.byteLength(join(data, 'admin.sock')) > 108);
  await makeTable(lab);
  assert.equal(await succeeding(data)(...SELECT), 'a\n1\n');
  const { code, stderr } = await lab.stop();
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  assert.ok(!existsSync(join(data, 'admin.sock')));
});

test('a socket that a crash has left is in nobody\'s way', async (t) => {
  let lab = await startLab(t, { threads: 2 });
  await makeTable(lab);
  lab.child.kill('SIGKILL');
  await lab.end();
  assert.ok(existsSync(join(lab.data, 'admin.sock')));
  mkdirSync(join(lab.data, 'admin.new')); // also in the middle of making one
  mkdirSync(join(lab.data, 'export'));
  writeFileSync(join(lab.data, 'export/rest.sqlite'), 'rest');
  assert.equal(await succeeding(lab.data)(...SELECT), 'a\n1\n', 'the command opens the directory itself');
  assert.ok(!existsSync(join(lab.data, 'export')));
  const { data } = lab;
  lab = await startLab(t, { data });
  assert.equal(statSync(join(data, 'admin.sock')).mode & 0o777, 0o600);
  assert.equal((await succeeding(data)('stats', '--json').then(JSON.parse)).server.pid, lab.child.pid);
});

test('a server that is killed in between', async (t) => {
  const lab = await startLab(t, { threads: 2 });
  await makeTable(lab);
  const { output, closed } = begin(t, ['sql', 'bench-Counter', 'a', ENDLESS, '--csv', '--data', lab.data]);
  await until(() => output.stdout.length > 100_000, 'a row');
  lab.child.kill('SIGKILL');
  const [code] = await closed;
  assert.match(output.stderr, /^perdure: The server has ended before it had answered\.\n$/);
  assert.equal(code, 5);
});

test('a server that stops in between says so, and does not wait', async (t) => {
  const lab = await startLab(t, { threads: 2 });
  await makeTable(lab);
  const loud = begin(t, ['sql', 'bench-Counter', 'a', ENDLESS, '--csv', '--data', lab.data]);
  const silent = begin(t, ['sql', 'bench-Counter', 'a', SILENT, '--data', lab.data]);
  await until(() => loud.output.stdout.length > 100_000, 'a row');
  // It takes as much as a socket holds, and nothing more.
  const slow = await ask(lab.data, 'sql', { namespace: 'bench-Counter', object: 'a', sql: ENDLESS, write: false, create: false });
  await until(() => slow.response.readableLength > 0, 'something to read');
  const before = loud.output.stdout.length;
  await until(() => loud.output.stdout.length > before + 10_000_000, 'more rows');
  const { code, stderr } = await lab.stop();
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  for (const { output, closed } of [loud, silent]) {
    assert.equal((await closed)[0], 5);
    assert.match(output.stderr, /^perdure: The server has (been stopped|ended before it had answered)\.\n$/);
  }
  slow.asked.destroy();
});

test('clients that read nothing, or vanish, hold nobody up and leave nothing behind', async (t) => {
  const lab = await startLab(t, { threads: 2 });
  await makeTable(lab);
  const query = { namespace: 'bench-Counter', object: 'a', sql: ENDLESS, write: false, create: false };
  for (let round = 0; round < 2; round++) {
    const clients = await Promise.all(Array.from({ length: 16 }, () => ask(lab.data, 'sql', query)));
    assert.equal(await lab.object('a', ({ sql }) => sql.exec('SELECT count(*) AS n FROM t').one().n), 1, 'the server goes on');
    const refused = await operator(lab.data)(...SELECT);
    assert.equal(refused.stderr, 'perdure: The server does too much for operators already. Try again.\n');
    assert.equal(refused.code, 5);
    for (const { asked } of clients) asked.destroy();
    const answered = await until(async () => {
      const { code, stdout } = await operator(lab.data)(...SELECT);
      return code === 0 && stdout;
    }, 'room for a command');
    assert.equal(answered, 'a\n1\n');
  }
});

test('queries without an end leave the project its files and names, and other commands their turn', async (t) => {
  const lab = await startLab(t, { threads: 2 });
  await makeTable(lab);
  const query = { namespace: 'bench-Counter', object: 'a', sql: SILENT, write: false, create: false };
  // More than libuv has threads, and than there are processors; all of them run when they have answered the columns.
  const clients = await Promise.all(Array.from({ length: 15 }, () => ask(lab.data, 'sql', query)));
  const found = await lab.object('a', async () => {
    const { stat } = process.getBuiltinModule('node:fs/promises');
    const { lookup } = process.getBuiltinModule('node:dns/promises');
    return [(await stat('/')).isDirectory(), (await lookup('localhost')).family > 0];
  });
  assert.deepEqual(found, [true, true]);
  assert.equal(await succeeding(lab.data)(...SELECT), 'a\n1\n');
  for (const { asked } of clients) asked.destroy();
});

test('a client that sends half of its request holds up no stop', async (t) => {
  const lab = await startLab(t);
  const asked = request({ socketPath: join(lab.data, 'admin.sock'), path: '/v1/stats', method: 'POST', headers: { 'content-length': 10 } });
  const refused = once(asked, 'error');
  asked.write('{');
  await once(asked, 'socket').then(([socket]) => socket.connecting && once(socket, 'connect'));
  await succeeding(lab.data)('stats'); // it came later, so the half is there, too
  const { code, stderr } = await lab.stop();
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  assert.equal((await refused)[0].code, 'ECONNRESET');
});

test('requests that are none', async (t) => {
  const lab = await startLab(t);
  const answer = async (path, body, method = 'POST') => {
    const asked = request({ socketPath: join(lab.data, 'admin.sock'), path, method });
    asked.end(body);
    const [response] = await once(asked, 'response');
    const chunks = [];
    for await (const chunk of response) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    assert.equal(bytes[0], 4, 'FAILED');
    return JSON.parse(bytes.subarray(5)).message;
  };
  assert.equal(await answer('/v2/objects', '{}'), 'The server does not know POST /v2/objects: it is of another version than this command.');
  assert.equal(await answer('/v1/__proto__', '{}'), 'The server does not know POST /v1/__proto__: it is of another version than this command.');
  assert.equal(await answer('/v1/objects', '', 'GET'), 'The server does not know GET /v1/objects: it is of another version than this command.');
  assert.match(await answer('/v1/objects', '{'), /JSON/);
  await makeTable(lab);
  const write = { namespace: 'bench-Counter', object: 'a', sql: 'SELECT 1', write: true, create: false };
  for (const timeMsMax of [-1, 1e300]) assert.equal(await answer('/v1/sql', JSON.stringify({ ...write, timeMsMax })), 'statements may take a day at most');
  assert.equal(await answer('/v1/sql', JSON.stringify(write)), 'A number was expected');
  assert.equal(await answer('/v1/kv-put', ' '.repeat(9 << 20)), 'The request is larger than 8 MiB.');
});

test('| head, and Ctrl-C', async (t) => {
  const lab = await startLab(t, { threads: 2 });
  await makeTable(lab);
  const through = (command) => {
    const child = spawn('bash', ['-c', `set -o pipefail; ${command}`], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, P: `${process.execPath} ${launcher}`, DATA: lab.data } });
    return Promise.all([once(child, 'close'), child.stdout.setEncoding('utf8').toArray(), child.stderr.setEncoding('utf8').toArray()]);
  };
  const head = `$P sql bench-Counter a "${ENDLESS}" --csv --data $DATA | head -n 2 | tail -n 1 | tail -c 3`;
  const interrupted = async () => {
    const { child, output, closed } = begin(t, ['sql', 'bench-Counter', 'a', ENDLESS, '--csv', '--data', lab.data]);
    await until(() => output.stdout.length > 100_000, 'a row');
    child.kill('SIGINT');
    assert.equal((await closed)[0], 130);
    assert.equal(output.stderr, 'perdure: Interrupted.\n');
  };
  for (const state of ['served', 'stopped']) {
    const [[code], stdout, stderr] = await through(head);
    assert.deepEqual({ code, stdout: stdout.join(''), stderr: stderr.join('') }, { code: 0, stdout: ',1\n', stderr: '' }, state);
    await interrupted();
    if (state === 'served') await lab.stop();
  }
  assert.equal(await succeeding(lab.data)(...SELECT), 'a\n1\n');
});

test('a directory that a program has open with the package', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const source = `import { open } from ${JSON.stringify(join(root, 'js/dist/index.js'))}; open({ storageDir: ${JSON.stringify(data)} }); console.log('open'); setInterval(() => {}, 1000);`;
  const program = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => program.kill('SIGKILL'));
  await once(program.stdout, 'data');
  const { code, stderr } = await operator(data)('objects', 'ls');
  const waiting = `perdure: Another process has the data directory ${data}. Waiting for it, for 10 s at most.\n`;
  assert.equal(stderr, `${waiting}perdure: The data directory ${data} is in use by a process without an admin socket: a program that has opened it with the package, or another command. Stop that one.\n`);
  assert.equal(code, 5);
});

test('commands beside one another on a directory that nobody serves', async (t) => {
  const lab = await startLab(t);
  await makeTable(lab);
  await lab.stop();
  const inserts = Array.from({ length: 4 }, (_, i) => succeeding(lab.data)('sql', 'bench-Counter', 'a', `INSERT INTO t VALUES (${i + 2})`, '--write'));
  await Promise.all(inserts);
  assert.equal(await succeeding(lab.data)('sql', 'bench-Counter', 'a', 'SELECT sum(a) AS s FROM t', '--csv'), 's\n15\n');
});

test('reads see what is committed, writes wait for the gate', async (t) => {
  const lab = await startLab(t, { threads: 2 });
  await makeTable(lab);
  const marks = temporaryDirectory(t);
  const read = () => succeeding(lab.data)(...SELECT);
  const busy = lab.object('a', ({ sql, storage }, marks) => {
    const { existsSync, writeFileSync } = process.getBuiltinModule('node:fs');
    const { setTimeout } = process.getBuiltinModule('node:timers/promises');
    return storage.transaction(async (transaction) => {
      sql.exec('UPDATE t SET a = 2');
      writeFileSync(`${marks}/inside`, '');
      while (!existsSync(`${marks}/go on`)) await setTimeout(10);
      transaction.rollback();
      return 'rolled back';
    });
  }, marks);
  await until(() => existsSync(join(marks, 'inside')), 'the transaction');
  assert.equal(await read(), 'a\n1\n', 'nothing of the open transaction');
  let written = false;
  const write = succeeding(lab.data)('sql', 'bench-Counter', 'a', 'UPDATE t SET a = a + 10', '--write').then(() => (written = true));
  // It has come to the object: another one, which comes after it, is answered.
  await succeeding(lab.data)('kv', 'put', 'bench-Counter', 'other', 'k', '1', '--create');
  assert.equal(written, false);
  assert.equal(await read(), 'a\n1\n');
  writeFileSync(join(marks, 'go on'), '');
  assert.equal(await busy, 'rolled back');
  await write;
  assert.equal(await read(), 'a\n11\n', 'not rolled back with it');
  assert.equal(await lab.object('a', ({ sql }) => sql.exec('SELECT a FROM t').one().a), 11);
});

test('a write does not construct the class, and an instance sees it', async (t) => {
  const lab = await startLab(t, { args: ['--idle-ms', '50'] });
  await makeTable(lab);
  await lab.object('a', ({ storage }) => storage.setAlarm(Date.now() + 3_600_000));
  await lab.constructors('a', ({ shared }) => void (shared.made = (shared.made ?? 0) + 1));
  const done = succeeding(lab.data);
  await until(async () => JSON.parse(await done('stats', '--json')).server.objectsInMemory[0] === 0, 'the eviction');
  await done('kv', 'put', 'bench-Counter', 'a', 'k', '"from outside"');
  await done(...SELECT);
  assert.equal(await lab.worker(({ shared }) => shared.made), undefined);
  const list = await lab.object('a', async ({ kv, self, storage }) => {
    const { setTimeout } = process.getBuiltinModule('node:timers/promises');
    kv.put('l', 2);
    self.kept = kv.list();
    const first = self.kept.next().value;
    const before = await storage.getAlarm();
    return [first, typeof before, void setTimeout];
  });
  assert.deepEqual(list.slice(0, 2), [['k', 'from outside'], 'number']);
  assert.equal(await lab.worker(({ shared }) => shared.made), 1);
  const hold = lab.object('a', async ({ self, storage }) => {
    const { setTimeout } = process.getBuiltinModule('node:timers/promises');
    while ((await storage.get('m')) === undefined) await setTimeout(10);
    return [[...self.kept].map(([key]) => key), typeof (await storage.getAlarm())];
  });
  await done('kv', 'put', 'bench-Counter', 'a', 'm', '1');
  assert.deepEqual(await hold, [['l', 'm'], 'number'], 'an open list goes on with what there is');
  assert.equal(await lab.worker(({ shared }) => shared.made), 1, 'it is the same instance');
});
