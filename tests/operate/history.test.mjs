// What operators do with the past of an object, served and stopped.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { sqlite, temporaryDirectory } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';
import { operator, succeeding } from '../support/operate.mjs';
import { until } from '../support/until.mjs';

const lab = await startLab({ after }, { threads: 2 });
const perdure = operator(lab.data);
const done = succeeding(lab.data);
const folder = temporaryDirectory({ after });
const ALARM_MS = Date.UTC(2040, 0, 1);

const write = (name, value) => lab.object(name, ({ kv, storage }, value) => {
  kv.put('value', value);
  return storage.getCurrentBookmark();
}, value);
const NAMES = ['p', 'q', 'r', 's'];
/** By name: what is known of it from inside. */
const known = {};
for (const name of NAMES) {
  const bookmarks = [];
  for (const value of [1, 2, 3]) bookmarks.push(await write(name, value));
  const betweenMs = await lab.object(name, async () => {
    const { setTimeout } = process.getBuiltinModule('node:timers/promises');
    await setTimeout(5);
    const now = Date.now();
    await setTimeout(5);
    return now;
  });
  bookmarks.push(await lab.object(name, ({ kv, storage }, ms) => {
    kv.put('value', 4);
    storage.setAlarm(ms);
    return storage.getCurrentBookmark();
  }, ALARM_MS));
  known[name] = { bookmarks, betweenMs };
}
/** The alarm of `s` was set twice, with none in between: moments after these changes. */
const alarms = {};
for (const [moment, ms] of [['firstMs', ALARM_MS - 1000], ['noneMs', null], ['lastMs', ALARM_MS]]) {
  alarms[moment] = await lab.object('s', async ({ storage }, ms) => {
    const { setTimeout } = process.getBuiltinModule('node:timers/promises');
    await (ms === null ? storage.deleteAlarm() : storage.setAlarm(ms));
    await storage.sync();
    await setTimeout(5);
    const now = Date.now();
    await setTimeout(5);
    return now;
  }, ms);
}
await lab.keyed('p', ({ storage }) => storage.put('value', 1));

const valueOf = async (name, ...args) => (await done('sql', 'bench-Counter', name, "SELECT value FROM _cf_KV WHERE key = 'value'", '--csv', ...args)).split('\n')[1];
const alarmOf = async (name) => JSON.parse(await done('objects', 'ls', 'bench-Counter', '--json')).find((object) => object.name === name).alarm;

