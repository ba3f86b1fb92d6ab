// Requests and responses as handlers see them and as they are on the wire.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { startLab } from '../support/lab.mjs';

const lab = await startLab({ after });

/** What comes back for a request, as it is on the wire. */
async function exchange(path, { body, ...options } = {}) {
  const request = http.request(lab.url + path, { agent: false, ...options });
  request.end(body);
  const [response] = await once(request, 'response');
  const parts = [];
  for await (const part of response) parts.push(part);
  const { date, connection, ...headers } = response.headers;
  return { status: response.statusCode, headers, body: Buffer.concat(parts).toString() };
}

/** The bytes that come back for `text`, which is sent as it is. */
async function raw(text) {
  const socket = net.connect(lab.port, '127.0.0.1');
  socket.write(text);
  let answer = '';
  for await (const part of socket.setEncoding('latin1')) answer += part;
  return answer;
}

/** Waits for what the server prints. */
async function prints(text) {
  for (let tries = 0; tries < 200 && !lab.output.stderr.includes(text); tries++) await sleep(10);
  assert.ok(lab.output.stderr.includes(text), `${text}\nis not in\n${lab.output.stderr}`);
}

/** What the handler `run` returns as JSON. */
async function seen(run, init) {
  const response = await fetch(await lab.handle('/seen', run), init);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
}

const text = 'text/plain;charset=UTF-8';
const failed = { status: 500, headers: { 'content-length': '21' }, body: 'Internal Server Error' };

test('a request is a Request', async () => {
  const facts = await seen(
    (request) => Response.json([
      request instanceof Request, Object.prototype.toString.call(request), request.method, new URL(request.url).pathname, new URL(request.url).search,
      request.headers instanceof Headers, request.headers.get('X-One'), request.headers.get('x-two'), [...request.headers.keys()].includes('host'),
      request.bodyUsed, request.body, request.redirect, request.signal instanceof AbortSignal, request.signal.aborted, typeof request.cf,
    ]),
    { headers: [['X-One', 'é'], ['x-two', 'a'], ['x-two', 'b']] },
  );
  assert.deepEqual(facts, [true, '[object Request]', 'GET', '/seen', '', true, 'é', 'a, b', true, false, null, 'manual', true, false, 'object']);
});

test('unusual targets and hosts', async () => {
  await lab.handle('/url', (request) => new Response(request.url));
  const url = async (start, host) => /\r\n\r\n(.*)$/s.exec(await raw(`${start} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`))[1];
  assert.equal(await url('GET /url?a=%20b', 'example.com:99'), 'http://example.com:99/url?a=%20b');
  assert.equal(await url('GET /x/../url?', 'EXAMPLE.com:80'), 'http://example.com/url?');
  assert.equal(await url('GET http://other/url', 'example.com'), 'http://other/url');
  for (const host of ['[', 'a b', 'user:pw@host', 'a/../b:x']) assert.match(await raw(`GET /url HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`), /^HTTP\/1\.1 400 /);
  assert.equal(await lab.object('alive', () => 1), 1);
});

