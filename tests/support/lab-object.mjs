import { open } from '../../js/dist/index.js';
import { DurableObject } from '../../js/dist/workers.js';
import { afterEach, beforeEach } from './suite.mjs';

const jobs = [];

/** Runs functions of a test inside an object, on any runtime. */
export class Lab extends DurableObject {
  run(job) {
    return jobs[job]({ ctx: this.ctx, storage: this.ctx.storage, sql: this.ctx.storage.sql, kv: this.ctx.storage.kv, env: this.env });
  }
}

/** A number for a function, as a function is nothing that could be passed to an object. */
export const job = (run) => jobs.push(run) - 1;

/** A registry in memory whose objects run what they are told. */
export function openLab() {
  const registry = open({ storageDir: ':memory:' });
  const labs = registry.namespace('LAB', Lab);
  return { registry, labs, inside: (run, name = 'a') => labs.getByName(name).run(job(run)) };
}

/**
 * For a file whose tests each get a registry of their own: `inside` runs a function in the one of the test that
 * runs, and `lab` has the `registry` and its `labs`.
 */
export function labForEach() {
  const lab = {};
  beforeEach(() => void Object.assign(lab, openLab()));
  afterEach(() => lab.registry.close());
  return { lab, inside: (run, name) => lab.inside(run, name) };
}
