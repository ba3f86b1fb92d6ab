// Responses of a registry's objects: what nobody reads keeps nothing waiting.
import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers';
import { open } from '../../js/dist/index.js';
import { DurableObject } from '../../js/dist/workers.js';
import { test } from '../support/suite.mjs';

let constructed = 0;

class Thing extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    constructed++;
  }
  fetch() {
    return new Response('ok');
  }
}

test('a response whose body nobody reads keeps neither the object nor close() waiting', async (t) => {
  const registry = open({ storageDir: ':memory:', idleMs: 50 });
  t.after(() => registry.close());
  const thing = registry.namespace('THING', Thing).getByName('a');
  const response = await thing.fetch('http://here/');
  const before = constructed;
  await new Promise((resolve) => setTimeout(resolve, 500));
  const again = await thing.fetch('http://here/');
  assert.equal(constructed, before + 1);
  assert.equal(await response.text(), 'ok');
  const start = performance.now();
  await registry.close();
  assert.ok(performance.now() - start < 5_000);
  assert.equal(await again.text(), 'ok');
});