test('request bodies, in every form', async () => {
  const form = new FormData();
  form.set('field', 'value');
  const post = (body) => ({ method: 'POST', body });
  const forms = [
    [async (request) => Response.json(await request.text()), post('é\ufeff'), 'é\ufeff'],
    [async (request) => Response.json(await request.json()), post('{"a":[1]}'), { a: [1] }],
    [async (request) => Response.json([...new Uint8Array(await request.arrayBuffer())]), post(new Uint8Array([0, 255])), [0, 255]],
    [async (request) => Response.json([...(await request.bytes())]), post(new Uint8Array([1])), [1]],
    [async (request) => Response.json(await (await request.blob()).text()), post('blob'), 'blob'],
    [async (request) => Response.json((await request.formData()).get('field')), post(form), 'value'],
    [async (request) => Response.json((await request.formData()).get('a')), post(new URLSearchParams({ a: 'b' })), 'b'],
    [async (request) => Response.json(await new Response(request.body).text()), post('stream'), 'stream'],
    [async (request) => { const copy = request.clone(); return Response.json([await request.text(), await copy.text(), copy instanceof Request]); }, post('two'), ['two', 'two', true]],
    [async (request) => Response.json([await request.text(), request.bodyUsed, await request.text().catch((error) => error.name)]), post('once'), ['once', true, 'TypeError']],
    [async (request) => Response.json(await request.json().catch((error) => error.name)), post('{'), 'SyntaxError'],
    [async (request) => Response.json(await request.text()), { method: 'POST' }, ''],
    [async (request) => Response.json(await request.text()), {}, ''],
    [async (request) => Response.json(await new Request(request).text()), post('copied'), 'copied'],
    [async (request) => { const copy = new Request('http://x/', request); return Response.json([copy.method, await copy.text(), copy.headers.get('h')]); }, { ...post('moved'), headers: { h: '1' } }, ['POST', 'moved', '1']],
    [async (request) => Response.json(await new Request('http://x/', { method: 'POST', body: request.body }).text()), post('no duplex'), 'no duplex'],
    [async (request, env) => { const stub = env.COUNTER.getByName('body'); await stub.run('({ self }) => { self.onFetch = async (r) => Response.json([r.method, await r.text()]); }'); return stub.fetch(request); }, post('passed on'), ['POST', 'passed on']],
  ];
  for (const [run, init, expected] of forms) assert.deepEqual(await seen(run, init), expected, run.toString());
});

