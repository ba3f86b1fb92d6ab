/** `verify`: every checksum of log and history, and SQLite's own check of every database. */
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { loadNative, type NativeEngine } from '../runtime/native.js';
import type { Operated } from './operated.js';
import { findSpace, type Place, spaces } from './places.js';
import { stoppable } from './stoppable.js';
import { View } from './view.js';

/** Something that is not as it was written. */
export interface Damage {
  file: string;
  /** In bytes. null: it cannot be told. */
  offset: number | null;
  /** Whose it is, as far as that can be told. */
  objects: Owner[];
  problem: string;
}

export interface Owner {
  namespace: string;
  id: string;
  /** null: not known, or none. */
  name: string | null;
}

/** What has been checked so far: first of log and history, in bytes, then of the databases. */
export interface Progress {
  of: 'log' | 'databases';
  done: number;
  total: number;
}

export type VerifyPart = Damage[] | Progress;

/** How often the progress in log and history is looked at. */
const PROGRESS_MS = 200;

/** What SQLite says of a database: the first of it. */
const PROBLEMS_MAX = 20;
const CHECK = `PRAGMA integrity_check(${PROBLEMS_MAX})`;
const OBJECTS = `
  SELECT lower(hex(id)), name, namespaces.key, commit_number, objects.bytes, objects.number FROM objects
  JOIN namespaces ON namespaces.number = namespace ORDER BY objects.number`;

export async function* verifyAll({ engine, dataDirectory }: Operated, _: object, signal: AbortSignal): AsyncGenerator<VerifyPart> {
  for await (const part of verifyLog(dataDirectory, signal)) yield Array.isArray(part) ? await withOwners(engine, part, signal) : part;
  yield await check(signal, () => View.ofCatalog(engine, signal), { file: join(dataDirectory, 'catalog.sqlite'), objects: [] });
  const [keyed] = spaces(engine).filter(({ storage }) => storage === 'kv');
  if (keyed !== undefined)
    yield await check(signal, () => View.ofKeyValues(engine, signal, keyed), { file: join(dataDirectory, 'data.sqlite'), objects: [] });
  yield* verifyObjects(engine, dataDirectory, signal);
}

async function* verifyObjects(engine: NativeEngine, dataDirectory: string, signal: AbortSignal): AsyncGenerator<VerifyPart> {
  const catalog = await View.ofCatalog(engine, signal);
  try {
    const databases = (await catalog.first('SELECT count(*) FROM objects'))![0] as number;
    let checked = 0;
    for await (const rows of catalog.rows(OBJECTS)) {
      const found: Damage[] = [];
      for (const row of rows) found.push(...(await verifyObject(engine, dataDirectory, signal, row as ObjectRow)));
      checked += rows.length;
      if (found.length > 0) yield found;
      yield { of: 'databases', done: checked, total: databases };
    }
  } finally {
    await catalog.close();
  }
}

type ObjectRow = [id: string, name: string | null, key: string, commits: number, bytesAtCheckpoint: number];

async function verifyObject(engine: NativeEngine, dataDirectory: string, signal: AbortSignal, [id, name, key, commits, bytesAtCheckpoint]: ObjectRow): Promise<Damage[]> {
  const place: Place = { space: findSpace(engine, key), id, name: undefined };
  const about = { file: join(dataDirectory, engine.objectPath(place.space.number, id)), objects: [{ namespace: key, id, name }] };
  // Its row comes before its first commit.
  if (commits === 0 && !engine.hasObject(place.space.number, id)) return [];
  const isEmpty = async (): Promise<boolean> => {
    const [, , , , , pagesOfLast] = await engine.past(place.space.number, id, 1);
    return pagesOfLast === 0 || (pagesOfLast === undefined && bytesAtCheckpoint === 0);
  };
  return check(signal, () => View.toCheck(engine, signal, place), about, isEmpty);
}

type About = Omit<Damage, 'offset' | 'problem'>;

