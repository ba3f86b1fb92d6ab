// Builds js/src into js/dist: one file for each way in, and what they share in chunks beside them, so
// that all of them see one instance of each module of the runtime.
import { readdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** Everything that a user, `bin/perdure` or a bundle may load. Other modules are internal. */
const entryNames = ['cli', 'dev-server', 'index', 'server', 'shard-thread', 'workers'];

const source = fileURLToPath(new URL('src/', import.meta.url));
const output = fileURLToPath(new URL('dist/', import.meta.url));
const there = new Set(readdirSync(source));

rmSync(output, { recursive: true, force: true });
await build({
  entryPoints: entryNames.map((name) => `${name}.ts`).filter((file) => there.has(file)).map((file) => source + file),
  outdir: output,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  packages: 'external',
  sourcemap: 'linked',
  charset: 'utf8',
  legalComments: 'none',
  logLevel: 'warning',
});
