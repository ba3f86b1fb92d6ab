// Objects whose alarms bench/alarms.mjs lets ring.
import { DurableObject } from 'cloudflare:workers';

let ran = 0;

export class Thing extends DurableObject {
  async set(time) {
    await this.ctx.storage.setAlarm(time);
  }
  async increment() {
    const n = ((await this.ctx.storage.get('n')) ?? 0) + 1;
    await this.ctx.storage.put('n', n);
    return n;
  }
  async alarm() {
    ran++;
    await this.ctx.storage.put('ran', ran);
  }
}

export class Keyed extends Thing {}

export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    const namespace = env[searchParams.get('class') ?? 'THING'];
    if (pathname === '/ran') return new Response(String(ran));
    if (pathname === '/increment') return new Response(String(await namespace.getByName('counter').increment()));
    const [from, to, time] = ['from', 'to', 'time'].map((name) => Number(searchParams.get(name)));
    for (let i = from; i < to; i++) await namespace.getByName(`object ${i}`).set(time);
    return new Response('set');
  },
};