test('large request bodies: read, streamed, cancelled, ignored', async () => {
  const size = 5_000_000;
  const chunked = () => new Blob([new Uint8Array(size).fill(97)]).stream();
  const count = async (request) => {
    let bytes = 0;
    for await (const part of request.body) {
      bytes += part.length;
      if (bytes < 1_000_000) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return Response.json(bytes);
  };
  assert.equal(await seen(count, { method: 'POST', body: chunked(), duplex: 'half' }), size);
  assert.equal(await seen(async (request) => Response.json((await request.text()).length), { method: 'POST', body: 'é'.repeat(1_000_000) }), 1_000_000);
  const cancelled = async (request) => {
    const reader = request.body.getReader();
    await reader.read();
    await reader.cancel();
    await new Promise((resolve) => setTimeout(resolve, 20));
    return Response.json('cancelled');
  };
  assert.equal((await exchange('/cancelled', { method: 'POST', body: 'a'.repeat(size), path: await path('/cancelled', cancelled) })).body, '"cancelled"');
  assert.equal((await exchange('/ignored', { method: 'POST', body: 'a'.repeat(100_000), path: await path('/ignored', () => new Response('ignored')) })).body, 'ignored');
  const late = async (request, env, ctx, shared) => {
    const { body } = request;
    ctx.waitUntil(new Response(body).text().then((text) => (shared.late = text.length), (error) => (shared.late = error.message)));
    return new Response('early');
  };
  await lab.handle('/late', late);
  const request = http.request(`${lab.url}/late`, { method: 'POST', agent: false }).on('error', () => {});
  request.write('part');
  assert.equal((await once(request, 'response'))[0].statusCode, 200);
  await sleep(20);
  assert.equal(await lab.worker(({ shared }) => shared.late), 'The response was sent before the body of the request had been read.');
  request.destroy();
});

async function path(name, run) {
  await lab.handle(name, run);
  return name;
}

test('responses on the wire', async () => {
  const cases = [
    [() => new Response('hi'), { status: 200, headers: { 'content-type': text, 'content-length': '2' }, body: 'hi' }],
    [() => new Response('é😀'), { status: 200, headers: { 'content-type': text, 'content-length': '6' }, body: 'é😀' }],
    [() => new Response(''), { status: 200, headers: { 'content-type': text, 'content-length': '0' }, body: '' }],
    [() => new Response(), { status: 200, headers: { 'content-length': '0' }, body: '' }],
    [() => new Response(null, { status: 204 }), { status: 204, headers: {}, body: '' }],
    [() => new Response(null, { status: 304, headers: { etag: 'x' } }), { status: 304, headers: { etag: 'x' }, body: '' }],
    [() => new Response(5), { status: 200, headers: { 'content-type': text, 'content-length': '1' }, body: '5' }],
    [() => new Response('t', { status: 418, statusText: 'Teapot' }), { status: 418, headers: { 'content-type': text, 'content-length': '1' }, body: 't' }],
    [() => new Response(new Uint8Array([65, 66]).subarray(1)), { status: 200, headers: { 'content-length': '1' }, body: 'B' }],
    [() => new Response(new TextEncoder().encode('A').buffer), { status: 200, headers: { 'content-length': '1' }, body: 'A' }],
    [() => new Response(new URLSearchParams({ a: '1' })), { status: 200, headers: { 'content-type': 'application/x-www-form-urlencoded;charset=UTF-8', 'content-length': '3' }, body: 'a=1' }],
    [() => new Response(new Blob(['x'], { type: 'a/b' })), { status: 200, headers: { 'content-type': 'a/b', 'transfer-encoding': 'chunked' }, body: 'x' }],
    [() => Response.json({ a: 1 }), { status: 200, headers: { 'content-type': 'application/json', 'content-length': '7' }, body: '{"a":1}' }],
    [() => Response.json([], { status: 201, headers: { a: 'b' } }), { status: 201, headers: { 'content-type': 'application/json', a: 'b', 'content-length': '2' }, body: '[]' }],
    [() => Response.redirect('http://x/'), { status: 302, headers: { location: 'http://x/', 'content-length': '0' }, body: '' }],
    [() => new Response('c', { headers: { 'Content-Type': 'text/html', 'X-A': 'é' } }), { status: 200, headers: { 'content-type': 'text/html', 'x-a': 'é', 'content-length': '1' }, body: 'c' }],
    [() => new Response('c', { headers: [['set-cookie', 'a=1'], ['set-cookie', 'b=2'], ['x', '1'], ['x', '2']] }), { status: 200, headers: { 'content-type': text, 'set-cookie': ['a=1', 'b=2'], x: '1, 2', 'content-length': '1' }, body: 'c' }],
    [() => { const r = new Response('late'); r.headers.set('x', '1'); r.headers.delete('content-type'); return r; }, { status: 200, headers: { x: '1', 'content-length': '4' }, body: 'late' }],
    [() => { const r = new Response('copy', { status: 201, headers: { a: 'b' } }); return r.clone(); }, { status: 201, headers: { 'content-type': text, a: 'b', 'content-length': '4' }, body: 'copy' }],
    [async () => { const r = new Response('read one'); await r.clone().text(); return r; }, { status: 200, headers: { 'content-type': text, 'content-length': '8' }, body: 'read one' }],
    [() => new Response('c', { headers: { 'content-length': '99', 'transfer-encoding': 'chunked', connection: 'close' } }), { status: 200, headers: { 'content-type': text, 'content-length': '1' }, body: 'c' }],
    [() => { class Mine extends Response {} return new Mine('mine'); }, { status: 200, headers: { 'content-type': text, 'content-length': '4' }, body: 'mine' }],
    [() => ({ then: (resolve) => resolve(new Response('thenable')) }), { status: 200, headers: { 'content-type': text, 'content-length': '8' }, body: 'thenable' }],
  ];
  for (const [run, expected] of cases) {
    await lab.handle('/wire', run);
    assert.deepEqual(await exchange('/wire'), expected, run.toString());
  }
});

test('what is not a response is Internal Server Error, and the log says why', async () => {
  const mistakes = [
    [() => null, "TypeError: Incorrect type for Promise: the Promise did not resolve to 'Response'."],
    [() => 'text', "TypeError: Incorrect type for Promise: the Promise did not resolve to 'Response'."],
    [() => ({ status: 200 }), "TypeError: Incorrect type for Promise: the Promise did not resolve to 'Response'."],
    [() => { throw new TypeError('worker boom'); }, 'TypeError: worker boom'],
    [() => { throw 'just text'; }, 'just text'],
    [() => { throw Object.create(null); }, '[Object: null prototype] {}'],
    [() => { throw { [Symbol.for('nodejs.util.inspect.custom')]() { throw 1; } }; }, 'an error that cannot be printed'],
    [() => Promise.reject(new Error('rejected')), 'Error: rejected'],
    [() => ({ get then() { throw new Error('unreadable then'); } }), 'Error: unreadable then'],
    [() => new Response('x', { status: 600 }), 'RangeError'],
    [() => new Response('x', { status: 204 }), 'TypeError'],
    [() => new Response('x', { headers: { 'bad header': 'v' } }), 'TypeError'],
    [() => new Response('x', { headers: { a: 'b\r\nc: d' } }), 'TypeError'],
    [() => Response.error(), 'TypeError: A response with status 0 cannot be sent.'],
    [async () => { const r = new Response('used'); await r.text(); return r; }, 'TypeError: Body has already been used.'],
    [() => { const r = new Response(new Blob(['x']).stream()); r.body.getReader(); return r; }, 'TypeError: Body has already been used.'],
    [(request, env, ctx, shared) => (shared.twice ??= new Response('sent twice')), undefined],
    [(request, env, ctx, shared) => shared.twice, 'TypeError: Body has already been used.'],
  ];
  for (const [run, message] of mistakes) {
    await lab.handle('/mistake', run);
    lab.output.stderr = '';
    const answer = await exchange('/mistake');
    if (message === undefined) {
      assert.equal(answer.status, 200);
      continue;
    }
    assert.deepEqual(answer, failed, run.toString());
    await prints(message);
    await prints(`GET ${lab.url}/mistake failed:`);
  }
  await lab.handle('/again', (request, env, ctx, shared) => (shared.empty ??= new Response(null, { status: 202 })));
  assert.deepEqual([(await exchange('/again')).status, (await exchange('/again')).status], [202, 202]);
});

test('HEAD gets the headers of GET', async () => {
  await lab.handle('/head', () => new Response('hello'));
  assert.deepEqual(await exchange('/head', { method: 'HEAD' }), { status: 200, headers: { 'content-type': text, 'content-length': '5' }, body: '' });
  await lab.handle('/endless', (request, env, ctx, shared) => new Response(new ReadableStream({
    pull(controller) { controller.enqueue(new Uint8Array(1000)); },
    cancel() { shared.cancelledHead = true; },
  })));
  assert.equal((await exchange('/endless', { method: 'HEAD' })).status, 200);
  assert.equal(await lab.worker(({ shared }) => shared.cancelledHead), true);
});

test('HEAD does not wait for a body that is cancelled', async () => {
  for (const cancel of ['() => new Promise(() => {})', '() => { throw new Error("no"); }']) {
    const url = await lab.handle('/head', (0, eval)(`() => new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1)), cancel: ${cancel} }))`));
    const head = `HEAD ${new URL(url).pathname} HTTP/1.1\r\nhost: x\r\n`;
    const answer = await raw(`${head}\r\n${head}connection: close\r\n\r\n`);
    assert.equal(answer.match(/HTTP\/1\.1 200 OK/g).length, 2, cancel);
  }
});

test('streamed responses', async () => {
  const bytes = 20_000_000;
  await lab.handle('/large', (request, env, ctx, shared) => {
    let left = 20_000_000;
    shared.produced = 0;
    return new Response(new ReadableStream({
      pull(controller) {
        if (left === 0) return controller.close();
        left -= 100_000;
        shared.produced += 100_000;
        controller.enqueue(new Uint8Array(100_000).fill(97));
        controller.enqueue(new Uint8Array(0));
      },
    }));
  });
  const response = await fetch(`${lab.url}/large`);
  const reader = response.body.getReader();
  await reader.read();
  await sleep(50);
  const produced = await lab.worker(({ shared }) => shared.produced);
  assert.ok(produced < bytes / 2, `the client reads nothing, yet ${produced} bytes are made`);
  let read = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) read += part.value.length;
  assert.ok(read > bytes - 1_000_000);

  await lab.handle('/echo', (request) => new Response(request.body));
  const echoed = await fetch(`${lab.url}/echo`, { method: 'POST', body: new Blob([new Uint8Array(3_000_000).fill(98)]).stream(), duplex: 'half' });
  assert.equal(await echoed.text(), 'b'.repeat(3_000_000));

  const broken = [
    () => new Response(new ReadableStream({ async pull(c) { c.enqueue(new TextEncoder().encode('part')); await new Promise((resolve) => setTimeout(resolve, 20)); c.error(new Error('half-way')); } })),
    () => new Response(new ReadableStream({ start(c) { c.enqueue('not bytes'); } })),
  ];
  for (const run of broken) {
    await lab.handle('/broken', run);
    await assert.rejects(async () => (await fetch(`${lab.url}/broken`)).text());
  }
  await prints("the response's body failed: Error: half-way");
  await prints("the response's body failed: TypeError: This ReadableStream did not return bytes.");
});

