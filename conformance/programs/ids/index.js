// Ids, namespaces and stubs, as the Worker and the object itself see them.
import { DurableObject } from 'cloudflare:workers';
import { Program } from '../../support/program.mjs';

const program = new Program();

let instances = 0;

export class Subject extends DurableObject {
  instance = ++instances;

  seen() {
    const { id } = this.ctx;
    return [id.toString(), id.name, JSON.stringify(id), `${id}`];
  }
  which() {
    return this.instance;
  }
  mark() {
    const seen = this.ctx.id.mark;
    this.ctx.id.mark = 'set';
    return seen;
  }
  sameId(hex) {
    return this.ctx.id.equals(this.env.SUBJECT.idFromString(hex));
  }
}

export class Other extends Subject {}

program.inWorker('names', async ({ check, env: { SUBJECT, AGAIN, OTHER } }) => {
  const names = {
    a: 'a', b: 'b', empty: '', digit: '0', null: 'null', undefined: 'undefined', umlaut: '\u00fc', emoji: '\u{1f600}',
    nul: 'a\0b', 'surrogates in the wrong order': '\udc00\ud800', 'lone high surrogate': '\ud800', 'lone low surrogate': '\udc00',
    'long (100,000)': 'x'.repeat(100_000),
    'composed e': '\u00e9', 'decomposed e': 'e\u0301', newline: 'a\nb', space: ' ', 'upper case': 'A',
  };
  for (const [label, name] of Object.entries(names)) {
    check(`idFromName, ${label}`, () => SUBJECT.idFromName(name).toString());
    check(`idFromName, ${label}, name`, () => SUBJECT.idFromName(name).name);
  }
  check('another namespace gives another id', () => OTHER.idFromName('a').toString() !== SUBJECT.idFromName('a').toString());
  check('a second binding of the class gives the same id', () => AGAIN.idFromName('a').equals(SUBJECT.idFromName('a')));
  check('of another namespace', () => OTHER.idFromName('a').toString());
});

program.inWorker('coercion', async ({ check, env: { SUBJECT } }) => {
  const odd = {
    number: 5, '-0': -0, NaN: NaN, null: null, true: true, bigint: 10n, object: {}, array: ['a', 'b'], 'empty array': [],
    boxed: new String('x'), 'object with toString': { toString: () => 'made' }, symbol: Symbol('s'), function: function named() {},
    'throwing toString': { toString() { throw new RangeError('no text'); } },
  };
  for (const [label, value] of Object.entries(odd)) {
    if (label !== 'function') check(`idFromName of ${label}`, () => SUBJECT.idFromName(value).name);
    check(`getByName of ${label}`, () => typeof SUBJECT.getByName(value).name);
    check(`idFromString of ${label}`, () => SUBJECT.idFromString(value));
    check(`get of ${label}`, () => SUBJECT.get(value));
  }
  for (const method of ['idFromName', 'getByName', 'idFromString', 'get']) {
    check(`${method} without argument`, () => SUBJECT[method]());
    check(`${method} of undefined`, () => SUBJECT[method](undefined).name);
  }
  check('a namespace of no object', () => (0, SUBJECT.idFromName)('a'));
});

program.inWorker('strings', async ({ check, env: { SUBJECT, OTHER } }) => {
  const id = SUBJECT.idFromName('a');
  const hex = id.toString();
  check('hex digits', () => /^[0-9a-f]{64}$/.test(hex));
  check('back and forth', () => SUBJECT.idFromString(hex).equals(id));
  check('upper case', () => SUBJECT.idFromString(hex.toUpperCase()).toString() === hex);
  check('name is not known', () => SUBJECT.idFromString(hex).name);
  check('of a unique id', () => {
    const unique = SUBJECT.newUniqueId();
    return SUBJECT.idFromString(unique.toString()).equals(unique);
  });
  const wrong = {
    empty: '', short: 'abc', '63 digits': '0'.repeat(63), '65 digits': '0'.repeat(65), 'no hex': 'z'.repeat(64), zeros: '0'.repeat(64),
    'another namespace': OTHER.idFromName('a').toString(), 'unique of another namespace': OTHER.newUniqueId().toString(),
    'last digit changed': hex.slice(0, -1) + (hex.endsWith('0') ? '1' : '0'), 'first digit changed': (hex.startsWith('0') ? '1' : '0') + hex.slice(1),
    'a space before': ` ${hex}`, 'a space behind': `${hex} `, 'a space within': `${hex.slice(0, 63)} `,
    'full-width digits': '\uff10'.repeat(64), '0x before': `0x${hex.slice(2)}`,
  };
  for (const [label, text] of Object.entries(wrong)) check(`refused, ${label}`, () => SUBJECT.idFromString(text));
});

