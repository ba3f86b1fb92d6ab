// The input gate. What runs when, told by the order of what happens.
import { DurableObject } from 'cloudflare:workers';
import { Program } from '../../support/program.mjs';

const program = new Program();

/** What constructors do, by the names of the objects. */
const constructors = {};
/** What has happened in the section that runs. */
let trace = [];
const step = (name) => void trace.push(name);

export class Subject extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    constructors[ctx.id.name]?.(ctx);
  }

  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }

  note(name) {
    step(name);
    return name;
  }

  /** Leaves no trace: when another object runs is not said anywhere. */
  echo(value) {
    return value;
  }

  fetch() {
    return new Response('body');
  }

  /** Calls `method` of the object `name` and says when. */
  async through(name, method, ...args) {
    step(`through to ${name}`);
    const result = await this.env.SUBJECT.getByName(name)[method](...args);
    step(`back from ${name}`);
    return result;
  }

  async blockAndCall(name, method, ...args) {
    return this.ctx.blockConcurrencyWhile(() => this.through(name, method, ...args));
  }

  /** A section of its own that takes `ms`. */
  async block(name, ms) {
    step(`${name} asked`);
    await this.ctx.blockConcurrencyWhile(async () => {
      step(`${name} begins`);
      await pause(ms);
      step(`${name} ends`);
    });
    step(`${name} over`);
  }

  transact(name, ms) {
    return this.ctx.storage.transaction(async () => {
      step(`${name} begins`);
      await pause(ms);
      step(`${name} ends`);
    });
  }

  async failing(ms) {
    try {
      await this.ctx.blockConcurrencyWhile(async () => {
        await pause(ms);
        throw new RangeError('it fails');
      });
    } catch (error) {
      step(`caught ${error.message}`);
    }
  }

  failingInside() {
    return this.ctx.blockConcurrencyWhile(async () => {
      try {
        await this.ctx.blockConcurrencyWhile(async () => { throw new RangeError('inside'); });
      } catch (error) {
        step(`caught ${error.message}`);
      }
    });
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const traced = async (run) => {
  trace = [];
  await run();
  return trace;
};
/** A section that takes `ms`. */
const section = (ctx, name, ms = 5) =>
  ctx.blockConcurrencyWhile(async () => {
    step(`${name} begins`);
    await pause(ms);
    step(`${name} ends`);
    return name;
  });
const transaction = (storage, name, ms = 5) =>
  storage.transaction(async () => {
    step(`${name} begins`);
    await pause(ms);
    step(`${name} ends`);
    return name;
  });
const timer = (name, ms = 1) => new Promise((resolve) => setTimeout(() => resolve(step(name)), ms));

program.inObject('sections', async ({ check, ctx }) => {
  await check('value', () => ctx.blockConcurrencyWhile(async () => 5));
  await check('of a function that is not async', () => ctx.blockConcurrencyWhile(() => 5));
  await check('of a thenable', () => ctx.blockConcurrencyWhile(() => ({ then: (resolve) => resolve(7) })));
  await check('arguments', () => ctx.blockConcurrencyWhile((...args) => args.length));
  await check('the promise', () => Object.prototype.toString.call(ctx.blockConcurrencyWhile(async () => {})));
  await check('when it starts', () => traced(async () => {
    const done = ctx.blockConcurrencyWhile(async () => step('body'));
    step('called');
    await null;
    await null;
    step('two microtasks');
    await done;
    step('over');
  }));
  await check('two of one event', () => traced(async () => {
    await Promise.all([section(ctx, 'a').then(() => step('a over')), section(ctx, 'b', 1).then(() => step('b over'))]);
  }));
  await check('five of one event', () => traced(async () => {
    await Promise.all([5, 1, 4, 0, 2].map((ms, i) => section(ctx, `s${i}`, ms)));
  }));
  await check('one from the continuation of another', () => traced(async () => {
    const first = section(ctx, 'a').then(() => section(ctx, 'c'));
    await Promise.all([first, section(ctx, 'b')]);
  }));
  await check('nested', () => traced(async () => {
    const value = await ctx.blockConcurrencyWhile(async () => {
      step('outer begins');
      const inner = await section(ctx, 'inner');
      step('outer ends');
      return `${inner} in outer`;
    });
    step(value);
  }));
  await check('nested, four deep', () => traced(async () => {
    const down = (n) => ctx.blockConcurrencyWhile(async () => {
      step(`${n} begins`);
      if (n > 0) await down(n - 1);
      await pause(1);
      step(`${n} ends`);
    });
    await down(4);
  }));
  await check('siblings inside a section', () => traced(async () => {
    await ctx.blockConcurrencyWhile(async () => {
      await Promise.all([section(ctx, 'a'), section(ctx, 'b', 1)]);
      step('both');
    });
  }));
  await check('nested beside a sibling of the outer', () => traced(async () => {
    const outer = ctx.blockConcurrencyWhile(async () => {
      step('outer begins');
      await section(ctx, 'inner');
      step('outer ends');
    });
    await Promise.all([outer, section(ctx, 'sibling', 1)]);
  }));
  await check('code beside it waits for microtasks only', () => traced(async () => {
    const done = section(ctx, 'a');
    for (let i = 0; i < 3; i++) { await null; step(`tick ${i}`); }
    await done;
  }));
  await check('asked for by code of a section that has not awaited it', () => traced(async () => {
    let late;
    await ctx.blockConcurrencyWhile(async () => { late = section(ctx, 'late'); step('outer ends'); });
    step('outer over');
    await late;
    step('late over');
  }));
  await check('a promise of outside that is resolved inside', () => traced(async () => {
    let settle;
    const outside = new Promise((resolve) => (settle = resolve)).then(() => section(ctx, 'of the reaction')).then(() => step('reaction over'));
    await ctx.blockConcurrencyWhile(async () => {
      step('begins');
      settle();
      await pause(3);
      step('ends');
    });
    await outside;
  }));
  await check('after many', () => traced(async () => {
    for (let i = 0; i < 50; i++) await ctx.blockConcurrencyWhile(() => i);
    step('done');
  }));
});

program.inObject('timers', async ({ check, ctx }) => {
  await check('one set before a section', () => traced(async () => {
    const fires = timer('timer', 1);
    await section(ctx, 's', 10);
    step('over');
    await fires;
  }));
  await check('one set beside a section', () => traced(async () => {
    const done = section(ctx, 's', 10).then(() => step('over'));
    await timer('timer', 1);
    await done;
  }));
  await check('one of the section', () => traced(async () => {
    await ctx.blockConcurrencyWhile(async () => { await timer('inside', 1); step('ends'); });
  }));
  await check('one of the outer section waits for the inner', () => traced(async () => {
    await ctx.blockConcurrencyWhile(async () => {
      const fires = timer('of outer', 1);
      await section(ctx, 'inner', 8);
      step('inner over');
      await fires;
    });
  }));
  await check('one of the outer section waits for two siblings inside', () => traced(async () => {
    await ctx.blockConcurrencyWhile(async () => {
      const fires = timer('of outer', 1);
      await Promise.all([section(ctx, 'a', 4), section(ctx, 'b', 4)]);
      await fires;
    });
  }));
  await check('one that a section leaves behind', () => traced(async () => {
    let fires;
    await ctx.blockConcurrencyWhile(async () => { fires = timer('left', 4); });
    const later = section(ctx, 'later', 12);
    await Promise.all([later, fires]);
  }));
  await check('one that an inner section leaves to the outer', () => traced(async () => {
    await ctx.blockConcurrencyWhile(async () => {
      let fires;
      await ctx.blockConcurrencyWhile(async () => { fires = timer('left', 3); });
      step('inner over');
      await fires;
      step('outer ends');
    });
  }));
  await check('several that have become due keep their order', () => traced(async () => {
    const fires = [timer('3 ms', 3), timer('1 ms', 1), timer('2 ms', 2)];
    await section(ctx, 's', 15);
    await Promise.all(fires);
  }));
  await check('when one is due counts from when it was set', () => traced(async () => {
    const fires = [timer('due at 8 ms', 8)];
    for (const end = Date.now() + 5; Date.now() < end;);
    fires.push(timer('due at 10 ms', 5));
    await section(ctx, 's', 15);
    await Promise.all(fires);
  }));
  await check('delays below a millisecond', () => traced(async () => {
    const fires = [1, 0, 0.5, -1, 'x', 0.1].map((ms) => timer(`${ms} ms`, ms));
    await section(ctx, 's', 5);
    await Promise.all(fires);
  }));
  await check('delays with fractions', () => traced(async () => {
    const fires = [6.9, 6.5, 6, 5.9].map((ms) => timer(`${ms} ms`, ms));
    await section(ctx, 's', 15);
    await Promise.all(fires);
  }));
  await check('an interval and timers', () => traced(async () => {
    let runs = 0;
    const id = setInterval(() => { step('interval'); if (++runs === 2) clearInterval(id); }, 3);
    const fires = [timer('5 ms', 5), timer('2 ms', 2), timer('4 ms', 4)];
    await section(ctx, 's', 9);
    await Promise.all(fires);
    await timer('after', 12);
  }));
  await check('sections that wait go first', () => traced(async () => {
    const first = section(ctx, 's1', 10);
    const fires = timer('timer', 1);
    const second = section(ctx, 's2', 1);
    await Promise.all([first, second, fires]);
  }));
  await check('one that is cleared while it waits', () => traced(async () => {
    const id = setTimeout(() => step('fires'), 1);
    await section(ctx, 's', 8);
    clearTimeout(id);
    await pause(3);
    step('end');
  }));
  await check('an interval that waits runs once', () => traced(async () => {
    let runs = 0;
    const id = setInterval(() => void runs++, 2);
    await section(ctx, 's', 25);
    await timer('next');
    step(runs >= 1 && runs <= 2 ? 'once or twice' : `${runs} times`);
    clearInterval(id);
  }));
  await check('scheduler.wait of the section', () => traced(async () => {
    await ctx.blockConcurrencyWhile(async () => { await scheduler.wait(1); step('waited'); });
  }));
  await check('scheduler.wait beside a section', () => traced(async () => {
    const waits = scheduler.wait(1).then(() => step('waited'));
    await section(ctx, 's', 8);
    await waits;
  }));
  await check('scheduler.wait, value', () => scheduler.wait(0));
  await check('scheduler.wait, aborted', () => scheduler.wait(1000, { signal: AbortSignal.abort(new Error('no')) }));
  await check('scheduler.wait, aborted later', () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new RangeError('later')), 1);
    return scheduler.wait(60_000, { signal: controller.signal });
  });
  await check('scheduler.wait, order', () => traced(() => Promise.all([scheduler.wait(6).then(() => step('6')), scheduler.wait(1).then(() => step('1'))])));
  check('scheduler', () => [typeof scheduler, typeof scheduler.wait, scheduler.constructor.name, String(scheduler)]);
  check('scheduler.wait of no scheduler', () => (0, scheduler.wait)(1));
  check('new Scheduler', () => new scheduler.constructor());
  await check('scheduler.wait without argument', () => scheduler.wait());
  const delays = {
    undefined, null: null, text: '1', 'no number': 'x', object: {}, array: [1], negative: -1, NaN, true: true, bigint: 1n, symbol: Symbol('s'),
    'throwing valueOf': { valueOf() { throw new RangeError('no value'); } },
  };
  for (const [label, delay] of Object.entries(delays)) await check(`scheduler.wait of ${label}`, () => scheduler.wait(delay));
  for (const [label, delay] of Object.entries({ '2^31': 2 ** 31, Infinity })) {
    await check(`scheduler.wait of ${label}`, () => {
      const controller = new AbortController();
      setTimeout(() => controller.abort(new Error('still waits')), 30);
      return scheduler.wait(delay, { signal: controller.signal });
    });
  }
  const options = {
    undefined, null: null, number: 5, text: 'x', 'no members': {}, array: [], function: () => 1, 'signal undefined': { signal: undefined },
    'signal null': { signal: null }, 'signal object': { signal: {} }, 'signal text': { signal: 'x' },
  };
  for (const [label, given] of Object.entries(options)) await check(`scheduler.wait, options ${label}`, () => scheduler.wait(1, given));
});

