// The input gate: what is delivered to an object while code of it runs inside blockConcurrencyWhile() or transaction().
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startLab } from '../support/lab.mjs';

const lab = await startLab({ after });

// Tools for the functions of the tests, which see the globals only.
await lab.worker(() => {
  globalThis.pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  /** A log, and a section that writes there when it begins and ends. */
  globalThis.tracer = (ctx) => {
    const trace = [];
    const step = (name) => void trace.push(name);
    const section = (name, ms = 5) => ctx.blockConcurrencyWhile(async () => {
      step(`${name} begins`);
      await pause(ms);
      step(`${name} ends`);
    });
    return { trace, step, section };
  };
});

const TOO_LONG = {
  message: 'A call to blockConcurrencyWhile() in a Durable Object waited for too long. The call was canceled and the Durable Object was reset.',
  durableObjectReset: true,
  overloaded: true,
};

// These take long; the others go on beside them.
const slow = {
  twoInARow: lab.object('16 s twice', async ({ ctx }) => {
    const part = () => ctx.blockConcurrencyWhile(() => new Promise((resolve) => setTimeout(resolve, 16_000, 'ended')));
    return Promise.all([part(), part()]);
  }),
  callsItself: lab.object('calls itself', ({ ctx, env }) =>
    ctx.blockConcurrencyWhile(() => env.COUNTER.getByName('calls itself').run('() => 1'))),
  transaction: lab.object('transaction', ({ storage }) => storage.transaction(() => new Promise(() => {}))),
};
for (const each of Object.values(slow)) each.catch(() => {}); // looked at below

test('sections of one scope run one after the other, nested ones inside', async () => {
  const trace = await lab.object('order', async ({ ctx }) => {
    const { trace, step, section } = tracer(ctx);
    const outer = ctx.blockConcurrencyWhile(async () => {
      step('outer begins');
      await Promise.all([section('a', 4), section('b', 1)]);
      step('outer ends');
    });
    await Promise.all([outer, section('sibling', 1)]);
    return trace;
  });
  assert.deepEqual(trace, ['outer begins', 'a begins', 'a ends', 'b begins', 'b ends', 'outer ends', 'sibling begins', 'sibling ends']);
});

test('what comes back to code outside a section waits for its end, in the order in which it came', async () => {
  const url = await lab.handle('/answer', () => new Response('x'));
  const trace = await lab.object('outside', async ({ ctx, env, storage }, url) => {
    const { trace, step, section } = tracer(ctx);
    const other = env.COUNTER.getByName('outside, the other');
    await other.run('() => 0');
    void storage.put('a', 1);
    const all = [
      pause(1).then(() => step('timer')),
      scheduler.wait(40).then(() => step('scheduler')),
      new Promise(setImmediate).then(() => step('immediate')),
      other.run('() => 0').then(() => step('result')),
      other.run('() => { throw new Error() }').catch(() => step('error')),
      fetch(url).then(() => step('response')),
      storage.sync().then(() => step('synced')),
    ];
    await section('s', 150);
    step('over');
    await Promise.all(all);
    return trace;
  }, url);
  assert.deepEqual(trace.slice(0, 3), ['s begins', 's ends', 'over']);
  assert.deepEqual(trace.slice(3).sort(), ['error', 'immediate', 'response', 'result', 'scheduler', 'synced', 'timer']);
  assert.ok(trace.indexOf('result') < trace.indexOf('error'), String(trace));
  assert.ok(trace.indexOf('timer') < trace.indexOf('scheduler'), String(trace));
});

test('what comes back to code of a section does not wait for it', async () => {
  const url = await lab.handle('/answer', () => new Response('x'));
  const results = await lab.object('inside', ({ ctx, env, storage }, url) => ctx.blockConcurrencyWhile(async () => {
    const other = env.COUNTER.getByName('inside, the other');
    await pause(1);
    await scheduler.wait(1);
    await new Promise(setImmediate);
    void storage.put('a', 1);
    await storage.sync();
    const streamed = await other.run('() => new Response(new ReadableStream({ start(c) { c.enqueue(new Uint8Array([121])); c.close(); } }))');
    return [await other.run('() => 1'), await (await fetch(url)).text(), (await streamed.body.getReader().read()).value[0]];
  }), url);
  assert.deepEqual(results, [1, 'x', 121]);
});

