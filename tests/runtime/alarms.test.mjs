// Alarms: when and how often alarm() runs, what it sees, and what becomes of an alarm when things go wrong.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startLab } from '../support/lab.mjs';
import { until } from '../support/until.mjs';

const RETRY_MS = 20;
const lab = await startLab({ after }, { args: ['--alarm-retry-ms', String(RETRY_MS)] });

// For the functions of the tests, which see the globals only.
await lab.worker(() => {
  globalThis.rings = {};
  /** Notes that the alarm of an object runs; returns how often it has. */
  globalThis.ring = (name, info) => (rings[name] ??= []).push({ ...info, at: Date.now() });
});

const rings = (name) => lab.worker((_, name) => globalThis.rings[name] ?? [], name);
const rang = (name, times) => until(async () => ((await rings(name)).length >= times ? rings(name) : undefined), `ring ${times} of ${name}`);

for (const kind of ['object', 'keyed']) {
  const inside = lab[kind];
  const named = (name) => `${kind} ${name}`;

  test(`${kind}: alarm() runs at its time, once, with what is known about it`, async () => {
    const name = named('rings');
    await lab.alarms(name, async ({ ctx, storage, shared }, info) => {
      ring(ctx.id.name, info);
      shared.seen = [await storage.getAlarm(), info.constructor.name];
    });
    const at = await inside(name, async ({ storage }) => {
      const at = Date.now() + 150;
      await storage.setAlarm(new Date(at));
      return [at, await storage.getAlarm()];
    });
    assert.equal(at[0], at[1]);
    const [run] = await rang(name, 1);
    assert.ok(run.at >= at[0], `${run.at} is not before ${at[0]}`);
    assert.deepEqual({ ...run, at: undefined }, { scheduledTime: at[0], retryCount: 0, isRetry: false, at: undefined });
    assert.deepEqual(await lab.worker(({ shared }) => shared.seen), [null, 'AlarmInvocationInfo']);
    assert.equal(await inside(name, ({ storage }) => storage.getAlarm()), null);
    await delay(50);
    assert.equal((await rings(name)).length, 1);
  });

  test(`${kind}: the alarm is part of the transaction that sets it`, async () => {
    const name = named('transactions');
    await lab.alarms(name, ({ ctx }, info) => void ring(ctx.id.name, info));
    const seen = await inside(name, async ({ storage }) => {
      const seen = [];
      const see = async () => seen.push((await storage.getAlarm()) === null ? 'none' : 'set');
      const back = () => {
        throw new Error('back');
      };
      await storage.transaction(async () => {
        await storage.setAlarm(Date.now() + 10);
        await see();
        back();
      }).catch(() => {});
      await see();
      await storage.transaction(async (txn) => {
        await txn.setAlarm(Date.now() + 10);
        txn.rollback();
        await see();
      });
      try {
        storage.transactionSync(() => {
          void storage.setAlarm(Date.now() + 10);
          back();
        });
      } catch {}
      await see();
      storage.transactionSync(() => {
        void storage.setAlarm(Date.now() + 3_600_000);
        try {
          storage.transactionSync(() => {
            void storage.setAlarm(1);
            back();
          });
        } catch {}
      });
      await see();
      await storage.transaction(async (txn) => {
        await txn.deleteAlarm();
        back();
      }).catch(() => {});
      await see();
      return seen;
    });
    assert.deepEqual(seen, ['set', 'none', 'none', 'none', 'set', 'set']);
    await delay(50);
    assert.deepEqual(await rings(name), []);
  });

  test(`${kind}: a handler that always throws runs seven times, later each time, and is dropped with a message`, async () => {
    const name = named('throws');
    await lab.alarms(name, async ({ ctx, storage, shared }, info) => {
      ring(ctx.id.name, info);
      await storage.put('runs', info.retryCount + 1);
      throw new Error('always');
    });
    const at = await inside(name, async ({ storage }) => {
      const at = Date.now() + 10;
      await storage.setAlarm(at);
      return at;
    });
    const runs = await rang(name, 7);
    assert.deepEqual(runs.map(({ retryCount }) => retryCount), [0, 1, 2, 3, 4, 5, 6]);
    assert.deepEqual(runs.map(({ isRetry }) => isRetry), [false, true, true, true, true, true, true]);
    assert.deepEqual([...new Set(runs.map(({ scheduledTime }) => scheduledTime))], [at]);
    for (let i = 1; i < 7; i++) assert.ok(runs[i].at - runs[i - 1].at >= RETRY_MS * 2 ** (i - 1), `retry ${i} comes after ${runs[i].at - runs[i - 1].at} ms`);
    await until(() => lab.output.stderr.includes(`"${name}": alarm() has failed too often. The alarm is dropped: Error: always`), 'the message');
    await delay(RETRY_MS * 2 ** 7);
    assert.equal((await rings(name)).length, 7);
    assert.deepEqual(await inside(name, async ({ storage }) => [await storage.getAlarm(), await storage.get('runs')]), [null, 7]);
  });

  test(`${kind}: what the handler says about the next alarm holds, also when it throws then`, async () => {
    const name = named('sets');
    await lab.alarms(name, async ({ ctx, storage }, info) => {
      const runs = ring(ctx.id.name, info);
      if (runs < 3) await storage.setAlarm(Date.now() + 20);
      if (runs === 3) await storage.setAlarm(Date.now() + 3_600_000);
      if (runs === 2 || runs === 4) throw new Error('after setAlarm()');
      if (runs === 3) await storage.deleteAlarm();
    });
    await inside(name, ({ storage }) => storage.setAlarm(Date.now()));
    const runs = await rang(name, 3);
    assert.deepEqual(runs.map(({ retryCount }) => retryCount), [0, 0, 0]);
    await delay(100);
    assert.equal((await rings(name)).length, 3);
    assert.equal(await inside(name, ({ storage }) => storage.getAlarm()), null);
  });

  test(`${kind}: abort() in the handler is a failure, and a constructor that fails is none of the handler`, async () => {
    const name = named('resets');
    await lab.alarms(name, ({ ctx, shared }, info) => {
      if (ring(ctx.id.name, info) > 1) return;
      shared.fails = 2;
      ctx.abort('from the handler');
    });
    await lab.constructors(name, ({ shared }) => {
      if (shared.fails > 0 && shared.fails-- > 0) throw new Error('from the constructor');
    });
    await inside(name, ({ storage }) => storage.setAlarm(Date.now()));
    const runs = await rang(name, 2);
    assert.deepEqual(runs.map(({ retryCount }) => retryCount), [0, 1]);
    assert.equal(await lab.worker(({ shared }) => shared.fails), 0);
    assert.match(lab.output.stderr, /alarm\(\) has failed; it will be tried again: Error: from the constructor/);
  });
}