program.inObject('immediates', async ({ check, ctx }) => {
  await check('cleared', () => traced(async () => {
    clearImmediate(setImmediate(step, 'runs'));
    await timer('next');
  }));
  await check('cleared by the one before', () => traced(async () => {
    let second;
    setImmediate(() => { step('first'); clearImmediate(second); });
    second = setImmediate(step, 'second');
    await timer('next');
  }));
  await check('cleared while it waits at the gate', () => traced(async () => {
    const waits = setImmediate(step, 'waited');
    setImmediate(step, 'the other waited');
    await ctx.blockConcurrencyWhile(async () => { await timer('section'); clearImmediate(waits); });
    await timer('next');
  }));
  await check('disposed of while it waits at the gate', () => traced(async () => {
    const waits = setImmediate(step, 'waited');
    await ctx.blockConcurrencyWhile(async () => { await timer('section'); waits[Symbol.dispose ?? 'unref'](); });
    await timer('next');
  }));
  await check('the next one runs when one throws at the gate', () => traced(async () => {
    setImmediate(() => { throw new Error('expected in the output of the test'); });
    setImmediate(step, 'the other waited');
    await ctx.blockConcurrencyWhile(() => timer('section'));
    await timer('next');
  }));
  for (const [label, value] of Object.entries({ undefined, null: null, number: 5, text: 'x', object: {}, symbol: Symbol('s') }))
    check(`clearImmediate of ${label}`, () => clearImmediate(value));
  for (const [label, value] of Object.entries({ number: 5, text: 'x', undefined })) check(`setImmediate of ${label}`, () => setImmediate(value));
  check('setImmediate without argument', () => setImmediate());
});

