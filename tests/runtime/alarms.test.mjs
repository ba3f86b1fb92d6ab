// Alarms: when and how often alarm() runs, what it sees, and what becomes of an alarm when things go wrong.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { root, sqlite, temporaryDirectory, writeFiles } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';
import { serve } from '../support/perdure.mjs';

const RETRY_MS = 20;
const lab = await startLab({ after }, { args: ['--alarm-retry-ms', String(RETRY_MS)] });
const WAIT_MS_MAX = 20_000;

// For the functions of the tests, which see the globals only.
await lab.worker(() => {
  globalThis.rings = {};
  /** Notes that the alarm of an object runs; returns how often it has. */
  globalThis.ring = (name, info) => (rings[name] ??= []).push({ ...info, at: Date.now() });
});

/** Waits until `look()` gives something. */
async function until(look, what) {
  for (const end = Date.now() + WAIT_MS_MAX; Date.now() < end; await delay(10)) {
    const found = await look();
    if (found) return found;
  }
  throw new Error(`${what} has not happened within ${WAIT_MS_MAX} ms:\n${lab.output.stderr}`);
}

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

test('an object that is not in memory is woken, and known by its name', async (t) => {
  const own = await startLab(t, { args: ['--idle-ms', '30'] });
  await own.alarms('sleeper', ({ ctx, shared }) => void (shared.woken = [ctx.id.name, shared.constructed]));
  await own.constructors('sleeper', ({ shared }) => void (shared.constructed = (shared.constructed ?? 0) + 1));
  await own.object('sleeper', ({ storage }) => storage.setAlarm(Date.now() + 400));
  const woken = await until(() => own.worker(({ shared }) => shared.woken), 'the alarm');
  assert.deepEqual(woken, ['sleeper', 2]);
});

// Over the end of the process.

const project = join(root, 'tests/fixtures/alarms');

async function start(t, data) {
  const server = await serve(t, project, { data, args: ['--alarm-retry-ms', '50'] });
  return {
    ...server,
    json: async (path) => JSON.parse(await server.text(path)),
    ran: (query, times) => until(async () => {
      const state = JSON.parse(await server.text(`/state?${query}`));
      return (state.runs?.length ?? 0) >= times ? state : undefined;
    }, `run ${times} of ${query}`),
  };
}

for (const kind of ['THING', 'KEYED']) {
  test(`${kind}: an alarm that came due while nothing ran fires once at the start`, async (t) => {
    const data = join(temporaryDirectory(t), 'data');
    for (const signal of ['SIGTERM', 'SIGKILL']) {
      const name = `class=${kind}&name=${signal}`;
      let server = await start(t, data);
      await server.text(`/set?${name}&ms=300`);
      await server.stop(signal);
      await delay(400);
      server = await start(t, data);
      const { name: known, alarm } = await server.ran(name, 1);
      assert.deepEqual([known, alarm], [signal, null]);
      await delay(100);
      await server.stop(signal);
      server = await start(t, data);
      await delay(200);
      assert.equal((await server.json(`/state?${name}`)).runs.length, 1);
      await server.stop('SIGKILL');
    }
  });

  test(`${kind}: killed before the commit that ends it, the handler runs again`, async (t) => {
    const data = join(temporaryDirectory(t), 'data');
    const name = `class=${kind}&name=a`;
    let runs = 0;
    for (let round = 0; round < 5; round++) {
      let server = await start(t, data);
      await server.text(`/plan?${name}&plan=die`);
      await server.text(`/set?${name}&ms=0`).catch(() => {}); // it may be gone before it answers
      const { signal } = await server.end();
      assert.equal(signal, 'SIGKILL');
      server = await start(t, data);
      runs += 2;
      assert.equal((await server.ran(name, runs)).runs.length, runs);
      await server.stop('SIGKILL');
    }
  });

  test(`${kind}: killed at any moment, no alarm is lost, and none that had ended runs again`, async (t) => {
    const data = join(temporaryDirectory(t), 'data');
    const count = 20;
    const names = Array.from({ length: count }, (_, i) => `class=${kind}&name=${i}`);
    for (let round = 0; round < 8; round++) {
      let server = await start(t, data);
      const before = await Promise.all(names.map(async (name) => (await server.json(`/state?${name}`)).runs?.length ?? 0));
      const ids = await Promise.all(names.map((name, i) => server.text(`/set?${name}&ms=${i * 3}`)));
      await delay(round * 10);
      const ended = new Set(await server.json('/ended'));
      await server.stop('SIGKILL');
      server = await start(t, data);
      for (const [i, name] of names.entries()) {
        const { runs } = await server.ran(name, before[i] + 1);
        if (ended.has(ids[i])) assert.equal(runs.length, before[i] + 1, `${name} had ended`);
      }
      await until(async () => (await Promise.all(names.map((name) => server.json(`/state?${name}`)))).every(({ alarm }) => alarm === null), 'the end of all');
      await server.stop();
      assert.equal(sqlite(join(data, 'catalog.sqlite'), 'SELECT count(*) FROM alarms'), '0');
    }
  });
}

test('a clean stop lets the handler that runs finish', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  let server = await start(t, data);
  await server.text('/plan?name=a&plan=wait');
  await server.text('/set?name=a&ms=0');
  await server.ran('name=a', 1);
  const { code, stderr } = await server.stop();
  assert.deepEqual([code, stderr], [0, '']);
  server = await start(t, data);
  await delay(100);
  assert.equal((await server.json('/state?name=a')).runs.length, 1);
});

test('the alarm stands in the catalog, and as workerd keeps it in the file of an object with SQLite', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const server = await start(t, data);
  const ids = [];
  for (const kind of ['THING', 'KEYED']) ids.push(await server.text(`/set?class=${kind}&name=a&ms=3600000`));
  const { alarm } = await server.json('/state?name=a');
  await server.stop();
  assert.equal(sqlite(join(data, `objects/alarms-Thing/${ids[0]}.sqlite`), 'SELECT key, value FROM _cf_METADATA'), `1|${alarm}000000`);
  assert.equal(sqlite(join(data, 'catalog.sqlite'), 'SELECT count(*), min(name), min(time_ms = due_ms) FROM alarms'), '2|a|1');
});

test('alarms of a class that the project has not any more are kept, and the start says so', async (t) => {
  const directory = temporaryDirectory(t);
  const data = join(directory, 'data');
  let server = await start(t, data);
  await server.text('/set?name=a&ms=100');
  await server.stop();
  const other = writeFiles(join(directory, 'other'), {
    'wrangler.json': JSON.stringify({ name: 'alarms', main: 'index.js', compatibility_date: '2026-11-01' }),
    'index.js': "export default { fetch: () => new Response('here') };",
  });
  await delay(100);
  const without = await serve(t, other, { data });
  await without.text('/');
  const { stderr } = await without.stop();
  assert.match(stderr, /alarms of "alarms-Thing" .* no class of this project is that/);
  server = await start(t, data);
  assert.equal((await server.ran('name=a', 1)).runs.length, 1);
});
