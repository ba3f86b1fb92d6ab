import { DurableObject } from 'cloudflare:workers';

interface Env {
  COUNTER: DurableObjectNamespace<Counter>;
}

export class Counter extends DurableObject<Env> {
  sql: SqlStorage;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec('CREATE TABLE IF NOT EXISTS data(key TEXT PRIMARY KEY, value INTEGER)');
  }

  async increment(): Promise<number> {
    const value = this.read() + 1;
    this.sql.exec('INSERT OR REPLACE INTO data VALUES (?, ?)', 'counter', value);
    return value;
  }

  async value(): Promise<number> {
    return this.read();
  }

  private read(): number {
    // Not one(): it throws on a table that is still empty.
    const rows = this.sql.exec('SELECT value FROM data WHERE key = ?', 'counter').toArray();
    return Number(rows[0]?.value ?? 0);
  }
}

/** `POST /increment?name=a` counts up, `GET /?name=a` reads; both answer with the value. */
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const counter = env.COUNTER.getByName(url.searchParams.get('name') ?? 'default');
    if (request.method === 'GET' && url.pathname === '/') {
      return new Response(`${await counter.value()}\n`);
    }
    if (request.method === 'POST' && url.pathname === '/increment') {
      return new Response(`${await counter.increment()}\n`);
    }
    return new Response('POST /increment?name=a counts up, GET /?name=a reads\n', { status: 404 });
  },
} satisfies ExportedHandler<Env>;
