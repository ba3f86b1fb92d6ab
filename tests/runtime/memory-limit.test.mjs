// --memory-limit: who leaves memory, in which order, and what happens when nobody can.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { root, temporaryDirectory } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';

const MEGABYTE = 1 << 20;
const LIMIT = 192;
/** Nobody leaves for being idle. */
const args = ['--memory-limit', `${LIMIT}M`, '--idle-ms', '86400000'];

function memory({ child }, name) {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)[1]) / 1024;
}

test('more objects than fit are touched: the process stays under its limit, and nothing is lost', async (t) => {
  const lab = await startLab(t, { args });
  const objects = 2_000;
  const bytes = 200_000; // in the heap of each, 400 MB together; as much again in SQLite's page caches
  await lab.worker(({ shared }) => void (shared.live = { constructed: 0 }));
  const release = lab.object('at work', ({ self, shared }) => {
    self.kept = 'at work';
    return new Promise((resolve) => (shared.live.release = resolve));
  });
  for (let first = 0; first < objects; first += 20) {
    await lab.worker(async ({ env }, first, bytes) => {
      for (let i = first; i < first + 20; i++) {
        await env.COUNTER.getByName(`big ${i}`).run(
          `({ self, kv, storage, sql, shared }, i, bytes) => {
            self.kept = new Array(bytes / 8).fill(i + 0.5);
            kv.put('value', i);
            kv.put('long', String(i % 10).repeat(bytes));
            shared.live.constructed++;
          }`,
          i,
          bytes,
        );
      }
      await env.COUNTER.getByName('used often').run(`({ self, shared }) => { self.kept ??= 'since ' + shared.live.constructed; }`);
    }, first, bytes);
  }
  assert.equal(await lab.object('used often', ({ self }) => self.kept), 'since 20', 'least recently used means just that');
  const found = await lab.worker(async ({ env }, objects) => {
    const wrong = [];
    let kept = 0;
    for (let i = 0; i < objects; i++) {
      const [value, long, isKept] = await env.COUNTER.getByName(`big ${i}`).run(`({ self, kv }) => [kv.get('value'), kv.get('long')?.length, self.kept !== undefined]`);
      if (value !== i || long !== 200_000) wrong.push([i, value, long]);
      if (isKept) kept++;
    }
    return { wrong, kept, first: await env.COUNTER.getByName('big 0').run('({ self }) => self.kept === undefined') };
  }, objects);
  assert.deepEqual(found.wrong, []);
  assert.ok(found.first, 'the one that was used longest ago has left');
  assert.ok(found.kept < objects / 2, `${found.kept} were in memory all the time`);
  await lab.worker(({ shared }) => shared.live.release());
  await release;
  assert.equal(await lab.object('at work', ({ self }) => self.kept), 'at work');
  const peak = memory(lab, 'VmHWM');
  assert.ok(peak < LIMIT, `${peak} MB at the peak`);
  assert.ok(!lab.output.stderr.includes('limit'), lab.output.stderr);
});

test('garbage of one object is collected before it is too much, and costs no object its place', async (t) => {
  const lab = await startLab(t, { args });
  await lab.object('bystander', ({ self }) => void (self.kept = true));
  for (let i = 0; i < 40; i++) {
    await lab.object('wasteful', ({ self }) => void (self.last = new Uint8Array(10 << 20).fill(1)));
    await sleep(5); // there is a look between two of them
  }
  const peak = memory(lab, 'VmHWM');
  assert.ok(peak < LIMIT, `${peak} MB at the peak`);
  assert.equal(await lab.object('bystander', ({ self }) => self.kept), true);
});

test('when nothing can leave, the process goes on and says so; what can leave later does', async (t) => {
  const lab = await startLab(t, { args });
  const working = lab.object('large', ({ self, shared }) => {
    self.kept = new Uint8Array(250 << 20).fill(1);
    return new Promise((resolve) => (shared.release = resolve));
  });
  for (let tries = 0; !lab.output.stderr.includes('limit'); tries++) {
    assert.ok(tries < 500, 'it says nothing');
    await sleep(20);
  }
  for (let i = 0; i < 30; i++) {
    assert.equal(await lab.object(`small ${i}`, ({ kv }, i) => (kv.put('i', i), kv.get('i')), i), i);
    await sleep(20);
  }
  const lines = lab.output.stderr.trim().split('\n');
  assert.equal(lines.length, 1, lab.output.stderr);
  assert.match(lines[0], /^perdure: The process takes \d+ MB of memory, more than its limit of 192 MB, and nothing more can leave: all objects in memory have work to do\. Raise --memory-limit\.$/);
  await lab.worker(({ shared }) => shared.release());
  await working;
  for (let tries = 0; memory(lab, 'VmRSS') > LIMIT; tries++) {
    assert.ok(tries < 500, 'the object does not leave');
    await sleep(20);
  }
  assert.equal(await lab.object('large', ({ self }) => self.kept), undefined);
});

