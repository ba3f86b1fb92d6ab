// The watchdog: code that keeps its thread is named while it does.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryDirectory, wranglerJson, writeFiles } from '../support/files.mjs';
import { serve } from '../support/perdure.mjs';

/** More than anything else takes at one go here, on a busy machine too. */
const thresholdMs = 500;

/** Blocks its thread until something is printed about it: until its caller says so, that is. */
const source = `
  import { DurableObject } from 'cloudflare:workers';
  import { existsSync } from 'node:fs';

  const spin = (file) => { for (const end = performance.now() + 20_000; !existsSync(file) && performance.now() < end; ); };

  export class Spinner extends DurableObject {
    constructor(ctx, env) {
      super(ctx, env);
      if (ctx.id.name?.startsWith('constructs ')) spin(ctx.id.name.slice(11));
    }
    spin(file) { spin(file); }
    get spins() { spin(globalThis.file); return 1; }
    fetch(request) { spin(decodeURIComponent(new URL(request.url).search.slice(1))); return new Response(''); }
    async after(file) { await this.env.SPINNER.getByName('other').nothing(); spin(file); }
    nothing() {}
    many(count) {
      const stub = this.env.SPINNER.getByName('busy');
      return Promise.all(Array.from({ length: count }, () => stub.brief())).then(() => {});
    }
    brief() { for (const end = performance.now() + 10; performance.now() < end; ); }
  }

  export default {
    async fetch(request, env) {
      const url = new URL(request.url);
      const name = url.searchParams.get('name');
      const file = url.searchParams.get('file');
      const stub = name === null ? undefined : env.SPINNER.getByName(name);
      globalThis.file = file;
      switch (url.pathname) {
        case '/worker': spin(file); break;
        case '/spin': await stub.spin(file); break;
        case '/getter': await stub.spins; break;
        case '/fetch': await stub.fetch('http://x/?' + encodeURIComponent(file)); break;
        case '/after': await stub.after(file); break;
        case '/many': await stub.many(150); break;
        case '/unique': await env.SPINNER.get(env.SPINNER.newUniqueId()).spin(file); break;
        default: if (name !== null) await stub.nothing();
      }
      return new Response('');
    },
  };`;

async function start(t, ms) {
  const directory = writeFiles(temporaryDirectory(t), {
    'wrangler.jsonc': wranglerJson({
      durable_objects: { bindings: [{ name: 'SPINNER', class_name: 'Spinner' }] },
      migrations: [{ tag: 'v1', new_sqlite_classes: ['Spinner'] }],
    }),
    'index.ts': source,
  });
  const server = await serve(t, directory, { data: join(directory, 'data'), args: ['--watchdog-ms', String(ms)] });
  return { server, directory };
}

async function until(condition, what) {
  for (let tries = 0; !condition(); tries++) {
    assert.ok(tries < 1000, what());
    await sleep(10);
  }
}

test('each kind of code that blocks is named once, and its end is told', async (t) => {
  const { server, directory } = await start(t, thresholdMs);
  let number = 0;
  const release = () => join(directory, `release-${++number}`);
  const kinds = [
    ['/worker', {}, "The Worker's fetch()"],
    ['/spin', { name: 'a' }, 'Spinner "a": spin()'],
    ['/spin', { name: 'a "b"\n\\' }, String.raw`Spinner "a \"b\"\u000a\\": spin()`],
    ['/getter', { name: 'a' }, 'Spinner "a": spins()'],
    ['/fetch', { name: 'a' }, 'Spinner "a": fetch()'],
    ['/after', { name: 'a' }, 'Spinner "a": code that went on after it had waited (called last: after())'],
    ['/unique', {}, /^perdure: Spinner [0-9a-f]{64}: spin\(\) has /],
    ['/', (file) => ({ name: `constructs ${file}` }), (file) => `Spinner "constructs ${file}": constructor()`],
  ];
  for (const [path, query, expected] of kinds) {
    const file = release();
    const who = typeof expected === 'function' ? expected(file) : expected;
    server.output.stderr = '';
    const parameters = new URLSearchParams({ ...(typeof query === 'function' ? query(file) : query), file });
    const answer = server.text(`${path}?${parameters}`);
    const mine = (line) => (who instanceof RegExp ? who.test(line) : line.startsWith(`perdure: ${who} has `));
    const lines = () => server.output.stderr.split('\n').slice(0, -1).filter(mine);
    await until(() => lines().length === 1, () => `nothing is said about ${path}, but ${server.output.stderr}`);
    await sleep(2 * thresholdMs); // time to say it again
    writeFiles(directory, { [file.slice(directory.length + 1)]: '' });
    assert.equal(await answer, '');
    await until(() => lines().length === 2, () => `the end of ${path} is not told, but ${server.output.stderr}`);
    const [first, second] = lines();
    const [, blocked] = /^perdure: (.*) has run for \d+\.\d s without giving way; nothing else runs on its thread\.$/.exec(first) ?? [];
    const [, ended, seconds] = /^perdure: (.*) has given way after (\d+\.\d) s\.$/.exec(second) ?? [];
    assert.ok(blocked !== undefined, first);
    assert.equal(ended, blocked, second);
    assert.ok(Number(seconds) >= (3 * thresholdMs) / 1000, second);
  }
});

test('many short turns in a row are no block', async (t) => {
  const { server } = await start(t, thresholdMs);
  assert.equal(await server.text('/many?name=many'), '');
  assert.equal(server.output.stderr, '');
});

test('a turn is not to blame for the time in which the whole process was stopped', async (t) => {
  const { server, directory } = await start(t, 4 * thresholdMs);
  const file = join(directory, 'release');
  const answer = server.text(`/worker?${new URLSearchParams({ file })}`);
  await sleep(2 * thresholdMs); // it has been looked at
  server.child.kill('SIGSTOP');
  await sleep(6 * thresholdMs);
  writeFiles(directory, { release: '' });
  server.child.kill('SIGCONT');
  assert.equal(await answer, '');
  assert.equal(server.output.stderr, '');
});

test('--watchdog-ms 0 is off', async (t) => {
  const { server, directory } = await start(t, 0);
  const file = join(directory, 'release');
  const answer = server.text(`/worker?${new URLSearchParams({ file })}`);
  await sleep(3 * thresholdMs);
  writeFiles(directory, { release: '' });
  assert.equal(await answer, '');
  assert.equal(server.output.stderr, '');
});
