// Alarms of objects in a process of the user's own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { open } from '../../js/dist/index.js';
import { DurableObject } from '../../js/dist/workers.js';
import { runArguments, test } from '../support/suite.mjs';
import { until } from '../support/until.mjs';

/** A class that tells its runs to `runs`. */
function bell() {
  const runs = [];
  class Bell extends DurableObject {
    set(ms) {
      return this.ctx.storage.setAlarm(Date.now() + ms);
    }
    get() {
      return this.ctx.storage.getAlarm();
    }
    async clear() {
      await this.ctx.storage.put('a', 1);
      await this.ctx.storage.deleteAll();
      return this.ctx.storage.getAlarm();
    }
    async alarm({ retryCount }) {
      runs.push([this.ctx.id.name, retryCount]);
      if (this.ctx.id.name === 'fails') throw new Error('on purpose');
      await this.ctx.storage.put('ran', true);
    }
  }
  return { Bell, runs };
}

for (const storage of ['sqlite', 'kv']) {
  test(`${storage}: an alarm rings in memory`, async () => {
    const { Bell, runs } = bell();
    const registry = open({ storageDir: ':memory:' });
    const bells = registry.namespace('BELL', Bell, { storage });
    await bells.getByName('a').set(20);
    await until(() => runs.length === 1, 'the alarm');
    assert.deepEqual(runs, [['a', 0]]);
    await bells.getByName('b').set(3_600_000);
    assert.equal(await bells.getByName('b').clear(), null);
    await registry.close();
  });

  test(`${storage}: an alarm that came due while the directory was closed rings when its namespace is registered`, async (t) => {
    const { Bell, runs } = bell();
    const storageDir = join(t.temporaryDirectory(), 'data');
    const first = open({ storageDir });
    await first.namespace('BELL', Bell, { storage }).getByName('a').set(1_000);
    await first.close();
    await delay(1_100);
    assert.deepEqual(runs, [], 'close() stops the clock');
    const second = open({ storageDir });
    await delay(50);
    assert.deepEqual(runs, []);
    second.namespace('BELL', Bell, { storage });
    await until(() => runs.length === 1, 'the alarm');
    await second.close();
    const third = open({ storageDir });
    assert.equal(await third.namespace('BELL', Bell, { storage }).getByName('a').get(), null);
    await third.close();
    assert.deepEqual(runs, [['a', 0]]);
  });
}

test('alarmRetryMs says when a failed alarm is tried again', async () => {
  const { Bell, runs } = bell();
  const registry = open({ storageDir: ':memory:', alarmRetryMs: 5 });
  await registry.namespace('BELL', Bell).getByName('fails').set(1);
  await until(() => runs.length === 7, 'the last run');
  assert.deepEqual(runs.map(([, retryCount]) => retryCount), [0, 1, 2, 3, 4, 5, 6]);
  await registry.close();
  for (const alarmRetryMs of [0, 1.5, '5', 3_600_001])
    assert.throws(() => open({ storageDir: ':memory:', alarmRetryMs }), { message: 'The alarmRetryMs of open() must be a whole number from 1 to 3600000.' });
});

test('an alarm that is yet to come does not keep the process', () => {
  const program = fileURLToPath(new URL('../fixtures/library-alarm.mjs', import.meta.url));
  assert.equal(execFileSync(process.execPath, [...runArguments, program], { encoding: 'utf8', timeout: 30_000 }), 'set\n');
});
