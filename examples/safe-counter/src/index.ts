import * as pattern from './pattern';

interface Env {
  SAFE_COUNTER: DurableObjectNamespace<SafeCounter>;
}

/** The pattern would add 1 to what is `undefined` in a new object. */
export class SafeCounter extends pattern.SafeCounter {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.blockConcurrencyWhile(async () => {
      if ((await ctx.storage.get('counter')) === undefined) await ctx.storage.put('counter', 0);
    });
  }
}

/** `POST /unique?name=a` and `POST /increment?name=a` answer with the value before and count up. */
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const url = new URL(request.url);
    const counter = env.SAFE_COUNTER.getByName(url.searchParams.get('name') ?? 'default');
    if (url.pathname === '/unique') return new Response(String(await counter.getUniqueNumber()));
    if (url.pathname === '/increment') return counter.increment();
    return new Response('POST /unique?name=a or POST /increment?name=a\n', { status: 404 });
  },
};
