// Operators' writes that are not wanted any more, or have no end: nothing is written, and the object goes on.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, temporaryDirectory } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';
import { succeeding } from '../support/operate.mjs';
import { withParent } from '../support/perdure.mjs';
import { until } from '../support/until.mjs';

const launcher = join(root, 'bin/perdure');
/** It has no end, and writes only when it had one. */
const ENDLESS = "INSERT INTO t VALUES ('lost'); WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) INSERT INTO t SELECT x FROM n WHERE x < 0";
/** A turn that takes so long is reported by the server: so a test knows that a statement runs. */
const WATCHDOG = ['--watchdog-ms', '100'];
const RUNS = /: an operator's command has run for .* without giving way/;

/** A command that goes on. */
function begin(t, lab, ...args) {
  const [command, ...rest] = [...withParent, process.execPath, launcher, ...args, '--data', lab.data];
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) child[name].setEncoding('utf8').on('data', (text) => (output[name] += text));
  return { child, output, closed: once(child, 'close') };
}

/** An object of each thread of two; with another prefix, others. */
const namesByThread = (lab, prefix = 'object') =>
  lab.worker(({ env }, prefix) => {
    const names = [];
    for (let i = 0; names[0] === undefined || names[1] === undefined; i++) {
      const name = `${prefix} ${i}`;
      names[Number.parseInt(`${env.COUNTER.idFromName(name)}`.slice(0, 8), 16) % 2] ??= name;
    }
    return names;
  }, prefix);

const makeTable = (lab, name) => lab.object(name, ({ sql }) => void sql.exec("CREATE TABLE t (a); INSERT INTO t VALUES ('kept'), ('too')"));
const rowsOf = (lab, name) => succeeding(lab.data)('sql', 'bench-Counter', name, 'SELECT a FROM t', '--csv');
const STOPPED = 'perdure: The server has been stopped; nothing was written.\n';
const KEPT = 'a\nkept\ntoo\n';

test('Ctrl-C ends a statement on a server, and the instance goes on', async (t) => {
  const lab = await startLab(t, { threads: 2, args: WATCHDOG });
  // The second one is on the socket's own thread.
  for (const name of (await namesByThread(lab)).reverse()) {
    await makeTable(lab, name);
    await lab.object(name, ({ self, sql }) => {
      self.rows = sql.exec('SELECT a FROM t');
      self.rows.next();
    });
    const { child, output, closed } = begin(t, lab, 'sql', 'bench-Counter', name, ENDLESS, '--write', '--timeout', '3600');
    await lab.printed(RUNS, 'stderr');
    child.kill('SIGINT');
    assert.deepEqual(await closed, [130, null]);
    assert.equal(output.stderr, 'perdure: Interrupted. What the server had begun may have been written: look before you repeat it.\n');
    const inside = await lab.object(name, ({ self, sql, kv }) => {
      const open = self.rows.toArray();
      sql.exec("UPDATE t SET a = 'new' WHERE a = 'too'");
      kv.put('k', 1);
      return [open, sql.exec('SELECT a FROM t').raw().toArray()];
    });
    assert.deepEqual(inside, [[{ a: 'too' }], [['kept'], ['new']]], 'it is the same instance, whose cursor is open still');
    assert.equal(await rowsOf(lab, name), 'a\nkept\nnew\n');
    await lab.object(name, ({ storage }) => storage.deleteAll()); // which is refused inside a transaction
  }
});

test('a server that stops ends a statement, on each of its threads', async (t) => {
  const lab = await startLab(t, { threads: 2, args: WATCHDOG });
  const names = await namesByThread(lab);
  for (const name of names) await makeTable(lab, name);
  // The socket's own thread comes last: it answers nobody then.
  const commands = [];
  for (const name of [...names].reverse()) {
    commands.push(begin(t, lab, 'sql', 'bench-Counter', name, ENDLESS, '--write', '--timeout', '3600'));
    await lab.printed(RUNS, 'stderr');
  }
  const { code } = await lab.stop();
  assert.equal(code, 0);
  const [elsewhere, here] = commands;
  assert.deepEqual([await elsewhere.closed, elsewhere.output.stderr], [[5, null], STOPPED]);
  assert.deepEqual([await here.closed, here.output.stderr], [[5, null], STOPPED]);
  for (const name of names) assert.equal(await rowsOf(lab, name), KEPT);
});

test('Ctrl-C ends a statement on a directory that nobody serves', async (t) => {
  const lab = await startLab(t);
  await makeTable(lab, 'a');
  await lab.stop();
  const { child, output, closed } = begin(t, lab, 'sql', 'bench-Counter', 'a', ENDLESS, '--write', '--timeout', '3600');
  // It has worked for longer than a start takes: hundredths of a second.
  await until(() => Number(readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(' ')[13]) > 100, 'the statement');
  child.kill('SIGINT');
  assert.deepEqual([await closed, output.stderr], [[130, null], 'perdure: Interrupted; nothing was written.\n']);
  assert.equal(await rowsOf(lab, 'a'), KEPT);
});

test('what waits for the object is not written when nobody waits for it any more', async (t) => {
  const lab = await startLab(t, { threads: 2 });
  const names = await namesByThread(lab);
  const others = await namesByThread(lab, 'other');
  const marks = temporaryDirectory(t);
  for (const [i, name] of names.entries()) {
    await makeTable(lab, name);
    const held = lab.object(name, ({ ctx, kv }, mark) => {
      const { existsSync, writeFileSync } = process.getBuiltinModule('node:fs');
      const { setTimeout } = process.getBuiltinModule('node:timers/promises');
      return ctx.blockConcurrencyWhile(async () => {
        writeFileSync(`${mark} inside`, '');
        while (!existsSync(`${mark} go on`)) await setTimeout(10);
        kv.put('held', true);
      });
    }, join(marks, `${i}`));
    await until(() => existsSync(join(marks, `${i} inside`)), 'the section');
    const writes = [
      begin(t, lab, 'sql', 'bench-Counter', name, "INSERT INTO t VALUES ('lost')", '--write'),
      begin(t, lab, 'kv', 'put', 'bench-Counter', name, 'lost', '1'),
      begin(t, lab, 'kv', 'rm', 'bench-Counter', name, 'held'),
    ];
    await until(() => connections(lab) === writes.length, 'the writes');
    // They have come to the object: another one on its thread, which comes after them, is answered.
    await succeeding(lab.data)('kv', 'put', 'bench-Counter', others[i], 'k', '1', '--create');
    for (const { child } of writes) child.kill('SIGINT');
    for (const { closed, output } of writes) assert.deepEqual([await closed, output.stderr], [[130, null], 'perdure: Interrupted. What the server had begun may have been written: look before you repeat it.\n']);
    await until(() => connections(lab) === 0, 'that the server knows');
    writeFileSync(join(marks, `${i} go on`), '');
    await held;
    const found = await lab.object(name, ({ sql, kv }) => [sql.exec('SELECT a FROM t').raw().toArray().flat(), kv.get('lost'), kv.get('held')]);
    assert.deepEqual(found, [['kept', 'too'], undefined, true]);
  }
});

/** Commands that the server answers now. */
function connections(lab) {
  const lines = readFileSync('/proc/net/unix', 'utf8').split('\n');
  return lines.filter((line) => line.includes(lab.data) && line.endsWith('/admin.sock')).length - 1; // but for the socket itself
}
