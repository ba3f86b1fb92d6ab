// The command line: usage, starting, stopping, and what it prints when something is wrong.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { objectFiles, root, sqlite, temporaryDirectory, wranglerJson, writeFiles } from './support/files.mjs';
import { runPerdure, serve } from './support/perdure.mjs';

const counter = join(root, 'examples/counter');
const post = { method: 'POST' };

/** A project with the class `Thing`, bound as THING, in `source`. */
function project(t, source, config = {}) {
  return writeFiles(temporaryDirectory(t), {
    'wrangler.jsonc': wranglerJson(config),
    'index.ts': `import { DurableObject } from 'cloudflare:workers';\n${source}`,
  });
}

test('wrong usage is explained and exits with 2', async () => {
  const seeHelp = (command) => `Run "perdure ${command === 'serve' ? 'serve ' : ''}--help" for what there is.\n`;
  const usages = [
    [['serve', '--port', '99999'], "error: option '--port <number>' argument '99999' is invalid. Give a whole number from 0 to 65535.\n"],
    [['serve', '--port', 'http'], "error: option '--port <number>' argument 'http' is invalid. Give a whole number from 0 to 65535.\n"],
    [['serve', '--threads', '0'], "error: option '--threads <number>' argument '0' is invalid. Give a whole number from 1 to 64.\n"],
    ...['0', '0M', 'abc', '512', '-1G', '1.5G', '191M', '9007199254740993K', ''].map((size) => [
      ['serve', '--memory-limit', size],
      `error: option '--memory-limit <size>' argument '${size}' is invalid. Give a size such as 512M or 2G, at least 192M.\n`,
    ]),
    [['serve', '--watchdog-ms', '1.5'], "error: option '--watchdog-ms <milliseconds>' argument '1.5' is invalid. Give a whole number from 0 to 86400000.\n"],
    [['serve', '--prot', '1'], "error: unknown option '--prot'\n(Did you mean --port?)\n"],
    [['serv'], "error: unknown command 'serv'\n(Did you mean serve?)\n"],
    [['serve', 'a', 'b'], "error: too many arguments for 'serve'. Expected 1 argument but got 2.\n"],
  ];
  for (const [args, message] of usages) {
    const { code, stdout, stderr } = await runPerdure(args);
    assert.equal(stderr, message + seeHelp(args[0]));
    assert.equal(stdout, '');
    assert.equal(code, 2);
  }
});

test('--version and --help', async () => {
  assert.deepEqual(await runPerdure(['--version']), { code: 0, signal: null, stdout: '0.1.0\n', stderr: '' });
  const { code, stdout, stderr } = await runPerdure(['serve', '--help']);
  assert.match(stdout, /^Usage: perdure serve \[options\] \[DIR\]\n/);
  for (const option of ['--port', '--host', '--data', '--threads', '--history-days', '--history-limit', '--config', 'Examples:']) {
    assert.ok(stdout.includes(option), option);
  }
  assert.equal(stderr, '');
  assert.equal(code, 0);
});

test('a missing build is explained', async () => {
  const { code, stderr } = await runPerdure(['--version'], { env: { PERDURE_ADDON: '/no/addon.node' } });
  assert.equal(stderr, 'perdure: /no/addon.node is missing; run "make build" in the checkout first\n');
  assert.equal(code, 1);
});

for (const signal of ['SIGTERM', 'SIGINT']) {
  test(`${signal} stops cleanly and leaves plain SQLite files`, async (t) => {
    const data = join(temporaryDirectory(t), 'data');
    const server = await serve(t, counter, { data });
    for (const name of ['a', 'b', 'c', 'c']) await server.text(`/increment?name=${name}`, post);
    const { code, stdout, stderr } = await server.stop(signal);
    assert.equal(code, 0);
    assert.equal(stderr, '');
    assert.equal(stdout, `Perdure serves counter on ${server.url} (data in ${data})\n`);
    const found = objectFiles(data).map((file) => sqlite(file, 'PRAGMA quick_check; SELECT value FROM data'));
    assert.deepEqual(found.sort(), ['ok\n1', 'ok\n1', 'ok\n2']);
    assert.deepEqual(readdirSync(join(data, '../tmp')), [], 'the bundle is removed');
  });
}

const slow = `
  export class Thing extends DurableObject {}
  export default {
    async fetch(request) {
      const ms = Number(new URL(request.url).searchParams.get('ms'));
      await new Promise((resolve) => setTimeout(resolve, ms));
      return new Response('done');
    },
  };`;

test('a request in flight finishes before the process stops', async (t) => {
  const directory = project(t, slow);
  const server = await serve(t, directory, { data: join(directory, 'data') });
  const answer = server.text('/?ms=500');
  await new Promise((resolve) => setTimeout(resolve, 200));
  const end = server.stop('SIGTERM');
  assert.equal(await answer, 'done');
  assert.equal((await end).code, 0);
});

test('a second signal stops at once', async (t) => {
  const directory = project(t, slow);
  const server = await serve(t, directory, { data: join(directory, 'data') });
  const answer = server.text('/?ms=20000').catch(() => 'cut off');
  await new Promise((resolve) => setTimeout(resolve, 200));
  server.child.kill('SIGINT');
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal((await server.stop('SIGINT')).code, 130);
  assert.equal(await answer, 'cut off');
});

test('a port in use', async (t) => {
  const directory = temporaryDirectory(t);
  const first = await serve(t, counter, { data: join(directory, 'one/data') });
  const args = ['serve', counter, '--port', String(first.port), '--data', join(directory, 'two')];
  const { code, stdout, stderr } = await runPerdure(args);
  assert.equal(
    stderr,
    `perdure: Port ${first.port} on 127.0.0.1 is in use by another program; choose another with --port.\n`,
  );
  assert.equal(stdout, '');
  assert.equal(code, 1);
});

