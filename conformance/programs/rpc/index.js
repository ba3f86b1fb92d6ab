// What can be called over RPC, what can be passed, and how errors come back.
import { DurableObject } from 'cloudflare:workers';
import { refusedValues } from '../../sections/values.mjs';
import { Program } from '../../support/program.mjs';

const program = new Program();

class Base extends DurableObject {
  inherited() {
    return 'inherited';
  }
  overridden() {
    return 'base';
  }
  get inheritedGetter() {
    return 'inherited getter';
  }
}

class Point {
  constructor() {
    this.x = 1;
  }
}

class NamedError extends Error {
  constructor(message) {
    super(message);
    this.name = 'NamedError';
  }
}
class QuietError extends Error {}

export class Subject extends Base {
  own = 'own';
  ownMethod = () => 'own method';
  #hidden() {
    return 'hidden';
  }
  static fixed() {
    return 'static';
  }

  constructor(ctx, env) {
    super(ctx, env);
    this.assigned = () => 'assigned';
    Object.defineProperty(this, 'defined', { get: () => 'defined', enumerable: true });
  }

  plain() {
    return 'plain';
  }
  overridden() {
    return `sub of ${super.overridden()}`;
  }
  async asynchronous(value) {
    await null;
    return value;
  }
  *generator() {
    yield 1;
  }
  _underscore() {
    return 'underscore';
  }
  $dollar() {
    return 'dollar';
  }
  'with-dash'() {
    return 'dash';
  }
  5() {
    return 'five';
  }
  '\u00e9'() {
    return 'accent';
  }
  [Symbol.for('symbol')]() {
    return 'symbol';
  }
  usesHidden() {
    return this.#hidden();
  }
  args(...values) {
    return [values.length, values];
  }
  get number() {
    return 42;
  }
  get object() {
    return { deep: { value: 1 }, list: [1, 2] };
  }
  get method() {
    return (n) => n + 1;
  }
  get throwing() {
    throw new TypeError('from a getter');
  }
  get promised() {
    return Promise.resolve('promised');
  }
  set onlySetter(value) {
    void value;
  }
  alarm() {}
  webSocketMessage() {}
  webSocketClose() {}
  webSocketError() {}
  dup() {
    return 'dup';
  }
  connect() {
    return 'connect';
  }
  then() {
    return 'then';
  }
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === '/throw') throw new RangeError('in fetch');
    if (pathname === '/nothing') return undefined;
    if (pathname === '/text') return 'text';
    return new Response(`${request.method} ${request.url}`);
  }
  whoAmI() {
    return [this === undefined, this instanceof Subject];
  }
  returns(kind) {
    return results()[kind];
  }
  throws(kind) {
    throw thrown()[kind];
  }
  async rejects(kind) {
    await null;
    throw thrown()[kind];
  }
  sql(query) {
    return this.ctx.storage.sql.exec(query).toArray();
  }
}
Subject.prototype.onPrototype = function () {
  return 'on the prototype';
};
Subject.prototype.valueOnPrototype = 'a value';
Subject.prototype.objectOnPrototype = { a: 1 };

/** Serves fetch() only. */
export class Plain {
  hello() {
    return 'hello';
  }
  fetch(request) {
    return new Response(`plain ${request.url}`);
  }
}

/** Has no fetch(). */
export class Bare extends DurableObject {
  hello() {
    return 'hello';
  }
}

const results = () => ({
  ...refusedValues(), undefined, null: null, 'class instance': new Point(), 'no prototype': Object.create(null),
  'with a prototype': Object.create({ a: 1 }), URL: new URL('http://x/'), 'class instance within': { deep: [new Point()] },
  'array of a class': new (class List extends Array {})(1), thenable: { then: (resolve) => resolve(5) }, promise: Promise.resolve(3),
  'rejected promise': Promise.reject(new RangeError('rejected')), 'promise within': { p: Promise.resolve(1) },
});

