// The asynchronous key-value storage on a key-value class, which has neither SQL nor the synchronous key-value storage.
import { DurableObject } from 'cloudflare:workers';
import { addStorageSections } from '../../sections/storage.mjs';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
}

addStorageSections(program);

program.inObject('what it has not', ({ check, storage, sql, kv }) => {
  check('typeof sql', () => typeof sql);
  check('typeof kv', () => typeof kv);
  check('tag of sql', () => Object.prototype.toString.call(sql));
  check('tag of kv', () => Object.prototype.toString.call(kv));
  check('sql.exec', () => sql.exec('SELECT 1'));
  check('sql.exec()', () => sql.exec());
  check('sql.databaseSize', () => sql.databaseSize);
  check('sql.prepare', () => typeof sql.prepare);
  check('kv.get', () => kv.get('a'));
  check('kv.get()', () => kv.get());
  check('sql.ingest', () => typeof sql.ingest);
  check('sql.exec of a symbol', () => sql.exec(Symbol('s')));
  check('sql.exec without sql', () => (0, sql.exec)('SELECT 1'));
  check('kv.put() of a key', () => kv.put('a'));
  check('kv.delete()', () => kv.delete());
  check('kv.list of a number', () => kv.list(1));
  check('kv.list of a limit of 0', () => kv.list({ limit: 0 }));
  check('kv.get without kv', () => (0, kv.get)('a'));
  check('kv.put', () => kv.put('a', 1));
  check('kv.delete', () => kv.delete('a'));
  check('kv.list', () => kv.list());
  check('transactionSync', () => storage.transactionSync(() => 1));
  check('transactionSync()', () => storage.transactionSync());
  check('getCurrentBookmark', () => storage.getCurrentBookmark());
  check('getBookmarkForTime', () => storage.getBookmarkForTime(0));
  check('onNextSessionRestoreBookmark', () => storage.onNextSessionRestoreBookmark('x'));
});

export default program.worker;
