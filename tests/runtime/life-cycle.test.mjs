// Construction, blockConcurrencyWhile, resets, eviction: when an instance is there and who gets its errors.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryDirectory } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';
import { slowDisk } from '../support/slow-disk.mjs';

const idleMs = 300;
const lab = await startLab({ after }, { args: ['--idle-ms', String(idleMs)] });

const reset = (error) => ({ ...error, durableObjectReset: true });
const gone = 'Error: This Durable Object has been reset or evicted; this reference to its storage is not valid any more.';

test('blockConcurrencyWhile in the constructor: order, and events wait for it', async () => {
  await lab.constructors('init', ({ ctx, self }) => {
    self.trace = ['before'];
    ctx.blockConcurrencyWhile(async () => {
      self.trace.push('body');
      await new Promise((resolve) => setTimeout(resolve, 30));
      self.trace.push('end of body');
    });
    self.trace.push('after');
  });
  const events = await Promise.all([1, 2, 3].map((n) => lab.object('init', ({ self }, n) => (self.trace.push(n), [...self.trace]), n)));
  const all = events.reduce((longest, each) => (each.length > longest.length ? each : longest));
  assert.deepEqual(all.slice(0, 4), ['before', 'after', 'body', 'end of body']);
  assert.deepEqual(all.slice(4).sort(), [1, 2, 3]);
});

test('blockConcurrencyWhile in a method: value, nesting, and the waiting events come in order', async () => {
  const { value, trace } = await lab.worker(async ({ env }) => {
    const stub = env.COUNTER.getByName('block');
    const blocked = stub.run(`async ({ ctx, self }) => {
      self.trace = [];
      const value = await ctx.blockConcurrencyWhile(async () => {
        const inner = await ctx.blockConcurrencyWhile(async () => {
          await new Promise((resolve) => setTimeout(resolve, 20));
          return 'inner';
        });
        await new Promise((resolve) => setTimeout(resolve, 20));
        self.trace.push('block over');
        return inner + ' and outer';
      });
      self.trace.push('continued');
      return value;
    }`);
    const others = ['a', 'b', 'c'].map((name) => stub.run('({ self }, name) => void self.trace.push(name)', name));
    await Promise.all(others);
    return { value: await blocked, trace: await stub.run('({ self }) => self.trace') };
  });
  assert.equal(value, 'inner and outer');
  assert.deepEqual(trace, ['block over', 'continued', 'a', 'b', 'c']);
  assert.equal(await lab.object('block', ({ ctx }) => ctx.blockConcurrencyWhile(() => 7)), 7);
  await assert.rejects(lab.object('block', ({ ctx }) => ctx.blockConcurrencyWhile(5)), {
    message: "Failed to execute 'blockConcurrencyWhile' on 'DurableObjectState': parameter 1 is not of type 'function'.",
    remote: true,
  });
});

for (const [how, fail] of [
  ['throws', ({ shared }) => { throw Object.assign(new RangeError(`no ${(shared.tries = (shared.tries ?? 0) + 1)}`), { code: 'E' }); }],
  ['blocks and fails', ({ ctx, shared }) => void ctx.blockConcurrencyWhile(async () => { throw Object.assign(new RangeError(`no ${(shared.tries = (shared.tries ?? 0) + 1)}`), { code: 'E' }); })],
]) {
  test(`a constructor that ${how}: everyone who waits gets the error, the next call tries again`, async () => {
    await lab.worker(({ shared }) => void (shared.tries = 0));
    await lab.constructors(`failing: ${how}`, fail);
    const name = `failing: ${how}`;
    const results = await lab.worker(async ({ env, attempt }, name) => {
      const call = () => attempt(() => env.COUNTER.getByName(name).echo(1));
      return [...(await Promise.all([call(), call(), call()])), await call()];
    }, name);
    assert.deepEqual(results, ['RangeError: no 1', 'RangeError: no 1', 'RangeError: no 1', 'RangeError: no 2']);
    await assert.rejects(lab.object(name, () => 1), reset({ type: 'RangeError', message: 'no 3', code: 'E' }));
    await lab.constructors(name, () => {});
    assert.equal(await lab.object(name, () => 1), 1);
  });
}

