// A program that is checked with Cloudflare's types: they and ours can stand in for each other.
import { DurableObject as CloudflareObject } from 'cloudflare:workers';
import * as perdure from 'perdure';
import { DurableObject } from 'perdure/workers';

declare function value<T>(): T;

interface Env {
  COUNTER: DurableObjectNamespace<Counter>;
  THEIRS: DurableObjectNamespace<Theirs>;
}

class Counter extends DurableObject<Env> {
  async increment(by: number): Promise<number> {
    await this.env.COUNTER.getByName('other').increment(by);
    const state: DurableObjectState = this.ctx;
    const sql: SqlStorage = this.ctx.storage.sql;
    return Number(state.id.name) + sql.exec<{ n: number }>('SELECT 1 AS n').one().n;
  }
  override async fetch(request: Request): Promise<Response> {
    return this.env.THEIRS.getByName('a').fetch(request);
  }
}

// A class written for Cloudflare, unchanged.
class Theirs extends CloudflareObject<Env> {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
  }
  async read(key: string): Promise<string | undefined> {
    return this.ctx.storage.get<string>(key);
  }
  override fetch(request: Request): Response {
    return new Response(request.url);
  }
}

class Plain extends DurableObject {}

const registry = perdure.open({ storageDir: ':memory:' });
const counters = registry.namespace('COUNTER', Counter);
const theirs = registry.namespace('THEIRS', Theirs);
const count: number = await counters.getByName('a').increment(1);
const text: string | undefined = await theirs.getByName('a').read('key');
const response: Response = await theirs.getByName('a').fetch('http://here/');

// What Cloudflare's types have of ours.
type CommonSql = Omit<perdure.SqlStorage, 'prepare' | 'ingest'>;
type CommonStorage = Omit<perdure.DurableObjectStorage, 'sql'> & { readonly sql: CommonSql };
type CommonState = Omit<perdure.DurableObjectState, 'storage'> & { readonly storage: CommonStorage };

// Types of one in the place of the other, both ways.
const state: [DurableObjectState, CommonState] = [value<perdure.DurableObjectState>(), value<DurableObjectState>()];
const storage: [DurableObjectStorage, CommonStorage] = [value<perdure.DurableObjectStorage>(), value<DurableObjectStorage>()];
const sql: [SqlStorage, CommonSql] = [value<perdure.SqlStorage>(), value<SqlStorage>()];
const kv: [SyncKvStorage, perdure.SyncKvStorage] = [value<perdure.SyncKvStorage>(), value<SyncKvStorage>()];
const id: [DurableObjectId, perdure.DurableObjectId] = [value<perdure.DurableObjectId>(), value<DurableObjectId>()];
// The namespace that objects find in their env, and the one that callers outside get.
const ids: Pick<DurableObjectNamespace<Counter>, 'idFromName' | 'idFromString'> = counters;
const back: Pick<perdure.Namespace<Counter>, 'idFromName' | 'idFromString'> = value<DurableObjectNamespace<Counter>>();
const call: Pick<DurableObjectStub<Plain>, 'id' | 'name' | 'fetch'> = value<perdure.Stub<Plain>>();
const callBack: Pick<perdure.Stub<Plain>, 'id' | 'name' | 'fetch'> = value<DurableObjectStub<Plain>>();

export { back, call, callBack, count, id, ids, kv, response, sql, state, storage, text };
