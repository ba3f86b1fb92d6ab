// Methods that are called without their object throw at once, also those that otherwise return a promise.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startLab } from '../support/lab.mjs';

const lab = await startLab({ after });

const ILLEGAL =
  'TypeError: Illegal invocation: function called with incorrect `this` reference. See https://developers.cloudflare.com/workers/observability/errors/#illegal-invocation-errors for details.';

/** Runs in the object: what the functions do when they are called on nothing, a number, another object and a function. */
function callWithoutObject(functions) {
  const outcomes = new Set();
  for (const [name, called] of Object.entries(functions)) {
    for (const self of [undefined, 1, {}, () => {}]) {
      try {
        called.call(self, 'a', 1);
        outcomes.add(`${name} did not throw`);
      } catch (error) {
        outcomes.add(`${error.name}: ${error.message}`);
      }
    }
  }
  return [...outcomes];
}

/** Calls without their object what `pick(scope)` returns, in an object of the lab: functions by their name. */
const outcomes = (pick) =>
  lab.object('illegal', async (scope, call, pick) => (0, eval)(`(${call})`)(await (0, eval)(`(${pick})`)(scope)), callWithoutObject.toString(), pick.toString());

test('methods of storage and ctx', async () => {
  assert.deepEqual(await outcomes(({ storage }) => {
    const { get, put, list, deleteAll, sync, transaction, transactionSync, getCurrentBookmark, getBookmarkForTime, onNextSessionRestoreBookmark } = storage;
    return {
      get, put, list, deleteAll, sync, transaction, transactionSync, getCurrentBookmark, getBookmarkForTime, onNextSessionRestoreBookmark, delete: storage.delete,
    };
  }), [ILLEGAL]);
  assert.deepEqual(await outcomes(({ ctx: { waitUntil, blockConcurrencyWhile, abort } }) => ({ waitUntil, blockConcurrencyWhile, abort })), [ILLEGAL]);
});

test('methods of a transaction', async () => {
  assert.deepEqual(await outcomes(({ storage }) => storage.transaction(async (txn) => {
    const { get, put, list, deleteAll, rollback } = txn;
    return { get, put, list, deleteAll, rollback, delete: txn.delete };
  })), [ILLEGAL]);
});

test('methods of kv and its iterator', async () => {
  assert.deepEqual(await outcomes(({ kv }) => {
    const { next, toArray } = kv.list();
    return { get: kv.get, put: kv.put, delete: kv.delete, list: kv.list, next, toArray };
  }), [ILLEGAL]);
});

test('methods and getters of sql, its statements, cursors and iterators', async () => {
  assert.deepEqual(await outcomes(({ sql: { exec, prepare, ingest }, sql }) => {
    const { bind, run, all, first, raw } = sql.prepare('SELECT 1');
    const getter = (of, name) => Object.getOwnPropertyDescriptor(Object.getPrototypeOf(of), name).get;
    return { exec, prepare, ingest, bind, run, all, first, raw, databaseSize: getter(sql, 'databaseSize') };
  }), [ILLEGAL]);
  assert.deepEqual(await outcomes(({ sql }) => {
    const cursor = sql.exec('SELECT 1');
    const { next, toArray, one, raw } = cursor;
    const getters = ['columnNames', 'rowsRead', 'rowsWritten'].map((name) => [name, Object.getOwnPropertyDescriptor(sql.Cursor.prototype, name).get]);
    const rows = cursor[Symbol.iterator]();
    const arrays = cursor.raw();
    return {
      next, toArray, one, raw, iterator: cursor[Symbol.iterator], ...Object.fromEntries(getters),
      nextRow: rows.next, rows: rows.toArray, nextArray: arrays.next, arrays: arrays.toArray,
    };
  }), [ILLEGAL]);
});