test('what a failed constructor wrote is gone', async () => {
  await lab.constructors('half', ({ kv, shared }) => {
    const first = !shared.half;
    shared.half = true;
    if (!first) return;
    kv.put('half', 1);
    throw new Error('in the middle');
  });
  await assert.rejects(lab.object('half', () => 1), { message: 'in the middle' });
  assert.equal(await lab.object('half', ({ kv }) => kv.get('half')), undefined);
});

test('a failing blockConcurrencyWhile in a method resets the object, and its code never goes on', async () => {
  const result = await lab.worker(async ({ env, attempt, shared }) => {
    const stub = env.COUNTER.getByName('block-fails');
    const other = env.COUNTER.getByName('block-fails');
    await stub.run('({ self }) => void (self.kept = true)');
    const inFlight = attempt(() => stub.run('() => new Promise(() => {})'));
    const failing = attempt(() =>
      stub.run(`async ({ ctx, shared }) => {
        try { await ctx.blockConcurrencyWhile(async () => { await null; throw new TypeError('no'); }); }
        finally { shared.wentOn = true; }
      }`),
    );
    const waiting = attempt(() => other.echo(1));
    const outcomes = await Promise.all([inFlight, failing, waiting]);
    const old = [await attempt(() => stub.echo(1)), await attempt(() => stub.run('({ self }) => self.kept'))];
    const fresh = await env.COUNTER.getByName('block-fails').run('({ self }) => self.kept');
    await new Promise((resolve) => setTimeout(resolve, 10));
    return { outcomes, old, fresh, wentOn: shared.wentOn };
  });
  assert.deepEqual(result.outcomes, ['TypeError: no', 'TypeError: no', 'TypeError: no']);
  assert.equal(result.fresh, undefined);
  assert.equal(result.old.at(-1), undefined);
  assert.equal(result.wentOn, undefined);
});

test('blockConcurrencyWhile fails after 30 seconds', async () => {
  const error = reset({
    message: 'A call to blockConcurrencyWhile() in a Durable Object waited for too long. The call was canceled and the Durable Object was reset.',
  });
  const hangs = lab.object('slow', ({ ctx }) => {
    const { setTimeout } = globalThis;
    globalThis.setTimeout = (run, ms) => setTimeout(run, ms === 30_000 ? 20 : ms);
    try {
      return ctx.blockConcurrencyWhile(() => new Promise(() => {}));
    } finally {
      globalThis.setTimeout = setTimeout;
    }
  });
  await assert.rejects(hangs, error);
  assert.equal(await lab.object('slow', () => 1), 1);
});

test('abort: the caller, those in flight and old stubs get the reason once; writes of the run are gone', async () => {
  const result = await lab.worker(async ({ env, attempt }) => {
    const stub = env.COUNTER.getByName('abort');
    const old = env.COUNTER.getByName('abort');
    await stub.run('({ kv, self }) => { kv.put("committed", 1); self.kept = true; }');
    await old.echo(1);
    const inFlight = attempt(() => stub.run('() => new Promise(() => {})'));
    const aborting = attempt(() => stub.run('({ ctx, kv }) => { kv.put("lost", 1); ctx.abort("reason"); }'));
    return {
      errors: await Promise.all([inFlight, aborting]),
      old: [await attempt(() => old.echo(1)), await attempt(() => old.echo(1))],
      state: await env.COUNTER.getByName('abort').run('({ kv, self }) => [kv.get("committed"), kv.get("lost"), self.kept]'),
    };
  });
  assert.deepEqual(result.errors, ['Error: reason', 'Error: reason']);
  assert.deepEqual(result.old, ['Error: reason', [1]]);
  assert.deepEqual(result.state, [1, undefined, undefined]);
  await assert.rejects(lab.object('abort', ({ ctx }) => ctx.abort()), reset({ message: 'Application called abort() to reset Durable Object.' }));
  await assert.rejects(lab.object('abort', ({ ctx }) => ctx.abort(new TypeError('t'))), reset({ type: 'Error', message: 'TypeError: t' }));
});

