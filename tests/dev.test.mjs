// `perdure dev`: each change is served on the same data, and no request is lost over it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { objectFiles, sqlite, temporaryDirectory, wranglerJson, writeFiles } from './support/files.mjs';
import { runPerdure, serve } from './support/perdure.mjs';

const post = { method: 'POST' };

/** A program that counts and says which version of it does; `extra` goes to its end. */
const program = (version, extra = '') => `
import { DurableObject, env as bindings } from 'cloudflare:workers';
export class Thing extends DurableObject {
  next() {
    const value = (this.ctx.storage.kv.get('value') ?? 0) + 1;
    this.ctx.storage.kv.put('value', value);
    return value;
  }
  say(...what) { console.log(...what); }
  complain(what) { console.error(what); }
}
export default {
  async fetch(request: Request, env) {
    const { pathname } = new URL(request.url);
    const thing = env.THING.getByName('main');
    if (pathname === '/next') return new Response(\`${version} \${await thing.next()}\`);
    if (pathname === '/color') return new Response(\`${version} \${env.COLOR}\`);
    if (pathname === '/pid') return new Response(String(process.pid));
    if (pathname === '/exit') process.exit(7);
    if (pathname === '/block') while (true);
    if (pathname === '/say') {
      console.log('the Worker says', { plain: true });
      await thing.say('%s has %d%%', 'Ada', 10);
      await thing.say('10%', { deep: [1] });
      await thing.complain('oh');
      await env.THING.get(env.THING.newUniqueId()).say('anonymous');
      return new Response('said');
    }
    return new Response('nothing here', { status: 404 });
  },
};
${extra}`;

/** On one thread, where what a program prints comes before its answer. */
async function start(t, { source = program('one'), config = {}, args = ['--threads', '1'], ...options } = {}) {
  const base = temporaryDirectory(t);
  const directory = writeFiles(join(base, 'project'), { 'wrangler.jsonc': wranglerJson(config), 'index.ts': source });
  const data = join(base, 'data');
  const server = await serve(t, directory, { data, command: 'dev', args, ...options });
  return {
    ...server,
    directory,
    data,
    change: (source) => writeFiles(directory, { 'index.ts': source }),
    configure: (config) => writeFiles(directory, { 'wrangler.jsonc': wranglerJson(config) }),
    reloaded: () => server.printed(/^Reloaded in \d+ ms\.\n/m),
  };
}

test('a change is served on the same data, and a signal stops cleanly', async (t) => {
  const server = await start(t);
  assert.equal(await server.text('/next', post), 'one 1');
  server.change(program('two'));
  await server.reloaded();
  assert.equal(await server.text('/next', post), 'two 2');
  const stats = await runPerdure(['stats', '--json', '--data', server.data]);
  assert.equal(JSON.parse(stats.stdout).server.port, server.port, 'operators are told the address that answers');
  assert.equal((await fetch(`${server.url}/nowhere?a=b`)).status, 404);
  await server.printed(/^GET \/nowhere\?a=b 404 [\d.]+ ms\n/m);
  const { code, stdout, stderr } = await server.stop('SIGINT');
  assert.equal(stderr, '');
  assert.equal(code, 0);
  const lines = stdout.replaceAll(/[\d.]+ ms/g, '# ms').split('\n');
  assert.deepEqual(lines, [
    `Perdure serves test on ${server.url} (data in ${server.data})`,
    'POST /next 200 # ms',
    'Reloaded in # ms.',
    'POST /next 200 # ms',
    'GET /nowhere?a=b 404 # ms',
    '',
  ]);
  assert.deepEqual(objectFiles(server.data).map((file) => sqlite(file, 'PRAGMA quick_check')), ['ok']);
  assert.deepEqual(readdirSync(join(server.data, '../tmp')), [], 'the bundles are removed');
});

test('Ctrl-C, which a terminal sends to every process, stops cleanly too', async (t) => {
  const server = await start(t, { wrapper: ['setsid'] });
  assert.equal(await server.text('/next', post), 'one 1');
  process.kill(-server.child.pid, 'SIGINT');
  const { code, stderr } = await server.end();
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  assert.deepEqual(objectFiles(server.data).map((file) => sqlite(file, 'PRAGMA quick_check')), ['ok']);
});

