/** Cron expressions as Cloudflare has them, in UTC. */
import { Cron } from 'croner';

/** When a cron trigger is due; times are milliseconds since 1970. */
export interface CronTrigger {
  /** As it stands in the configuration. */
  readonly expression: string;
  /** The last occurrence up to a moment; undefined: it had none. */
  last(nowMs: number): number | undefined;
  /** The first one after a moment; undefined: it has none. */
  next(nowMs: number): number | undefined;
}

const FIELDS = 5;

/** croner counts these from 0 in its messages. */
const ranges: Record<string, string> = {
  dayOfWeek: 'the day of the week goes from 1 (Sunday) to 7 (Saturday)',
  day: 'the day of the month goes from 1 to 31',
  month: 'the month goes from 1 to 12',
};

function mistake(message: string): string {
  const field = /Invalid value for (\w+)/.exec(message)?.[1] ?? '';
  return ranges[field] ?? message.replace(/^CronPattern: /, '');
}

/**
 * Five fields: minute, hour, day of the month, month, day of the week. Weekdays count from 1, which is
 * Sunday; names, `L`, `W`, `#` and `FIRST/STEP` are possible, as in Quartz. Throws an Error with what is wrong.
 */
export function parseCron(expression: string): CronTrigger {
  const fields = expression.trim().split(/\s+/);
  if (fields.length !== FIELDS) throw new Error(`it must have ${FIELDS} fields: minute, hour, day of the month, month, day of the week`);
  // croner takes it for another Sunday.
  if (/(^|[,-])8/.test(fields[4]!)) throw new Error(ranges['dayOfWeek']);
  let cron: Cron;
  try {
    cron = new Cron(fields.join(' '), { mode: '5-part', timezone: 'UTC', alternativeWeekdays: true, sloppyRanges: true, paused: true });
  } catch (error) {
    throw new Error(mistake((error as Error).message), { cause: error });
  }
  if (cron.nextRun() === null) throw new Error('it never occurs');
  return {
    expression,
    // What comes before a moment is asked for.
    last: (nowMs) => cron.previousRuns(1, new Date(nowMs + 1))[0]?.getTime(),
    next: (nowMs) => cron.nextRun(new Date(nowMs))?.getTime(),
  };
}
