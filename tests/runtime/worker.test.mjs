// The Worker around the objects: its forms, env, ctx.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, temporaryDirectory, wranglerJson, writeFiles } from '../support/files.mjs';
import { serve } from '../support/perdure.mjs';

test('a WorkerEntrypoint as default export, vars, and env as an import', async (t) => {
  const server = await serve(t, join(root, 'tests/fixtures/runtime-entrypoint'), { data: join(temporaryDirectory(t), 'data') });
  assert.deepEqual(JSON.parse(await server.text('/')), {
    thing: { own: ['text', 3, [1, { a: true }]], imported: ['text', true], atStart: 'text' },
    keys: ['TEXT', 'NUMBER', 'LIST', 'THING'],
    keysOfImport: ['TEXT', 'NUMBER', 'LIST', 'THING'],
  });
  assert.equal(await server.text('/wait'), 'answered');
  await server.printed(/The Worker: a promise given to waitUntil\(\) was rejected: Error: too late/, 'stderr');
  assert.equal((await server.stop()).code, 0);
});

test('a default export without fetch() is explained at the start', async (t) => {
  const directory = writeFiles(temporaryDirectory(t), {
    'wrangler.jsonc': wranglerJson({ main: 'index.js' }),
    'index.js': "import { DurableObject } from 'cloudflare:workers';\nexport class Thing extends DurableObject {}\nexport default {};\n",
  });
  await assert.rejects(serve(t, directory, { data: join(directory, 'data') }), /index\.js has no default export with a fetch\(\) function\./);
});

test('ctx.exports has the namespaces of the classes, bound or not', async (t) => {
  const directory = writeFiles(temporaryDirectory(t), {
    'wrangler.jsonc': wranglerJson({
      main: 'index.js',
      durable_objects: { bindings: [{ name: 'BOUND', class_name: 'Bound' }] },
      migrations: [{ tag: 'v1', new_sqlite_classes: ['Bound', 'Unbound'] }],
    }),
    'index.js': `
      import { DurableObject } from 'cloudflare:workers';
      export class Bound extends DurableObject {
        other() { return this.ctx.exports.Unbound.getByName('b').who(); }
      }
      export class Unbound extends DurableObject {
        who() { return this.ctx.id.name; }
      }
      export default {
        async fetch(request, env, ctx) {
          const { Bound } = ctx.exports;
          let absent;
          try { ctx.exports.default; } catch (error) { absent = error.message; }
          const same = Bound.idFromName('a').toString() === env.BOUND.idFromName('a').toString();
          return Response.json([Object.keys(ctx.exports), same, await Bound.getByName('a').other(), absent]);
        },
      };`,
  });
  const server = await serve(t, directory, { data: join(directory, 'data') });
  assert.deepEqual(JSON.parse(await server.text('/')), [
    ['Bound', 'Unbound'], true, 'b', 'ctx.exports.default, which is no class of objects, is not served by this version of Perdure.',
  ]);
});
