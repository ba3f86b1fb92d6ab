// Ids and namespaces. The expected ids are workerd's for the same project and class.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startLab } from '../support/lab.mjs';

const lab = await startLab({ after });

test('a name gives the id that workerd gives', async () => {
  const ids = {
    a: '46aa94f91d6b2be669080ff2cacfd23c30031769712454e2892e31972bd935d6',
    b: '1be70063d746e5bf7393d311851501f4ef50f60c1f68558c10acd4ab2518c9c2',
    counter: '8e690b5430f072f928d408be7badc8f888a77e13931cb487e43566278ff2fb1a',
    '': 'dca3765c705473c694a2b9ef90ccc33170dc064f6e235e93eafbc72bcc5fcb2d',
    ü: '423ec3c914c2655f3337b57bacf188fa63eab82b45b968ccc734004a6a97c658',
    5: '9f20f4711f52747351736ed6d78a6a9dcabe7b6410faefcc7be88e1cbc7670df',
    null: '4d2fb454182d577aec9ba36e4e8626fdf8efbe83a9b8266bb96e306034e4ee60',
  };
  const found = await lab.worker(({ env }, names) => names.map((name) => [name, env.COUNTER.idFromName(name).toString()]), Object.keys(ids));
  assert.deepEqual(Object.fromEntries(found), ids);
});

test('what ids are', async () => {
  const facts = await lab.worker(({ env }) => {
    const { COUNTER, PLAIN } = env;
    const a = COUNTER.idFromName('a');
    const hex = a.toString();
    const unique = COUNTER.newUniqueId();
    return {
      names: [a.name, COUNTER.idFromName(5).name, COUNTER.idFromName(null).name, unique.name, COUNTER.idFromString(hex).name],
      stubs: [COUNTER.get(a).name, COUNTER.get(unique).name, COUNTER.getByName('q').name, COUNTER.get(a).id === a],
      equal: [a.equals(COUNTER.idFromName('a')), a.equals(COUNTER.idFromString(hex)), COUNTER.idFromString(hex.toUpperCase()).toString() === hex],
      different: [a.equals(COUNTER.idFromName('b')), a.equals(PLAIN.idFromName('a')), unique.equals(COUNTER.newUniqueId())],
      unique: /^[0-9a-f]{64}$/.test(unique.toString()) && COUNTER.idFromString(unique.toString()).equals(unique),
      text: [`${a}` === hex, JSON.stringify(a), JSON.stringify(unique), a.constructor.name, String(Object.prototype.toString.call(a))],
      named: (() => { try { a.name = 'b'; } catch {} return a.name; })(),
      own: (() => {
        const mine = COUNTER.idFromName('own');
        Object.assign(mine, { mark: 1, toString: () => 'mine' });
        const stub = COUNTER.get(mine);
        return [delete mine.name, COUNTER.idFromName('own').mark, COUNTER.getByName('own').id.mark, stub.name, stub.id === mine];
      })(),
    };
  });
  assert.deepEqual(facts, {
    names: ['a', '5', 'null', undefined, undefined],
    stubs: ['a', undefined, 'q', true],
    equal: [true, true, true],
    different: [false, false, false],
    unique: true,
    text: [true, '{"name":"a"}', '{}', 'DurableObjectId', '[object DurableObjectId]'],
    named: 'a',
    own: [true, undefined, undefined, 'own', true],
  });
});

test('what is not an id', async () => {
  const malformed = 'Invalid Durable Object ID: must be 64 hex digits';
  const foreign = 'Durable Object ID is not valid for this namespace.';
  const wrongType = (method, type) => `Failed to execute '${method}' on 'DurableObjectNamespace': parameter 1 is not of type '${type}'.`;
  const mistakes = [
    [({ COUNTER }) => COUNTER.idFromString('abc'), malformed],
    [({ COUNTER }) => COUNTER.idFromString('z'.repeat(64)), malformed],
    [({ COUNTER }) => COUNTER.idFromString(''), malformed],
    [({ COUNTER }) => COUNTER.idFromString('0'.repeat(64)), foreign],
    [({ COUNTER, PLAIN }) => COUNTER.idFromString(PLAIN.idFromName('a').toString()), foreign],
    [({ COUNTER, PLAIN }) => COUNTER.get(PLAIN.idFromName('a')), foreign],
    [({ COUNTER }) => COUNTER.newUniqueId(5), "Failed to execute 'newUniqueId' on 'DurableObjectNamespace': parameter 1 is not of type 'NewUniqueIdOptions'."],
    [({ COUNTER }) => COUNTER.get(COUNTER.idFromName('a'), 5), "Failed to execute 'get' on 'DurableObjectNamespace': parameter 2 is not of type 'GetDurableObjectOptions'."],
    [({ COUNTER }) => COUNTER.getByName('a', 'x'), "Failed to execute 'getByName' on 'DurableObjectNamespace': parameter 2 is not of type 'GetDurableObjectOptions'."],
    [({ COUNTER }) => new COUNTER.constructor(), 'Illegal constructor'],
    [({ COUNTER }) => new (COUNTER.newUniqueId().constructor)(), 'Illegal constructor'],
    [({ COUNTER }) => COUNTER.idFromString(), wrongType('idFromString', 'string')],
    [({ COUNTER }) => COUNTER.idFromName(), wrongType('idFromName', 'string')],
    [({ COUNTER }) => COUNTER.getByName(), wrongType('getByName', 'string')],
    [({ COUNTER }) => COUNTER.get(), wrongType('get', 'DurableObjectId')],
    [({ COUNTER }) => COUNTER.get('a'), wrongType('get', 'DurableObjectId')],
    [({ COUNTER }) => COUNTER.get({}), wrongType('get', 'DurableObjectId')],
    [({ COUNTER }) => COUNTER.idFromName(Symbol('a')), 'Cannot convert a Symbol value to a string'],
    [({ COUNTER }) => COUNTER.idFromName('a').equals('x'), "Failed to execute 'equals' on 'DurableObjectId': parameter 1 is not of type 'DurableObjectId'."],
  ];
  for (const [run, message] of mistakes) {
    assert.equal(await lab.worker(({ env, attempt }, run) => attempt(() => (0, eval)(run)(env)), run.toString()), `TypeError: ${message}`);
  }
});

