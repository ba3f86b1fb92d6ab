// Our own writer and reader of V8's serialization format, against V8's. They serve runtimes without V8.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { Deserializer, Serializer } from 'node:v8';
import { build } from 'esbuild';
import { root, temporaryDirectory } from './support/files.mjs';
import { createRandom } from './support/random.mjs';

async function load(t) {
  const outfile = join(temporaryDirectory(t), 'v8-format.mjs');
  const contents = "export { V8Writer } from './v8-writer.js'; export { V8Reader } from './v8-reader.js';";
  await build({ stdin: { contents, resolveDir: join(root, 'js/src/runtime') }, bundle: true, format: 'esm', outfile });
  const { V8Writer, V8Reader } = await import(pathToFileURL(outfile).href);
  return { write: V8Writer.write, read: V8Reader.read };
}

function v8Write(value) {
  const serializer = new Serializer();
  serializer.writeHeader();
  serializer.writeValue(value);
  return serializer.releaseBuffer();
}

function v8Read(bytes) {
  const deserializer = new Deserializer(bytes);
  deserializer.readHeader();
  return deserializer.readValue();
}

/** V8 writes both alike. (assert.deepEqual() holds that an invalid date is not itself.) */
function assertSame(got, wanted, what) {
  assert.ok(v8Write(got).equals(v8Write(wanted)), `${what}: ${inspect(got, { depth: 9 })} is not ${inspect(wanted, { depth: 9 })}`);
}

const shared = { shared: true };
const cycle = { name: 'cycle' };
cycle.self = cycle;
const buffer = Uint8Array.from({ length: 64 }, (_, i) => i).buffer;
const holes = [1, , 3]; // eslint-disable-line no-sparse-arrays
const named = Object.assign([1, 2], { extra: 'x' });

const values = {
  primitives: [undefined, null, true, false, 0, -0, 1, -1, 2 ** 30, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, 2 ** 53, 0.1, NaN, Infinity, -Infinity],
  bigints: [0n, 1n, -1n, 2n ** 64n, -(2n ** 64n) - 1n, 123456789012345678901234567890n],
  strings: ['', 'abc', 'é ÿ \x80\x9f', 'Ω', '🙂', '\ud800', '\ufffd', '\ufeffbom', 'x'.repeat(200), 'Ω'.repeat(200), `a${'Ω'}`, ['Ω', 'aΩ', 'abΩ']],
  objects: [{}, { a: 1, b: { c: [] } }, { 1: 'one', 4294967294: 'index', 4294967295: 'not', '01': 'text', é: 1, Ω: 2 }, cycle, [shared, shared]],
  arrays: [[], [1, 'a', null, undefined], holes, new Array(5), named, [[[]]]],
  maps: [new Map(), new Map([[1, 'a'], [{ k: 1 }, [2]], [[1], new Map([[2, 3]])]]), new Set(), new Set([1, 'a', shared, shared, [1]])],
  dates: [new Date(0), new Date(NaN), new Date(-1.5e12)],
  boxed: [Object(true), Object(false), Object(5), Object('text'), Object('Ω'), Object(5n)],
  regexps: [/a/, /b/gimsuy, /Ω/d],
  buffers: [buffer, new ArrayBuffer(0)],
  views: [
    new Uint8Array(buffer), new Uint8Array(buffer, 3, 5), new Int8Array([-1]), new Uint8ClampedArray([300]), new Int16Array([-2]), new Uint16Array([3]),
    new Int32Array([-4]), new Uint32Array([5]), new Float32Array([0.5]), new Float64Array([0.1]), new BigInt64Array([-1n]), new BigUint64Array([1n]),
    new DataView(buffer, 8, 16), [new Uint8Array(buffer), new Uint16Array(buffer, 2, 4), buffer],
  ],
  errors: [
    new Error('plain'), new TypeError('type'), new RangeError(''), new EvalError('e'), new ReferenceError('r'), new SyntaxError('s'), new URIError('u'),
    new Error('with a cause', { cause: new TypeError('cause') }), Object.assign(new Error('named'), { name: 'Mine' }),
  ],
  prototypes: [JSON.parse('{"__proto__": 1, "a": 2}')],
};

test('what we write, V8 reads, and the other way round', async (t) => {
  const { write, read } = await load(t);
  for (const [kind, list] of Object.entries(values)) {
    for (const value of list) {
      assertSame(v8Read(Buffer.from(write(value))), v8Read(v8Write(value)), `${kind}: written`);
      const got = read(v8Write(value));
      assertSame(got, v8Read(v8Write(value)), `${kind}: read`);
      if (kind === 'errors') assert.equal(got.stack, value.stack);
    }
  }
});

test('the bytes are those of V8', async (t) => {
  const { write } = await load(t);
  for (const [kind, list] of Object.entries(values)) {
    if (kind === 'errors') continue; // the order of an error's parts is V8's business
    for (const value of list) assert.equal(Buffer.from(write(value)).toString('hex'), v8Write(value).toString('hex'), kind);
  }
});