test('what a section leaves behind belongs to the scope around it', async () => {
  const trace = await lab.object('left', async ({ ctx }) => {
    const { trace, step, section } = tracer(ctx);
    let left;
    await ctx.blockConcurrencyWhile(async () => {
      let inner;
      await ctx.blockConcurrencyWhile(async () => {
        inner = pause(2).then(() => step('of the inner'));
        left = pause(30).then(() => step('of both'));
      });
      await inner;
      step('outer ends');
    });
    const later = section('later', 60);
    await Promise.all([later, left]);
    return trace;
  });
  assert.deepEqual(trace, ['of the inner', 'outer ends', 'later begins', 'later ends', 'of both']);
});

test('sections go before events that wait, and an event of the outside waits for all', async () => {
  const trace = await lab.worker(async ({ env }) => {
    const stub = env.COUNTER.getByName('before');
    const runs = stub.run(`async ({ ctx, self }) => {
      const { trace, step, section } = tracer(ctx);
      self.step = step;
      const timer = pause(1).then(() => step('timer'));
      await Promise.all([section('s1', 20).then(() => section('s3', 1)), section('s2', 1), timer]);
      return trace;
    }`);
    await stub.run('({ self }) => self.step("event")');
    return runs;
  });
  assert.deepEqual(trace.filter((step) => step !== 'event' && step !== 'timer'), ['s1 begins', 's1 ends', 's2 begins', 's2 ends', 's3 begins', 's3 ends']);
  assert.ok(trace.indexOf('event') > trace.indexOf('s3 ends') && trace.indexOf('timer') > trace.indexOf('s3 ends'), String(trace));
});

test('timers that have become due together fire in the order of their times, each in a turn of its own', async () => {
  const rounds = await lab.object('due together', async () => {
    const rounds = [];
    const burn = (ms) => { for (const end = performance.now() + ms; performance.now() < end;); };
    for (let round = 0; round < 40; round++) {
      const fired = [];
      const timers = Array.from({ length: 12 }, (_, i) => {
        const delay = (i * 7 + round) % 8;
        const due = { from: performance.now() + delay };
        const fires = new Promise((resolve) => setTimeout(resolve, delay)).then(() => fired.push(due)).then(() => fired.push('end of turn'));
        due.to = performance.now() + delay;
        burn(0.3);
        return fires;
      });
      burn(round % 12);
      await Promise.all(timers);
      rounds.push(fired);
    }
    return rounds;
  });
  for (const fired of rounds) {
    const dues = fired.filter((_, i) => i % 2 === 0);
    for (let i = 1; i < dues.length; i++) assert.ok(dues[i].to >= Math.max(...dues.slice(0, i).map(({ from }) => from)), JSON.stringify(dues));
    assert.ok(fired.every((step, i) => i % 2 === 0 || step === 'end of turn'), JSON.stringify(fired));
  }
});

test('an interval and a timer that is refreshed keep their places among the others', async () => {
  const { trace, runs } = await lab.object('interval and refresh', async () => {
    const trace = [];
    const burn = (ms) => { for (const end = performance.now() + ms; performance.now() < end;); };
    let runs = 0;
    const interval = setInterval(() => { trace.push('interval'); runs++; }, 4);
    const refreshed = setTimeout(() => trace.push('refreshed'), 2);
    const last = new Promise((resolve) => setTimeout(() => resolve(trace.push('last')), 300));
    burn(5);
    refreshed.refresh(); // due after the interval now
    burn(300);
    await last;
    await new Promise((resolve) => setTimeout(resolve, 20));
    clearInterval(interval);
    const atEnd = runs;
    refreshed.refresh(); // it has run: nothing happens
    await new Promise((resolve) => setTimeout(resolve, 10));
    return { trace: trace.slice(0, 3), runs: [atEnd, runs, trace.filter((step) => step === 'refreshed').length] };
  });
  assert.deepEqual(trace, ['interval', 'refreshed', 'last']);
  const [atEnd, later, refreshes] = runs;
  assert.ok(atEnd > 1, `${atEnd} runs`);
  assert.equal(later, atEnd, 'a cleared interval does not fire');
  assert.equal(refreshes, 1);
});

