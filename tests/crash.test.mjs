// Nothing that was answered is lost: fifty objects, several connections, SIGKILL at a random moment.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { objectFiles, root, sqlite, temporaryDirectory } from './support/files.mjs';
import { createRandom } from './support/random.mjs';
import { serve } from './support/perdure.mjs';

const rounds = 20;
const objectCount = 50;
const connectionCount = 8;
const killAfterMsMin = 20;
const killAfterMsMax = 500;
const seed = Number(process.env.PERDURE_SEED ?? Math.floor(Math.random() * 2 ** 32));

const names = Array.from({ length: objectCount }, (_, index) => `object-${index}`);

/** Increments random objects over one connection until the server is gone. */
async function hammer(server, random, counts) {
  for (;;) {
    const name = names[Math.floor(random() * objectCount)];
    const count = counts.get(name);
    count.sent++;
    let value;
    try {
      const response = await fetch(`${server.url}/increment?name=${name}`, { method: 'POST' });
      const text = await response.text();
      assert.equal(response.status, 200, text);
      value = Number(text);
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      return;
    }
    count.acknowledged.push(value);
  }
}

async function readAll(server) {
  const values = await Promise.all(names.map((name) => server.text(`/?name=${name}`)));
  return new Map(names.map((name, index) => [name, Number(values[index])]));
}

function compare(before, after, counts) {
  for (const name of names) {
    const { sent, acknowledged } = counts.get(name);
    const [was, is] = [before.get(name), after.get(name)];
    assert.ok(is >= was + acknowledged.length, `${name}: ${was} + ${acknowledged.length} answers, now ${is}`);
    assert.ok(is >= Math.max(0, ...acknowledged), `${name}: ${Math.max(...acknowledged)} was answered, now ${is}`);
    assert.ok(is <= was + sent, `${name}: ${was} + ${sent} requests, now ${is}`);
    assert.equal(new Set(acknowledged).size, acknowledged.length, `${name}: one value answered twice`);
  }
}

test(`${rounds} rounds of kill -9 under load lose nothing`, { timeout: 300_000 }, async (t) => {
  t.diagnostic(`PERDURE_SEED=${seed}`);
  const random = createRandom(seed);
  const data = join(temporaryDirectory(t), 'data');
  const project = join(root, 'examples/counter');
  let values = new Map(names.map((name) => [name, 0]));
  let answers = 0;

  for (let round = 0; round < rounds; round++) {
    const counts = new Map(names.map((name) => [name, { sent: 0, acknowledged: [] }]));
    let server = await serve(t, project, { data });
    const load = Array.from({ length: connectionCount }, () => hammer(server, random, counts));
    const delay = killAfterMsMin + random() * (killAfterMsMax - killAfterMsMin);
    await new Promise((resolve) => setTimeout(resolve, delay));
    await server.stop('SIGKILL');
    await Promise.all(load);

    server = await serve(t, project, { data });
    const after = await readAll(server);
    compare(values, after, counts);
    const { code, stderr } = await server.stop();
    assert.equal(stderr, '');
    assert.equal(code, 0);

    const stored = objectFiles(data).map((file) => {
      const [check, value] = sqlite(file, 'PRAGMA quick_check; SELECT value FROM data').split('\n');
      assert.equal(check, 'ok', file);
      return Number(value ?? 0);
    });
    const expected = [...after.values()].filter((value) => value > 0).sort((a, b) => a - b);
    assert.deepEqual(stored.filter((value) => value > 0).sort((a, b) => a - b), expected);
    values = after;
    answers += [...counts.values()].reduce((sum, { acknowledged }) => sum + acknowledged.length, 0);
  }
  t.diagnostic(`${answers} answers in ${rounds} rounds`);
  assert.ok(answers > rounds, 'the load was too small to show anything');
});
