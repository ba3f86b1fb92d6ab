// What a project may import, and what its author sees when the code does not compile.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory, wranglerJson, writeFiles } from './support/files.mjs';
import { runPerdure, serve } from './support/perdure.mjs';

const bare = wranglerJson({ durable_objects: undefined, migrations: undefined });

async function failureOf(t, source) {
  const directory = writeFiles(temporaryDirectory(t), { 'wrangler.jsonc': bare, 'index.ts': source });
  const { code, stdout, stderr } = await runPerdure(['serve', directory]);
  assert.equal(code, 1);
  assert.equal(stdout, '');
  return stderr.replaceAll(directory, '$DIR');
}

test('a TypeScript syntax error names the file, the line and the column', async (t) => {
  assert.equal(
    await failureOf(t, 'const one: number = 1;\nexport defalt { one };\n'),
    'perdure: $DIR/index.ts:2:8: Unexpected "defalt"\n',
  );
});

test('columns count characters, not bytes', async (t) => {
  assert.equal(
    await failureOf(t, "const grün = 'ü'; const = 1;\n"),
    'perdure: $DIR/index.ts:1:25: Expected identifier but found "="\n',
  );
});

test('every mistake is printed, not only the first', async (t) => {
  assert.equal(
    await failureOf(t, "import a from './a';\nimport b from 'b';\nexport default { a, b };\n"),
    'perdure: $DIR/index.ts:1:15: Could not resolve "./a"\n$DIR/index.ts:2:15: Could not resolve "b"\n',
  );
});

test('a module of Cloudflare that is not served is named', async (t) => {
  assert.equal(
    await failureOf(t, "import { connect } from 'cloudflare:sockets';\nexport default { connect };\n"),
    'perdure: $DIR/index.ts:1:25: the module "cloudflare:sockets" is not served by Perdure (only "cloudflare:workers" is)\n',
  );
});

/** The smallest WebAssembly module with an export: `add(a, b)`. */
const wasmAdd = Buffer.from(
  '0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b',
  'hex',
);

test('packages, built-in modules, text, data and WebAssembly are bundled', async (t) => {
  const directory = writeFiles(temporaryDirectory(t), {
    'wrangler.jsonc': bare,
    'index.ts': `
      import { env, DurableObject } from 'cloudflare:workers';
      import { createHash } from 'node:crypto';
      import { basename } from 'path';
      import flavour from 'flavoured';
      import join from 'common';
      import text from './text.txt';
      import query from './query.sql';
      import data from './data.bin';
      import add from './add.wasm';
      export default {
        fetch(): Response {
          const { exports } = new WebAssembly.Instance(add) as any;
          return Response.json({
            hash: createHash('sha1').update('a').digest('hex').slice(0, 8),
            base: basename('/x/y.txt'),
            flavour,
            joined: join('a', 'b'),
            text,
            query,
            data: [data instanceof ArrayBuffer, ...new Uint8Array(data)],
            sum: exports.add(2, 3),
            agent: navigator.userAgent,
            mode: process.env.NODE_ENV,
            object: typeof DurableObject,
            env: typeof env,
          });
        },
      };`,
    'text.txt': 'plain text',
    'query.sql': 'SELECT 1',
    'data.bin': Buffer.from([0, 255, 7]),
    'add.wasm': wasmAdd,
    'node_modules/flavoured/package.json': JSON.stringify({
      name: 'flavoured',
      exports: { node: './node.js', workerd: './workerd.js', default: './other.js' },
    }),
    'node_modules/flavoured/node.js': "export default 'node';",
    'node_modules/flavoured/workerd.js': "export default 'workerd';",
    'node_modules/flavoured/other.js': "export default 'other';",
    'node_modules/common/package.json': JSON.stringify({ name: 'common', main: 'main.js' }),
    'node_modules/common/main.js': "module.exports = require('path').posix.join;",
  });
  const server = await serve(t, directory, { data: join(directory, 'data') });
  assert.deepEqual(JSON.parse(await server.text('/')), {
    hash: '86f7e437',
    base: 'y.txt',
    flavour: 'workerd',
    joined: 'a/b',
    text: 'plain text',
    query: 'SELECT 1',
    data: [true, 0, 255, 7],
    sum: 5,
    agent: 'Cloudflare-Workers',
    mode: 'production',
    object: 'function',
    env: 'object',
  });
});

test('a project in TOML and JavaScript is served', async (t) => {
  const directory = writeFiles(temporaryDirectory(t), {
    'wrangler.toml': `
name = "toml"
main = "src/index.js"
compatibility_date = 2026-01-01
compatibility_flags = [ "nodejs_compat" ]

[vars]
GREETING = "hello"
LIST = [1, 2]

[[durable_objects.bindings]]
name = "THING"
class_name = "Thing"

[[migrations]]
tag = "v1"
new_sqlite_classes = ["Thing"]
`,
    'src/index.js': `
      import { DurableObject } from 'cloudflare:workers';
      export class Thing extends DurableObject {
        greet() { return [this.env.GREETING, this.env.LIST]; }
      }
      export default {
        async fetch(request, env) { return Response.json(await env.THING.getByName('a').greet()); },
      };`,
  });
  const server = await serve(t, directory, { data: join(directory, 'data') });
  assert.deepEqual(JSON.parse(await server.text('/')), ['hello', [1, 2]]);
});
