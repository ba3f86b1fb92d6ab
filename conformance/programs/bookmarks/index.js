// What the methods of point-in-time recovery say of their arguments. workerd has no more of it; what it does is
// tested by itself.
import { DurableObject } from 'cloudflare:workers';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
}

// The message has the times of this run.
const refused = async (run) => {
  try {
    return await run();
  } catch ({ name }) {
    return name;
  }
};

program.inObject('arguments', async ({ check, storage }) => {
  await check('getCurrentBookmark of something', async () => typeof (await storage.getCurrentBookmark(1)));
  await check('getBookmarkForTime()', () => storage.getBookmarkForTime());
  await check('getBookmarkForTime of a string', () => storage.getBookmarkForTime('x'));
  await check('getBookmarkForTime of null', () => storage.getBookmarkForTime(null));
  await check('getBookmarkForTime of a bigint', () => storage.getBookmarkForTime(1n));
  await check('getBookmarkForTime of NaN', () => storage.getBookmarkForTime(NaN));
  await check('getBookmarkForTime of no date', () => storage.getBookmarkForTime(new Date(NaN)));
  await check('getBookmarkForTime of Infinity', () => storage.getBookmarkForTime(Infinity));
  await check('getBookmarkForTime of the year 2300', () => storage.getBookmarkForTime(new Date('2300-01-01')));
  await check('getBookmarkForTime of an object', () => storage.getBookmarkForTime({ valueOf: () => 1 }));
  await check('getBookmarkForTime of 0', () => refused(() => storage.getBookmarkForTime(0)));
  await check('getBookmarkForTime of -1', () => refused(() => storage.getBookmarkForTime(-1)));
  await check('getBookmarkForTime of -1e300', () => storage.getBookmarkForTime(-1e300));
  await check('onNextSessionRestoreBookmark()', () => storage.onNextSessionRestoreBookmark());
  await check('onNextSessionRestoreBookmark of undefined', () => storage.onNextSessionRestoreBookmark(undefined));
  await check('onNextSessionRestoreBookmark of a number', () => storage.onNextSessionRestoreBookmark(5));
  await check('onNextSessionRestoreBookmark of a symbol', () => storage.onNextSessionRestoreBookmark(Symbol('s')));
  await check('onNextSessionRestoreBookmark of an object', () => storage.onNextSessionRestoreBookmark({ toString() { throw new Error('mine'); } }));
  await check('in a transaction', () => storage.transaction(async (txn) => [typeof txn.getCurrentBookmark, typeof (await storage.getCurrentBookmark())]));
});

export default program.worker;
