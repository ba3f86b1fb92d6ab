// Methods and fetch() of an object, called through its stub.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startLab } from '../support/lab.mjs';

// With four threads most calls go to another one; nobody may tell the difference.
const labs = await Promise.all([1, 4].map(async (threads) => ({ threads, lab: await startLab({ after }, { threads }) })));
for (const { threads, lab } of labs) {
  const where = threads === 1 ? '' : `${threads} threads: `;

  /** What `run({ stub, env })` does in the Worker, with a stub of COUNTER. */
  const call = (run) =>
    lab.worker(({ env }, source) => (0, eval)(`(${source})`)({ stub: env.COUNTER.getByName('rpc'), env }), run.toString());

  const missing = (name) => ({ type: 'TypeError', message: `The RPC receiver does not implement the method "${name}".`, remote: true });
  const reserved = (name) => ({ type: 'TypeError', message: `'${name}' is a reserved method and cannot be called over RPC.`, remote: true });
  const uncloneable = (message) => ({ type: 'DOMException', name: 'DataCloneError', message });
  const refused = (type) => uncloneable(`Could not serialize object of type "${type}". This type does not support serialization.`);

  test(`${where}arguments and results are structured clones`, async () => {
    const shared = { a: 1 };
    const cycle = {};
    cycle.cycle = cycle;
    const values = [
      undefined, null, true, -0, NaN, Infinity, 10n, '', '\ud800', 'é', [1, , undefined], { a: undefined },
      new Date(5), /a/g, new Map([[1, new Set(['x'])]]), new Uint8Array([1, 2, 3]).subarray(1), new Float64Array([0.5]),
      [shared, shared], cycle, JSON.parse('{"__proto__": 1}'), { constructor: 2 }, new RangeError('as a value'),
    ];
    for (const value of values) {
      const [back] = await lab.worker(({ env }, value) => env.COUNTER.getByName('rpc').echo(value), value);
      assert.deepEqual(back, value);
    }
    assert.deepEqual(await call(({ stub }) => stub.echo()), []);
    const [first, second] = await call(async ({ stub }) => {
      const one = { n: 1 };
      return stub.echo([one, one], one);
    });
    assert.equal(first[0], first[1]);
    assert.equal(first[0], second);
  });

  test(`${where}the two sides never share an object`, async () => {
    const result = await call(async ({ stub }) => {
      const sent = { n: 1, bytes: new Uint8Array([1]) };
      const pending = stub.run('({ self }, sent) => { self.kept = sent; return sent; }', sent);
      sent.n = 2; // the copy was made when the call was
      sent.bytes[0] = 2;
      const got = await pending;
      got.n = 3;
      got.bytes[0] = 3;
      return [sent, got, await stub.run('({ self }) => self.kept')].map(({ n, bytes }) => [n, bytes[0]]);
    });
    assert.deepEqual(result, [[2, 2], [3, 3], [1, 1]]);
  });

  test(`${where}what cannot be cloned is a DataCloneError`, async () => {
    const arguments_ = [
      [() => new Map([[1, new (class Point {})()]]), refused('Point')],
      [() => Object.create(null), refused('Object')],
      [() => new URL('http://x/'), refused('URL')],
      [() => Symbol('a'), uncloneable('Symbol(a) could not be cloned.')],
      [() => new WeakMap(), uncloneable('#<WeakMap> could not be cloned.')],
    ];
    for (const [make, error] of arguments_) {
      await assert.rejects(lab.worker(({ env }, make) => env.COUNTER.getByName('rpc').echo((0, eval)(make)()), make.toString()), error);
      const asResult = { ...error, remote: true };
      await assert.rejects(lab.worker(({ env }, make) => env.COUNTER.getByName('rpc').run(make), make.toString()), asResult);
    }
    await assert.rejects(call(({ stub }) => stub.run('({ ctx }) => ctx')), refused('DurableObjectState'));
    await assert.rejects(call(({ stub }) => stub.run('({ self }) => self')), refused('Counter'));
  });

  test(`${where}methods and getters of the class can be reached, nothing else`, async () => {
    assert.equal(await call(({ stub }) => stub.secret()), 'private');
    assert.deepEqual(await call(({ stub }) => stub.getter), { answer: 42 });
    assert.equal(await call(({ stub }) => stub.makesMethod(2)), 3);
    assert.deepEqual(await call(({ stub }) => { const { echo } = stub; return echo(1); }), [1]);
    await assert.rejects(call(({ stub }) => stub.throwing), { message: 'from a getter', remote: true });
    await assert.rejects(call(({ stub }) => stub.getter()), { type: 'TypeError', message: '"getter" is not a function.', remote: true });
    for (const name of ['nope', 'own', 'ownMethod', 'fixed', 'ctx', 'env', '#secret']) {
      await assert.rejects(lab.worker(({ env }, name) => env.COUNTER.getByName('rpc')[name](), name), missing(name));
      await assert.rejects(lab.worker(({ env }, name) => env.COUNTER.getByName('rpc')[name], name), missing(name));
    }
    for (const name of ['alarm', 'webSocketMessage', 'webSocketClose', 'webSocketError', 'dup']) {
      await assert.rejects(lab.worker(({ env }, name) => env.COUNTER.getByName('rpc')[name](), name), reserved(name));
    }
    await assert.rejects(call(({ env }) => env.PLAIN.getByName('a').hello()), {
      type: 'TypeError',
      remote: true,
      message:
        'The receiving Durable Object does not support RPC, because its class was not declared with `extends DurableObject`. In order to enable RPC, make sure your class extends the special class `DurableObject`, which can be imported from the module "cloudflare:workers".',
    });
  });

  test(`${where}a stub looks like one`, async () => {
    const look = await call(async ({ stub }) => ({
      same: (await stub) === stub,
      then: stub.then,
      text: `${stub}`,
      keys: Object.keys(stub),
      json: JSON.stringify(stub),
      name: stub.name,
      id: stub.id.toString(),
      types: [typeof stub.anything, typeof stub.fetch],
      symbols: [stub[Symbol.iterator], stub[Symbol.toPrimitive]],
      own: stub.hasOwnProperty('x'),
    }));
    assert.deepEqual(look, {
      same: true,
      then: undefined,
      text: '[object DurableObject]',
      keys: ['name', 'id'],
      json: '{"name":"rpc","id":{"name":"rpc"}}',
      name: 'rpc',
      id: look.id,
      types: ['function', 'function'],
      symbols: [undefined, undefined],
      own: false,
    });
  });

  test(`${where}errors keep type, name, message and properties, and say that they are remote`, async () => {
    const thrown = [
      [() => { throw Object.assign(new TypeError('bad'), { code: 'E', list: [1] }); }, { type: 'TypeError', name: 'TypeError', message: 'bad', code: 'E', list: [1] }],
      [() => { class MyError extends Error { name = 'MyError'; } throw new MyError('mine'); }, { type: 'Error', name: 'MyError', message: 'mine' }],
      [() => { throw new DOMException('gone', 'AbortError'); }, { type: 'DOMException', name: 'AbortError', message: 'gone' }],
      [() => { throw new AggregateError([new Error('a')], 'both'); }, { type: 'AggregateError', message: 'both' }],
      [() => Promise.reject(new RangeError('later')), { type: 'RangeError', message: 'later' }],
      [() => { throw 'text'; }, { type: 'Error', message: 'text' }],
      [() => { throw undefined; }, { type: 'Error', message: 'undefined' }],
      [() => { throw Symbol('z'); }, { type: 'Error', message: 'Symbol(z)' }],
      [() => { throw { a: 1 }; }, { a: 1 }],
    ];
    for (const [run, error] of thrown) await assert.rejects(lab.object('rpc', run), { ...error, remote: true });
  });

  test(`${where}an error names the object whose method threw it`, async () => {
    const told = await lab.worker(async ({ env }) => {
      const stub = env.COUNTER.getByName('rpc');
      const id = stub.id.toString();
      const names = async (run) => {
        try {
          await run();
        } catch (error) {
          return error.durableObjectId === id ? 'named' : error.durableObjectId;
        }
      };
      const run = (source) => names(() => stub.run(source));
      return {
        thrown: await run('() => { throw new Error("a"); }'),
        rejected: await run('async () => { throw new Error("a"); }'),
        object: await run('() => { throw { a: 1 }; }'),
        text: await run('() => { throw "a"; }'),
        dom: await run('() => { throw new DOMException("a", "AbortError"); }'),
        result: await run('() => ({ get a() { throw new Error("a"); } })'),
        'no clone': await run('() => { throw Object.assign(new Error("a"), { f() {} }); }'),
        getter: await names(async () => await stub.throwing),
        'no method': await names(() => stub.nothing()),
        fetch: await names(async () => {
          await stub.run('({ self }) => void (self.onFetch = () => { throw new Error("a"); })');
          await stub.fetch('http://x/');
        }),
      };
    });
    assert.deepEqual(told, { thrown: 'named', rejected: 'named', object: 'named', text: undefined, dom: undefined, result: undefined, 'no clone': undefined, getter: undefined, 'no method': undefined, fetch: undefined });
  });

  test(`${where}an error comes with its hidden members, and with none when one cannot be cloned`, async () => {
    const members = (run) => lab.worker(async ({ env }, run) => {
      const error = await env.COUNTER.getByName('rpc').run(run).catch((caught) => caught);
      return [error.message, error.code, error.hidden, Object.keys(error).includes('cause'), error.cause?.message];
    }, run.toString());
    assert.deepEqual(await members(() => { throw Object.defineProperty(Object.assign(new Error('a', { cause: new Error('b') }), { code: 1 }), 'hidden', { value: 2 }); }), ['a', 1, 2, false, 'b']);
    assert.deepEqual(await members(() => { throw Object.assign(new Error('a'), { code: 1, f() {} }); }), ['a', undefined, undefined, false, undefined]);
  });

  test(`${where}what is on a prototype can be read, and a stub can be given members`, async () => {
    const found = await lab.worker(async ({ env, attempt }) => {
      const stub = env.COUNTER.getByName('rpc');
      await stub.run('({ self }) => { const p = Object.getPrototypeOf(self); p.value = 5; Object.defineProperty(p, "setter", { set() {}, configurable: true }); }');
      stub.mine = 7;
      return [await stub.value, await attempt(async () => await stub.setter), stub.mine, Object.keys(stub), attempt(() => { stub.id = 1; }), stub.constructor.name, attempt(() => new stub.constructor())];
    });
    assert.deepEqual(found, [5, 'TypeError: The RPC receiver does not implement the method "setter".', 7, ['name', 'id', 'mine'], "TypeError: Cannot assign to read only property 'id' of object '#<DurableObject>'", 'DurableObject', 'TypeError: Illegal constructor']);
  });

  test(`${where}what a call refuses to pass is named as structured clone names it`, async () => {
    const names = await lab.worker(async ({ env, attempt }) => {
      const stub = env.COUNTER.getByName('rpc');
      class List extends Array {}
      const refused = [new WeakRef({}), (function* () {})(), [].values(), new URL('http://x/'), new (class Point {})(), { deep: [new Map([[1, new Date(0)], [2, stub.id]])] }];
      return [...(await Promise.all(refused.map((value) => attempt(() => stub.echo(value))))), await stub.echo(List.of(1, 2))];
    });
    assert.deepEqual(names, [
      'DataCloneError: #<WeakRef> could not be cloned.',
      'DataCloneError: [object Generator] could not be cloned.',
      'DataCloneError: [object Array Iterator] could not be cloned.',
      'DataCloneError: Could not serialize object of type "URL". This type does not support serialization.',
      'DataCloneError: Could not serialize object of type "Point". This type does not support serialization.',
      'DataCloneError: Could not serialize object of type "DurableObjectId". This type does not support serialization.',
      [[1, 2]],
    ]);
  });

  test(`${where}an error, a result or a promise that cannot be read still answers the caller`, async () => {
    const unreadable = { message: 'Something was thrown that cannot be passed on.', remote: true };
    await assert.rejects(lab.object('rpc', () => { throw Object.assign(Object.create(null), { a: 1 }); }), { a: 1, remote: true });
    await assert.rejects(lab.object('rpc', () => { throw new Proxy({}, { getPrototypeOf() { throw 1; } }); }), unreadable);
    const hostile = { message: 'no', remote: true };
    await assert.rejects(lab.object('rpc', () => ({ get then() { throw new Error('no'); } })), hostile);
    await assert.rejects(lab.object('rpc', () => ({ then() { throw new Error('no'); } })), hostile);
    await assert.rejects(lab.object('rpc', () => ({ get a() { throw new Error('no'); } })), hostile);
    assert.equal(await lab.object('rpc', () => ({ then: (resolve) => resolve(5) })), 5);
  });

  test(`${where}calls arrive in the order they were made, and the object answers later ones while it waits`, async () => {
    const order = await call(async ({ stub }) => {
      const wait = stub.run('async ({ self }) => { self.order = ["a"]; await new Promise((go) => (self.go = go)); self.order.push("a2"); }');
      const rest = ['b', 'c'].map((name) => stub.run('({ self }, name) => void self.order.push(name)', name));
      await Promise.all(rest);
      await stub.run('({ self }) => self.go()');
      await wait;
      return stub.run('({ self }) => self.order');
    });
    assert.deepEqual(order, ['a', 'b', 'c', 'a2']);
  });

  test(`${where}promise reactions of one event are not interleaved with the next event`, async () => {
    // Awaited reads are no gap: get, then put, by two calls at once count to two.
    const count = await call(async ({ stub }) => {
      const add = 'async ({ storage }) => { const n = (await storage.get("n")) ?? 0; await Promise.resolve(); await storage.put("n", n + 1); }';
      await Promise.all([stub.run(add), stub.run(add), stub.run(add)]);
      return stub.run('({ kv }) => kv.get("n")');
    });
    assert.equal(count, 3);
  });

  test(`${where}objects call each other`, async () => {
    const sum = await lab.object('outer', async ({ env }) => {
      const [[a], [b]] = await Promise.all([env.COUNTER.getByName('in1').echo(1), env.COUNTER.getByName('in2').echo(2)]);
      return a + b;
    });
    assert.equal(sum, 3);
    await assert.rejects(lab.object('outer', ({ env }) => env.COUNTER.getByName('in1').nope()), missing('nope'));
  });

  test(`${where}Response, Request, Headers and streams are handed over`, async () => {
    const text = await call(async ({ stub }) => {
      const response = await stub.run('() => new Response("body", { status: 201, headers: { a: "b" } })');
      const stream = await stub.run('() => new Blob(["streamed"]).stream()');
      return [response.status, response.headers.get('a'), await response.text(), await new Response(stream).text()];
    });
    assert.deepEqual(text, [201, 'b', 'body', 'streamed']);
  });

  test(`${where}stub.fetch takes what fetch takes`, async () => {
    const seen = await call(async ({ stub }) => {
      await stub.run(`({ self }) => {
        self.onFetch = async (request) => Response.json([request instanceof Request, request.method, request.url, request.headers.get('h'), await request.text()]);
      }`);
      const forms = [
        ['http://x/a?b=1'],
        [new URL('https://x')],
        ['http://x/', { method: 'POST', body: 'hi', headers: { h: '1' } }],
        [new Request('http://x/r', { method: 'PUT', body: 'bytes', headers: { h: '2' } })],
        [new Request('http://x/r', { method: 'PUT', body: 'a' }), { method: 'PATCH', body: 'b' }],
        ['http://x/', { method: 'POST', body: new Blob(['stream']).stream() }],
      ];
      const results = [];
      for (const form of forms) results.push(await (await stub.fetch(...form)).json());
      return results;
    });
    assert.deepEqual(seen, [
      [true, 'GET', 'http://x/a?b=1', null, ''],
      [true, 'GET', 'https://x/', null, ''],
      [true, 'POST', 'http://x/', '1', 'hi'],
      [true, 'PUT', 'http://x/r', '2', 'bytes'],
      [true, 'PATCH', 'http://x/r', null, 'b'],
      [true, 'POST', 'http://x/', null, 'stream'],
    ]);
  });

  test(`${where}stub.fetch: what is wrong`, async () => {
    const fetchFails = (error, ...args) =>
      assert.rejects(lab.worker(({ env }, args) => env.COUNTER.getByName('rpc').fetch(...args), args), error);
    const answer = (run) => lab.worker(({ env }, run) => env.COUNTER.getByName('rpc').run('({ self }, run) => void (self.onFetch = (0, eval)(run))', run), run.toString());
    await fetchFails({ type: 'TypeError', message: 'Invalid URL: /x' }, '/x');
    await fetchFails({ type: 'TypeError', message: "Failed to execute 'fetch' on 'Fetcher': parameter 1 is not of type 'Request or string'." });
    await fetchFails({ type: 'TypeError', message: 'Fetch API cannot load: ftp://x/' }, 'ftp://x/');
    await answer(() => undefined);
    await fetchFails({ type: 'TypeError', message: "Callback returned incorrect type; expected 'Promise'", remote: true }, 'http://x/');
    await answer(async () => ({ status: 200 }));
    await fetchFails({ type: 'TypeError', message: "Incorrect type for Promise: the Promise did not resolve to 'Response'.", remote: true }, 'http://x/');
    await answer(() => { throw new RangeError('in fetch'); });
    await fetchFails({ type: 'RangeError', message: 'in fetch', remote: true }, 'http://x/');
    assert.equal(await call(async ({ env }) => (await env.PLAIN.getByName('a').fetch('http://x/y')).text()), 'GET http://x/y');
    await assert.rejects(call(({ env }) => env.FETCHLESS.getByName('a').fetch('http://x/')), {
      message: 'Handler does not export a fetch() function.',
      remote: true,
    });
  });

  test(`${where}an error that is its own cause, or has many, is passed on like any other`, async () => {
    const found = await lab.worker(async ({ env, attempt }) => {
      const stub = env.COUNTER.getByName('causes');
      return [
        await attempt(() => stub.run('() => { const e = new Error("self"); e.cause = e; throw e; }')),
        await attempt(() => stub.run('() => { let e = new Error("0"); for (let i = 1; i < 200; i++) { const x = new Error(String(i)); x.cause = e; e = x; } throw e; }')),
      ];
    });
    assert.deepEqual(found, ['Error: self', 'Error: 199']);
  });

  test(`${where}stub.fetch: a signal ends the wait of the caller alone`, async () => {
    const value = await lab.worker(async ({ env, attempt, shared }) => {
      const stub = env.COUNTER.getByName('signals');
      await stub.run('({ self, shared }) => { self.onFetch = async (request) => { await new Promise((resolve) => setTimeout(resolve, 100)); shared.aborted = request.signal.aborted; return new Response(); }; }');
      const outcomes = [];
      for (const make of [(signal) => stub.fetch('http://x/', { signal }), (signal) => stub.fetch(new Request('http://x/', { signal })), (signal) => stub.fetch(new Request(new Request('http://x/', { signal }), { method: 'POST' }))]) {
        const controller = new AbortController();
        setTimeout(() => controller.abort(new Error('mine')), 20);
        shared.aborted = undefined;
        outcomes.push(await attempt(() => make(controller.signal)), await attempt(() => make(AbortSignal.abort(new Error('before')))));
        await new Promise((resolve) => setTimeout(resolve, 150));
        outcomes.push(shared.aborted);
      }
      outcomes.push((await stub.fetch('http://x/', { signal: new AbortController().signal })).status);
      return outcomes;
    });
    assert.deepEqual(value, [...Array(3)].flatMap(() => ['Error: mine', 'Error: before', false]).concat(200));
  });
}