test('what an object prints begins with its class and name, in dev alone', async (t) => {
  const server = await start(t);
  assert.equal(await server.text('/say'), 'said');
  await server.printed(/^GET \/say 200/m);
  const lines = server.output.stdout.split('\n').slice(1, -2);
  assert.equal(lines.length, 4);
  assert.deepEqual(lines.slice(0, 3), [
    'the Worker says { plain: true }',
    '[Thing "main"] Ada has 10%',
    '[Thing "main"] 10% { deep: [ 1 ] }',
  ]);
  assert.match(lines[3], /^\[Thing [0-9a-f]{64}\] anonymous$/);
  assert.equal(server.output.stderr, '[Thing "main"] oh\n');
  await server.stop();

  const plain = await serve(t, server.directory, { data: server.data, args: ['--threads', '1'] });
  await plain.text('/say');
  const { stdout } = await plain.stop();
  assert.deepEqual(stdout.split('\n').slice(1), ['the Worker says { plain: true }', 'Ada has 10%', '10% { deep: [ 1 ] }', 'anonymous', '']);
});

test('objects of several threads are named too', async (t) => {
  const server = await start(t, { args: ['--threads', '2'] });
  const lines = ['the Worker says', '\\[Thing "main"\\] Ada has 10%', '\\[Thing [0-9a-f]{64}\\] anonymous'];
  // Connections take turns among the threads, and each new object lives on one or the other.
  for (let i = 0; i < 8; i++) {
    const [response] = await once(http.get(`${server.url}/say`, { agent: false }), 'response');
    response.resume();
    for (const line of lines) await server.printed(new RegExp(`^${line}`, 'm'));
  }
});

test('a mistake in the code is shown with its line, and the version before goes on', async (t) => {
  const server = await start(t);
  assert.equal(await server.text('/next'), 'one 1');
  server.change('const one = 1;\nexport defalt { one };\n');
  await server.printed(/The build failed; the version before goes on serving\.\n/, 'stderr');
  assert.equal(
    server.output.stderr,
    `✘ [ERROR] Unexpected "defalt"

    index.ts:2:7:
      2 │ export defalt { one };
        ╵        ~~~~~~
perdure: The build failed; the version before goes on serving.
`,
  );
  assert.equal(await server.text('/next'), 'one 2');
  server.change("import './part';" + program('two'));
  await server.printed(/Could not resolve "\.\/part"[^]*the version before goes on serving\.\n/, 'stderr');
  writeFiles(server.directory, { 'part.ts': 'export const part = 1;' });
  await server.reloaded();
  assert.equal(await server.text('/next'), 'two 3');
});

test('code that fails when it is loaded is shown, and the version before goes on', async (t) => {
  const server = await start(t);
  assert.equal(await server.text('/next'), 'one 1');
  const file = join(server.directory, 'index.ts');
  server.change(program('two', "throw new Error('broken at load');"));
  await server.printed(/The version before goes on serving\.\n/);
  assert.match(server.output.stderr, /^perdure: Error: broken at load\n/);
  assert.ok(server.output.stderr.includes(`${file}:32:7`), server.output.stderr);
  assert.equal(await server.text('/next'), 'one 2');

  server.change('export default { fetch() {} };');
  await server.printed(/The version before goes on serving\.\n/);
  await server.printed(/The class "Thing" is bound as THING in .* but .* does not export it\./, 'stderr');
  assert.equal(await server.text('/next'), 'one 3');

  server.change(program('three', 'process.exit(3);'));
  await server.printed(/The version before goes on serving\.\n/);
  await server.printed(/The server process ended at its start \(exit code 3\)\./, 'stderr');
  assert.equal(await server.text('/next'), 'one 4');

  server.change(program('four'));
  await server.reloaded();
  assert.equal(await server.text('/next'), 'four 5');
});

