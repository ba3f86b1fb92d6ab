import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './files.mjs';

const modules = join(root, 'tests/runtimes/node_modules');

/** The runtimes that the library is for: what each is called, its binary, and what stands before a program. */
const places = [
  { name: 'Node.js 20', binary: 'node20/bin/node', args: [] },
  { name: 'Node.js 24', binary: 'node24/bin/node', args: [] },
  { name: 'Deno', binary: '@deno/linux-x64-glibc/deno', args: ['run', '-A'] },
  { name: 'Bun', binary: '@oven/bun-linux-x64/bin/bun', args: [] },
];

/** What each runtime prints for its version. */
const printVersion = "const { node, deno, bun } = process.versions; console.log(deno ?? bun ?? node)";

/** All of them, with their versions. Throws when one is not installed. */
export function findRuntimes() {
  return places.map(({ name, binary, args }) => {
    const path = join(modules, binary);
    if (!existsSync(path)) throw new Error(`${name} is missing (${path}); run "npm ci --prefix tests/runtimes"`);
    const version = execFileSync(path, name === 'Deno' ? ['eval', printVersion] : ['-e', printVersion], { encoding: 'utf8' }).trim();
    return { name, version, path, args };
  });
}