test('timers that wait: a cleared one does not fire, an interval fires once', async () => {
  const { fired, inside, runs, elapsedMs } = await lab.object('timers', async ({ ctx }) => {
    const { section } = tracer(ctx);
    let fired = false;
    let runs = 0;
    const interval = setInterval(() => runs++, 1);
    const timer = setTimeout(() => (fired = true), 1);
    await section('s', 60);
    const over = performance.now();
    clearTimeout(timer);
    const inside = runs;
    for (let turns = 0; turns < 30; turns++) await new Promise(setImmediate);
    clearInterval(interval);
    const elapsedMs = performance.now() - over;
    await pause(5);
    return { fired, inside, runs, elapsedMs };
  });
  assert.equal(fired, false);
  assert.equal(inside, 0, 'it ran in a section that it is no part of');
  assert.ok(runs >= 1 && runs <= 2 + elapsedMs, `${runs} runs within ${elapsedMs} ms after the section`);
});

test('scheduler.wait(): as a promise, with a signal', async () => {
  const outcomes = await lab.object('wait', async ({ attempt }) => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new RangeError('enough')), 1);
    return Promise.all([
      scheduler.wait(1),
      scheduler.wait(60_000, { signal: controller.signal }).catch(String),
      scheduler.wait(60_000, { signal: AbortSignal.abort(new RangeError('before')) }).catch(String),
    ]);
  });
  assert.deepEqual(outcomes, [undefined, 'RangeError: enough', 'RangeError: before']);
});

test('code that something outside the runtime has woken still belongs to its section', async () => {
  const trace = await lab.object('woken', async ({ ctx, storage }) => {
    const { trace, step, section } = tracer(ctx);
    const { stat } = process.getBuiltinModule('node:fs/promises');
    await ctx.blockConcurrencyWhile(async () => {
      await stat('/');
      await section('after a file', 1);
      await stat('/');
      await storage.transaction(async () => { await stat('/'); step('transaction'); });
      await stat('/'); // what ends the section comes from outside, too
    });
    step('over');
    return trace;
  });
  assert.deepEqual(trace, ['after a file begins', 'after a file ends', 'transaction', 'over']);
});

test('a transaction ends after all sections that were asked for inside it', async () => {
  const [trace, kept] = await lab.object('unawaited', async ({ ctx, storage }) => {
    const { trace, step } = tracer(ctx);
    await storage.transaction(async () => {
      void ctx.blockConcurrencyWhile(async () => {
        // Asked for in a plain section, and so in the transaction.
        void storage.transaction(async () => { await pause(5); await storage.put('inner', 1); step('inner'); });
        step('section');
      });
      throw new Error('back');
    }).catch(() => step('back'));
    return [trace, [...(await storage.list()).keys()]];
  });
  assert.deepEqual([trace.at(-1), [...trace].sort()], ['back', ['back', 'inner', 'section']]);
  assert.deepEqual(kept, []);
});

test('a failing nested section resets the object, although the outer code would catch it', async () => {
  await assert.rejects(lab.object('nested failure', ({ ctx, kv, shared }) => ctx.blockConcurrencyWhile(async () => {
    kv.put('a', 1);
    await ctx.blockConcurrencyWhile(async () => { throw new RangeError('no'); }).catch(() => (shared.caught = true));
  })), { message: 'no', durableObjectReset: true });
  assert.equal(await lab.object('nested failure', ({ shared }) => shared.caught), undefined);
});

