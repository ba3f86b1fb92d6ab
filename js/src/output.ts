/** What a thread of a server prints. */
import { setTimeout } from 'node:timers/promises';

/** Whoever reads what was printed gets this long to take it when the server stops. */
const READ_MS_MAX = 1_000;

/** Resolves when all that was printed has left: an exit would drop what a pipe has not taken yet. */
export async function outputWritten(): Promise<void> {
  const written = [process.stdout, process.stderr].map((stream) => new Promise<void>((resolve) => stream.write('', () => resolve())));
  await Promise.race([Promise.all(written), setTimeout(READ_MS_MAX)]);
}