test('what an instance left behind after a reset is refused and disturbs nobody', async () => {
  const result = await lab.worker(async ({ env, attempt, shared }) => {
    const get = () => env.COUNTER.getByName('stale');
    await get().run('({ ctx, sql, shared }) => { shared.old = ctx; sql.exec("CREATE TABLE t (a)"); for (let i = 0; i < 300; i++) sql.exec("INSERT INTO t VALUES (?)", i); shared.cursor = sql.exec("SELECT * FROM t"); }');
    await attempt(() => get().run('({ ctx }) => ctx.abort("reset")'));
    await get().run('({ self, kv }) => { self.second = true; kv.put("k", 1); }');
    const { old, cursor } = shared;
    const uses = [
      () => old.storage.kv.get('k'),
      () => old.storage.kv.put('k', 2),
      () => [...old.storage.kv.list()],
      () => old.storage.sql.exec('SELECT 1'),
      () => old.storage.sql.databaseSize,
      () => cursor.toArray(),
      () => old.storage.transactionSync(() => 1),
      () => old.storage.get('k'),
      () => old.storage.put('k', 2),
      () => old.storage.list(),
      () => old.storage.delete('k'),
      () => old.storage.deleteAll(),
      () => old.storage.sync(),
      () => old.blockConcurrencyWhile(() => 1),
    ];
    const errors = [];
    for (const use of uses) errors.push(await attempt(use));
    old.waitUntil(new Promise(() => {}));
    const aborted = attempt(() => old.abort('again'));
    return { errors, aborted, alive: await get().run('({ self, kv }) => [self.second, kv.get("k")]') };
  });
  for (const error of result.errors) assert.equal(error, gone);
  assert.equal(result.aborted, 'Error: again');
  assert.deepEqual(result.alive, [true, 1]);
});

test('code of the user that runs inside of a storage call can use the storage, and even reset the object', async () => {
  const nested = await lab.object('nested', ({ kv, sql }) => {
    kv.put('outer', { a: 1, get b() { kv.put('inner', { text: 'y'.repeat(50) }); kv.get('inner'); return 2; } });
    return [kv.get('outer'), kv.get('inner'), sql.exec('SELECT ? AS a, ? AS b', { toString: () => sql.exec('SELECT ? AS a, ? AS b', 'x', 'y').one().b }, 'z').one()];
  });
  assert.deepEqual(nested, [{ a: 1, b: 2 }, { text: 'y'.repeat(50) }, { a: 'y', b: 'z' }]);
  const calls = [
    ({ sql, ctx }) => sql.exec('SELECT ?', { toString() { try { ctx.abort('inside'); } catch {} return 'x'; } }),
    ({ kv, ctx }) => kv.put('a', { get x() { try { ctx.abort('inside'); } catch {} return 1; } }),
    ({ kv, ctx }) => kv.put('a', { long: 'x'.repeat(1000), get x() { try { ctx.abort('inside'); } catch {} return 1; } }),
    ({ storage, ctx }) => storage.put({ a: { long: 'x'.repeat(1000), get x() { try { ctx.abort('inside'); } catch {} return 1; } } }),
    ({ kv, storage, ctx }) => storage.transactionSync(() => { kv.put('a', 1); try { ctx.abort('inside'); } catch {} }),
  ];
  for (const run of calls) {
    await assert.rejects(lab.object('nested reset', run), reset({ message: 'inside' }), run.toString());
    assert.deepEqual(await lab.object('nested reset', ({ kv }) => { kv.put('b', 1); return [...kv.list()]; }), [['b', 1]]);
  }
  await sleep(3 * idleMs);
  assert.deepEqual(await lab.object('nested reset', ({ kv, self }) => [[...kv.list()], 'number' in self]), [[['b', 1]], false]);
});

const instance = ({ self, shared }) => (self.number ??= shared.instances = (shared.instances ?? 0) + 1);