program.inWorker('unique ids', async ({ check, env: { SUBJECT, OTHER } }) => {
  check('form', () => /^[0-9a-f]{64}$/.test(SUBJECT.newUniqueId().toString()));
  check('never the same', () => new Set(Array.from({ length: 1000 }, () => SUBJECT.newUniqueId().toString())).size);
  check('name', () => SUBJECT.newUniqueId().name);
  check('JSON', () => JSON.stringify(SUBJECT.newUniqueId()));
  check('not of another namespace', () => OTHER.idFromString(SUBJECT.newUniqueId().toString()));
  check('options undefined', () => SUBJECT.newUniqueId(undefined).name);
  check('options null', () => SUBJECT.newUniqueId(null).name);
  check('options {}', () => SUBJECT.newUniqueId({}).name);
  check('options number', () => SUBJECT.newUniqueId(5).name);
  check('options string', () => SUBJECT.newUniqueId('eu').name);
  check('unknown option', () => SUBJECT.newUniqueId({ other: 1 }).name);
  check('jurisdiction', () => SUBJECT.newUniqueId({ jurisdiction: 'eu' }));
  check('jurisdiction undefined', () => SUBJECT.newUniqueId({ jurisdiction: undefined }).name);
  check('jurisdiction null', () => SUBJECT.newUniqueId({ jurisdiction: null }).name);
  check('jurisdiction() of the namespace', () => SUBJECT.jurisdiction('eu'));
  check('jurisdiction() without argument', () => SUBJECT.jurisdiction().constructor.name);
});

program.inWorker('equality', async ({ check, env: { SUBJECT, AGAIN, OTHER } }) => {
  const id = SUBJECT.idFromName('a');
  check('itself', () => id.equals(id));
  check('the same name', () => id.equals(SUBJECT.idFromName('a')));
  check('another name', () => id.equals(SUBJECT.idFromName('b')));
  check('another namespace', () => id.equals(OTHER.idFromName('a')));
  check('another binding', () => id.equals(AGAIN.idFromName('a')));
  for (const [label, value] of Object.entries({ text: 'x', hex: id.toString(), null: null, undefined, object: {}, stub: SUBJECT.get(id) }))
    check(`equals of ${label}`, () => id.equals(value));
  check('equals without argument', () => id.equals());
});

program.inWorker('the id object', async ({ check, env: { SUBJECT } }) => {
  const id = SUBJECT.idFromName('a');
  check('tag', () => Object.prototype.toString.call(id));
  check('constructor', () => id.constructor.name);
  check('new', () => new id.constructor());
  check('JSON', () => JSON.stringify(id));
  check('template', () => `${id}` === id.toString());
  check('keys', () => Object.keys(id));
  check('name in id', () => 'name' in id);
  check('methods', () => Object.getOwnPropertyNames(Object.getPrototypeOf(id)).sort());
  check('assigning name', () => { id.name = 'other'; });
  check('name after that', () => id.name);
  check('a new member', () => { const own = SUBJECT.idFromName('member'); own.member = 1; return own.member; });
  check('that member, of another id of the name', () => SUBJECT.idFromName('member').member);
  check('assigning jurisdiction', () => { id.jurisdiction = 'eu'; });
  check('deleting name', () => delete id.name);
  check('deleting name of another id', () => SUBJECT.idFromName('a').name);
  check('extensible', () => Object.isExtensible(id));
  check('toString of no id', () => id.toString.call({}));
  check('equals of no id', () => id.equals.call({}, id));
});