test('ctx.id: the name is known when the object was started by it', async () => {
  const inside = '({ ctx, self }) => [ctx.id.toString(), ctx.id.name, (self.calls = (self.calls ?? 0) + 1)]';
  const results = await lab.worker(async ({ env }, inside) => {
    const { COUNTER } = env;
    const hex = COUNTER.idFromName('later').toString();
    const first = await COUNTER.get(COUNTER.idFromString(hex)).run(inside);
    const second = await COUNTER.getByName('later').run(inside);
    const named = await COUNTER.getByName('now').run(inside);
    const byString = await COUNTER.get(COUNTER.idFromString(COUNTER.idFromName('now').toString())).run(inside);
    return { hex: [first[0], second[0]].every((id) => id === hex), first, second, named, byString };
  }, inside);
  assert.equal(results.hex, true);
  assert.deepEqual(results.first.slice(1), [undefined, 1]);
  assert.deepEqual(results.second.slice(1), [undefined, 2]);
  assert.deepEqual(results.named.slice(1), ['now', 1]);
  assert.deepEqual(results.byString.slice(1), ['now', 2]);
});

test('two bindings of one class are the same objects', async () => {
  const count = '({ self }) => (self.count = (self.count ?? 0) + 1)';
  const counts = await lab.worker(async ({ env }, count) => [await env.COUNTER.getByName('two').run(count), await env.AGAIN.getByName('two').run(count)], count);
  assert.deepEqual(counts, [1, 2]);
});

test('a stub is made without starting its object', async () => {
  await lab.constructors('not-started', ({ shared }) => { shared.started = true; });
  assert.equal(await lab.worker(({ env, shared }) => { env.COUNTER.getByName('not-started'); return shared.started; }), undefined);
});

test('undefined is a name like any other text, and null is no option', async () => {
  const facts = await lab.worker(({ env: { COUNTER } }) => [
    COUNTER.idFromName(undefined).name,
    COUNTER.getByName(undefined).name,
    COUNTER.newUniqueId(null).name,
    COUNTER.newUniqueId({ jurisdiction: null }).name,
    COUNTER.jurisdiction(null) === COUNTER,
    COUNTER.get(COUNTER.idFromName('a'), null).name,
    COUNTER.constructor.name,
  ]);
  assert.deepEqual(facts, ['undefined', 'undefined', undefined, undefined, true, 'a', 'DurableObjectNamespace']);
});

test('a method that is called on something else says so', async () => {
  const outcomes = await lab.worker(({ env: { COUNTER }, attempt }) => {
    const id = COUNTER.idFromName('a');
    return [() => (0, COUNTER.idFromName)('a'), () => id.toString.call({}), () => id.equals.call({}, id), () => COUNTER.get.call(1, id)].map(attempt);
  });
  for (const outcome of outcomes) assert.match(outcome, /^TypeError: Illegal invocation: function called with incorrect `this` reference\./);
});

test('lone surrogates in names are told apart, by their bytes as workerd has them', async () => {
  const found = await lab.worker(({ env }) => ['\ud800', '\udc00', 'a\udfffb'].map((name) => [env.COUNTER.idFromName(name).toString(), env.COUNTER.idFromName(name).name]));
  assert.equal(new Set(found.map(([id]) => id)).size, 3);
  assert.deepEqual(found.map(([, name]) => name), ['\ufffd\ufffd\ufffd', '\ufffd\ufffd\ufffd', 'a\ufffd\ufffd\ufffdb']);
});
