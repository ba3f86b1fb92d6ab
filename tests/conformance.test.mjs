// The machine that compares Perdure with workerd: what it counts, and that nothing slips through.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countReasons, differences, judge, MISSING, parseTranscript, programFaults } from '../conformance/support/compare.mjs';
import { programNames, runPrograms } from '../conformance/support/conformance.mjs';
import { describe } from '../conformance/support/describe.mjs';

const transcript = (checks) => parseTranscript(Object.entries(checks).map(([name, result]) => `${name}: ${result}\n`).join(''));

test('a transcript is read check by check, with the lines that belong to each', () => {
  assert.deepEqual([...parseTranscript('a / b: 1\na / c: 2 steps\n  x -> y: z\n  end\nd: 3\n')], [
    ['a / b', '1'],
    ['a / c', '2 steps\n  x -> y: z\n  end'],
    ['d', '3'],
  ]);
});

test('a transcript that hides a check is refused', () => {
  assert.throws(() => parseTranscript('a: 1\na: 2\n'), /two checks are named "a"/);
  assert.throws(() => parseTranscript('no name\n'), /a line without a name: "no name"/);
  assert.throws(() => parseTranscript(''), /a line without a name/);
  assert.throws(() => parseTranscript('  goes on\n'), /"goes on", which names no check/);
});

test('a check that only one of them answers is a difference', () => {
  assert.deepEqual(differences(transcript({ a: 1, b: 2 }), transcript({ b: 3, c: 4 })), [
    { name: 'a', workerd: '1', perdure: MISSING },
    { name: 'b', workerd: '2', perdure: '3' },
    { name: 'c', workerd: MISSING, perdure: '4' },
  ]);
  assert.deepEqual(differences(transcript({ a: 1 }), transcript({ a: 1 })), []);
});

test('a difference is declared by a quote of the documentation and by our answer', () => {
  const found = differences(transcript({ a: 1, b: 2 }), transcript({ a: 5, b: 6 }));
  const documentation = '# All\n### By choice\nA put is\n  its own transaction. More.';
  const judged = (declarations) => {
    const { declared, undeclared, faults } = judge(found, declarations, documentation);
    return [declared.map(({ name }) => name), undeclared.map(({ name }) => name), faults];
  };
  assert.deepEqual(judged([]), [[], ['a', 'b'], []]);
  assert.deepEqual(judged([{ because: 'A put is its own transaction.', checks: { a: '5' } }]), [['a'], ['b'], []]);
  assert.deepEqual(judged([{ because: 'A put is its own.', checks: { a: '5' } }]), [['a'], ['b'], ['docs/compatibility.md does not say "A put is its own."']]);
  assert.deepEqual(judged([{ because: '', checks: { a: '5' } }])[2], ['docs/compatibility.md does not say ""']);
  assert.deepEqual(judged([{ because: 'More.', checks: { a: '1' } }]), [[], ['a', 'b'], ['"a" is declared to answer 1']]);
  assert.deepEqual(judged([{ because: 'More.', checks: { c: '1' } }])[2], ['"c" is declared to differ and does not, or is declared twice']);
  assert.deepEqual(judged([{ because: 'More.', checks: { a: '5' } }, { because: 'More.', checks: { a: '5' } }])[2], ['"a" is declared to differ and does not, or is declared twice']);
});

test('a declared difference has the reason that the heading above its quote gives', () => {
  const found = differences(transcript({ a: 1, b: 1, c: 1 }), transcript({ a: 2, b: 2, c: 2 }));
  const documentation = '# All\nFirst.\n## Differences\nIn general.\n### By choice\nSecond.\n### By the platform\nThird.\n## Later\nFourth.\n';
  const { declared, faults } = judge(found, [{ because: 'Second.', checks: { a: '2' } }, { because: 'Third.', checks: { b: '2', c: '2' } }], documentation);
  assert.deepEqual(declared.map(({ name, reason }) => [name, reason]), [['a', 'by choice'], ['b', 'by the platform'], ['c', 'by the platform']]);
  assert.deepEqual(faults, []);
  assert.equal(countReasons(declared), '2 by the platform, 1 by choice');
  for (const because of ['First.', 'In general.', 'Fourth.'])
    assert.deepEqual(judge(found, [{ because, checks: {} }], documentation).faults, [`docs/compatibility.md says "${because}" below a heading that gives no reason ("By …")`]);
});

test('a section that ends early on both is a fault of the program', () => {
  const name = 's / (the section ends early)';
  assert.deepEqual(programFaults(transcript({ [name]: 'Error "x"' }), transcript({ [name]: 'Error "x"' })), [`"${name}" on both servers, with Error "x"`]);
  assert.deepEqual(programFaults(transcript({ [name]: 'Error "x"' }), transcript({ [name]: 'Error "y"' })), []);
});

test('values that a program can tell apart have different texts', () => {
  const buffer = new Uint8Array([1, 2, 3]).buffer;
  const part = { p: 1 };
  const cycle = {};
  cycle.self = cycle;
  const values = [
    undefined, null, 0, -0, NaN, '', '0', 0n, false, 'false', Symbol('a'), [], {}, [undefined], [,], [null], { a: undefined }, { a: 1, b: 2 }, { b: 2, a: 1 }, Object.create(null), new Date(0), new Date(NaN), new Map(), new Set(), new Map([[1, 2]]), [[1, 2]], /a/, /a/g,
    new Boolean(false), new Number(0), new Number(-0), new String(''), new Error('a'), new TypeError('a'), Object.assign(new Error('a'), { code: 1 }), Object.assign(new Error('a'), { name: 'b' }), new Error('a', { cause: 1 }), new DOMException('a', 'AbortError'), buffer, new Uint8Array(buffer), new Uint8ClampedArray(buffer), new Int8Array(buffer), new DataView(buffer), new Uint8Array(buffer, 1), new Uint8Array([2, 3]), new ArrayBuffer(3, { maxByteLength: 8 }), new Uint8Array(new ArrayBuffer(3, { maxByteLength: 8 })),
    [part, part], [part, { p: 1 }], cycle, { self: {} }, Promise.resolve(), '\ud800', '\ufffd', 'x'.repeat(500), 'x'.repeat(501), `${'x'.repeat(499)}y`, Object.assign([1], { extra: 1 }), [1],
  ];
  const texts = values.map(describe);
  for (const [i, text] of texts.entries()) assert.equal(texts.indexOf(text), i, `${text} stands for two values`);
  for (const text of texts) assert.match(text, /^[\x20-\x7e]*$/);
});

test('an error keeps to itself what differs by engine and by run', () => {
  const error = Object.assign(new Error('internal error; reference = abc123'), { durableObjectId: 'ff', remote: true });
  assert.equal(describe(error), 'Error "internal error; reference = <reference>" {durableObjectId: <id>, remote: true}');
});

test('Perdure says what workerd says', async (t) => {
  const seed = Number(process.env.PERDURE_SEED ?? Date.now() % 2 ** 32);
  t.diagnostic(`PERDURE_SEED=${seed}`);
  const reports = await runPrograms(programNames(), { seed });
  for (const { name, undeclared, faults } of reports) {
    assert.ok(undeclared.length === 0 && faults.length === 0, `seed ${seed}, ${name}: ${JSON.stringify([...undeclared, ...faults], null, 2)}`);
  }
  const checks = reports.reduce((sum, report) => sum + report.checks, 0);
  assert.ok(checks >= 300, `${checks} checks ran`);
});