test('a change of the configuration is served too', async (t) => {
  const server = await start(t, { config: { vars: { COLOR: 'red' } } });
  assert.equal(await server.text('/color'), 'one red');
  server.configure({ vars: { COLOR: 'blue' } });
  await server.reloaded();
  assert.equal(await server.text('/color'), 'one blue');

  server.configure({ vars: { COLOR: 'green' }, compatibility_date: 'today' });
  await server.printed(/The configuration has a mistake; the version before goes on serving\.\n/, 'stderr');
  assert.ok(
    server.output.stderr.startsWith(`${join(server.directory, 'wrangler.jsonc')}:1:55: the compatibility date "today" is not a day`),
    server.output.stderr,
  );
  assert.equal(await server.text('/color'), 'one blue');

  writeFiles(server.directory, { 'other.ts': program('other') });
  server.configure({ vars: { COLOR: 'green' }, main: 'other.ts' });
  await server.reloaded();
  assert.equal(await server.text('/color'), 'other green');
  writeFiles(server.directory, { 'other.ts': program('another') });
  await server.reloaded();
  assert.equal(await server.text('/color'), 'another green');
});

test('cron triggers are served, and a wrong one is a mistake', async (t) => {
  const source = program('one').replace('export default {', 'export default {\n  scheduled() {},');
  const server = await start(t, { source, config: { triggers: { crons: ['0 0 1 1 *'] } } });
  assert.equal(await server.text('/next'), 'one 1');
  server.configure({ triggers: { crons: ['99 0 1 1 *'] } });
  await server.printed(/The configuration has a mistake; the version before goes on serving\.\n/, 'stderr');
  server.configure({ triggers: { crons: ['1 0 1 1 *'] } });
  await server.reloaded();
  assert.equal(await server.text('/next'), 'one 2');
});

test('no request is lost, and none served twice, while versions take over', async (t) => {
  const server = await start(t);
  const agent = new http.Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const next = () =>
    new Promise((resolve, reject) => {
      const request = http.request(`${server.url}/next`, { agent, method: 'POST' }, async (response) => {
        let text = '';
        for await (const part of response.setEncoding('utf8')) text += part;
        resolve({ status: response.statusCode, text });
      });
      request.on('error', reject).end();
    });
  let done = false;
  const answers = [];
  const client = async () => {
    while (!done) answers.push(await next());
  };
  answers.push(await next()); // the first version has been built
  const clients = Array.from({ length: 8 }, client);
  for (const version of ['two', 'three', 'four']) {
    server.change(program(version));
    await server.reloaded();
  }
  done = true;
  await Promise.all(clients);
  assert.deepEqual(answers.filter(({ status }) => status !== 200), []);
  const numbers = answers.map(({ text }) => Number(text.split(' ')[1])).sort((a, b) => a - b);
  assert.deepEqual(numbers, Array.from({ length: answers.length }, (_, i) => i + 1));
  assert.ok(new Set(answers.map(({ text }) => text.split(' ')[0])).size >= 3, 'several versions have answered');
});

test('requests wait for a version that takes its time, a thousand at most', async (t) => {
  const held = 1000;
  const more = 5;
  const base = temporaryDirectory(t);
  const go = join(base, 'go');
  const server = await start(t, {
    source: `
import { existsSync } from 'node:fs';
while (!existsSync(${JSON.stringify(go)})) await new Promise((resolve) => setTimeout(resolve, 10));
export class Thing {}
export default { fetch: () => new Response('served') };`,
  });
  const statuses = [];
  const refused = {};
  refused.promise = new Promise((resolve) => (refused.resolve = resolve));
  const get = async () => {
    const [response] = await once(http.get(server.url, { agent: false }), 'response');
    statuses.push(response.statusCode);
    if (statuses.length === more) refused.resolve();
    let text = '';
    for await (const part of response.setEncoding('utf8')) text += part;
    return text;
  };
  const all = Array.from({ length: held + more }, get);
  await refused.promise;
  assert.deepEqual(statuses, Array(more).fill(503));
  writeFiles(base, { go: '' });
  const texts = await Promise.all(all);
  assert.equal(texts.filter((text) => text === 'served').length, held);
  assert.equal(texts.filter((text) => text === 'perdure dev: More than 1000 requests wait for the new version.\n').length, more);
});