test('the handler waits at the input gate, and its own outcome for a transaction that goes on', async () => {
  await lab.alarms('gate', async ({ ctx, storage, shared }, info) => {
    ring('gate', info);
    shared.trace.push('alarm');
    void storage.transaction(async () => {
      shared.trace.push('transaction begins');
      await new Promise((resolve) => setTimeout(resolve, 50));
      await storage.put('a', 1);
      shared.trace.push('transaction ends');
    });
  });
  await lab.object('gate', async ({ ctx, storage, shared }) => {
    shared.trace = [];
    await storage.setAlarm(Date.now());
    await ctx.blockConcurrencyWhile(async () => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      shared.trace.push('gate opens');
    });
  });
  await rang('gate', 1);
  const trace = await until(async () => {
    const { trace } = await lab.worker(({ shared }) => ({ trace: shared.trace }));
    return trace.length === 4 ? trace : undefined;
  }, 'the end of the transaction');
  assert.deepEqual(trace, ['gate opens', 'alarm', 'transaction begins', 'transaction ends']);
  assert.deepEqual(await lab.object('gate', async ({ storage }) => [await storage.getAlarm(), await storage.get('a')]), [null, 1]);
});

test('64 handlers run at one time, the others wait, and requests go on', async () => {
  await lab.worker(({ shared }) => {
    const crowd = (globalThis.crowd = { now: 0, most: 0, done: 0, release: [] });
    for (let i = 0; i < 100; i++)
      shared.alarms[`crowd ${i}`] = async () => {
        crowd.most = Math.max(crowd.most, ++crowd.now);
        if (crowd.release !== undefined) await new Promise((resolve) => crowd.release.push(resolve));
        crowd.now--;
        crowd.done++;
      };
  });
  const state = () => lab.worker(() => [crowd.now, crowd.most, crowd.done]);
  await Promise.all(Array.from({ length: 100 }, (_, i) => lab.object(`crowd ${i}`, ({ storage }) => storage.setAlarm(Date.now()))));
  await until(async () => (await state())[0] === 64, 'the 64th handler');
  assert.equal(await lab.object('beside the crowd', ({ kv }) => kv.get('nothing')), undefined);
  await delay(50);
  assert.deepEqual(await state(), [64, 64, 0]);
  await lab.worker(() => {
    const { release } = crowd;
    crowd.release = undefined;
    for (const resolve of release) resolve();
  });
  await until(async () => (await state())[2] === 100, 'the last handler');
  assert.equal((await state())[1], 64);
});

test('handlers that never end do not keep other alarms from ringing for ever', async (t) => {
  const own = await startLab(t);
  await own.worker(async ({ env, shared }) => {
    shared.alarms.after = () => void (shared.rang = true);
    shared.begun = 0;
    for (let i = 0; i < 64; i++) {
      shared.alarms[`hangs ${i}`] = () => new Promise(() => void shared.begun++);
      await env.COUNTER.getByName(`hangs ${i}`).run('({ storage }) => storage.setAlarm(Date.now())');
    }
  });
  await until(() => own.worker(({ shared }) => shared.begun === 64), 'the last that hangs');
  await own.object('after', ({ storage }) => storage.setAlarm(Date.now()));
  await until(() => own.worker(({ shared }) => shared.rang), 'the alarm after them');
});

test('an object that is not in memory is woken, and known by its name', async (t) => {
  const own = await startLab(t, { args: ['--idle-ms', '30'] });
  await own.alarms('sleeper', ({ ctx, shared }) => void (shared.woken = [ctx.id.name, shared.constructed]));
  await own.constructors('sleeper', ({ shared }) => void (shared.constructed = (shared.constructed ?? 0) + 1));
  await own.object('sleeper', ({ storage }) => storage.setAlarm(Date.now() + 400));
  const woken = await until(() => own.worker(({ shared }) => shared.woken), 'the alarm');
  assert.deepEqual(woken, ['sleeper', 2]);
});
