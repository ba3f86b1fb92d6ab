// A program for Node.js that uses the package: what it may write, and (@ts-expect-error) what not.
import { open, type DurableObjectState, type Registry, type SqlStorage } from 'perdure';
import { DurableObject } from 'perdure/workers';

interface Env {
  LIMIT: number;
}

class Counter extends DurableObject<Env> {
  readonly #sql: SqlStorage;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
  }

  async increment(by: number): Promise<number> {
    const { n } = this.#sql.exec<{ n: number }>('SELECT ? AS n', by).one();
    const stored: number | undefined = await this.ctx.storage.get<number>('n');
    this.ctx.storage.kv.put('n', n + (stored ?? 0));
    const one = this.#sql.prepare<{ n: number }>('SELECT ? AS n').bind(n);
    const found: [number | null, { n: number } | null, number] = [one.first('n'), one.first(), one(2).one().n];
    const left: string = this.#sql.ingest('SELECT 1; SEL').remainder;
    await this.ctx.storage.transaction(async (txn) => (left === '' ? txn.rollback() : txn.put('found', found)));
    return Math.min(n, this.env.LIMIT);
  }

  override fetch(request: Request): Response {
    return new Response(request.url);
  }
}

class Plain {
  constructor(readonly ctx: DurableObjectState) {}
  fetch(): Response {
    return new Response('plain');
  }
  method(): void {}
}

const registry: Registry = open({ storageDir: ':memory:', idleMs: 1000, env: { LIMIT: 5 } });
const counters = registry.namespace('COUNTER', Counter, { storage: 'sqlite' });
const stub = counters.get(counters.idFromName('a'));
const value: number = await stub.increment(1);
const response: Response = await stub.fetch('http://here/', { method: 'POST', body: 'x' });
const name: string | undefined = stub.id.name;
const plain = registry.namespace('PLAIN', Plain, { storage: 'kv', key: 'worker-Plain' }).getByName('a');
const text: string = await (await plain.fetch(new Request('http://here/'))).text();
await registry.close({ graceMs: 10 });

// @ts-expect-error a folder is needed
open({});
// @ts-expect-error there is no such option
open({ storageDir: 'data', directory: 'data' });
// @ts-expect-error the two kinds of storage are 'sqlite' and 'kv'
registry.namespace('COUNTER', Counter, { storage: 'disk' });
// @ts-expect-error there is no such column
(ctx: DurableObjectState) => ctx.storage.sql.prepare<{ n: number }>('SELECT 1 AS n').first('m');
// @ts-expect-error a number is wanted
await stub.increment('1');
// @ts-expect-error there is no such method
await stub.decrement();
// @ts-expect-error a class without `extends DurableObject` has no RPC
await plain.method();
// @ts-expect-error a class, not an object of it
registry.namespace('COUNTER', {});

export { name, response, text, value };
