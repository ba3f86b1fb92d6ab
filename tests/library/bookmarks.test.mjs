// Point-in-time recovery in a process of the user's own.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { open } from '../../js/dist/index.js';
import { DurableObject } from '../../js/dist/workers.js';
import { test } from '../support/suite.mjs';

class Note extends DurableObject {
  async put(value) {
    await this.ctx.storage.put('value', value);
    return this.ctx.storage.getCurrentBookmark();
  }
  get() {
    return this.ctx.storage.get('value');
  }
  at(time) {
    return this.ctx.storage.getBookmarkForTime(time);
  }
  schedule(bookmark) {
    return this.ctx.storage.onNextSessionRestoreBookmark(bookmark);
  }
  async restore(bookmark) {
    await this.ctx.storage.onNextSessionRestoreBookmark(bookmark);
    this.ctx.abort('restore');
  }
}

for (const inMemory of [true, false]) {
  test(`${inMemory ? 'in memory' : 'on disk'}: back to a bookmark and to a time`, async (t) => {
    const registry = open({ storageDir: inMemory ? ':memory:' : join(t.temporaryDirectory(), 'data') });
    const notes = registry.namespace('NOTE', Note);
    const note = () => notes.getByName('a');
    const first = await note().put('one');
    const second = await note().put('two');
    assert.ok(first < second);
    await assert.rejects(note().restore(first), { message: 'restore' });
    assert.equal(await note().get(), 'one');
    const before = await note().at(Date.now() - 86_400_000);
    await assert.rejects(note().restore(before), { message: 'restore' });
    assert.equal(await note().get(), undefined);
    await assert.rejects(note().at(Date.now() - 40 * 86_400_000), /this object can be taken back to times from/);
    await assert.rejects(note().restore('x'), /The bookmark "x" is malformed/);
    await registry.close();
  });
}

test('closing ends a session', async (t) => {
  const storageDir = join(t.temporaryDirectory(), 'data');
  let registry = open({ storageDir });
  let note = registry.namespace('NOTE', Note).getByName('a');
  const first = await note.put(1);
  await note.put(2);
  const undo = await note.schedule(first);
  await registry.close();
  registry = open({ storageDir });
  const notes = registry.namespace('NOTE', Note);
  note = notes.getByName('a');
  assert.equal(await note.get(), 1);
  await assert.rejects(note.restore(undo), { message: 'restore' });
  assert.equal(await notes.getByName('a').get(), 2);
  await registry.close();
});

test('historyDays and historyBytes say what is kept', async () => {
  const registry = open({ storageDir: ':memory:', historyDays: 0, historyBytes: 64 * 1024 ** 2 });
  const note = registry.namespace('NOTE', Note).getByName('a');
  const first = await note.put(1);
  await note.put(2);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await assert.rejects(note.restore(first), /has expired/);
  await assert.rejects(note.at(Date.now() - 1000), /this object can be taken back to times from/);
  await registry.close();
  for (const historyDays of [-1, 1.5, '5', 3_651])
    assert.throws(() => open({ storageDir: ':memory:', historyDays }), { message: 'The historyDays of open() must be a whole number from 0 to 3650.' });
  for (const historyBytes of [0, 1.5, '64M', 64 * 1024 ** 2 - 1])
    assert.throws(() => open({ storageDir: ':memory:', historyBytes }), { message: 'The historyBytes of open() must be a whole number, 67108864 at least.' });
});
