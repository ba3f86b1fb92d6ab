// What a caller outside any object is told is durable; calls between objects wait for nothing. Shown with
// a disk that is slow (a library that is preloaded into a program of its own).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { runArguments, test } from '../support/suite.mjs';

const syncMs = 300;
const fixture = (name) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

/** Milliseconds that each step of tests/fixtures/library-durability.mjs took. */
function measure(t) {
  const directory = t.temporaryDirectory();
  const library = join(directory, 'slow-sync.so');
  execFileSync('cc', ['-shared', '-fPIC', '-o', library, fixture('slow-sync.c'), '-ldl']);
  const output = execFileSync(process.execPath, [...runArguments, fixture('library-durability.mjs'), join(directory, 'data')], {
    encoding: 'utf8',
    env: { ...process.env, LD_PRELOAD: library, PERDURE_TEST_SYNC_MS: String(syncMs) },
    timeout: 50_000,
  });
  return JSON.parse(output);
}

test('outcomes wait until what they depend on is durable', (t) => {
  const ms = measure(t);
  const waits = ['write', 'error after a write', 'response', 'body after a write', 'read of what is not durable', 'body of a request', 'error of a stream'];
  const free = ['read', 'calls between objects', 'awaited put', 'body before a write'];
  assert.deepEqual(Object.keys(ms).sort(), [...waits, ...free].sort());
  for (const step of waits) assert.ok(ms[step] > syncMs / 2, `${step}: left after ${ms[step]} ms`);
  for (const step of free) assert.ok(ms[step] < syncMs / 2, `${step}: took ${ms[step]} ms`);
});
