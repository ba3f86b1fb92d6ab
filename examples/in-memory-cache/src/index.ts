import { DurableObject } from 'cloudflare:workers';

interface Env {
  USER_CACHE: DurableObjectNamespace<UserCache>;
}

interface User {
  name: string;
  email?: string;
}

export class UserCache extends DurableObject {
  cache = new Map<string, User>();
  async getUser(id: string): Promise<User> {
    if (this.cache.has(id)) return this.cache.get(id)!;
    const user = await this.ctx.storage.get<User>(`user:${id}`);
    if (user) this.cache.set(id, user);
    return user;
  }
  async updateUser(id: string, data: Partial<User>) {
    const updated = { ...await this.getUser(id), ...data };
    this.cache.set(id, updated);
    await this.ctx.storage.put(`user:${id}`, updated);
    return updated;
  }
}

/** `GET /users/1` reads, `PATCH /users/1` with JSON changes. */
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const id = /^\/users\/([^/]+)$/.exec(new URL(request.url).pathname)?.[1];
    if (id === undefined) return new Response('GET or PATCH /users/1\n', { status: 404 });
    const users = env.USER_CACHE.getByName('users');
    if (request.method === 'PATCH') {
      return Response.json(await users.updateUser(id, await request.json()));
    }
    const user = await users.getUser(id);
    return user ? Response.json(user) : new Response('no such user\n', { status: 404 });
  },
};