program.inObject('calls', async ({ check, ctx, env, storage }) => {
  const other = env.SUBJECT.getByName('calls, the other');
  const self = env.SUBJECT.getByName('calls');
  await check('a result waits for a section', () => traced(async () => {
    const result = other.echo('result').then(() => step('result'));
    await section(ctx, 's', 15);
    step('over');
    await result;
  }));
  await check('a result of the section', () => traced(async () => {
    await ctx.blockConcurrencyWhile(async () => { step(await other.echo('result')); step('ends'); });
  }));
  await check('an error of the section', () => traced(async () => {
    await ctx.blockConcurrencyWhile(async () => { await other.missing().catch((error) => step(error.message)); step('ends'); });
  }));
  await check('an error waits for a section', () => traced(async () => {
    const result = other.missing().catch(() => step('error'));
    await section(ctx, 's', 15);
    step('over');
    await result;
  }));
  await check('a response of the section', () => traced(async () => {
    await ctx.blockConcurrencyWhile(async () => { const response = await other.fetch('http://x/path'); step(await response.text()); });
  }));
  await check('a response waits for a section', () => traced(async () => {
    const result = other.fetch('http://x/path').then(() => step('response'));
    await section(ctx, 's', 15);
    step('over');
    await result;
  }));
  await check('results come in order after a section', () => traced(async () => {
    const results = ['a', 'b', 'c'].map((name) => other.echo(name).then((result) => step(`result ${result}`)));
    await section(ctx, 's', 15);
    await Promise.all(results);
  }));
  await check('a call to itself', () => traced(async () => { step(await self.note('itself')); }));
  await check('a call to itself waits for a section', () => traced(async () => {
    const called = self.note('itself');
    await section(ctx, 's', 15);
    step('over');
    await called;
  }));
  await check('timer, call and call to itself, then another section', () => traced(async () => {
    const first = ctx.blockConcurrencyWhile(async () => { step('s1 begins'); await pause(25); step('s1 ends'); });
    const events = [timer('timer', 1), other.echo('a').then(() => step('result')), self.note('itself')];
    await Promise.all([first, ...events, section(ctx, 's2', 1)]);
    trace.push(...trace.splice(4).sort()); // they came when they came
  }));
  await check('a call of the outer section waits for the inner', () => traced(async () => {
    await ctx.blockConcurrencyWhile(async () => {
      const result = other.echo('result').then(() => step('result'));
      await section(ctx, 'inner', 15);
      step('inner over');
      await result;
    });
  }));
  await check('storage goes on in a section', () => traced(async () => {
    await ctx.blockConcurrencyWhile(async () => {
      await storage.put('a', 1);
      step(`got ${await storage.get('a')}`);
      await storage.sync();
      step('synced');
    });
  }));
  await check('sync waits for a section', () => traced(async () => {
    void storage.put('b', 1);
    const synced = storage.sync().then(() => step('synced'));
    await section(ctx, 's', 15);
    await synced;
  }));
});

