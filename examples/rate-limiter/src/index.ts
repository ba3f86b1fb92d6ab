import { DurableObject } from 'cloudflare:workers';

interface Env {
  RATE_LIMITER: DurableObjectNamespace<RateLimiter>;
}

export class RateLimiter extends DurableObject {
  // Not part of the pattern, which leaves its table to the reader.
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec('CREATE TABLE IF NOT EXISTS requests(key TEXT, timestamp INTEGER)');
    this.sql.exec('CREATE INDEX IF NOT EXISTS requests_by_key ON requests(key, timestamp)');
  }

  async checkLimit(key: string, limit: number, window: number): Promise<boolean> {
    const now = Date.now();
    this.sql.exec('DELETE FROM requests WHERE key = ? AND timestamp < ?', key, now - window);
    const count = this.sql.exec('SELECT COUNT(*) as count FROM requests WHERE key = ?', key).one().count;
    if (count >= limit) return false;
    this.sql.exec('INSERT INTO requests (key, timestamp) VALUES (?, ?)', key, now);
    return true;
  }
}

/** `POST /?key=a` passes five times in ten seconds for each key. */
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const key = new URL(request.url).searchParams.get('key') ?? 'default';
    const passes = await env.RATE_LIMITER.getByName(key).checkLimit(key, 5, 10_000);
    return new Response(passes ? 'passed\n' : 'too many requests\n', { status: passes ? 200 : 429 });
  },
};
