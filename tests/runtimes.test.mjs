// The library on every runtime that it is for, from the one addon that was built.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { root, temporaryDirectory } from './support/files.mjs';
import { findRuntimes } from './support/runtimes.mjs';

const run = promisify(execFile);
const FILE_MS_MAX = 300_000;

const runtimes = findRuntimes();
const files = ['tests/library', 'tests/seeds'].filter((folder) => existsSync(join(root, folder))).flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.test.mjs'))
    .map((name) => `${folder}/${name}`),
);

test('the addon asks its host for Node-API alone', async () => {
  const addon = join(root, 'build/release/perdure.node');
  const { stdout } = await run('nm', ['--dynamic', '--undefined-only', addon]);
  const symbols = stdout.split('\n').map((line) => line.trim().split(' ').at(-1));
  assert.ok(symbols.includes('napi_create_function'));
  assert.deepEqual(symbols.filter((symbol) => /^uv_|2v8|4node/.test(symbol)), []);
});

for (const { name, version, path, args } of runtimes) {
  test(`the library on ${name} (${version})`, async (t) => {
    let passed = 0;
    for (const file of files) {
      await t.test(file, async () => {
        const { code = 0, stdout, stderr } = await run(path, [...args, file], { cwd: root, timeout: FILE_MS_MAX }).catch((error) => error);
        const count = Number(/^(\d+) tests, 0 failed$/m.exec(stdout)?.[1] ?? 0);
        assert.ok(code === 0 && count > 0, `${file} ended with ${code}:\n${stdout}\n${stderr}`);
        passed += count;
      });
    }
    t.diagnostic(`${name} ${version}: ${passed} tests of ${files.length} files`);
  });
}

test('each runtime reads the values that any other has written', async (t) => {
  const program = 'tests/fixtures/library-values.mjs';
  for (const writer of runtimes) {
    const data = join(temporaryDirectory(t), 'data');
    await run(writer.path, [...writer.args, program, 'write', data], { cwd: root });
    for (const reader of runtimes) {
      const { stdout } = await run(reader.path, [...reader.args, program, 'read', data], { cwd: root }).catch((error) => {
        throw new Error(`${reader.name} does not read what ${writer.name} wrote:\n${error.stderr}`);
      });
      assert.ok(Number(stdout) > 10);
    }
  }
});