test('an idle object is evicted: its state stays, its memory goes, the constructor runs again', async () => {
  await lab.object('idle', ({ kv, self, ctx, shared }) => { kv.put('kept', 1); self.lost = 1; shared.evicted = ctx; });
  await sleep(3 * idleMs);
  assert.deepEqual(await lab.object('idle', ({ kv, self }) => [kv.get('kept'), self.lost]), [1, undefined]);
  assert.equal(await lab.worker(({ shared, attempt }) => attempt(() => shared.evicted.storage.kv.get('kept'))), gone);
});

/** Resolves in the Worker, so that nothing of an object's own keeps it. */
const afterWhile = () => lab.worker(({ shared }, ms) => void (shared.later = new Promise((resolve) => setTimeout(resolve, ms))), 1000);

test('an object with work is not evicted', async () => {
  const kinds = [
    ['an event', 'flight', ({ shared }) => shared.later],
    ['waitUntil', 'until', ({ ctx, shared }) => ctx.waitUntil(shared.later)],
    ['a block', 'block-long', ({ ctx, shared }) => void ctx.blockConcurrencyWhile(() => shared.later)],
    ['a timer', 'timer', () => void setTimeout(() => {}, 1000)],
    ['a timer after a wait', 'timer-later', async ({ env, storage }) => {
      await storage.put('k', 1);
      await env.COUNTER.getByName('other').echo(1);
      setTimeout(() => {}, 1000);
    }],
    ['a timer after an immediate', 'immediate', () => void setImmediate(() => setTimeout(() => {}, 1000))],
    ['a timer after ticks', 'ticks', async () => {
      await null;
      process.nextTick(() => setTimeout(() => {}, 1000));
    }],
    ['an interval', 'interval', ({ self }) => {
      let times = 0;
      const id = Number(setInterval(() => ++times === 10 && clearInterval(id), 100));
    }],
    ['a timer of a timer', 'timers', () => void setTimeout(() => setTimeout(() => {}, 500), 500)],
    ['a stream that it feeds', 'feeds', ({ self, shared }) => {
      self.onFetch = () => new Response(new ReadableStream({ pull: (controller) => shared.later.then(() => controller.close()) }));
    }],
    ['a stream as a result', 'result', ({ self, shared }) => {
      Object.getPrototypeOf(self).stream ??= () => new ReadableStream({ type: 'bytes', pull: (controller) => shared.later.then(() => controller.close()) });
    }],
    ['a stream as an argument', 'argument', ({ env, shared }) =>
      void env.COUNTER.getByName('takes').run('({ shared }, stream) => { shared.taken = stream; }', new ReadableStream({ pull: (controller) => shared.later.then(() => controller.close()) }))],
    ['a call that nobody awaits', 'calls', ({ env, kv, attempt, shared }) => {
      shared.outcomes = [];
      void env.COUNTER.getByName('slow').run('({ shared }) => shared.later').then(() => shared.outcomes.push(attempt(() => kv.put('called', 1))));
    }],
    ['a fetch that nobody awaits', 'fetches', ({ kv, attempt, shared }) => {
      void fetch(shared.slowUrl).then(() => shared.outcomes.push(attempt(() => kv.put('fetched', 1))));
    }],
    ['an upload that nobody awaits', 'uploads', ({ shared }) => {
      void fetch(shared.slowUrl, { method: 'POST', body: new ReadableStream({ pull: (controller) => shared.later.then(() => controller.close()) }) });
    }],
  ];
  await lab.handle('/slow', async (request, env, ctx, shared) => {
    await Promise.all([shared.later, request.text()]);
    return new Response('slow');
  });
  await lab.worker(({ shared }, url) => void (shared.slowUrl = url), `${lab.url}/slow`);
  await afterWhile();
  const before = await Promise.all(kinds.map(([, name]) => lab.object(name, instance)));
  const working = kinds.map(([, name, work]) => lab.object(name, work));
  await sleep(100);
  const reading = lab.worker(async ({ env, shared }) => {
    const read = [env.COUNTER.getByName('feeds').fetch('http://x/').then((response) => response.text())];
    read.push(new Response(await env.COUNTER.getByName('result').stream()).text(), new Response(shared.taken).text());
    return Promise.all(read);
  });
  await sleep(600);
  const after = await Promise.all(kinds.map(([, name]) => lab.object(name, instance)));
  assert.deepEqual(after, before);
  await Promise.all(working);
  assert.deepEqual(await reading, ['', '', '']);
  await sleep(1000 + 3 * idleMs);
  const later = await Promise.all(kinds.map(([, name]) => lab.object(name, instance)));
  for (const [i, number] of later.entries()) assert.notEqual(number, before[i], `${kinds[i][0]} is over`);
  assert.deepEqual(await lab.worker(({ shared }) => shared.outcomes), [undefined, undefined]);
});