program.inObject('transactions', async ({ check, ctx, env, storage }) => {
  const other = env.SUBJECT.getByName('transactions, the other');
  await check('two of one event', () => traced(() => Promise.all([transaction(storage, 'a'), transaction(storage, 'b', 1)])));
  await check('one and a section', () => traced(() => Promise.all([transaction(storage, 't'), section(ctx, 's', 1)])));
  await check('a section and one', () => traced(() => Promise.all([section(ctx, 's'), transaction(storage, 't', 1)])));
  await check('a section inside', () => traced(() => storage.transaction(async () => { step('begins'); await section(ctx, 's'); step('ends'); })));
  await check('inside a section', () => traced(() => ctx.blockConcurrencyWhile(async () => { step('begins'); await transaction(storage, 't'); step('ends'); })));
  await check('nested', () => traced(() => storage.transaction(async () => { step('begins'); await transaction(storage, 't'); step('ends'); })));
  await check('siblings inside one', () => traced(() => storage.transaction(async () => {
    await Promise.all([transaction(storage, 'a'), transaction(storage, 'b', 1)]);
  })));
  await check('a timer waits', () => traced(async () => {
    const fires = timer('timer', 1);
    await transaction(storage, 't', 10);
    step('over');
    await fires;
  }));
  await check('a timer inside', () => traced(() => storage.transaction(async () => { await timer('timer'); step('ends'); })));
  await check('a call inside', () => traced(() => storage.transaction(async () => { step(await other.echo('result')); })));
  await check('a result waits', () => traced(async () => {
    const result = other.echo('result').then(() => step('result'));
    await transaction(storage, 't', 15);
    step('over');
    await result;
  }));
  await check('one that throws resets nothing', () => traced(async () => {
    await ctx.blockConcurrencyWhile(async () => {
      await storage.transaction(async () => { throw new Error('back'); }).catch((error) => step(error.message));
      step('ends');
    });
    step('over');
  }));
  await check('one after rollback still holds the gate', () => traced(async () => {
    const fires = timer('timer', 1);
    await storage.transaction(async (txn) => { txn.rollback(); await pause(10); step('ends'); });
    await fires;
  }));
  await check('a timer of outside, then one more', () => traced(async () => {
    const later = timer('timer', 1).then(() => transaction(storage, 'later', 1));
    await Promise.all([transaction(storage, 'a', 8), transaction(storage, 'b', 1)]);
    await later;
  }));
});

