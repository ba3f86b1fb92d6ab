import * as pattern from './pattern';

interface Env {
  BATCH_PROCESSOR: DurableObjectNamespace<BatchProcessor>;
}

/** The pattern leaves its table to the reader; the method shows what it did. */
export class BatchProcessor extends pattern.BatchProcessor {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec('CREATE TABLE IF NOT EXISTS processed_items(item TEXT, timestamp INTEGER)');
  }

  async state() {
    return {
      pending: this.pending,
      processed: this.sql.exec('SELECT item FROM processed_items ORDER BY rowid').toArray().map(({ item }) => item),
      batches: this.sql.exec('SELECT count(DISTINCT timestamp) AS n FROM processed_items').one().n,
      alarm: (await this.ctx.storage.getAlarm()) !== null,
    };
  }
}

/** `POST /?name=a` with an item as the body adds it, `GET /?name=a` shows what waits and what was processed. */
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const name = new URL(request.url).searchParams.get('name') ?? 'default';
    const processor = env.BATCH_PROCESSOR.getByName(name);
    if (request.method === 'POST') await processor.addItem(await request.text());
    return new Response(`${JSON.stringify(await processor.state())}\n`);
  },
};
