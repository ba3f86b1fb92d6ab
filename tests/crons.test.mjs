// Cron triggers: when scheduled() runs, and what is missed.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { root, sqlite, temporaryDirectory, writeFiles } from './support/files.mjs';
import { serve } from './support/perdure.mjs';
import { execFileSync } from 'node:child_process';

async function load(t, source) {
  const outfile = join(root, 'build', `test-${source.replaceAll('/', '-')}.mjs`);
  await build({ entryPoints: [join(root, 'js/src', `${source}.ts`)], outfile, bundle: true, format: 'esm', platform: 'node', packages: 'external', logLevel: 'error' });
  return import(`${pathToFileURL(outfile).href}?${Date.now()}`);
}

const at = (text) => Date.parse(`${text}Z`);

test('expressions mean what Cloudflare says', async (t) => {
  const { parseCron } = await load(t, 'config/cron');
  const now = at('2026-11-21T15:30:00'); // a Saturday
  const expected = {
    '* * * * *': ['2026-11-21T15:30:00', '2026-11-21T15:31:00'],
    '*/30 * * * *': ['2026-11-21T15:30:00', '2026-11-21T16:00:00'],
    '5/20 * * * *': ['2026-11-21T15:25:00', '2026-11-21T15:45:00'],
    '45 * * * *': ['2026-11-21T14:45:00', '2026-11-21T15:45:00'],
    '0 17 * * sun': ['2026-11-15T17:00:00', '2026-11-22T17:00:00'],
    '0 17 * * 1': ['2026-11-15T17:00:00', '2026-11-22T17:00:00'],
    '10 7 * * mon-fri': ['2026-11-20T07:10:00', '2026-11-23T07:10:00'],
    '10 7 * * 2-6': ['2026-11-20T07:10:00', '2026-11-23T07:10:00'],
    '0 0 * * 7': ['2026-11-21T00:00:00', '2026-11-28T00:00:00'],
    '0 15 1 * *': ['2026-11-01T15:00:00', '2026-12-01T15:00:00'],
    '0 0 1 JAN *': ['2026-01-01T00:00:00', '2027-01-01T00:00:00'],
    '0 18 * * 6L': ['2026-10-30T18:00:00', '2026-11-27T18:00:00'],
    '0 18 * * friL': ['2026-10-30T18:00:00', '2026-11-27T18:00:00'],
    '59 23 LW * *': ['2026-10-30T23:59:00', '2026-11-30T23:59:00'],
    '59 23 L * *': ['2026-10-31T23:59:00', '2026-11-30T23:59:00'],
    '0 0 15W * *': ['2026-11-16T00:00:00', '2026-12-15T00:00:00'],
    '0 0 * * MON#2': ['2026-11-09T00:00:00', '2026-12-14T00:00:00'],
  };
  for (const [expression, [last, next]] of Object.entries(expected)) {
    const cron = parseCron(expression);
    assert.deepEqual([cron.last(now), cron.next(now)], [at(last), at(next)], expression);
  }
});

/** Crons whose clock and whose memory the test has. */
function scene(Crons, parseCron, expressions, { now = at('2026-01-01T00:00:30'), kept = new Map() } = {}) {
  const runs = [];
  const reports = [];
  const state = { now, kept, runs, reports, hold: undefined };
  const host = {
    now: () => state.now,
    lastRuns: () => new Map(state.kept),
    noteRuns: (runs) => (state.kept = new Map(runs)),
    async run(controller) {
      runs.push(`${controller.cron} at ${new Date(controller.scheduledTime).toISOString()}`);
      await state.hold;
      if (state.fails) throw new Error('from scheduled()');
    },
    report: (what, error) => reports.push(`${what} ${error.message}`),
  };
  const crons = new Crons(expressions.map(parseCron), host);
  return Object.assign(state, {
    crons,
    /** Lets the time come. */
    async at(text) {
      state.now = at(text);
      crons.look();
      await delay(0);
      return runs.splice(0);
    },
  });
}

