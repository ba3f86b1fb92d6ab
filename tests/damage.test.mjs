// What a start does with a log that a crash, a disk or a newer version left.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { closeSync, cpSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, temporaryDirectory, writeFiles } from './support/files.mjs';
import { runPerdure, serve } from './support/perdure.mjs';

const counter = join(root, 'examples/counter');
const incrementCount = 100;
/** See docs/log-format.md. */
const frameMagic = 'PRDF';
const frameHeaderBytes = 64;
const frameAlignment = 8;
const versionAt = 8;

/** A data directory after a crash: its first segment holds one frame for each increment. */
async function crashed(t) {
  const data = join(temporaryDirectory(t), 'data');
  const server = await serve(t, counter, { data });
  for (let i = 1; i <= incrementCount; i++) {
    assert.equal(await server.text('/increment?name=a', { method: 'POST' }), `${i}\n`);
  }
  await server.stop('SIGKILL');
  const segment = join(data, 'log', readdirSync(join(data, 'log')).filter((name) => name.endsWith('.log')).sort()[0]);
  return { data, segment };
}

function frames(segment) {
  const bytes = readFileSync(segment);
  const found = [];
  for (let at = bytes.indexOf(frameMagic); at >= 0; at = bytes.indexOf(frameMagic, at + 1)) {
    if (at % frameAlignment === 0) found.push(at);
  }
  assert.ok(found.length >= incrementCount, `${found.length} frames`);
  return found;
}

/** Writes `bytes` into a file, which keeps its size. */
function overwrite(file, at, bytes) {
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, bytes, 0, bytes.length, at);
  closeSync(descriptor);
}

function flipBit(file, at) {
  overwrite(file, at, Buffer.of(readFileSync(file)[at] ^ 1));
}

function digest(data) {
  const hash = createHash('sha256');
  for (const path of readdirSync(data, { recursive: true, withFileTypes: true })) {
    if (path.isFile()) hash.update(path.name).update(readFileSync(join(path.parentPath ?? path.path, path.name)));
  }
  return hash.digest('hex');
}

async function refusal(data) {
  const before = digest(data);
  const { code, stdout, stderr } = await runPerdure(['serve', counter, '--port', '0', '--data', data]);
  assert.equal(code, 1);
  assert.equal(stdout, '');
  assert.equal(digest(data), before, 'nothing was changed');
  return stderr;
}

test('a damaged catalog is refused, with its name', async (t) => {
  const whole = join(temporaryDirectory(t), 'data');
  assert.equal((await (await serve(t, counter, { data: whole })).stop()).code, 0);
  const keyAt = readFileSync(join(whole, 'catalog.sqlite')).indexOf('counter-Counter');
  // A namespace of another key than its index has; no database any more.
  for (const [at, what] of [[keyAt, 'UNIQUE constraint failed: .*'], [0, 'file is not a database: SQLITE_NOTADB']]) {
    const data = `${whole} ${at}`;
    cpSync(whole, data, { recursive: true });
    const catalog = join(data, 'catalog.sqlite');
    flipBit(catalog, at);
    const { code, stdout, stderr } = await runPerdure(['serve', counter, '--port', '0', '--data', data]);
    const told = `^perdure: The catalog ${catalog} is damaged: ${what}\\. Put back a backup of the data directory; "perdure verify --data ${data}" finds everything that is damaged\\.\n$`;
    assert.match(stderr, new RegExp(told));
    assert.deepEqual([code, stdout], [1, '']);
  }
});

test('a flipped bit in the middle of the log is refused', async (t) => {
  const { data, segment } = await crashed(t);
  const all = frames(segment);
  const at = all[all.length >> 1];
  flipBit(segment, at + frameHeaderBytes + 20);
  assert.equal(
    await refusal(data),
    `perdure: The log is damaged: frame at byte ${at} of ${segment} does not match its checksum, and later frames show that it had been stored. Nothing was changed. Restore the file from a backup, or move the data directory away to start empty.\n`,
  );
  flipBit(segment, at + frameHeaderBytes + 20);
  const server = await serve(t, counter, { data });
  assert.equal(await server.text('/?name=a'), `${incrementCount}\n`, 'mended, it starts again');
});

test('a torn end is cut, and how much is said', async (t) => {
  const { data, segment } = await crashed(t);
  const at = frames(segment).at(-1);
  flipBit(segment, at + frameHeaderBytes + 20);
  let server = await serve(t, counter, { data });
  assert.equal(await server.text('/?name=a'), `${incrementCount - 1}\n`);
  assert.equal(await server.text('/increment?name=a', { method: 'POST' }), `${incrementCount}\n`);
  const { stdout } = await server.stop('SIGKILL');
  const [, cut, file, offset] =
    /^Perdure serves .*\nThe log had a torn end: (\d+) bytes were cut from (\S+) at offset (\d+); nothing in them had been acknowledged\.\n$/.exec(stdout) ?? assert.fail(stdout);
  assert.ok(Number(cut) > frameHeaderBytes, cut);
  assert.equal(file, segment);
  assert.equal(Number(offset), at);

  server = await serve(t, counter, { data });
  assert.equal(await server.text('/?name=a'), `${incrementCount}\n`, 'the log goes on after the cut');
  assert.equal((await server.stop()).stdout.split('\n').length, 2, 'and is whole again');
});

for (const [what, name] of [['log segment', undefined], ['checkpoint', 'checkpoint']]) {
  test(`a ${what} of a newer format is refused`, async (t) => {
    const { data, segment } = await crashed(t);
    const file = name ? join(data, 'log', name) : segment;
    overwrite(file, versionAt, Buffer.of(99, 0, 0, 0));
    assert.equal(
      await refusal(data),
      `perdure: The ${what} ${file} has format version 99, and this build of Perdure reads up to version 1. Nothing was changed. Start it with the version of Perdure that wrote it.\n`,
    );
  });
}

test('a data directory of a newer format is refused', async (t) => {
  const { data } = await crashed(t);
  writeFileSync(join(data, 'format'), 'perdure 99\n');
  assert.equal(
    await refusal(data),
    `perdure: The data directory ${data} was written by a newer Perdure (format 99; this one reads up to 1). Use that version, or another directory with --data.\n`,
  );
});

test('a folder with files of somebody else is refused', async (t) => {
  const data = writeFiles(temporaryDirectory(t), { 'letter.txt': 'Dear Ada' });
  const { code, stderr } = await runPerdure(['serve', counter, '--port', '0', '--data', data]);
  assert.equal(
    stderr,
    `perdure: The directory ${data} is not a data directory of Perdure, and not empty (it has 'letter.txt' but no file 'format'). Choose another directory with --data.\n`,
  );
  assert.equal(code, 1);
});