test('an error with a cause, in the order of parts of older and of newer V8', async (t) => {
  const { read } = await load(t);
  for (const parts of ['m"\x01xcI\x02s"\x01S', 'm"\x01xs"\x01ScI\x02']) {
    const error = read(Buffer.from(`\xff\x0frT${parts}.`, 'latin1'));
    assert.ok(error instanceof TypeError);
    assert.deepEqual([error.message, error.cause, error.stack], ['x', 1, 'S']);
  }
});

test('headers and blobs, as workerd writes them', async (t) => {
  const { write, read } = await load(t);
  // What workerd stores of them: an array of headers, twice the same, and a blob.
  const stored = Buffer.from('\xff\x0fA\x03\\\x04\x03\x03\x05\x03y\xc3\xa9)\x03q=1\x00\x03x-a\x011^\x01\\\x0f\x0atext/plain\x03bcd$\x00\x03', 'latin1');
  const [headers, again, blob] = read(stored);
  assert.ok(headers instanceof Headers && blob instanceof Blob);
  assert.deepEqual([...headers], [['accept', 'y\u00e9'], ['set-cookie', 'q=1'], ['x-a', '1']]);
  assert.equal(again, headers);
  assert.deepEqual([blob.type, await blob.text()], ['text/plain', 'bcd']);
  const written = write([headers, again]);
  assert.equal(Buffer.from(written).toString('latin1'), '\xff\x0fA\x02\\\x04\x03\x03\x05\x03y\xc3\xa9)\x03q=1\x00\x03x-a\x011^\x01$\x00\x02');
  assert.throws(() => read(Buffer.from('\xff\x0f\\\x63', 'latin1')), { message: 'Unable to deserialize cloned data.' });
  assert.throws(() => read(Buffer.from('\xff\x0f\\\x04\x03\x01\x63\x01v', 'latin1')), { message: 'Unable to deserialize cloned data.' });
});

test('identities and cycles hold', async (t) => {
  const { write, read } = await load(t);
  for (const through of [(value) => v8Read(Buffer.from(write(value))), (value) => read(v8Write(value))]) {
    const [one, two] = through([shared, shared]);
    assert.equal(one, two);
    const back = through(cycle);
    assert.equal(back.self, back);
    const [bytes, words, whole] = through([new Uint8Array(buffer), new Uint16Array(buffer, 2, 4), buffer]);
    assert.equal(bytes.buffer, whole);
    assert.equal(words.buffer, whole);
  }
});

test('resizable buffers and views that follow them', async (t) => {
  const { write, read } = await load(t);
  const resizable = new ArrayBuffer(8, { maxByteLength: 32 });
  for (const through of [(value) => v8Read(Buffer.from(write(value))), (value) => read(v8Write(value))]) {
    const [follows, fixed] = through([new Uint8Array(resizable), new Uint8Array(resizable, 0, 8)]);
    assert.equal(follows.buffer.maxByteLength, 32);
    follows.buffer.resize(16);
    assert.deepEqual([follows.length, fixed.length], [16, 8]);
  }
});

test('what structured clone refuses is a DataCloneError', async (t) => {
  const { write } = await load(t);
  for (const value of [() => {}, Symbol('s'), new WeakMap(), new WeakSet(), Promise.resolve(), new SharedArrayBuffer(8), { deep: [() => {}] }])
    assert.throws(() => write(value), { name: 'DataCloneError' });
  assert.throws(() => write({ get a() { throw new RangeError('getter'); } }), RangeError);
});

test('random values', async (t) => {
  const { write, read } = await load(t);
  const seed = Number(process.env.PERDURE_SEED ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`PERDURE_SEED=${seed}`);
  const random = createRandom(seed);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const leaves = Object.values(values).flat();
  const make = (depth) => {
    if (depth === 0 || random() < 0.3) return pick(leaves);
    const members = Array.from({ length: Math.floor(random() * 4) }, () => make(depth - 1));
    return pick([
      () => members,
      () => new Map(members.map((member, i) => [members[i - 1] ?? i, member])),
      () => new Set(members),
      () => Object.fromEntries(members.map((member, i) => [pick(['a', 'Ω', String(i), `k${i}`]), member])),
    ])();
  };
  for (let round = 0; round < 500; round++) {
    const value = make(4);
    assertSame(v8Read(Buffer.from(write(value))), v8Read(v8Write(value)), 'written');
    assertSame(read(v8Write(value)), v8Read(v8Write(value)), 'read');
  }
});

test('broken bytes are an error, never something else', async (t) => {
  const { read } = await load(t);
  const bytes = v8Write(Object.values(values).slice(0, 8));
  const copy = new Uint8Array(bytes);
  for (let size = 0; size < copy.length; size++) assert.throws(() => read(copy.subarray(0, size)), /Unable to deserialize cloned data/);
  const newer = copy.slice();
  newer[1] = 99;
  assert.throws(() => read(newer), /unsupported version/);
});
