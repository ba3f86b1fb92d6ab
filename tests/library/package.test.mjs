// The package as a program finds it: `perdure` and `perdure/workers` in node_modules.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { runArguments, test } from '../support/suite.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Runs a program of its own, with the package installed; -> what it prints. */
function run(t, program) {
  const directory = t.temporaryDirectory();
  mkdirSync(join(directory, 'node_modules'));
  symlinkSync(root, join(directory, 'node_modules/perdure'));
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(directory, 'program.mjs'), program);
  return execFileSync(process.execPath, [...runArguments, 'program.mjs'], { cwd: directory, encoding: 'utf8', timeout: 30_000 });
}

const counter = `
import { open } from 'perdure';
import { DurableObject } from 'perdure/workers';
class Counter extends DurableObject {
  increment() {
    const value = (this.ctx.storage.kv.get('value') ?? 0) + 1;
    this.ctx.storage.kv.put('value', value);
    return value;
  }
}
const registry = open({ storageDir: 'data' });
const counters = registry.namespace('COUNTER', Counter, { storage: 'sqlite' });
`;

test('a program imports the package by its name', (t) => {
  assert.equal(run(t, `${counter} console.log(await counters.getByName('a').increment()); await registry.close();`), '1\n');
});

test('an open registry without work does not keep the process from ending', (t) => {
  const program = `${counter} console.log(await counters.getByName('a').increment());`;
  assert.equal(run(t, program), '1\n');
});

test('a call that nobody awaits is finished before the process ends', (t) => {
  assert.equal(run(t, `${counter} counters.getByName('a').increment().then(console.log);`), '1\n');
});

test('what a caller was told is there when the process ends without close()', (t) => {
  const program = `${counter}
  import { spawnSync } from 'node:child_process';
  import process from 'node:process';
  if (process.argv[2] === 'first') {
    console.log(await counters.getByName('a').increment());
    process.exit(0);
  }
  await registry.close();
  const first = spawnSync(process.execPath, [...${JSON.stringify(runArguments)}, 'program.mjs', 'first'], { encoding: 'utf8' });
  process.stdout.write(first.stdout + first.stderr);
  console.log(await open({ storageDir: 'data' }).namespace('COUNTER', Counter).getByName('a').increment());`;
  assert.equal(run(t, program), '1\n2\n');
});

test('what a registry says of "env" of perdure/workers', (t) => {
  const program = `import { env } from 'perdure/workers'; try { env.COUNTER } catch (error) { console.log(error.message); }`;
  assert.equal(
    run(t, program),
    'The export "env" is that of a project served by "perdure serve". Objects of a registry find their own in this.env.\n',
  );
});
