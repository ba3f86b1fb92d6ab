// How long it takes to take an object back: 100 MB, 10,000 commits ago, on the disk of the working directory.
// `node bench/restore.mjs [--megabytes N] [--commits N] [--rounds N]`
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { open } from '../js/dist/index.js';
import { DurableObject } from '../js/dist/workers.js';

const { values } = parseArgs({
  options: { megabytes: { type: 'string', default: '100' }, commits: { type: 'string', default: '10000' }, rounds: { type: 'string', default: '3' } },
});
const [megabytes, commits, rounds] = [values.megabytes, values.commits, values.rounds].map(Number);
const directory = mkdtempSync(resolve('.perdure-bench-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

const ROW_BYTES = 1000;
// With what SQLite needs beside them.
const rows = Math.round((megabytes * 1e6) / (ROW_BYTES + 40));
/** Rows of one commit while the object is filled. */
const BATCH = 20_000;
/** The history is as large as it gets when it has not grown in so many tenths of a second. */
const SETTLED = 20;
/** A turn of the event loop after so many commits. */
const YIELD = 500;

class Large extends DurableObject {
  fill() {
    const { sql } = this.ctx.storage;
    sql.exec('CREATE TABLE t (k INTEGER PRIMARY KEY, n INTEGER, v BLOB)');
  }
  add(from, to) {
    const { sql } = this.ctx.storage;
    for (let k = from; k < to; k++) sql.exec('INSERT INTO t VALUES (?, 0, randomblob(?))', k, ROW_BYTES);
    return sql.databaseSize;
  }
  async change(count) {
    const { storage } = this.ctx;
    for (let i = 0; i < count; i++) {
      storage.sql.exec('UPDATE t SET n = n + 1, v = randomblob(?) WHERE k = ?', ROW_BYTES, Math.floor(Math.random() * rows));
      await storage.put('commits', i); // commits both
    }
  }
  sum() {
    return this.ctx.storage.sql.exec('SELECT sum(n) AS n FROM t').one().n;
  }
  bookmark() {
    return this.ctx.storage.getCurrentBookmark();
  }
  at(time) {
    return this.ctx.storage.getBookmarkForTime(time);
  }
  schedule(bookmark) {
    return this.ctx.storage.onNextSessionRestoreBookmark(bookmark);
  }
  restart() {
    this.ctx.abort('restart');
  }
  ready() {
    return true;
  }
}

async function timed(run) {
  const begun = performance.now();
  const value = await run();
  return [performance.now() - begun, value];
}

const files = (folder) => (existsSync(join(directory, folder)) ? readdirSync(join(directory, folder)) : []);
const sizeOf = (folder) => files(folder).reduce((sum, name) => sum + statSync(join(directory, folder, name)).size, 0);
const mb = (value) => `${(value / 1e6).toFixed(0)} MB`;
const ms = (value) => `${value.toFixed(0)} ms`;

let registry = open({ storageDir: directory });
let large = registry.namespace('LARGE', Large).getByName('a');
await large.fill();
let bytes = 0;
for (let from = 0; from < rows; from += BATCH) bytes = await large.add(from, Math.min(rows, from + BATCH));
const [first, time] = [await large.bookmark(), Date.now()];
await new Promise((done) => setTimeout(done, 10));
const [changing] = await timed(async () => {
  for (let done = 0; done < commits; done += YIELD) await large.change(Math.min(YIELD, commits - done));
});
const last = await large.sum();
// The checkpoint is done; then the background makes history of the log.
await registry.close();
registry = open({ storageDir: directory });
large = registry.namespace('LARGE', Large).getByName('a');
await large.ready();
for (let seen = -1, same = 0; same < SETTLED; await new Promise((done) => setTimeout(done, 100))) {
  const now = sizeOf('history');
  same = now === seen ? same + 1 : 0;
  seen = now;
}
console.log(`${mb(bytes)}, ${commits} commits later (${ms(changing)}), history ${mb(sizeOf('history'))}, log ${mb(sizeOf('log'))}`);

async function restore(bookmark, expected) {
  const [call, undo] = await timed(() => large.schedule(bookmark));
  await large.restart().catch(() => {});
  const [session] = await timed(() => large.ready());
  const sum = await large.sum();
  if (sum !== expected) throw new Error(`the sum is ${sum}, not ${expected}`);
  return [call, session, undo];
}

for (let round = 0; round < rounds; round++) {
  const [asked, bookmark] = await timed(() => large.at(time));
  if (bookmark !== first && round === 0) throw new Error('the time names another state');
  const [call, session, undo] = await restore(first, 0);
  const [undoCall, undoSession] = await restore(undo, last);
  console.log(`getBookmarkForTime ${ms(asked)}; restore: call ${ms(call)}, session ${ms(session)}, together ${ms(call + session)}; undo: call ${ms(undoCall)}, session ${ms(undoSession)}`);
}
await registry.close();