test('a data directory in use by another process', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const first = await serve(t, counter, { data });
  const { code, stdout, stderr } = await runPerdure(['serve', counter, '--port', '0', '--data', data]);
  assert.equal(
    stderr,
    `perdure: The data directory ${data} is in use by another process. Stop that one, or choose another directory with --data.\n`,
  );
  assert.equal(stdout, '');
  assert.equal(code, 1);
  assert.equal(await first.text('/increment?name=a', post), '1\n', 'the first goes on');
});

test('a class that is bound but not exported', async (t) => {
  const directory = project(t, 'class Thing extends DurableObject {}\nexport default { Thing };');
  const { code, stderr } = await runPerdure(['serve', directory, '--port', '0']);
  assert.equal(
    stderr,
    `perdure: The class "Thing" is bound as THING in ${join(directory, 'wrangler.jsonc')} but ${join(directory, 'index.ts')} does not export it.\n`,
  );
  assert.equal(code, 1);
});

test('a project without a fetch handler', async (t) => {
  const directory = project(t, 'export class Thing extends DurableObject {}\nexport default {};');
  const { code, stderr } = await runPerdure(['serve', directory, '--port', '0']);
  assert.equal(
    stderr,
    `perdure: ${join(directory, 'index.ts')} has no default export with a fetch() function.\n`,
  );
  assert.equal(code, 1);
});

test('code that throws when it is loaded is shown with the line of the user', async (t) => {
  const directory = project(t, '\nconst word: string = "x";\nthrow new Error(`broken ${word}`);');
  const { code, stderr } = await runPerdure(['serve', directory, '--port', '0']);
  const [message, place] = stderr.split('\n');
  assert.equal(message, 'perdure: Error: broken x');
  assert.ok(place.includes(`${join(directory, 'index.ts')}:4:7`), stderr);
  assert.ok(!stderr.includes('js/dist') && !stderr.includes('node:internal'), stderr);
  assert.equal(code, 1);
});

test('an error in an object and in a Worker is printed with the line of the user', async (t) => {
  const directory = project(
    t,
    `
interface Env { THING: DurableObjectNamespace<Thing> }
export class Thing extends DurableObject<Env> {
  fail(): never {
    throw new RangeError('out of line');
  }
}
export default {
  async fetch(request: Request, env: Env) {
    if (request.url.endsWith('/worker')) throw new Error('in the Worker');
    return Response.json(await env.THING.getByName('a').fail());
  },
};`,
  );
  const server = await serve(t, directory, { data: join(directory, 'data') });
  for (const path of ['/object', '/worker']) {
    assert.equal((await fetch(server.url + path)).status, 500);
  }
  const { stderr } = await server.stop();
  const file = join(directory, 'index.ts');
  assert.ok(stderr.includes('RangeError: out of line'), stderr);
  assert.ok(stderr.includes(`${file}:6:11`), stderr);
  assert.ok(stderr.includes('Error: in the Worker'), stderr);
  assert.ok(stderr.includes(`${file}:11:48`), stderr);
});

test('a rejection that nobody handles is printed and does not stop the server', async (t) => {
  const directory = project(
    t,
    `
export class Thing extends DurableObject {}
export default {
  fetch() {
    void Promise.reject(new Error('left alone'));
    return new Response('still here');
  },
};`,
  );
  const server = await serve(t, directory, { data: join(directory, 'data') });
  assert.equal(await server.text('/'), 'still here');
  assert.equal(await server.text('/'), 'still here');
  const { code, stderr } = await server.stop();
  assert.ok(stderr.includes('left alone'), stderr);
  assert.ok(stderr.includes(`${join(directory, 'index.ts')}:6:25`), stderr);
  assert.equal(code, 0);
});

test('a renamed class keeps its objects, and a new class of the old name has none of them', async (t) => {
  const source = (name) => `
    export class ${name} extends DurableObject {
      next() {
        const value = (this.ctx.storage.kv.get('value') ?? 0) + 1;
        this.ctx.storage.kv.put('value', value);
        return value;
      }
    }`;
  const worker = `
    export default {
      async fetch(request, env) {
        return Response.json(await env[new URL(request.url).pathname.slice(1)].getByName('a').next());
      },
    };`;
  const directory = project(t, source('Old') + worker, {
    durable_objects: { bindings: [{ name: 'OLD', class_name: 'Old' }] },
    migrations: [{ tag: 'v1', new_sqlite_classes: ['Old'] }],
  });
  const data = join(directory, 'data');
  let server = await serve(t, directory, { data });
  assert.equal(await server.text('/OLD'), '1');
  await server.stop();

  writeFiles(directory, {
    'index.ts': `import { DurableObject } from 'cloudflare:workers';${source('Old')}${source('New')}${worker}`,
    'wrangler.jsonc': wranglerJson({
      durable_objects: {
        bindings: [
          { name: 'OLD', class_name: 'Old' },
          { name: 'NEW', class_name: 'New' },
        ],
      },
      migrations: [
        { tag: 'v1', new_sqlite_classes: ['Old'] },
        { tag: 'v2', renamed_classes: [{ from: 'Old', to: 'New' }] },
        { tag: 'v3', new_sqlite_classes: ['Old'] },
      ],
    }),
  });
  server = await serve(t, directory, { data });
  assert.equal(await server.text('/NEW'), '2');
  assert.equal(await server.text('/OLD'), '1');
});