function commands(state, name) {
  const title = (text) => `${text} (${state})`;
  const { bookmarks, betweenMs } = known[name];

  test(title('history lists commits, the last one first, with the bookmarks that the object got'), async () => {
    const history = JSON.parse(await done('history', 'bench-Counter', name, '--json'));
    assert.deepEqual(history.slice(0, 4).map(({ bookmark }) => bookmark), [...bookmarks].reverse());
    for (const { time, changedPages, changedBytes, bytes, restore } of history) {
      assert.ok(Math.abs(Date.parse(time) - betweenMs) < 900_000);
      assert.ok(changedPages > 0 && changedBytes > 0 && bytes % 4096 === 0);
      assert.equal(restore, false);
    }
    const some = await perdure('history', 'bench-Counter', name, '--limit', '2');
    assert.equal(some.stderr, 'There are more. --limit prints up to 1000000.\n');
    assert.equal(some.stdout.split('\n').length, 4);
    assert.match(some.stdout, new RegExp(`^TIME +BOOKMARK +PAGES +BYTES +SIZE +KIND\n\\S+Z +${bookmarks[3]} `));
  });

  test(title('bookmark names the state now, and at a time'), async () => {
    assert.equal(await done('bookmark', 'bench-Counter', name), `${bookmarks[3]}\n`);
    assert.equal(await done('bookmark', 'bench-Counter', name, '--at', `${betweenMs}`), `${bookmarks[2]}\n`);
    assert.equal(await done('bookmark', 'bench-Counter', name, '--at', new Date(betweenMs).toISOString()), `${bookmarks[2]}\n`);
    const future = await perdure('bookmark', 'bench-Counter', name, '--at', '2100-01-01T00:00:00Z');
    assert.match(future.stderr, /^perdure: There is no bookmark for 2100-01-01T00:00:00(\.000)?Z: this object can be taken back to times from /);
    assert.equal(future.code, 1);
    for (const none of ['yesterday', '2026-02-31', '2026-02-31T10:00:00+02:00', '2027-02-29']) {
      const wrong = await perdure('bookmark', 'bench-Counter', name, '--at', none);
      assert.match(wrong.stderr, /Give a time such as 2026-11-21T09:30:00Z/);
      assert.equal(wrong.code, 2);
    }
    for (const day of ['2000-02-29', '2000-01-01T00:30:00+14:00', '2000-12-31T23:30:00-12:00']) {
      const refused = await perdure('bookmark', 'bench-Counter', name, '--at', day);
      assert.ok(refused.stderr.startsWith(`perdure: There is no bookmark for ${new Date(day).toISOString().slice(0, 19)}`), refused.stderr);
    }
  });

  test(title('a time before 1970 is not now'), async () => {
    for (const args of [['bookmark', '--at'], ['restore', '--dry-run', '--to'], ['sql', 'SELECT 1', '--at'], ['export', folder, '--at']]) {
      const [command, ...rest] = args;
      const { code, stdout, stderr } = await perdure(command, 'bench-Counter', name, ...rest, '1960-01-01');
      assert.match(stderr, /^perdure: There is no bookmark for 1960-01-01T00:00:00(\.000)?Z: /);
      assert.deepEqual({ code, stdout }, { code: 1, stdout: '' }, command);
    }
  });

  test(title('sql and export show older states, and change nothing'), async () => {
    for (const [i, bookmark] of bookmarks.entries()) assert.equal(await valueOf(name, '--at', bookmark), `${i + 1}`);
    assert.equal(await valueOf(name, '--at', `${betweenMs}`), '3');
    const out = join(folder, state);
    assert.match(await done('export', 'bench-Counter', name, out, '--at', bookmarks[1]), /^Exported 1 object /);
    const [file] = readdirSync(join(out, 'bench-Counter'));
    assert.equal(sqlite(join(out, 'bench-Counter', file), "PRAGMA integrity_check; SELECT value FROM _cf_KV"), 'ok\n2');
    assert.equal(await valueOf(name), '4');
    const [first] = JSON.parse(await done('history', 'bench-Counter', name, '--json')).reverse();
    for (const args of [['sql', 'SELECT * FROM absent'], ['export', join(out, 'before')]]) {
      const [command, ...rest] = args;
      const before = await perdure(command, 'bench-Counter', name, ...rest, '--at', `${Date.parse(first.time) - 1}`);
      assert.deepEqual([before.code, before.stderr], [3, 'perdure: The object had nothing stored then.\n']);
    }
    const both = await perdure('sql', 'bench-Counter', name, 'SELECT 1', '--write', '--at', bookmarks[0]);
    assert.match(both.stderr, /cannot be used with/);
    assert.equal(both.code, 2);
  });

  test(title('export of all objects at a time lists the alarms of that time'), async () => {
    const alarmIn = async (folder, ...at) => {
      await done('export', 'bench-Counter', folder, ...at);
      const list = readFileSync(join(folder, 'bench-Counter/objects.jsonl'), 'utf8').trim().split('\n');
      return list.map((line) => JSON.parse(line)).find((object) => object.name === 's').alarm;
    };
    assert.equal(await alarmIn(join(folder, `${state} now`)), new Date(ALARM_MS).toISOString());
    assert.equal(await alarmIn(join(folder, `${state} then`), '--at', `${alarms.firstMs}`), new Date(ALARM_MS - 1000).toISOString());
    assert.equal(await alarmIn(join(folder, `${state} before`), '--at', `${known.s.betweenMs}`), null);
    assert.equal(await alarmIn(join(folder, `${state} without`), '--at', `${alarms.noneMs}`), null);
  });

  test(title('restore takes an object back, its alarm too, and prints what takes that back'), async () => {
    const plan = await perdure('restore', 'bench-Counter', name, '--to', bookmarks[0], '--dry-run');
    assert.match(plan.stderr, new RegExp(`^Would take back 3 commits \\(\\d+ pages differ\\), to ${bookmarks[0]}\\.\n$`));
    assert.deepEqual([plan.code, plan.stdout], [0, '']);
    assert.equal(await valueOf(name), '4');
    assert.equal(await alarmOf(name), new Date(ALARM_MS).toISOString());

    const one = await perdure('restore', 'bench-Counter', name, '--to', bookmarks[2], '--dry-run');
    assert.match(one.stderr, /^Would take back 1 commit \(\d+ pages? differs?\), /);

    const undo = (await done('restore', 'bench-Counter', name, '--to', bookmarks[0])).trim();
    assert.equal(await valueOf(name), '1');
    assert.equal(await alarmOf(name), null);
    const [last] = JSON.parse(await done('history', 'bench-Counter', name, '--json'));
    assert.equal(last.restore, true);

    await done('restore', 'bench-Counter', name, '--to', undo);
    assert.equal(await valueOf(name), '4');
    assert.equal(await alarmOf(name), new Date(ALARM_MS).toISOString());
    await done('restore', 'bench-Counter', name, '--to', `${betweenMs}`);
    assert.equal(await valueOf(name), '3');
  });

  test(title('bookmarks that do not fit are refused, and nothing changes'), async () => {
    const before = await done('bookmark', 'bench-Counter', name);
    const other = known[NAMES.find((each) => each !== name)].bookmarks[0];
    for (const [to, message] of [
      [other, /^perdure: The bookmark "[^"]+" is of another object/],
      [bookmarks[0].replace(/.$/, (digit) => (digit === '0' ? '1' : '0')), /^perdure: .*bookmark/],
      ['2000-01-01T00:00:00Z', /^perdure: There is no bookmark for 2000-01-01/],
    ]) {
      const { code, stderr } = await perdure('restore', 'bench-Counter', name, '--to', to);
      assert.match(stderr, message);
      assert.equal(code, 1);
    }
    const nobody = await perdure('restore', 'bench-Counter', 'nobody', '--to', bookmarks[0]);
    assert.match(nobody.stderr, /There is no object named "nobody"/);
    assert.equal(nobody.code, 3);
    const keyed = await perdure('history', 'bench-Keyed', 'p');
    assert.equal(keyed.stderr, 'perdure: The objects of bench-Keyed have key-value storage (new_classes), whose past is not kept. Only objects with SQLite storage can be taken back.\n');
    assert.equal(await done('bookmark', 'bench-Counter', name), before);
  });
}

commands('served', 'p');

test('a restore resets an instance that is busy, and the next one has the older state', async () => {
  const [first] = known.q.bookmarks;
  const begun = join(folder, 'begun');
  const busy = lab.object('q', async ({ storage, kv }, file) => storage.transaction(async () => {
    kv.put('value', 'open');
    process.getBuiltinModule('node:fs').writeFileSync(file, '');
    await new Promise(() => {});
  }), begun);
  const refused = assert.rejects(busy, { message: 'This Durable Object has been restored to an older state by an operator.', durableObjectReset: true });
  await until(() => existsSync(begun), 'the transaction');
  assert.equal(await valueOf('q'), '4', 'what is open is not seen');
  await done('restore', 'bench-Counter', 'q', '--to', first);
  await refused;
  assert.deepEqual(await lab.object('q', async ({ kv, storage }) => [kv.get('value'), await storage.getAlarm()]), [1, null]);
});

test('what a stopped server has is what was restored', async () => {
  const { code, stderr } = await lab.stop();
  assert.equal(stderr, '');
  assert.equal(code, 0);
  assert.equal(await valueOf('q'), '1');
});

commands('stopped', 'r');