test('a crash is reported, and the next change is served', async (t) => {
  const server = await start(t);
  assert.equal(await server.text('/next'), 'one 1');
  const cut = await fetch(`${server.url}/exit`);
  assert.equal(cut.status, 502);
  assert.match(await cut.text(), /^perdure dev: The server process ended before it answered/);
  const why = 'The server process ended by itself (exit code 7); waiting for a change.';
  await server.printed(/waiting for a change\.\n/, 'stderr');
  assert.equal(server.output.stderr, `perdure: ${why}\n`);
  const refused = await fetch(`${server.url}/next`);
  assert.equal(refused.status, 503);
  assert.equal(await refused.text(), `perdure dev: ${why}\n`);
  server.change(program('two'));
  await server.reloaded();
  assert.equal(await server.text('/next'), 'two 2');
});

test('a project that is broken at first is served once it is mended', async (t) => {
  const server = await start(t, { source: 'export defalt {};' });
  await server.printed(/The build failed; waiting for a change\.\n/, 'stderr');
  const refused = await fetch(`${server.url}/next`);
  assert.equal(refused.status, 503);
  assert.equal(await refused.text(), 'perdure dev: The build failed; waiting for a change.\n');
  server.change(program('one', 'throw new Error("at load")'));
  await server.printed(/The program could not be started; waiting for a change\.\n/, 'stderr');
  server.change(program('two'));
  await server.reloaded();
  assert.equal(await server.text('/next'), 'two 1');
});

test('a version that blocks its thread is replaced all the same', async (t) => {
  const server = await start(t);
  assert.equal(await server.text('/next'), 'one 1');
  const blocked = fetch(`${server.url}/block`);
  const late = server.text('/next');
  server.change(program('two'));
  await server.printed(/The version before did not stop within 5 s and was killed: requests in flight are lost, no data is\.\n/, 'stderr');
  assert.equal((await blocked).status, 502);
  await server.reloaded();
  assert.match(await late, /^(two 2|perdure dev: The server process ended before it answered .*\n)$/);
  assert.match(await server.text('/next'), /^two [23]$/);
});

test('the data directory has one owner', async (t) => {
  const server = await start(t);
  assert.equal(await server.text('/next'), 'one 1');
  const args = [server.directory, '--port', '0', '--data', server.data];
  const { code, stderr } = await runPerdure(['serve', ...args]);
  assert.match(stderr, /is in use by another process/);
  assert.equal(code, 1);
  const second = await serve(t, server.directory, { data: server.data, command: 'dev' });
  await second.printed(/is in use by another process.*\nperdure: The program could not be started; waiting for a change\.\n/, 'stderr');
  assert.equal((await second.stop()).code, 0);
  assert.equal(await server.text('/next'), 'one 2');
});

test('when it is killed, the process that serves ends too', async (t) => {
  const server = await start(t);
  assert.equal(await server.text('/next'), 'one 1');
  const pid = Number(await server.text('/pid'));
  assert.notEqual(pid, server.child.pid);
  server.child.kill('SIGKILL');
  const runs = () => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  while (runs()) await new Promise((resolve) => setTimeout(resolve, 10));
  const after = await serve(t, server.directory, { data: server.data });
  assert.equal(await after.text('/next'), 'one 2');
});

test('what is wrong with the start is explained', async (t) => {
  const server = await start(t);
  const port = String(server.port);
  assert.deepEqual(await runPerdure(['dev', server.directory, '--port', port]), {
    code: 1,
    signal: null,
    stdout: '',
    stderr: `perdure: Port ${port} on 127.0.0.1 is in use by another program; choose another with --port.\n`,
  });
  const nothing = join(server.directory, 'nothing');
  assert.deepEqual(await runPerdure(['dev', nothing]), {
    code: 1,
    signal: null,
    stdout: '',
    stderr: `perdure: ${nothing}: there is no such folder\n`,
  });
});