/** `isEmpty` says whether a database without pages is right: its last commit has left it so. */
async function check(signal: AbortSignal, open: () => Promise<View>, about: About, isEmpty?: () => Promise<boolean>): Promise<Damage[]> {
  let view: View | undefined;
  let pageSize = 0;
  try {
    view = await open();
    pageSize = view.pageSize;
    if (view.pages === 0 && isEmpty !== undefined) return (await isEmpty()) ? [] : [{ ...about, offset: null, problem: 'the file is missing or empty, but it had commits' }];
    const problems: string[] = [];
    for await (const rows of view.rows(CHECK)) problems.push(...rows.map(([text]) => text as string));
    if (problems.length === 1 && problems[0] === 'ok') return [];
    return problems.flatMap((text) => text.split('\n')).filter((text) => !text.startsWith('***')).map((problem) => ({ ...about, offset: offsetIn(problem, pageSize), problem }));
  } catch (error) {
    signal.throwIfAborted();
    const { message } = error as Error;
    return [{ ...about, offset: offsetIn(message, pageSize), problem: message }];
  } finally {
    await view?.close();
  }
}

/** SQLite names pages, from 1; the engine bytes. */
function offsetIn(text: string, pageSize: number): number | null {
  const byte = /\bbyte (\d+)/.exec(text)?.[1];
  if (byte !== undefined) return Number(byte);
  const page = /\bpage (\d+)/i.exec(text)?.[1];
  return page === undefined ? null : (Number(page) - 1) * pageSize;
}

/** A damage of log or history, with the numbers of the databases instead of whose they are. */
export type LogDamage = Damage & { numbers: number[] };

/** Of log and history, whoever has the data directory open: progress, then what is damaged. */
export async function* verifyLog(dataDirectory: string, signal: AbortSignal): AsyncGenerator<Progress | LogDamage[]> {
  const native = loadNative();
  const work = native.createWork();
  const checking = stoppable(signal, () => native.verifyLog(dataDirectory, work), work);
  try {
    while (!(await endsWithin(checking, PROGRESS_MS))) {
      const [done, total] = native.workDone(work);
      if (total > 0) yield { of: 'log', done, total };
    }
    yield logDamages(await checking);
  } finally {
    native.stopWork(work); // whoever looks at the parts may have seen enough
    await checking.catch(() => {});
  }
}

function endsWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const ended = promise.then(
    () => true,
    () => true,
  );
  return Promise.race([ended, setTimeout(ms, false, { ref: false })]);
}

function logDamages(flat: (string | number | number[])[]): LogDamage[] {
  const damages: LogDamage[] = [];
  for (let i = 0; i < flat.length; i += 4) {
    const [file, offset, problem, numbers] = flat.slice(i, i + 4) as [string, number, string, number[]];
    damages.push({ file, offset, objects: [], problem, numbers });
  }
  return damages;
}

async function withOwners(engine: NativeEngine, damages: LogDamage[], signal: AbortSignal): Promise<Damage[]> {
  if (damages.length === 0) return [];
  const catalog = await View.ofCatalog(engine, signal);
  try {
    const named: Damage[] = [];
    for (const { numbers, ...damage } of damages) {
      const objects: Owner[] = [];
      for (const number of numbers) {
        const owner = await ownerOf(catalog, number);
        if (owner !== undefined) objects.push(owner);
      }
      named.push({ ...damage, objects });
    }
    return named;
  } finally {
    await catalog.close();
  }
}

async function ownerOf(catalog: View, number: number): Promise<Owner | undefined> {
  const query = 'SELECT key, lower(hex(id)), name FROM objects JOIN namespaces ON namespaces.number = namespace WHERE objects.number = ?';
  const row = await catalog.first(query, number).catch(() => undefined); // the catalog may be what is damaged
  return row === undefined ? undefined : { namespace: row[0] as string, id: row[1] as string, name: row[2] as string | null };
}
