/**
 * Tests that run on every JavaScript runtime: a file of them is a program that runs its tests one after
 * the other, prints a line for each, and ends with status 1 when one failed. (`node:test` is not the
 * same everywhere.)
 */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { clearTimeout, setImmediate, setTimeout } from 'node:timers';

/** What stands before a program on this runtime's command line. */
export const runArguments = process.versions.deno === undefined ? [] : ['run', '-A'];

/** A test that takes longer than this has failed. */
const TEST_MS_MAX = 60_000;

const tests = [];
const before = [];
const after = [];

/** What a test gets. */
class Context {
  cleanups = [];

  /** Runs `cleanup` after the test, in the reverse order. */
  after(cleanup) {
    this.cleanups.unshift(cleanup);
  }

  /** A folder that is removed when the test ends. */
  temporaryDirectory() {
    const directory = realpathSync(mkdtempSync(join(tmpdir(), 'perdure-test-')));
    this.after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
    return directory;
  }
}

export function test(name, body) {
  if (tests.length === 0) setImmediate(runAll); // after the file has said all of them
  tests.push({ name, body });
}

export function beforeEach(body) {
  before.push(body);
}

export function afterEach(body) {
  after.push(body);
}

async function runOne(body) {
  const context = new Context();
  try {
    for (const each of before) await each(context);
    await body(context);
  } finally {
    for (const each of after) await each(context);
    for (const each of context.cleanups) await each();
  }
}

async function limited(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it did not end within ${TEST_MS_MAX} ms`)), TEST_MS_MAX);
  });
  await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function runAll() {
  let failed = 0;
  for (const { name, body } of tests) {
    try {
      await limited(runOne(body));
      console.log(`ok - ${name}`);
    } catch (error) {
      failed++;
      console.log(`not ok - ${name}`);
      console.log(error);
    }
  }
  console.log(`${tests.length} tests, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

// What ends early has not passed.
process.exitCode = 1;
