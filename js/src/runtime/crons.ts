/**
 * Cron triggers: scheduled() of the Worker runs once for each occurrence of an expression, in UTC. When the
 * last one was is kept in the catalog, so that of those that were missed while nothing ran, one runs at
 * the start. One shard does this.
 */
import { clearTimeout, setTimeout } from 'node:timers'; // user code may replace the globals
import { runtimeClass } from './platform-class.js';
import { illegalConstructor } from './web-idl.js';

/** Runs of scheduled() at one time; what comes on top is left out, with a message. */
const AT_ONCE_MAX = 100;
/** Clocks jump, and a timer of Node.js does not know: it looks at this interval at least. */
const WAIT_MS_MAX = 60_000;

const made = Symbol('made by the runtime');

/** What scheduled() gets. */
export class ScheduledController {
  readonly scheduledTime: number;
  readonly cron: string;

  constructor(key: symbol, scheduledTime: number, cron: string) {
    if (key !== made) throw illegalConstructor();
    this.scheduledTime = scheduledTime;
    this.cron = cron;
  }

  /** A run that fails is not repeated anyway. */
  noRetry(): void {}
}
runtimeClass(ScheduledController, 'ScheduledController');

/** When one is due; times are milliseconds since 1970. */
export interface Occurrences {
  readonly expression: string;
  /** The last one up to a moment. */
  last(nowMs: number): number | undefined;
  /** The first one after it. */
  next(nowMs: number): number | undefined;
}

/** What the crons need of their surroundings; times are milliseconds since 1970. */
export interface CronHost {
  now(): number;
  /** When each expression ran last, or was there first. */
  lastRuns(): Map<string, number>;
  /** Notes it; those of other expressions than `all` are forgotten. */
  noteRuns(runs: Map<string, number>): void;
  run(controller: ScheduledController): Promise<void>;
  report(what: string, error: unknown): void;
}

interface Trigger {
  expression: string;
  occurrences: Occurrences;
  /** The last occurrence whose run was started; at first, as `ended`. */
  started: number;
  /** The last one whose run has ended; at first, when the expression was there first. */
  ended: number;
}

export class Crons {
  readonly #host: CronHost;
  readonly #triggers: Trigger[];
  #timer: NodeJS.Timeout | undefined;
  #running = 0;

  /** Runs what was missed. */
  constructor(triggers: Occurrences[], host: CronHost) {
    this.#host = host;
    const lastRuns = host.lastRuns();
    const now = host.now();
    this.#triggers = triggers.map((occurrences) => {
      const { expression } = occurrences;
      const last = lastRuns.get(expression) ?? now; // a new one has missed nothing
      return { expression, occurrences, started: last, ended: last };
    });
    this.#note();
    this.look();
  }

  #note(): void {
    this.#host.noteRuns(new Map(this.#triggers.map(({ expression, ended }) => [expression, ended])));
  }

  /** Starts what is due, and waits for what comes next. */
  look(): void {
    const now = this.#host.now();
    let next = now + WAIT_MS_MAX;
    for (const trigger of this.#triggers) {
      const due = trigger.occurrences.last(now);
      if (due !== undefined && due > trigger.started) this.#start(trigger, due);
      next = Math.min(next, trigger.occurrences.next(now) ?? next);
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.look(), Math.max(1, next - now));
    this.#timer.unref();
  }

  #start(trigger: Trigger, due: number): void {
    const { expression } = trigger;
    trigger.started = due;
    if (this.#running >= AT_ONCE_MAX) {
      this.#host.report(`The cron trigger "${expression}" is left out:`, new Error(`${AT_ONCE_MAX} runs of scheduled() go on already.`));
      return;
    }
    this.#running++;
    void this.#run(trigger, due);
  }

  /** It is noted when it has ended: one that a crash has ended runs again. */
  async #run(trigger: Trigger, due: number): Promise<void> {
    const { expression } = trigger;
    try {
      await this.#host.run(new ScheduledController(made, due, expression));
    } catch (error) {
      this.#host.report(`scheduled() of the cron trigger "${expression}" has failed:`, error);
    }
    this.#running--;
    trigger.ended = Math.max(trigger.ended, due);
    this.#note();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
