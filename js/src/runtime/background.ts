/** Promises given to waitUntil(): work that goes on beside requests, and that a clean stop waits for. */
import { clearTimeout, setTimeout } from 'node:timers'; // user code may replace the globals

/** Of the work that a stop gives up, this many are named. */
const NAMED_MAX = 10;

export class Background {
  readonly #report: (what: string, error: unknown) => void;
  /** Who has work, once for each promise. */
  readonly #pending = new Set<{ owner: string }>();
  #settled: (() => void) | undefined;

  constructor(report: (what: string, error: unknown) => void) {
    this.#report = report;
  }

  /** `done` is called when the promise has settled; a rejection is reported. */
  add(owner: string, promise: unknown, done?: () => void): void {
    const work = { owner };
    this.#pending.add(work);
    const finish = (): void => {
      this.#pending.delete(work);
      done?.();
      if (this.#pending.size === 0) this.#settled?.();
    };
    Promise.resolve(promise).then(finish, (error: unknown) => {
      this.#report(`${owner}: a promise given to waitUntil() was rejected:`, error);
      finish();
    });
  }

  /** Resolves when no work is left, or after `graceMs`; gives what is left then, in words. */
  async settled(graceMs: number): Promise<string | undefined> {
    if (this.#pending.size === 0) return undefined;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#settled = resolve;
      timer = setTimeout(resolve, graceMs);
    });
    clearTimeout(timer);
    if (this.#pending.size === 0) return undefined;
    const owners = [...new Set([...this.#pending].map(({ owner }) => owner))];
    const more = owners.length > NAMED_MAX ? ` and ${owners.length - NAMED_MAX} more` : '';
    return `${this.#pending.size} promises given to waitUntil() had not settled: ${owners.slice(0, NAMED_MAX).join(', ')}${more}`;
  }
}