program.inWorker('events', async ({ check, env }) => {
  const a = env.SUBJECT.getByName('events a');
  const b = env.SUBJECT.getByName('events b');
  await check('calls wait for a section, in order', () => traced(() => Promise.all([a.block('s', 15), a.note('1'), a.note('2'), a.note('3')])));
  await check('two sections of two events', () => traced(() => Promise.all([a.block('s1', 10), a.block('s2', 1), a.note('note')])));
  await check('calls wait for a transaction', () => traced(() => Promise.all([a.transact('t', 10), a.note('1'), a.note('2')])));
  await check('another object does not wait', () => traced(async () => {
    const blocked = a.block('s', 60);
    step(await b.echo('other'));
    await blocked;
    trace = trace.filter((each) => each === 'other' || each === 's ends');
  }));
  await check('there and back', () => traced(() => a.through('events b', 'through', 'events a', 'note', 'back in a')));
  await check('two that call each other', () => traced(async () => {
    await a.through('events b', 'note', 'in b');
    await b.through('events a', 'note', 'in a');
  }));
  await check('two that call each other at the same time', async () => {
    trace = [];
    const results = await Promise.all([a.through('events b', 'through', 'events a', 'note', 'x'), b.through('events a', 'through', 'events b', 'note', 'y')]);
    return [results, trace.length, [...trace].sort()];
  });
  await check('a section that calls another object', () => traced(() => Promise.all([a.blockAndCall('events b', 'note', 'in b'), a.note('after')])));
  await check('two sections that call the other one, which has none', () => traced(async () => {
    await a.blockAndCall('events b', 'note', 'in b');
    await b.blockAndCall('events a', 'note', 'in a');
  }));
});