test('one run for each occurrence, a missed one once, and none for what was before the first start', async (t) => {
  const { parseCron } = await load(t, 'config/cron');
  const { Crons } = await load(t, 'runtime/crons');
  const first = scene(Crons, parseCron, ['* * * * *', '0 * * * *']);
  assert.deepEqual(first.runs, []);
  assert.deepEqual(await first.at('2026-01-01T00:00:59.999'), []);
  assert.deepEqual(await first.at('2026-01-01T00:01:00'), ['* * * * * at 2026-01-01T00:01:00.000Z']);
  assert.deepEqual(await first.at('2026-01-01T00:01:00.500'), []);
  assert.deepEqual(await first.at('2026-01-01T00:02:03'), ['* * * * * at 2026-01-01T00:02:00.000Z']);
  assert.deepEqual(await first.at('2026-01-01T00:01:30'), [], 'the clock goes back');
  first.crons.stop();

  const { kept } = first;
  const second = scene(Crons, parseCron, ['* * * * *', '0 * * * *', '*/5 * * * *'], { now: at('2026-01-01T05:07:20'), kept });
  assert.deepEqual(second.runs, ['* * * * * at 2026-01-01T05:07:00.000Z', '0 * * * * at 2026-01-01T05:00:00.000Z']);
  await delay(0);
  second.crons.stop();
  const third = scene(Crons, parseCron, ['0 * * * *', '*/5 * * * *'], { now: at('2026-01-01T05:07:40'), kept: second.kept });
  assert.deepEqual(third.runs, []);
  third.crons.stop();
  assert.deepEqual([...third.kept.keys()], ['0 * * * *', '*/5 * * * *']);
});

test('a run that has not ended when the process ends is missed, one that fails is not', async (t) => {
  const { parseCron } = await load(t, 'config/cron');
  const { Crons } = await load(t, 'runtime/crons');
  const first = scene(Crons, parseCron, ['* * * * *']);
  first.hold = new Promise(() => {});
  assert.equal((await first.at('2026-01-01T00:01:00')).length, 1);
  first.crons.stop();
  const second = scene(Crons, parseCron, ['* * * * *'], { now: at('2026-01-01T00:01:30'), kept: first.kept });
  assert.deepEqual(second.runs, ['* * * * * at 2026-01-01T00:01:00.000Z']);
  second.fails = true;
  await delay(0);
  assert.deepEqual(second.reports, ['scheduled() of the cron trigger "* * * * *" has failed: from scheduled()']);
  second.crons.stop();
  const third = scene(Crons, parseCron, ['* * * * *'], { now: at('2026-01-01T00:01:50'), kept: second.kept });
  assert.deepEqual(third.runs, []);
  third.crons.stop();
});

const config = (crons, rest = {}) => JSON.stringify({ name: 'crons', main: 'index.js', compatibility_date: '2026-11-01', triggers: { crons }, ...rest });
const worker = `
  const seen = [];
  const scheduled = async (controller, env, ctx) => {
    controller.noRetry();
    seen.push([String(controller), Object.keys(controller), controller.cron, controller.scheduledTime, env.WHO, typeof ctx.waitUntil]);
  };
  const fetch = () => Response.json(seen);
`;
const forms = {
  'an object': `${worker} export default { fetch, scheduled };`,
  'a class': `import { WorkerEntrypoint } from 'cloudflare:workers'; ${worker}
    export default class extends WorkerEntrypoint { fetch() { return fetch(); } scheduled(controller) { return scheduled(controller, this.env, this.ctx); } }`,
};

for (const [form, source] of Object.entries(forms)) {
  test(`scheduled() of ${form} runs once at the start for what was missed meanwhile`, async (t) => {
    const directory = writeFiles(temporaryDirectory(t), { 'wrangler.json': config(['0 0 1 1 *'], { vars: { WHO: 'me' } }), 'index.js': source });
    const data = join(directory, 'data');
    const seen = async (server) => JSON.parse(await server.text('/'));
    let server = await serve(t, directory, { data, args: ['--threads', '1'] });
    assert.deepEqual(await seen(server), []);
    await server.stop();
    const [last] = [sqlite(join(data, 'catalog.sqlite'), "SELECT last_ms FROM crons WHERE expression = '0 0 1 1 *'")].map(Number);
    assert.ok(Math.abs(last - Date.now()) < 60_000);
    // As if it had been stopped for more than a year.
    execFileSync('sqlite3', [join(data, 'catalog.sqlite'), `UPDATE crons SET last_ms = last_ms - 400 * 86400000`]);
    server = await serve(t, directory, { data, args: ['--threads', '1'] });
    for (let i = 0; i < 200 && (await seen(server)).length === 0; i++) await delay(10);
    const newYear = Date.UTC(new Date().getUTCFullYear(), 0, 1);
    assert.deepEqual(await seen(server), [['[object ScheduledController]', ['scheduledTime', 'cron'], '0 0 1 1 *', newYear, 'me', 'function']]);
    await server.stop('SIGKILL');
    server = await serve(t, directory, { data, args: ['--threads', '1'] });
    await delay(50);
    assert.deepEqual(await seen(server), []);
    assert.equal((await server.stop()).stderr, '');
  });
}

test('without scheduled() there is nothing to run', async (t) => {
  const directory = writeFiles(temporaryDirectory(t), { 'wrangler.json': config(['0 0 1 1 *']), 'index.js': 'export default { fetch() {} };' });
  await assert.rejects(serve(t, directory, { data: join(directory, 'data') }), /wrangler\.json has triggers\.crons, but the default export of .*index\.js has no scheduled\(\) function\./);
});
