/** `sql`: queries on an object's database. */
import type { ViewValue } from '../runtime/native.js';
import { OperateError } from './error.js';
import type { Operated } from './operated.js';
import { type Moment, viewAt } from './history.js';
import { findObject, type Place } from './places.js';
import { type View, withView } from './view.js';
import { writeUntil } from './write.js';

export interface SqlArguments {
  namespace: string;
  object: string;
  sql: string;
  write: boolean;
  /** The object is made when it is not there. */
  create: boolean;
  /** Of a write: what takes longer is stopped. */
  timeMsMax: number;
  /** Of the past, to be read. */
  at?: Moment;
}

/** First the columns, then batches of rows; last, when something may have been written, how many rows were. */
export type SqlPart = { columns: string[] } | { rows: ViewValue[][] } | { changed: number };

export async function* querySql(operated: Operated, args: SqlArguments, signal: AbortSignal): AsyncGenerator<SqlPart> {
  const place = findObject(operated.engine, args.namespace, args.object, args.write && args.create);
  if (place.space.storage === 'kv')
    throw new OperateError(`The objects of ${args.namespace} have key-value storage (new_classes): no tables, so no SQL. Use "perdure kv".`);
  yield* args.write ? write(operated, place, args, signal) : read(operated, place, args, signal);
}

async function* read({ engine }: Operated, place: Place, { sql, at }: SqlArguments, signal: AbortSignal): AsyncGenerator<SqlPart> {
  yield* withView(viewAt(engine, signal, place, at), async function* (view): AsyncGenerator<SqlPart> {
    const columns = await startReading(view, sql);
    yield { columns };
    for (;;) {
      const values = await view.next();
      if (values.length === 0) return;
      const rows: ViewValue[][] = [];
      for (let i = 0; i < values.length; i += columns.length) rows.push(values.slice(i, i + columns.length));
      yield { rows };
    }
  });
}

async function startReading(view: View, sql: string): Promise<string[]> {
  try {
    return await view.start(sql);
  } catch (error) {
    const { message } = error as Error;
    if (message.endsWith('SQLITE_READONLY')) throw new OperateError(`${message}. Nothing was changed; add --write if it should be.`);
    throw error;
  }
}

async function* write(operated: Operated, place: Place, { sql, timeMsMax }: SqlArguments, signal: AbortSignal): AsyncGenerator<SqlPart> {
  const { columns, rows, changed } = await writeUntil(operated, { place, action: { kind: 'sql', sql, timeMsMax } }, signal);
  yield { columns };
  if (rows.length > 0) yield { rows: rows as ViewValue[][] };
  yield { changed };
}