test('a body that nobody reads keeps no object', async () => {
  await lab.constructors('answers', ({ self }) => { self.onFetch = () => new Response('ok'); });
  const bodies = [() => 'ping', () => new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1)) })];
  for (const [i, body] of bodies.entries()) {
    const before = await lab.object(`unread ${i}`, instance);
    await lab.object(`unread ${i}`, async ({ env }, body) => {
      await env.COUNTER.getByName('answers').fetch('http://x/', { method: 'POST', body: (0, eval)(body)() });
    }, body.toString());
    await sleep(3 * idleMs);
    assert.notEqual(await lab.object(`unread ${i}`, instance), before, String(body));
  }
});

test('code that runs after a timer of an object has thrown is not taken for the object\'s', async () => {
  const value = await lab.worker(async ({ env, attempt }) => {
    const seen = [];
    await env.COUNTER.getByName('throws').run(`({ ctx }) => {
      setTimeout(() => { try { ctx.abort('it is gone'); } catch {} throw new Error('from a timer'); }, 20);
      setTimeout(() => { queueMicrotask(() => { throw new Error('from a microtask'); }); }, 20);
    }`);
    setTimeout(() => {
      seen.push(attempt(() => env.COUNTER.getByName('other').run('() => "fine"')));
      setTimeout(() => seen.push('timer'), 1);
    }, 20);
    const start = Date.now();
    while (Date.now() - start < 40); // all are due at once
    await new Promise((resolve) => setTimeout(resolve, 100));
    return Promise.all(seen);
  });
  assert.deepEqual(value, ['fine', 'timer']);
});

test('timers that are cleared, in any way, and streams that are cancelled keep no object', async () => {
  const before = await lab.object('cleared', instance);
  await lab.object('cleared', async () => {
    const never = () => { throw new Error('this timer was cleared'); };
    clearTimeout(setTimeout(never, 5000));
    clearTimeout(Number(setTimeout(never, 5000)));
    clearTimeout(String(Number(setTimeout(never, 5000))));
    clearInterval(setInterval(never, 20));
    setTimeout(never, 20).close();
    for (const nothing of [undefined, null, 0, {}, Object.create(null), 'x']) clearTimeout(nothing);
    await new Promise((resolve) => setTimeout(resolve, 50));
  });
  await lab.object('cleared', ({ self }) => {
    self.onFetch = () => new Response(new ReadableStream({ pull: () => new Promise(() => {}) }));
  });
  await lab.worker(async ({ env }) => (await env.COUNTER.getByName('cleared').fetch('http://x/')).body.cancel());
  await sleep(3 * idleMs);
  assert.notEqual(await lab.object('cleared', instance), before);
});

