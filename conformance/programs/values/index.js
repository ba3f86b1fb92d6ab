// Odd values, through everything that stores them or passes them on.
import { DurableObject } from 'cloudflare:workers';
import { addValueSections, cloneables } from '../../sections/values.mjs';
import { Program } from '../../support/program.mjs';

const program = new Program();

export class Subject extends DurableObject {
  section(name) {
    return program.runInObject(name, this.ctx, this.env, this);
  }
  echo(value) {
    return value;
  }
  echoAll(...values) {
    return values;
  }
  told(value) {
    return program.describe(value);
  }
  made(label) {
    return cloneables()[label];
  }
}

addValueSections(program, ['put', 'put of pairs', 'kv']);

program.inWorker('over RPC', async ({ check, env }) => {
  const stub = env.SUBJECT.getByName('echo');
  for (const [label, value] of Object.entries(cloneables())) {
    await check(`${label}, what arrives`, () => stub.told(value));
    await check(`${label}, what returns`, () => stub.made(label));
  }
  await check('the same twice among the arguments', async () => { const value = { a: 1 }; const [x, y] = await stub.echoAll(value, value); return x === y; });
  await check('the same twice within an argument', async () => {
    const value = { a: 1 };
    const { x, y } = await stub.echo({ x: value, y: value });
    return x === y;
  });
});

export default program.worker;