test('parts of a stream arrive when they are made; a client that leaves ends it', async () => {
  await lab.handle('/events', (request, env, ctx, shared) => {
    shared.events = { aborted: false, cancelled: false };
    request.signal.addEventListener('abort', () => { shared.events.aborted = true; });
    return new Response(new ReadableStream({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode('data: 1\n\n'));
        await new Promise((resolve) => (shared.next = resolve));
        controller.enqueue(new TextEncoder().encode('data: 2\n\n'));
      },
      cancel() { shared.events.cancelled = true; },
    }), { headers: { 'content-type': 'text/event-stream' } });
  });
  const leave = new AbortController();
  const response = await fetch(`${lab.url}/events`, { signal: leave.signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  assert.equal((await reader.read()).value, 'data: 1\n\n');
  await lab.worker(({ shared }) => shared.next());
  assert.equal((await reader.read()).value, 'data: 2\n\n');
  leave.abort();
  await reader.read().catch(() => {});
  await sleep(50);
  assert.deepEqual(await lab.worker(({ shared }) => shared.events), { aborted: true, cancelled: true });
});

test('a client that leaves before the answer: the signal says so, the reading of its body fails', async () => {
  await lab.handle('/left', async (request, env, ctx, shared) => {
    shared.left = [];
    request.signal.addEventListener('abort', () => shared.left.push(request.signal.reason.name));
    await request.text().catch((error) => shared.left.push(error.name));
    return new Response('nobody reads this');
  });
  const request = http.request(`${lab.url}/left`, { method: 'POST' }).on('error', () => {});
  request.write('part');
  await sleep(50);
  request.destroy();
  await sleep(50);
  assert.deepEqual((await lab.worker(({ shared }) => shared.left)).sort(), ['AbortError', 'AbortError']);
});