test('a reset lets nobody wait who waited at the gate', async () => {
  const outcomes = await lab.worker(async ({ env, shared }) => {
    const stub = env.COUNTER.getByName('reset meanwhile');
    // Flags, as a promise would bring the code of one into the turn of the other.
    shared.resultWaits = shared.othersSent = false;
    const first = stub.run(`async ({ ctx, env, shared }) => {
      const other = env.COUNTER.getByName('reset meanwhile, the other');
      void other.run('() => 1');
      void ctx.blockConcurrencyWhile(async () => {
        await other.run('() => 2'); // the result before it has come to the gate
        shared.resultWaits = true;
        while (!shared.othersSent) await pause(1);
        await new Promise(setImmediate);
        throw new Error('reset');
      });
      await ctx.blockConcurrencyWhile(() => {});
    }`);
    while (!shared.resultWaits) await pause(1);
    const others = [stub.run('() => 1'), stub.run('() => 2')];
    shared.othersSent = true;
    const all = await Promise.allSettled([first, ...others]);
    return [all.map(({ reason }) => String(reason)), await env.COUNTER.getByName('reset meanwhile').run('() => "again"')];
  });
  assert.deepEqual(outcomes, [['Error: reset', 'Error: reset', 'Error: reset'], 'again']);
});

test('what comes to a full gate resets the object, and goes on itself', async () => {
  const outcome = await lab.worker(async ({ env, shared }) => {
    shared.result = undefined;
    const call = env.COUNTER.getByName('full gate').run(`({ ctx, env, shared }) => {
      for (let i = 0; i < 100_000; i++) setImmediate(() => (shared.result = 'an immediate of an object that is gone'));
      env.COUNTER.getByName('full gate, the other').run('() => "settled"').then((result) => (shared.result = result));
      return ctx.blockConcurrencyWhile(() => new Promise(() => {}));
    }`);
    const { message, overloaded, durableObjectReset } = await call.catch((error) => error);
    for (let turns = 0; shared.result === undefined && turns < 1000; turns++) await pause(1);
    return { message, overloaded, durableObjectReset, result: shared.result };
  });
  assert.deepEqual(outcome, {
    message: 'Durable Object is overloaded. Too many requests queued: 100000 wait for this object already.',
    overloaded: true,
    durableObjectReset: true,
    result: 'settled',
  });
});

test('objects that call each other do not wait for each other', async () => {
  const result = await lab.worker(({ env }) => Promise.all(['there', 'back'].map((name, i, names) =>
    env.COUNTER.getByName(name).run(`async ({ env }, other, self) => env.COUNTER.getByName(other).run(
      "({ env }, self) => env.COUNTER.getByName(self).run('() => 7')", self)`, names[1 - i], name))));
  assert.deepEqual(result, [7, 7]);
});

test('sections of one object are limited', async () => {
  const [refused, ended] = await lab.object('many', async ({ ctx }) => {
    const outcomes = await Promise.all(Array.from({ length: 10_001 }, () => ctx.blockConcurrencyWhile(() => 1).catch(({ message, overloaded }) => ({ message, overloaded }))));
    return [outcomes.filter((outcome) => outcome !== 1), outcomes.filter((outcome) => outcome === 1).length];
  });
  assert.equal(ended, 10_000);
  assert.deepEqual(refused, [{
    message: 'Durable Object is overloaded. Too many calls to blockConcurrencyWhile() and transaction(): 10000 run or wait in this object already.',
    overloaded: true,
  }]);
});

test('30 seconds count from the beginning of a section', async () => {
  assert.deepEqual(await slow.twoInARow, ['ended', 'ended']);
  await assert.rejects(slow.callsItself, TOO_LONG);
  await assert.rejects(slow.transaction, TOO_LONG);
  assert.equal(await lab.object('calls itself', () => 'again'), 'again');
});
