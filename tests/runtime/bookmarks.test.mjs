// Point-in-time recovery as code of an object sees it.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startLab } from '../support/lab.mjs';
import { until } from '../support/until.mjs';

const lab = await startLab({ after });

const shape = /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/;

const bookmarkOf = (name) => lab.object(name, ({ storage }) => storage.getCurrentBookmark());
const put = (name, key, value) => lab.object(name, ({ storage }, key, value) => storage.put(key, value), key, value);
const all = async (name) => Object.fromEntries(await lab.object(name, ({ storage }) => storage.list()));

/** Has the object start anew with the state; -> the bookmark that takes it back. */
async function restore(name, bookmark) {
  const undo = await lab.object(name, ({ storage }, bookmark) => storage.onNextSessionRestoreBookmark(bookmark), bookmark);
  await assert.rejects(lab.object(name, ({ ctx }) => ctx.abort('restore')), { message: 'restore' });
  return undo;
}

test('back to a bookmark, taken back, and there again', async () => {
  await put('a', 'n', 1);
  const first = await bookmarkOf('a');
  await lab.object('a', ({ storage, sql }) => {
    sql.exec('CREATE TABLE t (i)');
    storage.put('n', 2);
  });
  const second = await bookmarkOf('a');
  for (const bookmark of [first, second]) assert.match(bookmark, shape);
  assert.ok(first < second);
  const undo = await restore('a', first);
  assert.match(undo, shape);
  assert.deepEqual(await all('a'), { n: 1 });
  await assert.rejects(lab.object('a', ({ sql }) => sql.exec('SELECT * FROM t').toArray()), /no such table: t/);
  const redo = await restore('a', undo);
  assert.deepEqual(await all('a'), { n: 2 });
  assert.deepEqual(await lab.object('a', ({ sql }) => sql.exec('SELECT * FROM t').toArray()), []);
  await restore('a', redo);
  assert.deepEqual(await all('a'), { n: 1 });
});

test('nothing happens before the object starts anew, and then once', async () => {
  await put('next', 'n', 1);
  const first = await bookmarkOf('next');
  const seen = await lab.object('next', async ({ storage, ctx }, first) => {
    await storage.put('n', 2);
    await storage.onNextSessionRestoreBookmark(first);
    await storage.put('n', 3);
    return storage.get('n');
  }, first);
  assert.equal(seen, 3);
  assert.deepEqual(await all('next'), { n: 3 });
  await assert.rejects(lab.object('next', ({ ctx }) => ctx.abort('now')));
  assert.deepEqual(await all('next'), { n: 1 });
  await put('next', 'n', 4);
  await assert.rejects(lab.object('next', ({ ctx }) => ctx.abort('again')));
  assert.deepEqual(await all('next'), { n: 4 });
});

test('a bookmark covers what was written before the call, and nothing later', async () => {
  const bookmarks = await lab.object('covers', async ({ storage, kv, sql }) => {
    storage.put('a', 1);
    kv.put('b', 2);
    const together = await storage.getCurrentBookmark();
    storage.transactionSync(() => kv.put('c', 3));
    const synchronous = await storage.getCurrentBookmark();
    // They are one transaction: the writes around the call have no await between them.
    kv.put('d', 4);
    const pending = storage.getCurrentBookmark();
    kv.put('e', 5);
    const around = await pending;
    const unconfirmed = storage.put('f', 6, { allowUnconfirmed: true });
    const last = await storage.getCurrentBookmark();
    await unconfirmed;
    await storage.put('g', 7);
    return [together, synchronous, around, last];
  });
  assert.deepEqual([...bookmarks].sort(), bookmarks);
  const expected = [{ a: 1, b: 2 }, { a: 1, b: 2, c: 3 }, { a: 1, b: 2, c: 3, d: 4, e: 5 }, { a: 1, b: 2, c: 3, d: 4, e: 5, f: 6 }];
  for (const [i, bookmark] of bookmarks.entries()) {
    await restore('covers', bookmark);
    assert.deepEqual(await all('covers'), expected[i]);
  }
});

