// The library on every runtime that it is for, from the one addon that was built.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { root } from './support/files.mjs';
import { findRuntimes } from './support/runtimes.mjs';

const run = promisify(execFile);
const FILE_MS_MAX = 300_000;

const runtimes = findRuntimes();
const files = ['tests/library', 'tests/seeds'].filter((folder) => existsSync(join(root, folder))).flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.test.mjs'))
    .map((name) => `${folder}/${name}`),
);

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
