// perdure export of a namespace in which not every object can be exported.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/files.mjs';
import { startLab } from '../support/lab.mjs';
import { operator } from '../support/operate.mjs';

const NAMESPACE = 'bench-Counter';
/** Files may become so large, and no write of more ends the process. */
const FILE_BYTES_MAX = 1 << 20;
const smallFiles = ['sh', '-c', `trap '' XFSZ; exec prlimit --fsize=${FILE_BYTES_MAX} "$@"`, 'sh'];

/** A server that has no object in memory. */
async function serveObjects(t, names) {
  const data = join(temporaryDirectory(t), 'data');
  const first = await startLab(t, { data });
  for (const name of names) await first.object(name, ({ kv }) => void kv.put('k', 1));
  await first.stop();
  const lab = await startLab(t, { data, threads: 2 });
  const objects = JSON.parse((await operator(data)('objects', 'ls', NAMESPACE, '--json')).stdout);
  const idOf = (wanted) => objects.find(({ name }) => name === wanted).id;
  return { lab, data, idOf, fileOf: (name) => join(data, 'objects', NAMESPACE, `${idOf(name)}.sqlite`) };
}

const namesIn = (folder) => readFileSync(join(folder, NAMESPACE, 'objects.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line).name);

test('a damaged object is left out and named, and all others are exported', async (t) => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const { lab, data, idOf, fileOf } = await serveObjects(t, names);
  // On the second of two threads; the socket is on the first one.
  const lost = names.find((name) => Number.parseInt(idOf(name).slice(0, 8), 16) % 2 === 1);
  const whole = names.filter((name) => name !== lost);
  renameSync(fileOf(lost), join(data, 'lost'));
  for (const state of ['served', 'stopped']) {
    if (state === 'stopped') assert.equal((await lab.stop()).code, 0);
    const out = join(data, '..', state);
    const { code, stdout, stderr } = await operator(data)('export', NAMESPACE, out);
    assert.match(stdout, /^Exported 4 objects /);
    const [leftOut, end, ...more] = stderr.split('\n');
    assert.ok(leftOut.startsWith(`perdure: left out: ${NAMESPACE} "${lost}", ${idOf(lost)}: The file ${fileOf(lost)} is missing`), stderr);
    assert.equal(end, 'perdure: 1 damaged object was left out. "perdure verify" finds everything that is damaged.');
    assert.deepEqual([code, more], [4, ['']]);
    assert.deepEqual(namesIn(out), whole);
    assert.deepEqual(readdirSync(join(out, NAMESPACE)).sort(), ['objects.jsonl', ...whole.map((name) => `${idOf(name)}.sqlite`)].sort());
    for (const args of [['sql', NAMESPACE, lost, 'SELECT 1'], ['kv', 'put', NAMESPACE, lost, 'k', '1']]) assert.equal((await operator(data)(...args)).code, 4, args.join(' '));
  }
  const alone = await operator(data)('export', NAMESPACE, lost, join(data, '../alone'));
  assert.match(alone.stderr, /^perdure: The file .* is missing/);
  assert.equal(alone.code, 4);
});

test('an export that another error ends says what it has left', async (t) => {
  const { lab, data } = await serveObjects(t, ['a', 'b']);
  await lab.object('large', ({ kv }) => void kv.put('k', 'x'.repeat(1_500_000)));
  const perdure = operator(data, { wrapper: smallFiles });
  const out = join(data, '../out');
  const { code, stdout, stderr } = await perdure('export', NAMESPACE, out);
  const folder = join(out, NAMESPACE);
  assert.deepEqual(stderr.split('\n').slice(0, 2), [
    `perdure: The folder ${folder} is not complete: it has the 2 of 3 objects that objects.jsonl lists. Remove it, or export to another one.`,
    'perdure: EFBIG: file too large, write',
  ]);
  assert.deepEqual([code, stdout, namesIn(out)], [1, '', ['a', 'b']]);
  // Before the first object there is nothing to say so of.
  const nowhere = await perdure('export', 'nobody', out);
  assert.match(nowhere.stderr, /^perdure: There is no namespace "nobody"/);
  assert.deepEqual([nowhere.code, readdirSync(join(out, 'nobody'))], [3, []]);
});
