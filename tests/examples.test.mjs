// Each example as its README shows it.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { objectFiles, root, sqlite, temporaryDirectory } from './support/files.mjs';
import { serve } from './support/perdure.mjs';

const post = { method: 'POST' };
const example = (name) => join(root, 'examples', name);

const checks = {
  async counter(t, data) {
    let server = await serve(t, example('counter'), { data });
    assert.equal(await server.text('/?name=a'), '0\n');
    assert.equal(await server.text('/increment?name=a', post), '1\n');
    assert.equal(await server.text('/increment?name=a', post), '2\n');
    assert.equal(await server.text('/increment?name=b', post), '1\n');
    assert.equal((await fetch(`${server.url}/increment`)).status, 404);
    await server.stop('SIGKILL');

    server = await serve(t, example('counter'), { data });
    assert.equal(await server.text('/?name=a'), '2\n');
    assert.equal(await server.text('/increment?name=a', post), '3\n');
    await server.stop();
    const values = objectFiles(data).map((file) => sqlite(file, 'SELECT key, value FROM data'));
    assert.deepEqual(values.sort(), ['counter|1', 'counter|3']);
  },

  async 'schema-migration'(t, data) {
    let server = await serve(t, example('schema-migration'), { data });
    assert.equal(await server.text('/?name=a'), '{"version":"1","columns":["id","name"]}');
    await server.stop();
    server = await serve(t, example('schema-migration'), { data });
    assert.equal(await server.text('/?name=a'), '{"version":"2","columns":["id","name","email"]}');
    await server.stop();
    server = await serve(t, example('schema-migration'), { data });
    assert.equal(await server.text('/?name=a'), '{"version":"2","columns":["id","name","email"]}');
  },

  async 'in-memory-cache'(t, data) {
    const patch = (body) => ({ method: 'PATCH', body: JSON.stringify(body) });
    let server = await serve(t, example('in-memory-cache'), { data });
    assert.equal((await fetch(`${server.url}/users/1`)).status, 404);
    assert.equal(await server.text('/users/1', patch({ name: 'Ada' })), '{"name":"Ada"}');
    const both = '{"name":"Ada","email":"ada@example.org"}';
    assert.equal(await server.text('/users/1', patch({ email: 'ada@example.org' })), both);
    assert.equal(await server.text('/users/1'), both);
    await server.stop('SIGKILL');
    server = await serve(t, example('in-memory-cache'), { data });
    assert.equal(await server.text('/users/1'), both);
  },

  async 'rate-limiter'(t, data) {
    const server = await serve(t, example('rate-limiter'), { data });
    for (let i = 0; i < 5; i++) assert.equal(await server.text('/?key=a', post), 'passed\n');
    const response = await fetch(`${server.url}/?key=a`, post);
    assert.equal(response.status, 429);
    assert.equal(await response.text(), 'too many requests\n');
    assert.equal(await server.text('/?key=b', post), 'passed\n');
  },

  async initialization(t, data) {
    let server = await serve(t, example('initialization'), { data });
    assert.equal(await server.text('/?name=a', post), '1\n');
    assert.equal(await server.text('/?name=a', post), '2\n');
    await server.stop('SIGKILL');
    server = await serve(t, example('initialization'), { data });
    assert.equal(await server.text('/?name=a', post), '3\n');
  },

  async 'safe-counter'(t, data) {
    const server = await serve(t, example('safe-counter'), { data });
    assert.equal(await server.text('/unique?name=a', post), '0');
    assert.equal(await server.text('/increment?name=a', post), '1');
    assert.equal(await server.text('/unique?name=a', post), '2');
    const numbers = await Promise.all(
      Array.from({ length: 100 }, () => server.text('/unique?name=b', post)),
    );
    assert.deepEqual(numbers.map(Number).sort((a, b) => a - b), [...numbers.keys()]);
  },
};

for (const [name, check] of Object.entries(checks)) {
  test(`example ${name}`, (t) => check(t, join(temporaryDirectory(t), 'data')));
}

test('every example has a test', () => {
  const folders = readdirSync(join(root, 'examples'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
  assert.deepEqual(folders.sort(), Object.keys(checks).sort());
});
