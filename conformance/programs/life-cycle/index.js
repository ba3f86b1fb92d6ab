// API section 3: how objects begin and end - constructors, abort(), resets, waitUntil() - and who learns of it.
import { DurableObject } from 'cloudflare:workers';
import { Program } from '../../support/program.mjs';

const program = new Program();

/** What constructors do, by the names of the objects. */
const constructors = {};
/** What `act` does, by name: functions of the object, its tools and the arguments. */
const actions = {};
/** How often each object was constructed. */
const constructed = {};
/** What has happened in the check that runs. */
let trace = [];
const step = (name) => void trace.push(name);

export class Subject extends DurableObject {
  static instances = 0;
  calls = 0;

  constructor(ctx, env) {
    super(ctx, env);
    const { name } = ctx.id;
    this.number = constructed[name] = (constructed[name] ?? 0) + 1;
    constructors[name]?.(ctx, this);
  }

  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }

  act(name, ...args) {
    const { ctx, env } = this;
    return actions[name]({ self: this, ctx, env, storage: ctx.storage, kv: ctx.storage.kv }, ...args);
  }

  call() {
    return ++this.calls;
  }

  note(name) {
    step(name);
    return name;
  }

  get fails() {
    throw new RangeError('from a getter');
  }

  fetch(request) {
    const action = actions[new URL(request.url).pathname.slice(1)];
    return action === undefined ? new Response('answer') : action({ ctx: this.ctx, env: this.env, self: this });
  }

  /** Calls `method` of the object `name`. */
  through(name, method, ...args) {
    return this.env.SUBJECT.getByName(name)[method](...args);
  }
}