test('inside transaction() it is the state before the transaction', async () => {
  const [inside, outside, scheduled] = await lab.object('transaction', async ({ storage }) => {
    await storage.put('a', 1);
    const outside = await storage.getCurrentBookmark();
    let inside;
    let scheduled;
    await storage.transaction(async (txn) => {
      await txn.put('a', 2);
      inside = await storage.getCurrentBookmark();
      scheduled = await storage.onNextSessionRestoreBookmark(inside);
      txn.rollback();
    });
    await storage.put('a', 3);
    return [inside, outside, scheduled];
  });
  assert.equal(inside, outside);
  await assert.rejects(lab.object('transaction', ({ ctx }) => ctx.abort('now')));
  assert.deepEqual(await all('transaction'), { a: 1 }, 'what is scheduled is no part of the transaction');
  await restore('transaction', scheduled);
  assert.deepEqual(await all('transaction'), { a: 3 });
});

test('without await, in the run that aborts', async () => {
  await put('run', 'n', 1);
  const first = await bookmarkOf('run');
  await put('run', 'n', 2);
  const abort = lab.object('run', ({ storage, ctx }, first) => {
    void storage.onNextSessionRestoreBookmark(first);
    ctx.abort('at once');
  }, first);
  await assert.rejects(abort, { message: 'at once' });
  assert.deepEqual(await all('run'), { n: 1 });
});

test('what cannot be committed has no bookmark, and schedules nothing', async () => {
  await lab.object('failing', ({ sql }) => {
    sql.exec('CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (a REFERENCES a(id))');
  });
  const first = await bookmarkOf('failing');
  await put('failing', 'n', 1);
  for (const method of ['getCurrentBookmark', 'onNextSessionRestoreBookmark']) {
    const failing = lab.object('failing', async ({ storage, sql }, method, first) => {
      sql.exec('PRAGMA defer_foreign_keys = ON; INSERT INTO b VALUES (7)');
      return storage[method](first);
    }, method, first);
    await assert.rejects(failing, /FOREIGN KEY constraint failed/);
    assert.deepEqual(await all('failing'), { n: 1 });
  }
});

test('a time names what was there then', async () => {
  const times = [];
  for (let n = 0; n < 3; n++) {
    await put('times', 'n', n);
    times.push(await lab.object('times', () => Date.now()));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  for (const n of [1, 0, 2]) {
    const bookmark = await lab.object('times', ({ storage }, time) => storage.getBookmarkForTime(time), n === 0 ? new Date(times[n]) : times[n] + 0.9);
    await restore('times', bookmark);
    assert.deepEqual(await all('times'), { n });
  }
  const [written, current] = await lab.object('times', async ({ storage }) => {
    storage.put('n', 'now');
    return [await storage.getBookmarkForTime(Date.now() - 1).then(() => storage.getBookmarkForTime(Date.now())), await storage.getCurrentBookmark()];
  });
  assert.equal(written, current);
});

test('a time outside the range is a RangeError that names it', async () => {
  for (const [ms, text] of [[-31 * 86_400_000, '31 days ago'], [3_600_000, 'in an hour']]) {
    const error = await lab.object('range', async ({ storage }, ms) => {
      try {
        return await storage.getBookmarkForTime(Date.now() + ms);
      } catch (error) {
        return [error instanceof RangeError, error.message];
      }
    }, ms);
    const iso = '\\d{4}-\\d\\d-\\d\\dT[0-9:.]+Z';
    assert.equal(error[0], true, text);
    assert.match(error[1], new RegExp(`^There is no bookmark for ${iso}: this object can be taken back to times from ${iso} to ${iso}\\.$`));
  }
});

test('what is no bookmark of the object is refused at the call, and changes nothing', async () => {
  await put('mine', 'n', 1);
  const old = await bookmarkOf('mine');
  await put('mine', 'n', 2);
  await put('theirs', 'n', 1);
  const [mine, theirs] = [await bookmarkOf('mine'), await bookmarkOf('theirs')];
  const flipped = mine.replace(/.$/, (last) => (last === '0' ? '1' : '0'));
  const wrong = [
    ['', 'is malformed'], ['x'.repeat(5000), 'is malformed'], [flipped, 'is malformed'], [mine.toUpperCase(), 'is malformed'], [` ${mine}`, 'is malformed'],
    ['00000000-00000000-00000000-00000000000000000000000000000000', 'is malformed'], [theirs, 'is of another object'],
  ];
  for (const [bookmark, why] of wrong) {
    const refused = lab.object('mine', ({ storage }, bookmark) => storage.onNextSessionRestoreBookmark(bookmark), bookmark);
    await assert.rejects(refused, ({ type, message }) => type === 'Error' && message.startsWith('The bookmark "') && message.includes(why) && message.length < 400);
  }
  await assert.rejects(lab.object('mine', ({ ctx }) => ctx.abort('now')));
  assert.deepEqual(await all('mine'), { n: 2 });
  // One that was scheduled before stays.
  await lab.object('mine', async ({ storage, attempt }, old, theirs) => {
    await storage.onNextSessionRestoreBookmark(old);
    await attempt(() => storage.onNextSessionRestoreBookmark(theirs));
  }, old, theirs);
  await assert.rejects(lab.object('mine', ({ ctx }) => ctx.abort('now')));
  assert.deepEqual(await all('mine'), { n: 1 });
});

test('the alarm goes back, too', async () => {
  await lab.alarms('alarm', ({ shared }) => void (shared.rung = (shared.rung ?? 0) + 1));
  const rung = () => lab.worker(({ shared }) => shared.rung ?? 0);
  const without = await bookmarkOf('alarm');
  const soon = await lab.object('alarm', async ({ storage }) => {
    await storage.setAlarm(Date.now() + 300);
    return [await storage.getAlarm(), await storage.getCurrentBookmark()];
  });
  const far = await lab.object('alarm', async ({ storage }) => {
    await storage.setAlarm(Date.now() + 86_400_000);
    return [await storage.getAlarm(), await storage.getCurrentBookmark()];
  });
  const alarm = () => lab.object('alarm', ({ storage }) => storage.getAlarm());
  await restore('alarm', without);
  assert.equal(await alarm(), null);
  await restore('alarm', far[1]);
  assert.equal(await alarm(), far[0]);
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, soon[0] - Date.now()) + 50));
  assert.equal(await rung(), 0, 'it was replaced before it rang');
  // In the past by now: it rings as soon as the object has started, which the call does that asks for nothing.
  await restore('alarm', soon[1]);
  await lab.object('alarm', () => 1);
  await until(async () => (await rung()) === 1, 'the alarm');
  assert.equal(await alarm(), null);
});

