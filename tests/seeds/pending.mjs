// NOT RUN: blocks of the guides that need what is not served yet. When one is, its test moves to
// blocks.test.mjs. To see what is missing: node tests/seeds/pending.mjs
import assert from 'node:assert/strict';
import { labForEach } from '../support/lab-object.mjs';
import { test } from '../support/suite.mjs';

const { inside } = labForEach();

test('going back to a bookmark (needs point-in-time recovery)', async () => {
  const bookmark = await inside(async ({ storage }) => {
    await storage.put('n', 1);
    return storage.getCurrentBookmark();
  });
  await inside(({ storage }) => storage.put('n', 2));
  const restart = inside(async ({ ctx, storage }) => {
    assert.equal(typeof (await storage.getBookmarkForTime(Date.now())), 'string');
    await storage.onNextSessionRestoreBookmark(bookmark);
    ctx.abort('restore');
  });
  await assert.rejects(restart, { message: 'restore' });
  assert.equal(await inside(({ storage }) => storage.get('n')), 1);
});
