import { setTimeout as delay } from 'node:timers/promises';

const WAIT_MS_MAX = 20_000;

/** Waits until `look()` gives something, and returns that. */
export async function until(look, what) {
  for (const end = Date.now() + WAIT_MS_MAX; Date.now() < end; await delay(10)) {
    const found = await look();
    if (found) return found;
  }
  throw new Error(`${what} has not happened within ${WAIT_MS_MAX} ms`);
}
