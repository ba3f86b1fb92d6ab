import { DurableObject } from 'cloudflare:workers';

interface Env {
  SAFE_COUNTER: DurableObjectNamespace<SafeCounter>;
}

export class SafeCounter extends DurableObject {
  // Not part of the pattern, which adds 1 to what is `undefined` in a new object.
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.blockConcurrencyWhile(async () => {
      if ((await ctx.storage.get('counter')) === undefined) await ctx.storage.put('counter', 0);
    });
  }

  // Input gate blocks other requests
  async getUniqueNumber(): Promise<number> {
    let val = await this.ctx.storage.get("counter");
    await this.ctx.storage.put("counter", val + 1);
    return val;
  }

  // No await on write - output gate delays response until write confirms
  async increment(): Promise<Response> {
    let val = await this.ctx.storage.get("counter");
    this.ctx.storage.put("counter", val + 1);
    return new Response(String(val));
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