async function load(t) {
  const outfile = join(temporaryDirectory(t), 'memory-limit.mjs');
  await build({ entryPoints: [join(root, 'js/src/runtime/memory-limit.ts')], outfile, bundle: true, platform: 'node', format: 'esm', logLevel: 'error' });
  return (await import(pathToFileURL(outfile).href)).MemoryLimit;
}

/** A process of `base` MB, with so many objects of 1 MB, half of it garbage of V8 when one has left. */
function fakeProcess({ base, objects = 0, heap = 0 }) {
  const state = { base, objects, garbage: 0, heap, steps: [], lines: [] };
  const memory = {
    resident: () => (state.base + state.objects + state.garbage) * MEGABYTE,
    heap: () => (state.heap + state.garbage + state.objects / 2) * MEGABYTE,
    collectGarbage: () => void (state.steps.push('collect'), (state.garbage = 0)),
    releaseFreeMemory: () => void state.steps.push('release'),
  };
  const shard = {
    evictLeastRecentlyUsed(part) {
      const left = Math.ceil(state.objects * part);
      state.objects -= left;
      state.garbage += left / 2;
      state.steps.push(`evict ${left}`);
      return left;
    },
    engine: { requestCheckpoint: () => void state.steps.push('checkpoint') },
  };
  return { state, memory, shard };
}

test('what is done near the limit, in which order', async (t) => {
  const MemoryLimit = await load(t);
  const limit = (options) => {
    const { state, memory, shard } = fakeProcess(options);
    return { state, limit: new MemoryLimit(shard, 1000 * MEGABYTE, memory, (line) => state.lines.push(line)) };
  };
  const far = limit({ base: 100, objects: 10 });
  assert.equal(far.limit.look(0), 740, 'milliseconds until 740 MB more could be there');
  assert.deepEqual(far.state.steps, []);
  assert.equal(limit({ base: 849 }).limit.look(0), 10);

  const garbage = limit({ base: 500, objects: 100 });
  garbage.state.garbage = 300;
  garbage.limit.look(performance.now());
  assert.deepEqual(garbage.state.steps, ['collect', 'release'], 'garbage goes first, and alone when that is enough');
  const full = limit({ base: 765, objects: 100 });
  full.limit.look(performance.now());
  assert.deepEqual(full.state.steps.slice(0, 6), ['collect', 'release', 'evict 13', 'release', 'collect', 'release'], 'then objects, until there is room');
  assert.ok(full.state.steps.includes('evict 11') && full.state.steps.filter((step) => step.startsWith('evict')).length === 8, full.state.steps.join());
  assert.equal(full.state.steps.at(-1), 'checkpoint', 'and committed pages when that was not enough');

  const stuck = limit({ base: 1100 });
  stuck.limit.look(0);
  assert.deepEqual(stuck.state.steps, ['evict 0', 'release', 'collect', 'release', 'checkpoint']);
  assert.equal(stuck.state.lines.length, 1);
  for (let second = 1; second < 60; second++) stuck.limit.look(second * 1000);
  assert.equal(stuck.state.lines.length, 1, 'once a minute');
  stuck.limit.look(60_000);
  assert.equal(stuck.state.lines.length, 2);
});

test('a look that brings next to nothing is not repeated before ten times what it took', async (t) => {
  const MemoryLimit = await load(t);
  const TOOK_MS = 200;
  const restAfter = ({ base, objects }) => {
    const { memory, shard } = fakeProcess({ base, objects });
    const collectGarbage = () => {
      for (const end = performance.now() + TOOK_MS; performance.now() < end; );
      memory.collectGarbage();
    };
    return new MemoryLimit(shard, 1000 * MEGABYTE, { ...memory, collectGarbage }, () => {}).look(performance.now());
  };
  // An object that is used all the time leaves with each look, and is made anew before the next.
  for (const objects of [0, 1]) assert.ok(restAfter({ base: 1100, objects }) >= 10 * TOOK_MS, `${objects} objects`);
  assert.equal(restAfter({ base: 1000, objects: 300 }), 10, 'what brings something goes on');
});
