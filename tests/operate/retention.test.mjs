// How much of the past is kept is for the server to say: a command on the directory of a stopped one removes nothing.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, cpSync, existsSync, ftruncateSync, mkdirSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { root, temporaryDirectory } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';
import { succeeding } from '../support/operate.mjs';
import { until } from '../support/until.mjs';

const DAYS_MAX = 3650;
const DEFAULT_DAYS = 30;
const DEFAULT_BYTES_MAX = 16 * 1024 ** 3;
const folder = temporaryDirectory({ after });

const historyOf = (data) => (existsSync(join(data, 'history')) ? readdirSync(join(data, 'history')).filter((name) => name.endsWith('.history')) : []);

/** A server that keeps as much as it can; stopped, with a history file. */
const keepsMore = ['--history-days', `${DAYS_MAX}`, '--history-limit', '1000G'];
const lab = await startLab({ after }, { args: keepsMore });
await lab.object('a', ({ sql }) => void sql.exec('CREATE TABLE t (a)'));
// Two of these commits do not fit into one segment of the log.
for (let i = 0; i < 2; i++) {
  await lab.object('a', ({ sql }) => {
    for (let row = 0; row < 20; row++) sql.exec('INSERT INTO t VALUES (randomblob(1900000))');
  });
}
const importedId = await lab.worker(({ env }) => `${env.COUNTER.newUniqueId()}`);
await lab.stop();
// The checkpoint at the end of a server leaves segments that the next one makes history of.
const again = await startLab({ after }, { data: lab.data, args: keepsMore });
await until(() => historyOf(lab.data).length > 0, 'history');
await again.stop();

const library = join(folder, 'later-clock.so');
execFileSync('cc', ['-shared', '-fPIC', '-o', library, join(root, 'tests/fixtures/later-clock.c'), '-ldl']);
const later = (days) => ({ wrapper: ['env', `LD_PRELOAD=${library}`, `PERDURE_TEST_DAYS_LATER=${days}`] });

function copy(name) {
  const data = join(folder, name);
  cpSync(lab.data, data, { recursive: true });
  return data;
}

/** The disk space of a long history, in a file that holds nothing: behind all others, so that it is not the oldest. */
function makeHistoryLarge(data) {
  const file = openSync(join(data, 'history', '9000000000000000.history'), 'wx');
  ftruncateSync(file, DEFAULT_BYTES_MAX + 1);
  closeSync(file);
}

const source = join(folder, 'source');
mkdirSync(join(source, 'bench-Counter'), { recursive: true });
execFileSync('sqlite3', [join(source, 'bench-Counter', `${importedId}.sqlite`), 'CREATE TABLE t (a)']);
const commands = {
  history: ['history', 'bench-Counter', 'a'],
  sql: ['sql', 'bench-Counter', 'a', 'INSERT INTO t VALUES (1)', '--write'],
  export: ['export', 'bench-Counter', 'a', join(folder, 'exported')],
  import: ['import', source, '--no-project'],
};

for (const [name, command] of Object.entries(commands)) {
  test(`${name} on a stopped directory removes no history, however old and large it is`, async () => {
    const data = copy(name);
    makeHistoryLarge(data);
    const files = historyOf(data);
    assert.ok(files.length >= 2);
    await succeeding(data, later(DEFAULT_DAYS + 1))(...command);
    assert.deepEqual(historyOf(data).filter((file) => files.includes(file)), files);
  });
}

// Otherwise the tests above would show nothing.
test('a server that keeps less removes what is too old', async (t) => {
  const data = copy('old');
  await startLab(t, { data, ...later(DEFAULT_DAYS + 1) });
  await until(() => historyOf(data).length === 0, 'that it expires');
});

test('a server that keeps less removes what is too large', async (t) => {
  const data = copy('large');
  const files = historyOf(data);
  makeHistoryLarge(data);
  const server = await startLab(t, { data });
  await until(() => !historyOf(data).some((file) => files.includes(file)), 'that it is given up');
  assert.match(server.output.stderr, /^perdure: The history of the log's segment 1 was given up: all of it is larger than its limit\.\n/);
});
