/**
 * What is to run in turns of its own, in order: `action(argument)` and all promise reactions and ticks that follow from
 * it, before the next one begins.
 *
 * One immediate runs all turns that wait when it comes; those that are asked for meanwhile are for the next one, so that
 * the network and timers get between. Node.js would give each turn an immediate of its own and drain after each, but an
 * immediate costs about as much as all else that a turn does for a call.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate } from 'node:timers'; // user code may replace the globals

/** Runs ticks and promise reactions until none are left: Node.js, which does that itself between two immediates. */
type Drain = () => void;

/**
 * In an immediate: the function, where there is one that does so. It is not public, Deno has none, and Bun's leaves the
 * promise reactions for later; there each turn gets an immediate.
 */
function findDrain(): Drain | undefined {
  const drain = (process as { _tickCallback?: Drain })._tickCallback;
  if (drain === undefined) return undefined;
  let drained = false;
  void Promise.resolve().then(() => (drained = true));
  drain();
  return drained ? drain : undefined;
}

let searched = false;
let drain: Drain | undefined;

/** What a turn's code keeps in an AsyncLocalStorage is its own: it does not come from the code that asked for the turn. */
const outside = AsyncLocalStorage.snapshot();

/** Room that has been used is given back when this much of it lies before what waits. */
const USED_MAX = 1024;

export class TurnQueue {
  /** Action, argument, … from `#next` on. */
  readonly #waiting: unknown[] = [];
  #next = 0;
  #scheduled = false;
  /** The code that runs is a turn of this queue, and will be told apart from the next one when it ends. */
  running = false;

  /**
   * `ended` is called when a turn has ended, `threw` when something was thrown out of it, before Node.js knows, and
   * `allEnded` after the last turn of an immediate; none of them without a Drain.
   */
  constructor(
    readonly ended: () => void,
    readonly threw: () => void,
    readonly allEnded: () => void,
  ) {}

  /** Runs `action(argument)` after what was added before. */
  add<T>(action: (argument: T) => void, argument: T): void {
    this.#waiting.push(action, argument);
    if (!this.#scheduled) this.#schedule();
  }

  #schedule(): void {
    this.#scheduled = true;
    outside(setImmediate, this.#run);
  }

  readonly #run = (): void => {
    if (!searched) {
      drain = findDrain();
      searched = true;
    }
    try {
      if (drain === undefined) this.#runNext();
      else this.#runThose(this.#waiting.length - this.#next, drain);
    } finally {
      // Also when a turn has thrown: the others are not to be lost.
      this.#scheduled = false;
      if (this.#waiting.length > 0) this.#schedule();
    }
  };

  /** Turns in `cells` of what waits. */
  #runThose(cells: number, drainTurn: Drain): void {
    this.running = true;
    try {
      for (; cells > 0; cells -= 2) {
        this.#runNext();
        drainTurn();
        this.ended();
      }
    } finally {
      this.running = false;
      if (cells > 0) this.threw();
      this.allEnded();
    }
  }

  #runNext(): void {
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
  }
}