const withMembers = (error, members) => Object.assign(error, members);
const thrown = () => ({
  Error: new Error('plain'), TypeError: new TypeError('type'), RangeError: new RangeError('range'), SyntaxError: new SyntaxError('syntax'),
  ReferenceError: new ReferenceError('reference'), URIError: new URIError('uri'), EvalError: new EvalError('eval'),
  'own class, named': new NamedError('named'), 'own class, quiet': new QuietError('quiet'),
  'changed name': withMembers(new Error('changed'), { name: 'Changed Name' }), 'empty message': new Error(''), 'no message': new Error(),
  'long message': new Error('x'.repeat(3000)), 'emoji message': new Error('\u{1f600}'), 'message with lines': new Error('a\nb'),
  'message with a colon': new Error('TypeError: not really'),
  members: withMembers(new Error('m'), { code: 'E1', status: 404, nested: { a: [1] } }), 'member that cannot be cloned': withMembers(new Error('m'), { f: () => 1, ok: 1 }), 'member remote': withMembers(new Error('m'), { remote: 'mine' }), flags: withMembers(new RangeError('flags'), {
    retryable: true, overloaded: true, durableObjectReset: true,
  }), date: withMembers(new Error('d'), { at: new Date(5), map: new Map([[1, 2]]) }), 'hidden member': Object.defineProperty(new Error('h'), 'hidden', { value: 1, enumerable: false }),
  cause: new Error('outer', { cause: new TypeError('inner') }), 'plain cause': new Error('outer', { cause: { a: 1 } }),
  'text cause': new Error('outer', { cause: 'why' }), AggregateError: new AggregateError([new Error('a'), new TypeError('b')], 'all'),
  DOMException: new DOMException('dom', 'AbortError'), 'DOMException without name': new DOMException('dom'),
  text: 'a text', 'empty text': '', number: 5, '-0': -0, NaN: NaN, true: true, undefined, null: null, bigint: 5n, symbol: Symbol('s'),
  object: { a: 1 }, 'object with message': { message: 'm', name: 'N' }, array: [1], function: () => 1, 'no prototype': Object.create(null),
  'class instance': new Point(), 'error from JSON': JSON.parse('{"message":"m"}'),
});

const reach = [
  'plain', 'inherited', 'overridden', 'asynchronous', 'generator', '_underscore', '$dollar', 'with-dash', '\u00e9', 'usesHidden',
  'onPrototype', 'valueOnPrototype', 'objectOnPrototype', 'own', 'ownMethod', 'assigned', 'defined', 'fixed', 'nothing', '', 'number',
  'inheritedGetter', 'object', 'method', 'throwing', 'promised', 'onlySetter', 'alarm', 'webSocketMessage', 'webSocketClose',
  'webSocketError', 'dup', 'ctx', 'env', '#hidden', '__proto__', 'prototype', 'length', 'name', 'whoAmI',
];

program.inWorker('calls', async ({ check, env }) => {
  const stub = env.SUBJECT.getByName('a');
  for (const name of reach) if (!['name', '__proto__'].includes(name)) await check(`${name}()`, () => stub[name]());
});

program.inWorker('members', async ({ check, env }) => {
  const stub = env.SUBJECT.getByName('a');
  for (const name of [
    'number', 'inheritedGetter', 'object', 'throwing', 'promised', 'onlySetter', 'valueOnPrototype', 'objectOnPrototype', 'own', 'assigned',
    'defined', 'nothing', 'ctx', 'env', 'fixed',
  ]) await check(name, () => stub[name]);
  for (const name of [
    'toString', 'valueOf', 'hasOwnProperty', 'isPrototypeOf', 'propertyIsEnumerable', 'toLocaleString', 'constructor', '__defineGetter__',
    'then', 'toJSON', 'inspect',
  ]) check(`typeof ${name}`, () => typeof stub[name]);
});

program.inWorker('arguments', async ({ check, env }) => {
  const stub = env.SUBJECT.getByName('a');
  await check('none', () => stub.args());
  await check('undefined', () => stub.args(undefined));
  await check('undefined in the middle', () => stub.args(1, undefined, 2));
  await check('100', async () => (await stub.args(...Array(100).fill(1)))[0]);
  await check('a large text', async () => (await stub.asynchronous('x'.repeat(1_000_000))).length);
  await check('changing it after the call', async () => { const value = { a: 1 }; const call = stub.asynchronous(value); value.a = 2; return call; });
  await check('the copy is another object', async () => { const value = { a: 1 }; return (await stub.asynchronous(value)) === value; });
  for (const [label, value] of Object.entries(refusedValues())) {
    if ([
      'function', 'async function', 'class', 'method', 'function within', 'toJSON', 'promise', 'proxy',
    ].includes(label)) continue; // become stubs, which come later
    await check(`refused, ${label}`, () => stub.args(value));
  }
  for (const [label, value] of Object.entries({
    'class instance': new Point(), 'class instance within': [new Point()], 'no prototype': Object.create(null),
    'with a prototype': Object.create({ a: 1 }), URL: new URL('http://x/'), namespace: env.SUBJECT, id: stub.id,
    'array of a class': new (class List extends Array {})(1),
  })) await check(`of ${label}`, () => stub.args(value));
  await check('a refused one stops the call', async () => { try { await stub.args(1, Symbol('s')); } catch { return 'refused'; } });
});