test('a reset ends timers and streams of the object', async () => {
  await lab.object('ended', ({ self, shared }) => {
    shared.ticks = 0;
    setInterval(() => shared.ticks++, 5);
    setTimeout(() => shared.ticks++, 100);
    self.onFetch = () => new Response(new ReadableStream({
      start: (controller) => controller.enqueue(new TextEncoder().encode('begin')),
      cancel: (reason) => { shared.cancelled = reason.message; },
    }));
  });
  const read = lab.worker(async ({ env, shared, attempt }) => {
    const reader = (await env.COUNTER.getByName('ended').fetch('http://x/')).body.getReader();
    const first = new TextDecoder().decode((await reader.read()).value);
    shared.reading = true;
    return [first, await attempt(async () => (await reader.read()).done), shared.cancelled];
  });
  while (!(await lab.worker(({ shared }) => shared.reading))) await sleep(5);
  await lab.object('ended', ({ ctx }) => ctx.abort('enough')).catch(() => {});
  assert.deepEqual(await read, ['begin', 'Error: enough', 'enough']);
  const ticks = await lab.worker(({ shared }) => shared.ticks);
  await sleep(150);
  assert.equal(await lab.worker(({ shared }) => shared.ticks), ticks);
});

test('an object has a limit of timers', async () => {
  const error = await lab.object('many timers', ({ attempt }) => attempt(() => {
    for (let i = 0; ; i++) setTimeout(() => {}, 1e6);
  }));
  assert.equal(error, 'QuotaExceededError: You have exceeded the number of active timeouts you may set. max active timeouts: 10000');
  await lab.object('many timers', ({ ctx }) => ctx.abort()).catch(() => {});
});

test('streams of bytes stay so; Node finds its own timers', async () => {
  const value = await lab.worker(async ({ env }) => {
    const stub = env.COUNTER.getByName('bytes');
    await stub.run(`({ self }) => { self.onFetch = () => {
      const parts = [3, 0, 2];
      return new Response(new ReadableStream({ type: 'bytes', pull(controller) {
        const size = parts.shift();
        if (size === undefined) { controller.close(); controller.byobRequest?.respond(0); }
        else if (size > 0) controller.enqueue(new Uint8Array(size).fill(size));
        else controller.enqueue(new Uint8Array(1));
      } }), { status: 201, statusText: 'Made', headers: { a: 'b' } });
    } }`);
    const response = await stub.fetch('http://x/');
    const reader = response.body.getReader({ mode: 'byob' });
    const read = [];
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(10));
      if (done) break;
      read.push(...value);
    }
    return [read, response.status, response.statusText, response.headers.get('a')];
  });
  assert.deepEqual(value, [[3, 3, 3, 0, 2, 2], 201, 'Made', 'b']);
});

test('a promise that waitUntil() cannot even wait for', async () => {
  const before = await lab.object('hostile', instance);
  const error = await lab.object('hostile', ({ ctx, attempt }) => {
    const promise = Object.defineProperty(Promise.resolve(), 'constructor', { get() { throw new Error('no constructor'); } });
    return attempt(() => ctx.waitUntil(promise));
  });
  assert.equal(error, 'Error: no constructor');
  await sleep(3 * idleMs);
  assert.notEqual(await lab.object('hostile', instance), before);
});

test('a reader of a stream goes on as itself', async () => {
  const value = await lab.worker(async ({ env, shared }) => {
    shared.fired = [];
    await env.COUNTER.getByName('parts').run(`({ self }) => { self.onFetch = () => new Response(new ReadableStream({
      async pull(controller) { await new Promise((resolve) => setTimeout(resolve, 5)); controller.enqueue(new Uint8Array(3)); controller.close(); } })); }`);
    await env.COUNTER.getByName('reads').run(`async ({ env, shared }) => {
      await (await env.COUNTER.getByName('parts').fetch('http://x/')).text();
      setTimeout(() => shared.fired.push('object'), 50);
    }`);
    await (await env.COUNTER.getByName('parts').fetch('http://x/')).text();
    setTimeout(() => shared.fired.push('worker'), 50);
    await env.COUNTER.getByName('parts').run('({ ctx }) => ctx.abort()').catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 100));
    return shared.fired.sort();
  });
  assert.deepEqual(value, ['object', 'worker']);
});

