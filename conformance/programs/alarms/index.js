// API section 7: alarms.
import { DurableObject } from 'cloudflare:workers';
import { addAlarmSections, onAlarm } from '../../sections/alarms.mjs';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
  alarm(...args) {
    return onAlarm(this, this.ctx, ...args);
  }
}

export class Keyed extends Subject {}

/** Without alarm(). */
export class Silent extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
}

addAlarmSections(program);
addAlarmSections(program, { prefix: 'key-value storage, ', binding: 'KEYED', sync: false });

program.inObject('a class without alarm()', async ({ check, storage, self }) => {
  const later = () => Date.now() + 3_600_000;
  await check('setAlarm', () => storage.setAlarm(later()));
  await check('setAlarm of zero', () => storage.setAlarm(0));
  await check('setAlarm without an argument', () => storage.setAlarm());
  await check('setAlarm in a transaction', () => storage.transaction((txn) => txn.setAlarm(later())));
  await check('getAlarm', () => storage.getAlarm());
  await check('deleteAlarm', () => storage.deleteAlarm());
  await check('an alarm() of the instance does not count', () => {
    self.alarm = () => {};
    return storage.setAlarm(later());
  });
}, 'SILENT');

program.inObject('the database', async ({ check, storage, sql }) => {
  const tables = () => sql.exec('SELECT name, sql FROM sqlite_schema').toArray();
  check('before', tables);
  await storage.setAlarm(Date.now() + 3_600_000);
  check('the table', tables);
  check('is not to be read', () => sql.exec('SELECT * FROM _cf_METADATA').toArray());
  check('size', () => sql.databaseSize);
  await storage.deleteAlarm();
  check('the table stays', () => tables().length);
});

export default program.worker;