program.inWorker('the namespace object', async ({ check, env }) => {
  const { SUBJECT } = env;
  check('tag', () => Object.prototype.toString.call(SUBJECT));
  check('constructor', () => SUBJECT.constructor.name);
  check('methods', () => Object.getOwnPropertyNames(Object.getPrototypeOf(SUBJECT)).sort());
  check('keys', () => Object.keys(SUBJECT));
  check('JSON', () => JSON.stringify(SUBJECT));
  check('new', () => new SUBJECT.constructor());
  check('env', () => Object.keys(env));
});

program.inWorker('stubs', async ({ check, env: { SUBJECT, OTHER } }) => {
  const id = SUBJECT.idFromName('a');
  const stub = SUBJECT.get(id);
  check('id', () => stub.id === id);
  check('name', () => stub.name);
  check('id of a stub by name, twice', () => { const named = SUBJECT.getByName('a'); return named.id === named.id; });
  check("ctx.id is the object's own", async () => [await stub.mark(), await stub.mark(), id.mark]);
  check('getByName', () => SUBJECT.getByName('a').id.equals(id));
  check('getByName, name', () => SUBJECT.getByName('q').name);
  check('name of a unique id', () => SUBJECT.get(SUBJECT.newUniqueId()).name);
  check('name through idFromString', () => SUBJECT.get(SUBJECT.idFromString(id.toString())).name);
  check('of another namespace', () => SUBJECT.get(OTHER.idFromName('a')).name);
  check('locationHint', () => SUBJECT.get(id, { locationHint: 'weur' }).name);
  check('options number', () => SUBJECT.get(id, 5).name);
  check('options null', () => SUBJECT.get(id, null).name);
  check('getByName, options number', () => SUBJECT.getByName('a', 5).name);
  check('tag', () => Object.prototype.toString.call(stub));
  check('template', () => `${stub}`);
  check('keys', () => Object.keys(stub));
  check('JSON', () => JSON.stringify(stub));
  check('constructor', () => stub.constructor.name);
  check('constructor()', () => stub.constructor());
  check('new', () => new stub.constructor());
  check('then', () => stub.then);
  check('await', async () => (await stub) === stub);
  check('in', () => ['seen' in stub, 'nothing' in stub]);
  check('a symbol', () => stub[Symbol.for('s')]);
  check('iterator', () => stub[Symbol.iterator]);
  check('toPrimitive', () => stub[Symbol.toPrimitive]);
  check('assigning', () => { const own = SUBJECT.getByName('own'); own.member = 1; return own.member; });
  check('assigning id', () => { stub.id = 1; });
  check('assigning name', () => { stub.name = 1; });
  check('typeof fetch', () => typeof stub.fetch);
  check('typeof method', () => typeof stub.seen);
  check('typeof nothing', () => typeof stub.nothing);
  check('hasOwnProperty', () => stub.hasOwnProperty('x'));
  check('valueOf', () => stub.valueOf() === stub);
  check('toString()', () => stub.toString());
  check('two stubs of an id', () => SUBJECT.get(id) === SUBJECT.get(id));
});

program.inWorker('in the object', async ({ check, env: { SUBJECT, AGAIN } }) => {
  await check('by name', () => SUBJECT.getByName('inside').seen());
  await check('then through idFromString', () => SUBJECT.get(SUBJECT.idFromString(SUBJECT.idFromName('inside').toString())).seen());
  await check('first through idFromString', () => SUBJECT.get(SUBJECT.idFromString(SUBJECT.idFromName('other way').toString())).seen());
  await check('then by name', () => SUBJECT.getByName('other way').seen());
  await check('empty name', () => SUBJECT.getByName('').seen());
  await check('unique', async () => {
    const id = SUBJECT.newUniqueId();
    const [hex, ...others] = await SUBJECT.get(id).seen();
    return [hex === id.toString(), ...others.slice(0, 2)];
  });
  await check('id made inside', () => SUBJECT.getByName('a').sameId(SUBJECT.idFromName('a').toString()));
  await check('one instance for each id', async () => {
    const numbers = await Promise.all([SUBJECT.getByName('one'), SUBJECT.getByName('one'), AGAIN.getByName('one')].map((stub) => stub.which()));
    return new Set(numbers).size;
  });
  await check('a stub runs nothing', async () => {
    const before = instances;
    SUBJECT.getByName('never called');
    await null;
    return instances - before;
  });
});

export default program.worker;