test('colours are for terminals that want them', async (t) => {
  const escape = '\x1b[';
  const print = async (options) => {
    const server = await start(t, options);
    await server.text('/say');
    await server.printed(/GET \/say/);
    server.change('broken(');
    await server.printed(/The build failed/, options.wrapper === undefined ? 'stderr' : 'stdout');
    const { stdout, stderr } = await server.stop();
    return stdout + stderr;
  };
  const terminal = ['sh', '-c', 'exec script -qec "$*" /dev/null', 'sh'];
  // Each of these tells Node.js something about colours; CI is set where tests run by themselves.
  const inherited = Object.fromEntries(
    ['CI', 'COLORTERM', 'FORCE_COLOR', 'NODE_DISABLE_COLORS', 'NO_COLOR', 'TF_BUILD', 'TMUX'].map((name) => [name, undefined]),
  );
  const env = { ...inherited, TERM: 'xterm-256color' };
  const runs = {
    pipe: [{}, false],
    terminal: [{ wrapper: terminal, env }, true],
    'terminal without colours': [{ wrapper: terminal, env: { ...env, NO_COLOR: '1' } }, false],
  };
  for (const [name, [options, colored]] of Object.entries(runs)) {
    const text = await print(options);
    for (const line of [/^.*\[Thing "main"\].*$/m, /^.*GET \/say .*$/m, /^.*ERROR.*$/m]) {
      assert.equal(line.exec(text)[0].includes(escape), colored, `${name}: ${line}`);
    }
  }
});

const echo = `
export class Thing {}
export default {
  async fetch(request: Request) {
    const { pathname } = new URL(request.url);
    if (pathname === '/stream') {
      const parts = ['one', 'two', 'three'];
      return new Response(new ReadableStream({
        async pull(controller) {
          if (parts.length === 0) controller.close();
          else controller.enqueue(new TextEncoder().encode(parts.shift()));
        },
      }), { status: 207, statusText: 'Several', headers: [['set-cookie', 'a=1'], ['set-cookie', 'b=2'], ['x-odd', 'caf\\u00e9']] });
    }
    const headers = [...request.headers].filter(([name]) => name !== 'connection');
    const body = request.body === null ? null : (await request.arrayBuffer()).byteLength;
    return Response.json({ method: request.method, url: request.url, headers, body });
  },
};`;

/** The answer to these bytes on a connection of their own, without what differs from run to run. */
async function raw(port, text) {
  const socket = net.connect(port, '127.0.0.1');
  socket.write(text, 'latin1'); // not end(): who closes only the sending side counts as gone
  let answer = '';
  for await (const part of socket.setEncoding('latin1')) answer += part;
  const [head, ...body] = answer.split('\r\n\r\n');
  const [status, ...headers] = head.split('\r\n');
  const shown = headers.map((line) => line.replace(/^[^:]*/, (name) => name.toLowerCase())).filter((line) => !/^(date|connection|keep-alive):/.test(line));
  return { status, headers: shown.sort(), body: body.join('\r\n\r\n') };
}

test('requests and responses are those that serve has', async (t) => {
  const dev = await start(t, { source: echo });
  const plain = await serve(t, dev.directory, { data: join(dev.data, '../other') });
  const end = 'Host: example.org\r\nConnection: close\r\n';
  const requests = [
    `GET /a%20b?c=d&e HTTP/1.1\r\n${end}\r\n`,
    `HEAD / HTTP/1.1\r\n${end}\r\n`,
    `POST / HTTP/1.1\r\n${end}\r\n`,
    `POST / HTTP/1.1\r\n${end}Content-Length: 5\r\n\r\nhello`,
    `PUT / HTTP/1.1\r\n${end}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    `DELETE / HTTP/1.1\r\n${end}Content-Length: 2\r\n\r\nhi`,
    `GET / HTTP/1.1\r\n${end}X-Twice: one\r\nX-Twice: two\r\nX-Odd: caf\xe9\r\n\r\n`,
    `GET /stream HTTP/1.1\r\n${end}\r\n`,
    'GET / HTTP/1.0\r\nHost: example.org\r\n\r\n',
  ];
  for (const request of requests) assert.deepEqual(await raw(dev.port, request), await raw(plain.port, request), request);
});

test('a part of a response goes on at once, and a client that goes away is known to the program', async (t) => {
  const server = await start(t, {
    source: `
export class Thing {}
export default {
  fetch() {
    return new Response(new ReadableStream({
      start(controller) { controller.enqueue(new TextEncoder().encode('first')); },
      cancel() { console.log('nobody reads any more'); },
    }));
  },
};`,
  });
  const controller = new AbortController();
  const response = await fetch(`${server.url}/endless`, { signal: controller.signal });
  const { value } = await response.body.getReader().read();
  assert.equal(Buffer.from(value).toString(), 'first');
  controller.abort();
  await server.printed(/^GET \/endless cut off [\d.]+ ms\n/m);
  await server.printed(/^nobody reads any more\n/m);
});