program.inWorker('failures', async ({ check, env }) => {
  const fresh = (name) => env.SUBJECT.getByName(name);
  await check('a section that fails', () => fresh('fails 1').failing(1));
  await check('its code does not go on', () => traced(() => fresh('fails 2').failing(1).catch((error) => step(error.message))));
  await check('those who wait get the error', async () => {
    const stub = fresh('fails 3');
    return Promise.allSettled([stub.failing(15), stub.note('waits')]).then((all) => all.map(({ reason }) => String(reason)));
  });
  await check('a nested section that fails', () => fresh('fails 4').failingInside());
  await check('its catch does not run', () => traced(() => fresh('fails 5').failingInside().catch((error) => step(error.message))));
  await check('the object is there again', async () => {
    await fresh('fails 6').failing(1).catch(() => {});
    return fresh('fails 6').note('again');
  });
});

constructors['constructed 1'] = (ctx) => {
  step('constructor begins');
  void section(ctx, 's', 5);
  step('constructor ends');
};
constructors['constructed 2'] = (ctx) => {
  void section(ctx, 'a', 5);
  void section(ctx, 'b', 1).then(() => step('b over'));
};
constructors['constructed 3'] = (ctx) => {
  void ctx.blockConcurrencyWhile(async () => {
    step('outer begins');
    await section(ctx, 'inner', 2);
    step('outer ends');
  });
};
constructors['constructed 4'] = (ctx) => {
  setTimeout(() => step('timer'), 1);
  void section(ctx, 's', 10);
};
constructors['constructed 5'] = (ctx) => {
  void transaction(ctx.storage, 't', 3);
  void section(ctx, 's', 1);
};
constructors['constructed 6'] = (ctx) => {
  void ctx.blockConcurrencyWhile(async () => { await pause(1); throw new TypeError('it cannot be made'); });
};

program.inWorker('constructors', async ({ check, env }) => {
  const called = (name) => traced(() => env.SUBJECT.getByName(name).note('event'));
  await check('a section', () => called('constructed 1'));
  await check('two sections', () => called('constructed 2'));
  await check('nested sections', () => called('constructed 3'));
  await check('a timer beside a section', async () => {
    const seen = await called('constructed 4');
    await pause(5);
    return seen;
  });
  await check('a transaction and a section', () => called('constructed 5'));
  await check('a section that fails', () => env.SUBJECT.getByName('constructed 6').note('event'));
  await check('events keep their order', () => traced(() => Promise.all(['1', '2', '3'].map((n) => env.SUBJECT.getByName('constructed 1').note(n)))));
});

program.inObject('wrong', async ({ check, ctx }) => {
  for (const [label, value] of Object.entries({ undefined, number: 5, null: null, object: {}, text: 'x' })) check(`of ${label}`, () => ctx.blockConcurrencyWhile(value));
  check('no argument', () => ctx.blockConcurrencyWhile());
});

export default program.worker;
