// What a caller was told survives kill -9.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { open } from '../../js/dist/index.js';
import { DurableObject } from '../../js/dist/workers.js';
import { runArguments, test } from '../support/suite.mjs';

const program = fileURLToPath(new URL('../fixtures/library-counter.mjs', import.meta.url));
const LINES_BEFORE_THE_KILL = 40;

class Counter extends DurableObject {
  counts() {
    return this.ctx.storage.sql.exec('SELECT n FROM counts ORDER BY n').toArray().map(({ n }) => n);
  }
}

/** Runs the program until it has printed some lines, kills it; -> the last number that it printed. */
async function countAndKill(storageDir) {
  const child = spawn(process.execPath, [...runArguments, program, storageDir], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
    if (output.split('\n').length > LINES_BEFORE_THE_KILL) child.kill('SIGKILL');
  });
  const [code, signal] = await exited;
  assert.equal(signal, 'SIGKILL', `it ended by itself with ${code}`);
  const lines = output.split('\n').slice(0, -1); // the last line may be cut
  return Number(lines.at(-1));
}

test('what was told is there after a kill, with nothing in between missing', async (t) => {
  const storageDir = join(t.temporaryDirectory(), 'data');
  let told = 0;
  for (let round = 0; round < 3; round++) {
    const last = await countAndKill(storageDir);
    assert.ok(last > told, 'it went on from where it was');
    told = last;
    const registry = open({ storageDir });
    const counters = registry.namespace('COUNTER', Counter);
    for (const name of ['a', 'b']) {
      const counts = await counters.getByName(name).counts();
      assert.ok(counts.length >= told, `${name}: ${told} was told, ${counts.length} are there`);
      assert.deepEqual(counts, Array.from({ length: counts.length }, (_, i) => i + 1));
    }
    await registry.close();
  }
});
