// Random sequences of operations on the storage of a key-value class.
import { DurableObject } from 'cloudflare:workers';
import { addRandomStorage } from '../../sections/random.mjs';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
}

addRandomStorage(program);

export default program.worker;
