/** Promises given to waitUntil(): work that goes on beside requests, and that a clean stop waits for. */
import { clearTimeout, setTimeout } from 'node:timers'; // user code may replace the globals

export class Background {
  readonly #report: (what: string, error: unknown) => void;
  /** Who has work, once for each promise. */
  readonly #pending = new Set<{ owner: string }>();
  #settled: (() => void) | undefined;

  constructor(report: (what: string, error: unknown) => void) {
    this.#report = report;
  }

  /** `hold` is called at once, and what it returns when the promise has settled. A rejection is reported. */
  add(owner: string, promise: unknown, hold?: () => () => void): void {
    const settled = Promise.resolve(promise); // user code: it may throw
    const work = { owner };
    this.#pending.add(work);
    const release = hold?.();
    const finish = (): void => {
      this.#pending.delete(work);
      release?.();
      if (this.#pending.size === 0) this.#settled?.();
    };
    settled.then(finish, (error: unknown) => {
      this.#report(`${owner}: a promise given to waitUntil() was rejected:`, error);
      finish();
    });
  }

  get isBusy(): boolean {
    return this.#pending.size > 0;
  }

  /** Resolves when no work is left, or after `graceMs`, with the owners of what is left then. */
  async settled(graceMs: number): Promise<string[]> {
    let timer: NodeJS.Timeout | undefined;
    if (this.#pending.size > 0)
      await new Promise<void>((resolve) => {
        this.#settled = resolve;
        timer = setTimeout(resolve, graceMs);
      });
    clearTimeout(timer);
    return [...this.#pending].map(({ owner }) => owner);
  }
}
