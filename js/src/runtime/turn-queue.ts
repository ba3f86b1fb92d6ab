/**
 * What is to run in turns of its own, in order. Node.js would take the action and its argument itself, but
 * keeps them, and through them all that came after, until its next full collection: an immediate that has
 * run still points to its arguments and to the next one.
 */
import { setImmediate } from 'node:timers'; // user code may replace the globals

/** Room that has been used is given back when this much of it lies before what waits. */
const USED_MAX = 1024;

export class TurnQueue {
  /** Action, argument, … from `#next` on. */
  readonly #waiting: unknown[] = [];
  #next = 0;

  /** Runs `action(argument)` after what was added before, with all promise reactions of that one run. */
  add<T>(action: (argument: T) => void, argument: T): void {
    this.#waiting.push(action, argument);
    setImmediate(this.#run);
  }

  readonly #run = (): void => {
    const waiting = this.#waiting;
    const next = this.#next;
    const action = waiting[next] as (argument: unknown) => void;
    const argument = waiting[next + 1];
    waiting[next] = waiting[next + 1] = undefined;
    this.#next = next + 2;
    if (this.#next === waiting.length) {
      waiting.length = 0;
      this.#next = 0;
    } else if (this.#next >= USED_MAX) {
      waiting.splice(0, this.#next);
      this.#next = 0;
    }
    action(argument);
  };
}
