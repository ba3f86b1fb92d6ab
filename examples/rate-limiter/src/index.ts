import * as pattern from './pattern';

interface Env {
  RATE_LIMITER: DurableObjectNamespace<RateLimiter>;
}

/** The pattern leaves its table to the reader. */
export class RateLimiter extends pattern.RateLimiter {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec('CREATE TABLE IF NOT EXISTS requests(key TEXT, timestamp INTEGER)');
    this.sql.exec('CREATE INDEX IF NOT EXISTS requests_by_key ON requests(key, timestamp)');
  }
}

/** `POST /?key=a` passes `limit` times (5) in `window` milliseconds (10 seconds) for each key. */
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const query = new URL(request.url).searchParams;
    const key = query.get('key') ?? 'default';
    const limit = Number(query.get('limit') ?? 5);
    const window = Number(query.get('window') ?? 10_000);
    const passes = await env.RATE_LIMITER.getByName(key).checkLimit(key, limit, window);
    return new Response(passes ? 'passed\n' : 'too many requests\n', { status: passes ? 200 : 429 });
  },
};
