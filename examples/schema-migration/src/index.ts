import * as pattern from './pattern';

interface Env {
  MY_DURABLE_OBJECT: DurableObjectNamespace<MyDurableObject>;
}

/** Shows what the constructor made, and uses it. */
export class MyDurableObject extends pattern.MyDurableObject {
  schema() {
    return {
      version: this.sql.exec("SELECT value FROM _meta WHERE key = 'schema_version'").one().value,
      columns: this.sql.exec('SELECT * FROM users').columnNames,
    };
  }

  addUser(name: string) {
    this.sql.exec('INSERT INTO users (name) VALUES (?)', name);
    return this.users();
  }

  users() {
    return this.sql.exec('SELECT * FROM users').toArray();
  }
}

/** `GET /` shows the schema, `POST /users` with a name as the body adds a user, `GET /users` lists them. */
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const url = new URL(request.url);
    const object = env.MY_DURABLE_OBJECT.getByName(url.searchParams.get('name') ?? 'default');
    if (url.pathname === '/') return json(await object.schema());
    if (url.pathname !== '/users') return new Response('GET / or /users, POST /users\n', { status: 404 });
    return json(request.method === 'POST' ? await object.addUser(await request.text()) : await object.users());
  },
};

const json = (value: unknown): Response => new Response(`${JSON.stringify(value)}\n`);