test('a clean stop waits for waitUntil, and says what it gave up', async (t) => {
  const first = await startLab(t);
  await first.object('late', ({ ctx, storage, shared }) => ctx.waitUntil((async () => {
    await new Promise((resolve) => setTimeout(resolve, 500));
    await storage.put('late', true);
  })()));
  await first.worker(({ ctx, env }) => ctx.waitUntil((async () => {
    await new Promise((resolve) => setTimeout(resolve, 600));
    await env.COUNTER.getByName('later').run('({ kv }) => kv.put("later", true)');
  })()));
  assert.equal((await first.stop()).code, 0);
  const second = await startLab(t, { data: first.data });
  assert.equal(await second.object('late', ({ kv }) => kv.get('late')), true);
  assert.equal(await second.object('later', ({ kv }) => kv.get('later')), true);
  await second.object('never', ({ ctx }) => ctx.waitUntil(new Promise(() => {})));
  await second.handle('/hangs', () => new Promise(() => {}));
  const hanging = fetch(`${second.url}/hangs`).catch((error) => error);
  await second.text('/lab').catch(() => {});
  const start = performance.now();
  const { code, stderr } = await second.stop();
  assert.ok((await hanging) instanceof Error);
  assert.equal(code, 0);
  assert.match(stderr, /Stopped with 1 promises given to waitUntil\(\) not settled: Counter "never"/);
  assert.match(stderr, /Stopped with 1 requests unanswered: GET http:\/\/\S+\/hangs/);
  assert.ok(performance.now() - start < 20_000);
});

test('a rejected waitUntil, an unhandled rejection and a throwing timer are reported, and the process lives', async () => {
  await lab.object('reports', ({ ctx }) => {
    ctx.waitUntil(Promise.reject(new Error('from waitUntil')));
    void Promise.reject(new Error('nobody waits'));
    setTimeout(() => { throw new Error('from a timer'); });
  });
  await sleep(50);
  assert.equal(await lab.object('reports', () => 1), 1);
  for (const text of ['Counter "reports": a promise given to waitUntil() was rejected: Error: from waitUntil', 'Counter "reports": a promise was rejected and nobody handled it: Error: nobody waits', 'Counter "reports": a timer has thrown: Error: from a timer']) {
    assert.ok(lab.output.stderr.includes(text), text);
  }
});

test('an object that could not be constructed is forgotten after the idle time', async () => {
  await lab.constructors('forgotten', () => { throw new Error('bad'); });
  await lab.worker(async ({ env, attempt, shared }) => {
    shared.old = env.COUNTER.getByName('forgotten');
    await attempt(() => env.COUNTER.getByName('forgotten').echo());
  });
  await lab.constructors('forgotten', () => {});
  await sleep(3 * idleMs);
  // While the object is known, a stub from before the reset gets its error once.
  assert.deepEqual(await lab.worker(({ shared }) => shared.old.echo(1)), [1]);
});

test('state survives a clean stop and a kill', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    const first = await startLab(t, { data });
    await first.object(signal, ({ kv, sql }) => {
      kv.put('k', new Map([[1, 2n]]));
      sql.exec('CREATE TABLE t (a); INSERT INTO t VALUES (7)');
    });
    await first.stop(signal);
    const second = await startLab(t, { data });
    assert.deepEqual(await second.object(signal, ({ kv, sql }) => [kv.get('k'), sql.exec('SELECT a FROM t').one()]), [new Map([[1, 2n]]), { a: 7 }]);
    await second.stop();
  }
});

test('user code that replaces the timers of the process does not stop the server', async () => {
  const value = await lab.object('timers', async ({ env, storage }) => {
    const { setImmediate, setTimeout } = globalThis;
    globalThis.setImmediate = globalThis.setTimeout = () => {
      throw new Error('replaced');
    };
    try {
      await storage.put('key', 1);
      await storage.sync();
      return await env.COUNTER.getByName('timers-2').echo(1);
    } finally {
      Object.assign(globalThis, { setImmediate, setTimeout });
    }
  });
  assert.deepEqual(value, [1]);
});