test('a fetched response can be returned, with what was decoded on the way', async (t) => {
  const upstream = http.createServer((request, response) => {
    const zipped = request.url === '/gzip';
    response.writeHead(203, { 'content-type': 'text/x', 'set-cookie': ['a=1', 'b=2'], ...(zipped ? { 'content-encoding': 'gzip' } : { 'content-encoding': 'unknown' }) });
    response.end(zipped ? gzipSync('zipped') : 'plain');
  });
  await once(upstream.listen(0, '127.0.0.1'), 'listening');
  t.after(() => upstream.close());
  const { port } = upstream.address();
  await lab.handle('/proxy', async (request) => {
    const url = new URL(request.url).searchParams.get('url');
    const response = await fetch(url);
    return request.headers.has('copy') ? new Response(response.body, response) : response;
  });
  for (const headers of [{}, { copy: '1' }]) {
    const zipped = await exchange(`/proxy?url=http://127.0.0.1:${port}/gzip`, { headers });
    assert.deepEqual([zipped.status, zipped.body, zipped.headers['content-type'], zipped.headers['set-cookie'], zipped.headers['content-encoding']], [203, 'zipped', 'text/x', ['a=1', 'b=2'], undefined]);
    const plain = await exchange(`/proxy?url=http://127.0.0.1:${port}/`, { headers });
    assert.deepEqual([plain.status, plain.body, plain.headers['content-encoding']], [203, 'plain', 'unknown']);
  }
});