program.inWorker('results', async ({ check, env }) => {
  const stub = env.SUBJECT.getByName('a');
  for (const label of Object.keys(results())) {
    if ([
      'function', 'async function', 'class', 'method', 'function within', 'toJSON', 'promise within', 'proxy',
    ].includes(label)) continue; // become stubs, which come later
    await check(label, () => stub.returns(label));
  }
});

program.inWorker('errors', async ({ check, env }) => {
  const stub = env.SUBJECT.getByName('a');
  for (const label of Object.keys(thrown())) await check(label, () => stub.throws(label));
  for (const label of ['Error', 'own class, named', 'members', 'text', 'object', 'cause']) await check(`${label}, rejected`, () => stub.rejects(label));
  await check('of SQL', () => stub.sql('SELEC 1'));
  await check('instanceof', async () => { try { await stub.throws('TypeError'); } catch (error) {
    return [error instanceof TypeError, error instanceof Error, Object.prototype.toString.call(error)];
  } });
  await check('the id', async () => { try { await stub.throws('Error'); } catch (error) { return error.durableObjectId === stub.id.toString(); } });
  await check('first line of the stack', async () => { try { await stub.throws('TypeError'); } catch (error) { return error.stack.split('\n')[0]; } });
  await check('the object goes on', () => stub.plain());
});

program.inWorker('promises', async ({ check, env }) => {
  const stub = env.SUBJECT.getByName('a');
  await check('then', () => stub.plain().then((value) => `then ${value}`));
  await check('catch', () => stub.throws('Error').catch((error) => error.message));
  await check('finally', async () => { let ran = false; await stub.plain().finally(() => { ran = true; }); return ran; });
  await check('Promise.all', () => Promise.all([stub.plain(), stub.inherited()]));
  await check('a method taken off', async () => { const { plain } = stub; return plain(); });
  await check('awaited twice', async () => { const call = stub.plain(); return [await call, await call]; });
  await check('instanceof Promise', () => { const call = stub.plain(); void call.then(() => {}); return call instanceof Promise; });
  await check('not awaited', async () => { void stub.plain(); return stub.plain(); });
});

program.inWorker('classes without RPC', async ({ check, env }) => {
  const stub = env.PLAIN.getByName('a');
  await check('a method', () => stub.hello());
  await check('an unknown method', () => stub.nothing());
  await check('a member', () => stub.hello);
  await check('fetch', async () => (await stub.fetch('http://x/a')).text());
  await check('RPC without fetch', () => env.BARE.getByName('a').hello());
  await check('fetch without fetch', () => env.BARE.getByName('a').fetch('http://x/'));
});

program.inWorker('fetch', async ({ check, env }) => {
  const stub = env.SUBJECT.getByName('a');
  const told = async (response) => [response.status, await response.text()];
  await check('a URL', async () => told(await stub.fetch('http://x/a?b=1')));
  await check('status text', async () => (await stub.fetch('http://x/')).statusText);
  await check('a URL object', async () => told(await stub.fetch(new URL('http://y/z'))));
  await check('a Request', async () => told(await stub.fetch(new Request('http://x/r', { method: 'POST', body: 'b' }))));
  await check('a Request with init', async () => told(await stub.fetch(new Request('http://x/r', { method: 'POST', body: 'b' }), { method: 'PUT' })));
  await check('lower case method', async () => told(await stub.fetch('http://x/', { method: 'post' })));
  await check('fragment', async () => told(await stub.fetch('http://x/#f')));
  await check('throws', () => stub.fetch('http://x/throw'));
  await check('returns nothing', () => stub.fetch('http://x/nothing'));
  await check('returns text', () => stub.fetch('http://x/text'));
  await check('no argument', () => stub.fetch());
  await check('a relative URL', () => stub.fetch('/x'));
  await check('an empty URL', () => stub.fetch(''));
  await check('another scheme', () => stub.fetch('ftp://x/'));
  await check('a body with GET', () => stub.fetch('http://x/', { body: 'b' }));
  await check('an unknown method', () => stub.fetch('http://x/', { method: 'FOO' }));
});

export default program.worker;