test('what nobody has caught is reported with the name of the object whose code it was, if that is known', async () => {
  await lab.handle('/uncaught', (request, env, ctx, shared) => {
    void Promise.reject(new Error('of the Worker'));
    return new Response('');
  });
  await lab.text('/uncaught');
  await lab.object('uncaught a', async ({ env, storage }) => {
    void Promise.reject(new Error('of a, at once'));
    const late = Promise.reject(new Error('handled in time'));
    await env.COUNTER.getByName('uncaught b').run(`() => { void (async () => { await null; throw new Error('of b'); })(); }`);
    void Promise.reject(new Error('of a, after a call'));
    late.catch(() => {});
    await storage.put('a', 1);
    queueMicrotask(() => { throw new TypeError('of a, in a microtask'); });
    process.nextTick(() => { throw new TypeError('of a, in a tick'); });
    setImmediate(() => { throw new TypeError('of a, in an immediate'); });
    setTimeout(async () => { throw new Error('of a, in a timer'); });
  }).catch(() => {});
  await sleep(100);
  const { stderr } = lab.output;
  const expected = [
    'Unhandled rejection: Error: of the Worker',
    'Counter "uncaught a": a promise was rejected and nobody handled it: Error: of a, at once',
    'Counter "uncaught b": a promise was rejected and nobody handled it: Error: of b',
    'Counter "uncaught a": a promise was rejected and nobody handled it: Error: of a, after a call',
    'Counter "uncaught a": nobody caught an exception: TypeError: of a, in a microtask',
    'Counter "uncaught a": nobody caught an exception: TypeError: of a, in a tick',
    'Counter "uncaught a": an immediate has thrown: TypeError: of a, in an immediate',
    'Counter "uncaught a": a promise was rejected and nobody handled it: Error: of a, in a timer',
  ];
  for (const text of expected) assert.ok(stderr.includes(text), `${text}\n${stderr}`);
  assert.equal(await lab.object('uncaught a', ({ kv }) => kv.get('a')), 1, 'nobody was reset');
});

test('what an object does after its method has returned is done, when nothing but an immediate or sync() is left of it', async (t) => {
  const hurried = await startLab(t, { args: ['--idle-ms', '1'], wrapper: slowDisk(t, 100).wrapper });
  const done = await hurried.worker(async ({ env, shared }) => {
    shared.done = [];
    const say = `const say = (what) => {
      kv.put(what, 1);
      void env.COUNTER.getByName('hears').run('({ shared }, what) => void shared.done.push(what)', what);
    };`;
    await env.COUNTER.getByName('syncs').run(`({ env, storage, kv }) => {
      ${say}
      kv.put('a', 1);
      void storage.sync().then(() => say('synced'));
    }`);
    await env.COUNTER.getByName('goes on').run(`({ env, ctx, kv, shared }) => {
      ${say}
      const chain = (left) => {
        for (const end = performance.now() + 3; performance.now() < end; ); // there is a sweep meanwhile
        if (left > 0) setImmediate(chain, left - 1);
        else say('last of the immediates');
      };
      setImmediate(chain, 5);
      clearImmediate(setImmediate(() => shared.done.push('cleared')));
    }`);
    await env.COUNTER.getByName('clears').run(`({ ctx, shared }) => {
      const waits = setImmediate(() => shared.done.push('cleared while it waits'));
      void ctx.blockConcurrencyWhile(async () => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        clearImmediate(waits);
      });
    }`);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    return shared.done;
  });
  assert.deepEqual(done, ['last of the immediates', 'synced']);
});

test('the service goes on when nobody reads any more what it prints', async (t) => {
  const own = await startLab(t, { threads: 2 });
  for (const stream of [own.child.stdout, own.child.stderr]) stream.destroy();
  // The first line breaks the pipe, and later ones come upon a broken one.
  for (let i = 0; i < 5; i++) {
    for (const name of ['a', 'b', 'c', 'd'])
      await own.object(name, () => {
        console.log('unread');
        void Promise.reject(new Error('unread'));
      });
  }
  const spent = await own.worker(async () => {
    const before = process.cpuUsage();
    await new Promise((resolve) => setTimeout(resolve, 500));
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
  assert.ok(spent < 250, `${spent} ms of processor time in half a second without work`);
});
