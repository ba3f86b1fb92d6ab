import { WithCleanup } from './pattern';

interface Env {
  NOTES: DurableObjectNamespace<Notes>;
}

const HOUR_MS = 3_600_000;

/** Something to clean up: notes, and an alarm that reminds of them. */
export class Notes extends WithCleanup {
  async add(note: string) {
    const notes = (await this.ctx.storage.get<string[]>('notes')) ?? [];
    await this.ctx.storage.put('notes', [...notes, note]);
    await this.ctx.storage.setAlarm(Date.now() + HOUR_MS);
    return this.state();
  }

  async state() {
    return {
      notes: (await this.ctx.storage.get<string[]>('notes')) ?? [],
      keys: (await this.ctx.storage.list()).size,
      alarm: (await this.ctx.storage.getAlarm()) !== null,
    };
  }

  async alarm() {
    console.log('still to do:', await this.ctx.storage.get('notes'));
  }
}

/** `POST /?name=a` with a note as the body adds it, `DELETE` cleans up, `GET` shows what there is. */
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const notes = env.NOTES.getByName(new URL(request.url).searchParams.get('name') ?? 'default');
    if (request.method === 'POST') return json(await notes.add(await request.text()));
    if (request.method === 'DELETE') await notes.cleanup();
    return json(await notes.state());
  },
};

const json = (value: unknown): Response => new Response(`${JSON.stringify(value)}\n`);
