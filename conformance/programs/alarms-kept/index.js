// deleteAll() and the alarm, with a compatibility date before 2026-02-24.
import { DurableObject } from 'cloudflare:workers';
import { addDeleteAllSection, onAlarm } from '../../sections/alarms.mjs';
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

addDeleteAllSection(program);
addDeleteAllSection(program, 'key-value storage, ', 'KEYED');

export default program.worker;