test('Request and Response are classes like any other', async () => {
  const facts = await lab.worker(async () => {
    class OwnRequest extends Request {}
    class OwnResponse extends Response {}
    const response = new Response('a', { status: 201 });
    const request = new Request('http://x/', { method: 'POST', body: 'b', cf: { c: 1 } });
    return {
      instances: [response instanceof Response, response instanceof OwnResponse, new OwnResponse() instanceof OwnResponse, request instanceof OwnRequest, new OwnRequest('http://x/') instanceof Request, {} instanceof Response, 5 instanceof Request],
      names: [Request.name, Response.name, Object.prototype.toString.call(response)],
      response: [response.status, response.ok, response.statusText, response.bodyUsed, response.headers.get('content-type'), response.body instanceof ReadableStream, await response.text(), response.bodyUsed],
      request: [request.method, request.cf, new Request(request).cf, request.bodyUsed],
      errors: ['Response', 'Request'].map((name) => { try { return globalThis[name](); } catch (error) { return error.name; } }),
    };
  });
  assert.deepEqual(facts, {
    instances: [true, false, true, false, true, false, false],
    names: ['Request', 'Response', '[object Response]'],
    response: [201, true, '', false, text, true, 'a', true],
    request: ['POST', { c: 1 }, { c: 1 }, true],
    errors: ['TypeError', 'TypeError'],
  });
  const logged = await seen((request) => { console.log(request, new Response('x')); return Response.json(true); });
  assert.equal(logged, true);
});

test('a program that replaces the global classes gets its answers out all the same', async (t) => {
  const own = await startLab(t);
  const url = await own.handle('/replaced', async (request, env) => {
    const { Response: Original } = globalThis;
    for (const name of ['Request', 'Response']) globalThis[name] = class {};
    const stub = env.COUNTER.getByName('replaced');
    return stub.run('(tools, response) => response', new Original('through a call'));
  });
  const response = await fetch(url, { signal: AbortSignal.timeout(5000) });
  assert.deepEqual([response.status, await response.text()], [200, 'through a call']);
});

test('a Worker that throws what nobody can look at is answered like any other failure', async () => {
  const url = await lab.handle('/unreadable', () => {
    throw new Proxy({}, { getPrototypeOf() { throw new Error('trap'); } });
  });
  const response = await fetch(url, { signal: AbortSignal.timeout(5000) });
  assert.deepEqual([response.status, await response.text()], [500, 'Internal Server Error']);
});

test('a response keeps its status text', async () => {
  const url = await lab.handle('/text', (request) => {
    const statusText = decodeURIComponent(new URL(request.url).searchParams.get('t'));
    return new Response(request.url.endsWith('s') ? new Blob(['x']).stream() : 'x', { status: 201, statusText });
  });
  for (const [query, expected] of [['?t=', 'Created'], ['?t=Made%20Up', 'Made Up'], ['?t=Made%20Up&s', 'Made Up'], ['?t=%C3%A9', 'é']]) {
    const answer = await raw(`GET ${new URL(url).pathname}${query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    assert.equal(answer.split('\r\n')[0], `HTTP/1.1 201 ${expected}`);
  }
});

test('user code that replaces the classes of the web does not spoil answers', async (t) => {
  const own = await startLab(t);
  const url = await own.handle('/replaced', async (request, env) => {
    const kept = new Response('kept', { headers: { a: 'b' } });
    for (const name of ['Response', 'Request', 'ReadableStream', 'Headers', 'TransformStream', 'AbortController']) globalThis[name] = class {};
    const stub = env.COUNTER.getByName('replaced');
    await stub.run('({ self }, kept) => { self.onFetch = () => kept; }', kept);
    return stub.fetch('http://x/');
  });
  const response = await fetch(url);
  assert.deepEqual([response.status, response.headers.get('a'), await response.text()], [200, 'b', 'kept']);
});