/** Constructed where its class says so, and that is wrong. */
export class Other extends DurableObject {
  constructor(ctx, env) {
    if (ctx.id.name !== 'without super') super(ctx, env);
    if (ctx.id.name === 'another object') return { call: () => 'of another object' };
  }
  call() {
    return 'of the class';
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const never = () => new Promise(() => {});
const outcome = (promise) => promise.then((value) => ['value', value], (error) => error);

Object.assign(actions, {
  abort: ({ ctx }, ...reason) => ctx.abort(...reason),
  value: (_, value) => value,
  never,
  wait: (_, ms) => pause(ms),
  remember: ({ self }, value) => void (self.memory = value),
  memory: ({ self }) => self.memory,
  number: ({ self }) => self.number,
  put: ({ storage }, key, value) => storage.put(key, value),
  get: ({ storage }, key) => storage.get(key),
  kvGet: ({ kv }, key) => kv.get(key),
  throw: () => { throw new TypeError('thrown by the method'); },
  reject: async () => { await null; throw new TypeError('rejected by the method'); },
  blockAndThrow: ({ ctx }, ms) => ctx.blockConcurrencyWhile(async () => { await pause(ms); throw new RangeError('the section fails'); }),
});

/** The 30 seconds that code may hold the gate run beside the other checks. */
let slow;
actions.blocksForEver = ({ ctx }) => ctx.blockConcurrencyWhile(never);
actions.transactsForEver = ({ storage }) => storage.transaction(never);
constructors['never constructed'] = (ctx) => void ctx.blockConcurrencyWhile(never);
program.inWorker('begin', ({ env }) => {
  const get = (name) => env.SUBJECT.getByName(name);
  slow = ['never constructed', 'blocks for ever', 'transacts for ever'].map((name) => {
    const action = { 'blocks for ever': 'blocksForEver', 'transacts for ever': 'transactsForEver' }[name] ?? 'number';
    const calls = [outcome(get(name).act(action)), outcome(get(name).act('number'))];
    return { name, calls };
  });
});

program.inWorker('abort', async ({ check, env }) => {
  const get = (name) => env.SUBJECT.getByName(`abort ${name}`);
  const reasons = { 'no reason': [], undefined: [undefined], text: ['a reason'], 'an empty text': [''], 'a number': [5], null: [null], 'a boolean': [false], 'an object': [{ a: 1 }] };
  for (const [name, reason] of Object.entries(reasons)) await check(`with ${name}`, () => get(name).act('abort', ...reason));
  actions.abortWithError = ({ ctx }) => ctx.abort(Object.assign(new TypeError('an error'), { code: 7 }));
  await check('with an error', () => get('error').act('abortWithError'));
  await check('calls in flight', async () => {
    const calls = [outcome(get('flight').act('never')), outcome(get('flight').fetch('http://x/never'))];
    await get('flight').call();
    calls.push(outcome(get('flight').act('abort', 'in flight')));
    return Promise.all(calls);
  });
  await check('calls that wait at the gate', async () => {
    actions.blockAndAbort = ({ ctx }) => ctx.blockConcurrencyWhile(async () => { await pause(10); ctx.abort('in the section'); });
    return Promise.all([outcome(get('gate').act('blockAndAbort')), outcome(get('gate').call()), outcome(get('gate').act('number'))]);
  });
  await check('the next call', async () => [await outcome(get('next').act('abort', 'x')), await get('next').act('number'), await get('next').call()]);
  await check('memory is lost', async () => {
    await get('memory').act('remember', 'kept');
    const before = await get('memory').act('memory');
    await outcome(get('memory').act('abort', 'x'));
    return [before, await get('memory').act('memory')];
  });
  actions.putAndAbort = ({ ctx, kv }) => { kv.put('a', 'lost'); ctx.abort('x'); };
  await check('what the run had written is lost', async () => {
    await get('written').act('put', 'a', 'kept');
    await outcome(get('written').act('putAndAbort'));
    return get('written').act('get', 'a');
  });
  actions.putAwaitAndAbort = async ({ ctx, storage }) => { await storage.put('a', 'kept'); await storage.sync(); ctx.abort('x'); };
  await check('what was synced is there', async () => [await outcome(get('synced').act('putAwaitAndAbort')), await get('synced').act('get', 'a')]);
  actions.transactAndAbort = ({ ctx, storage }) => storage.transaction(async (txn) => { await txn.put('a', 'lost'); ctx.abort('in a transaction'); });
  await check('in a transaction', async () => [await outcome(get('txn').act('transactAndAbort')), await get('txn').act('get', 'a')]);
  actions.transactSyncAndAbort = ({ ctx, storage, kv }) => storage.transactionSync(() => { kv.put('a', 'lost'); ctx.abort('in a synchronous transaction'); });
  await check('in a synchronous transaction', async () => [await outcome(get('txnSync').act('transactSyncAndAbort')), await get('txnSync').act('get', 'a')]);
  constructors['abort constructor'] = (ctx, { number }) => { if (number === 1) ctx.abort('in the constructor'); };
  await check('in the constructor', async () => [await outcome(get('constructor').call()), await get('constructor').call()]);
  actions.abortLater = ({ ctx }) => void setTimeout(() => ctx.abort('in a timer'), 5);
  await check('in a timer, a call in flight', async () => {
    const flight = outcome(get('timer').act('never'));
    await get('timer').act('abortLater');
    return [await flight, await get('timer').act('number')];
  });
  actions.abortWhileWaiting = ({ ctx }) => ctx.waitUntil((async () => { await pause(5); ctx.abort('in waitUntil'); })());
  await check('in waitUntil(), a call in flight', async () => {
    const flight = outcome(get('until').act('never'));
    await get('until').act('abortWhileWaiting');
    return [await flight, await get('until').act('number')];
  });
  actions.abortInFetch = ({ ctx }) => ctx.abort('in fetch()');
  await check('in fetch()', () => get('fetch').fetch('http://x/abortInFetch'));
  await check('an object that calls one that aborts is not reset', async () => {
    await get('caller').act('remember', 'kept');
    const error = await outcome(get('caller').through('abort called', 'act', 'abort', 'of the other'));
    return [error, await get('caller').act('memory')];
  });
  await check('what it has called goes on', async () => {
    trace = [];
    actions.callAndAbort = async ({ ctx, env }) => { void env.SUBJECT.getByName('abort goes on').act('noteLater').catch(() => {}); await env.SUBJECT.getByName('abort goes on').call(); ctx.abort('x'); };
    actions.noteLater = async () => { await pause(5); step('went on'); };
    await outcome(get('leaves').act('callAndAbort'));
    await pause(30);
    return trace;
  });
  await check('timers of the old instance', async () => {
    trace = [];
    actions.setTimersAndAbort = ({ ctx }) => { setTimeout(() => step('timer'), 5); setInterval(() => step('interval'), 3); ctx.abort('x'); };
    await outcome(get('timers').act('setTimersAndAbort'));
    await pause(40);
    return trace;
  });
  await check('code of the old instance', async () => {
    trace = [];
    actions.goOnAfterAbort = async ({ self, env }) => { await env.SUBJECT.getByName('abort slow').act('wait', 20); self.late = true; step('went on'); };
    const late = outcome(get('old code').act('goOnAfterAbort'));
    await get('old code').call();
    await outcome(get('old code').act('abort', 'x'));
    await pause(50);
    return [await late, trace];
  });
  await check('an old stub', async () => {
    const stub = get('old stub');
    await stub.call();
    await outcome(get('old stub').act('abort', 'x'));
    return outcome(stub.call());
  });
  await check('an old stub, fetch()', async () => {
    const stub = get('old stub 3');
    await stub.call();
    await outcome(get('old stub 3').act('abort', 'x'));
    return outcome(stub.fetch('http://x/'));
  });
  await check('calls in flight get errors of their own', async () => {
    const calls = [outcome(get('own').act('never')), outcome(get('own').act('abort', 'x'))];
    const [first, second] = await Promise.all(calls);
    return first !== second;
  });
  await check('an old stub, the second time', async () => {
    const stub = get('old stub 2');
    await stub.call();
    await outcome(get('old stub 2').act('abort', 'x'));
    await outcome(stub.call());
    return outcome(stub.call());
  });
  await check('the stub that was told', async () => {
    const stub = get('told stub');
    await outcome(stub.act('abort', 'x'));
    return outcome(stub.call());
  });
  await check('a stub that was never used', async () => {
    const stub = get('unused stub');
    await outcome(get('unused stub').act('abort', 'x'));
    return outcome(stub.call());
  });
  await check('one after the other', async () => {
    const found = [];
    for (let i = 0; i < 3; i++) found.push((await outcome(get('again').act('abort', `${i}`))).message, await get('again').act('number'));
    return found;
  });
});

program.inWorker('constructors', async ({ check, env }) => {
  const get = (name) => env.SUBJECT.getByName(`made ${name}`);
  const throwing = (name, make, times = 1) => {
    constructors[`made ${name}`] = (ctx, { number }) => { if (number <= times) throw make(); };
  };
  const thrown = {
    'an error': () => new Error('no'),
    'a range error': () => new RangeError('no range'),
    'an error with members': () => Object.assign(new Error('no'), { code: 'E', details: [1] }),
    'an error with a cause': () => new Error('no', { cause: new TypeError('the cause') }),
    'a text': () => 'a text',
    'a number': () => 5,
    undefined: () => undefined,
    null: () => null,
    'an object': () => ({ a: 1 }),
  };
  for (const [name, make] of Object.entries(thrown)) {
    throwing(name, make);
    await check(`throws ${name}`, () => get(name).call());
    await check(`throws ${name}, the next call`, () => get(name).call());
  }
  throwing('fetched', () => new TypeError('not made'));
  await check('throws, to fetch()', () => get('fetched').fetch('http://x/'));
  throwing('read', () => new TypeError('not made'));
  await check('throws, to a getter', () => get('read').fails);
  throwing('waiting', () => new TypeError('not made'));
  await check('throws, to three calls', async () => (await Promise.all([1, 2, 3].map(() => outcome(get('waiting').call())))).map(String));
  throwing('thrice', () => new Error(`try ${constructed['made thrice']}`), 3);
  await check('each call tries again', async () => {
    const found = [];
    for (let i = 0; i < 4; i++) found.push(String(await outcome(get('thrice').call())));
    return found;
  });
  throwing('old', () => new Error('not made'));
  await check('throws, the same stub again', async () => {
    const stub = get('old');
    return [String(await outcome(stub.call())), await outcome(stub.call())];
  });
  constructors['made writes'] = ({ storage }, { number }) => {
    if (number > 1) return;
    storage.kv.put('a', 'lost');
    throw new Error('after a write');
  };
  await check('what it wrote is lost', async () => [String(await outcome(get('writes').call())), await get('writes').act('kvGet', 'a')]);
  constructors['made wrote'] = ({ storage }) => storage.kv.put('a', 'kept');
  await check('what it wrote is there', () => get('wrote').act('kvGet', 'a'));

  const blocking = (name, body, times = 1) => {
    constructors[`made ${name}`] = (ctx, { number }) => { if (number <= times) void ctx.blockConcurrencyWhile(() => body(ctx)); };
  };
  blocking('blocks and throws', () => { throw new RangeError('at once'); });
  blocking('blocks and rejects', async () => { await pause(2); throw new RangeError('later'); });
  blocking('blocks and rejects with text', async () => { throw 'a text'; });
  blocking('blocks and rejects with members', async () => { throw Object.assign(new TypeError('members'), { code: 5 }); });
  for (const name of ['blocks and throws', 'blocks and rejects', 'blocks and rejects with text', 'blocks and rejects with members']) {
    await check(name, () => get(name).call());
    await check(`${name}, the next call`, async () => [await get(name).call(), await get(name).act('number')]);
  }
  blocking('blocks and fails, three calls', async () => { await pause(2); throw new RangeError('for all'); });
  await check('blocks and fails, three calls', async () => (await Promise.all([1, 2, 3].map(() => outcome(get('blocks and fails, three calls').call())))).map(String));
  constructors['made blocks twice'] = (ctx, { number }) => {
    if (number > 1) return;
    trace = [];
    void ctx.blockConcurrencyWhile(async () => { step('first'); throw new Error('the first fails'); });
    void ctx.blockConcurrencyWhile(async () => { step('second'); });
  };
  await check('the second section after the first has failed', async () => [String(await outcome(get('blocks twice').call())), trace]);
  constructors['made unhandled'] = () => void Promise.reject(new Error('nobody handles it'));
  await check('a rejection that nobody handles', () => get('unhandled').call());
  constructors['made until'] = (ctx) => ctx.waitUntil(Promise.reject(new Error('of waitUntil')));
  await check('waitUntil() with a rejection', () => get('until').call());
  constructors['made reads'] = (ctx, self) => void ctx.blockConcurrencyWhile(async () => { self.memory = (await ctx.storage.get('a')) ?? 'none'; });
  await check('reads before the first call', () => get('reads').act('memory'));
  await check('is called once for many first calls', async () => {
    await Promise.all(Array.from({ length: 20 }, () => get('many').call()));
    return [constructed['made many'], await get('many').call()];
  });
  await check('of a class without super()', () => env.OTHER.getByName('without super').call());
  await check('that returns another object', () => env.OTHER.getByName('another object').call());
});

program.inWorker('sections that fail', async ({ check, env }) => {
  const get = (name) => env.SUBJECT.getByName(`fails ${name}`);
  const thrown = { 'an error': () => new RangeError('no'), 'members': () => Object.assign(new Error('no'), { code: 7 }), 'a text': () => 'a text', undefined: () => undefined };
  for (const [name, make] of Object.entries(thrown)) {
    actions[`fails with ${name}`] = ({ ctx }) => ctx.blockConcurrencyWhile(async () => { throw make(); });
    await check(`with ${name}`, () => get(name).act(`fails with ${name}`));
  }
  actions.throwsAtOnce = ({ ctx }) => ctx.blockConcurrencyWhile(() => { throw new RangeError('at once'); });
  await check('at once', () => get('at once').act('throwsAtOnce'));
  await check('calls in flight', async () => {
    const flight = outcome(get('flight').act('never'));
    await get('flight').call();
    return Promise.all([flight, outcome(get('flight').act('blockAndThrow', 5)), outcome(get('flight').call())]);
  });
  await check('a response in flight', async () => {
    actions.waits = never;
    const flight = outcome(get('response').fetch('http://x/waits'));
    await get('response').call();
    return Promise.all([flight, outcome(get('response').act('blockAndThrow', 5))]);
  });
  await check('memory is lost, storage is not', async () => {
    await get('memory').act('remember', 'kept');
    await get('memory').act('put', 'a', 'kept');
    await outcome(get('memory').act('blockAndThrow', 1));
    return [await get('memory').act('memory'), await get('memory').act('get', 'a'), await get('memory').act('number')];
  });
  actions.putBeforeFailing = ({ ctx, kv }) => ctx.blockConcurrencyWhile(async () => { kv.put('a', 'written'); await pause(2); throw new Error('x'); });
  await check('what it wrote before it waited', async () => [String(await outcome(get('wrote').act('putBeforeFailing'))), await get('wrote').act('get', 'a')]);
  await check('nobody awaits it', async () => {
    actions.failsAlone = ({ ctx }) => void ctx.blockConcurrencyWhile(async () => { await pause(2); throw new Error('alone'); });
    const first = await get('alone').act('failsAlone');
    const waited = await outcome(get('alone').call());
    return [first, waited, await get('alone').act('number')];
  });
  await check('an object that waits for it', async () => {
    await get('caller').act('remember', 'kept');
    return [await outcome(get('caller').through('fails called', 'act', 'blockAndThrow', 1)), await get('caller').act('memory')];
  });
});

program.inWorker('errors of methods', async ({ check, env }) => {
  const get = (name) => env.SUBJECT.getByName(`errs ${name}`);
  await check('do not reset', async () => {
    await get('a').act('remember', 'kept');
    return [await outcome(get('a').act('throw')), await outcome(get('a').act('reject')), await get('a').act('memory')];
  });
  await check('of a getter', async () => [await get('a').fails.then((value) => value, (error) => error), await get('a').act('memory')]);
  await check('of fetch()', async () => { actions.fetchThrows = () => { throw new RangeError('in fetch()'); }; return [await outcome(get('a').fetch('http://x/fetchThrows')), await get('a').act('memory')]; });
  await check('through another object', () => get('b').through('errs a', 'act', 'throw'));
  await check('through two others', () => get('c').through('errs b', 'through', 'errs a', 'act', 'throw'));
  await check('an abort through another object', () => get('b').through('errs aborts', 'act', 'abort', 'of the inner one'));
  await check('what was written before stays', async () => {
    actions.putAndThrow = ({ kv }) => { kv.put('a', 'kept'); throw new Error('after a write'); };
    return [String(await outcome(get('w').act('putAndThrow'))), await get('w').act('kvGet', 'a')];
  });
  await check('in a timer', async () => {
    actions.throwLater = ({ self }) => { self.memory = 'kept'; setTimeout(() => { throw new Error('in a timer'); }, 1); };
    await get('t').act('throwLater');
    await pause(15);
    return get('t').act('memory');
  });
  await check('in an interval', async () => {
    trace = [];
    actions.throwOften = () => { let runs = 0; const id = setInterval(() => { step('runs'); if (++runs === 3) clearInterval(id); throw new Error('in an interval'); }, 1); };
    await get('i').act('throwOften');
    await pause(40);
    return trace;
  });
  await check('a rejection that nobody handles', async () => {
    actions.rejectAlone = ({ self }) => { self.memory = 'kept'; void Promise.reject(new Error('alone')); };
    await get('r').act('rejectAlone');
    await pause(5);
    return get('r').act('memory');
  });
});

program.inWorker('waitUntil', async ({ check, env, ctx }) => {
  const get = (name) => env.SUBJECT.getByName(`until ${name}`);
  actions.until = ({ ctx }) => ctx.waitUntil(pause(1));
  await check('returns', () => get('a').act('until'));
  for (const [name, value] of Object.entries({ 'a number': 5, undefined, null: null, 'an object': {} })) {
    actions[`until ${name}`] = ({ ctx }) => ctx.waitUntil(value);
    await check(`of ${name}`, () => get('kinds').act(`until ${name}`));
  }
  actions.untilNothing = ({ ctx }) => ctx.waitUntil();
  await check('without an argument', () => get('kinds').act('untilNothing'));
  actions.untilRejected = ({ self, ctx }) => { self.memory = 'kept'; ctx.waitUntil(Promise.reject(new Error('of waitUntil'))); return 'returned'; };
  await check('of a rejection', async () => [await get('rejects').act('untilRejected'), await get('rejects').act('memory')]);
  actions.untilThenable = ({ ctx }) => ctx.waitUntil({ then: (resolve) => { step('then'); resolve(); } });
  await check('of a thenable', async () => { trace = []; await get('thenable').act('untilThenable'); await pause(5); return trace; });
  actions.untilLater = ({ ctx, storage }) => { ctx.waitUntil((async () => { await pause(10); await storage.put('a', 'written'); step('written'); })()); step('returned'); };
  await check('goes on after the answer', async () => {
    trace = [];
    await get('later').act('untilLater');
    step('answered');
    await pause(40);
    return [trace, await get('later').act('get', 'a')];
  });
  actions.untilCalls = ({ ctx, env }) => ctx.waitUntil((async () => { await pause(1); await env.SUBJECT.getByName('until called').note('called'); })());
  await check('calls another object', async () => { trace = []; await get('calls').act('untilCalls'); await pause(30); return trace; });
  actions.untilBlocks = ({ ctx }) => ctx.waitUntil(ctx.blockConcurrencyWhile(async () => { await pause(5); step('section'); }));
  await check('of a section', async () => { trace = []; await get('blocks').act('untilBlocks'); await get('blocks').note('next'); return trace; });
  await check('does not hold up other calls', async () => {
    trace = [];
    actions.untilSlow = ({ ctx }) => ctx.waitUntil(pause(20).then(() => step('slow')));
    await get('free').act('untilSlow');
    await get('free').note('next');
    await pause(40);
    return trace;
  });
  await check('of the Worker', async () => { trace = []; ctx.waitUntil(pause(1).then(() => step('done'))); await pause(20); return trace; });
  check('of the Worker, without an argument', () => ctx.waitUntil());
  check('of the Worker, a rejection', () => ctx.waitUntil(Promise.reject(new Error('of the Worker'))));
});

program.inWorker('memory', async ({ check, env }) => {
  const get = (name) => env.SUBJECT.getByName(`memory ${name}`);
  await check('stays between calls', async () => [await get('a').call(), await get('a').call(), await get('a').call()]);
  await check('is each object\'s own', async () => [await get('b').call(), await get('c').call(), await get('b').call()]);
  await check('by name and by id', async () => {
    const id = env.SUBJECT.idFromName('memory d');
    return [await get('d').call(), await env.SUBJECT.get(id).call(), await env.SUBJECT.get(env.SUBJECT.idFromString(id.toString())).call()];
  });
  await check('a stub is not an object', async () => { const stub = get('e'); await pause(1); return [constructed['memory e'] ?? 0, await stub.call(), constructed['memory e']]; });
  await check('fetch() and calls reach the same', async () => { actions.count = ({ self }) => new Response(String(++self.calls)); return [await get('f').call(), await (await get('f').fetch('http://x/count')).text(), await get('f').call()]; });
  await check('storage of an instance that is gone', async () => {
    let old;
    actions.lend = ({ storage }) => void (old = storage);
    await get('g').act('lend');
    await outcome(get('g').act('abort', 'gone'));
    await get('g').act('put', 'a', 'new');
    return [(await outcome((async () => old.get('a'))())) instanceof Error, await get('g').act('get', 'a')];
  });
});

program.inWorker('order', async ({ check, env }) => {
  const get = (name) => env.SUBJECT.getByName(`order ${name}`);
  await check('calls of one stub', async () => { trace = []; const stub = get('a'); await Promise.all(Array.from({ length: 50 }, (_, i) => stub.note(i))); return trace; });
  await check('calls to an object that is being made', async () => {
    constructors['order made'] = (ctx) => void ctx.blockConcurrencyWhile(() => pause(5));
    trace = [];
    const stub = get('made');
    await Promise.all(Array.from({ length: 10 }, (_, i) => stub.note(i)));
    return trace;
  });
  actions.add = async ({ storage }) => { const n = (await storage.get('n')) ?? 0; await storage.put('n', n + 1); };
  await check('reads and writes of storage do not interleave', async () => { await Promise.all(Array.from({ length: 20 }, () => get('n').act('add'))); return get('n').act('get', 'n'); });
  actions.addSlowly = async ({ storage, env }) => { const n = (await storage.get('n')) ?? 0; await env.SUBJECT.getByName('order other').act('wait', 5); await storage.put('n', n + 1); };
  await check('waits for another object do', async () => { await Promise.all(Array.from({ length: 5 }, () => get('m').act('addSlowly'))); return get('m').act('get', 'n'); });
  actions.addInSection = ({ storage, ctx }) => ctx.blockConcurrencyWhile(async () => { const n = (await storage.get('n')) ?? 0; await pause(1); await storage.put('n', n + 1); });
  await check('sections do not', async () => { await Promise.all(Array.from({ length: 5 }, () => get('s').act('addInSection'))); return get('s').act('get', 'n'); });
  actions.addInTransaction = ({ storage }) => storage.transaction(async (txn) => { const n = (await txn.get('n')) ?? 0; await pause(1); await txn.put('n', n + 1); });
  await check('transactions do not', async () => { await Promise.all(Array.from({ length: 5 }, () => get('t').act('addInTransaction'))); return get('t').act('get', 'n'); });
  actions.values = async ({ ctx }) => [await ctx.blockConcurrencyWhile(() => {}), await ctx.blockConcurrencyWhile(() => 1), await ctx.blockConcurrencyWhile(async () => ({ a: [1] })), await ctx.blockConcurrencyWhile(() => ({ then: (resolve) => resolve('of a thenable') }))];
  await check('values of sections', () => get('v').act('values'));
  actions.arguments = ({ ctx }) => ctx.blockConcurrencyWhile(function (...args) { return [args.length, this === globalThis]; });
  await check('what a section\'s callback gets', () => get('v').act('arguments'));
  actions.deep = ({ self, env, ctx }, depth) => (depth === 0 ? 'bottom' : env.SUBJECT.getByName(ctx.id.name).act('deep', depth - 1));
  await check('an object that calls itself ten times deep', () => get('deep').act('deep', 10));
  actions.pingPong = ({ env, ctx }, depth) => (depth === 0 ? 'bottom' : env.SUBJECT.getByName(ctx.id.name === 'order ping' ? 'order pong' : 'order ping').act('pingPong', depth - 1));
  await check('two that call each other ten times deep', () => get('ping').act('pingPong', 10));
  actions.selfError = async ({ env, ctx }) => { await env.SUBJECT.getByName(ctx.id.name).act('throw'); };
  await check('an error of a call to itself', () => get('selfError').act('selfError'));
  actions.threeDeep = ({ ctx }) => ctx.blockConcurrencyWhile(() => ctx.blockConcurrencyWhile(() => ctx.blockConcurrencyWhile(async () => { await pause(1); return 'inside'; })));
  await check('three sections inside each other', () => get('nested').act('threeDeep'));
  actions.mixed = ({ ctx, storage }) => ctx.blockConcurrencyWhile(() => storage.transaction(async (txn) => { await txn.put('a', 1); return ctx.blockConcurrencyWhile(async () => { await pause(1); return txn.get('a'); }); }));
  await check('a section in a transaction in a section', () => get('mixed').act('mixed'));
  actions.rollsBackInside = ({ ctx, storage }) => ctx.blockConcurrencyWhile(async () => { await storage.transaction(async (txn) => { await txn.put('a', 1); throw new Error('back'); }).catch(() => {}); return (await storage.get('a')) ?? 'none'; });
  await check('a transaction that fails in a section', () => get('rolls').act('rollsBackInside'));
});

program.inWorker('thirty seconds', async ({ check }) => {
  for (const { name, calls } of slow) {
    const [first, second] = await Promise.all(calls);
    check(`${name}, the call`, () => first);
    check(`${name}, one that waits`, () => second);
  }
});

export default program.worker;