test('a restore comes before the constructor, and stays when that fails', async () => {
  await put('constructor', 'n', 1);
  const first = await bookmarkOf('constructor');
  await put('constructor', 'n', 2);
  await lab.constructors('constructor', ({ kv, shared }) => {
    shared.constructed = kv.get('n');
    if (shared.failConstructor) throw new Error('on purpose');
  });
  await lab.worker(({ shared }) => void (shared.failConstructor = true));
  await restore('constructor', first);
  await assert.rejects(lab.object('constructor', () => 1), { message: 'on purpose' });
  assert.equal(await lab.worker(({ shared }) => shared.constructed), 1);
  await lab.worker(({ shared }) => void (shared.failConstructor = false));
  assert.deepEqual(await all('constructor'), { n: 1 });
});

test('an eviction ends a session', async (t) => {
  const short = await startLab(t, { args: ['--idle-ms', '20'] });
  const bookmark = await short.object('a', async ({ storage }) => {
    await storage.put('n', 1);
    const bookmark = await storage.getCurrentBookmark();
    await storage.put('n', 2);
    await storage.onNextSessionRestoreBookmark(bookmark);
    return bookmark;
  });
  assert.match(bookmark, shape);
  await until(() => short.object('a', async ({ storage }) => (await storage.get('n')) === 1 || new Promise((resolve) => setTimeout(() => resolve(false), 5))), 'the eviction');
});

test('storage of an instance that is gone has no bookmarks', async () => {
  const error = await lab.object('gone', async ({ storage, ctx, attempt, shared }) => {
    shared.gone = storage;
    try {
      ctx.abort('gone');
    } catch {}
  }).catch((error) => error.message);
  assert.equal(error, 'gone');
  const texts = await lab.worker(async ({ shared, attempt }) => {
    const found = [];
    for (const ask of [
      () => shared.gone.getCurrentBookmark(), () => shared.gone.getBookmarkForTime(Date.now()), () => shared.gone.onNextSessionRestoreBookmark('x'),
    ]) found.push(await attempt(ask));
    return found;
  });
  assert.deepEqual(new Set(texts), new Set(['Error: This Durable Object has been reset or evicted; this reference to its storage is not valid any more.']));
});
