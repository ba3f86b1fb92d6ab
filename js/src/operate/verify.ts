/** `verify`: every checksum of log, history and files, and SQLite's own check of every database. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { DAMAGED, FULL, loadNative, type NativeEngine } from '../runtime/native.js';
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

/** Pages of files that cannot be checked in this way, as they were written by a Perdure that kept no checksums. */
export interface Unchecked {
  withoutChecksum: number;
}

/** A database of which SQLite could not look at the structure, as it changed too fast. */
export interface Unfinished {
  unfinished: Omit<Damage, 'offset' | 'problem'>;
}

/** A database of which pages count as they are from now on. */
export interface Accepted {
  accepted: Unfinished['unfinished'] & { pages: number };
}

export type VerifyPart = Damage[] | Progress | Unchecked | Unfinished | Accepted;

/** What is checked, and how. */
interface Checked {
  engine: NativeEngine;
  dataDirectory: string;
  signal: AbortSignal;
  accept: boolean;
}

/** How often the progress in log and history is looked at. */
const PROGRESS_MS = 200;

/** What SQLite says of a database: the first of it. */
const PROBLEMS_MAX = 20;
const CHECK = `PRAGMA integrity_check(${PROBLEMS_MAX})`;
const OBJECTS = `
  SELECT lower(hex(id)), name, namespaces.key, commit_number, objects.number FROM objects
  JOIN namespaces ON namespaces.number = namespace WHERE objects.number > ? ORDER BY objects.number LIMIT 256`;

/** `accept`: pages that do not match their checksums count from now on as they are. */
export async function* verifyAll({ engine, dataDirectory }: Operated, { accept = false }: { accept?: boolean }, signal: AbortSignal): AsyncGenerator<VerifyPart> {
  const data: Checked = { engine, dataDirectory, signal, accept };
  for await (const part of verifyLog(dataDirectory, signal)) yield Array.isArray(part) ? await withOwners(engine, part, signal) : part;
  const catalog = await check(data, () => View.ofCatalog(engine, signal), { file: join(dataDirectory, 'catalog.sqlite'), objects: [] });
  yield catalog.damages;
  const shared = await verifyKeyValues(data);
  yield shared.damages;
  for (const found of [catalog, shared]) yield* remarks(found);
  const withoutChecksum = catalog.unknown + shared.unknown + (yield* verifyObjects(data));
  if (withoutChecksum > 0) yield { withoutChecksum };
}

/** What may be an id in the file that the objects with key-value storage share: there is nothing between it and what is before it. */
const IDS = /(?=([0-9a-f]{64}))/g;

async function verifyKeyValues(data: Checked): Promise<Found> {
  const { engine, dataDirectory, signal } = data;
  const file = join(dataDirectory, 'data.sqlite');
  const keyed = spaces(engine).filter(({ storage }) => storage === 'kv');
  if (keyed.length === 0) return NOTHING;
  for (const { key } of keyed) findSpace(engine, key); // so that ids can be checked
  // A damaged page is not read as what it is; but the ids in it say whose they are.
  const ownersOf = async (view: View, page: number): Promise<Owner[]> => {
    const content = (await bytesOf(file, (page - 1) * view.pageSize, view.pageSize)).toString('latin1');
    const ids = new Set([...content.matchAll(IDS)].map(([, id]) => id!));
    return keyed.flatMap(({ number, key }) => [...ids].filter((id) => engine.isId(number, id)).map((id) => ({ namespace: key, id, name: null })));
  };
  return check(data, () => View.ofKeyValues(engine, signal, keyed[0]!), { file, objects: [] }, ownersOf);
}

async function bytesOf(file: string, offset: number, length: number): Promise<Buffer> {
  const opened = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await opened.read(Buffer.alloc(length), 0, length, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await opened.close();
  }
}

/** -> how many pages have no checksum. */
async function* verifyObjects(data: Checked): AsyncGenerator<VerifyPart, number> {
  const [databases] = (await catalogRows(data, 'SELECT count(*) FROM objects'))[0] as [number];
  let withoutChecksum = 0;
  let checked = 0;
  for (let after = 0; ; ) {
    // A view for each part: one of all of it would not last on a server that makes many objects.
    const rows = (await catalogRows(data, OBJECTS, after)) as ObjectRow[];
    if (rows.length === 0) return withoutChecksum;
    const damages: Damage[] = [];
    for (const row of rows) {
      const found = await verifyObject(data, row);
      damages.push(...found.damages);
      withoutChecksum += found.unknown;
      yield* remarks(found);
    }
    after = rows.at(-1)![4];
    checked += rows.length;
    if (damages.length > 0) yield damages;
    yield { of: 'databases', done: checked, total: Math.max(databases, checked) };
  }
}

async function catalogRows({ engine, signal }: Checked, query: string, ...parameters: number[]): Promise<unknown[][]> {
  const catalog = await View.ofCatalog(engine, signal);
  try {
    const all: unknown[][] = [];
    for await (const rows of catalog.rows(query, ...parameters)) all.push(...rows);
    return all;
  } finally {
    await catalog.close();
  }
}

function* remarks({ unfinished, accepted }: Found): Generator<VerifyPart> {
  if (unfinished !== undefined) yield { unfinished };
  if (accepted !== undefined) yield { accepted };
}

type ObjectRow = [id: string, name: string | null, key: string, commits: number, number: number];

async function verifyObject(data: Checked, [id, name, key, commits]: ObjectRow): Promise<Found> {
  const { engine, dataDirectory, signal } = data;
  const place: Place = { space: findSpace(engine, key), id, name: undefined };
  if (!engine.isId(place.space.number, id)) {
    const problem = `it has an object of ${key} with the id ${id}, which is not one of that namespace`;
    return { damages: [{ file: join(dataDirectory, 'catalog.sqlite'), offset: null, objects: [], problem }], unknown: 0 };
  }
  const about = { file: join(dataDirectory, engine.objectPath(place.space.number, id)), objects: [{ namespace: key, id, name }] };
  // Its row comes before its first commit.
  if (commits === 0 && !engine.hasObject(place.space.number, id)) return NOTHING;
  return check(data, () => View.toCheck(engine, signal, place), about);
}

type About = Omit<Damage, 'offset' | 'problem'>;

/** What is wrong with a file, and how many of its pages have no checksum. */
interface Found {
  damages: Damage[];
  unknown: number;
  /** Whole, but for its structure: it changed too fast for that. */
  unfinished?: About;
  accepted?: Accepted['accepted'];
}

const NOTHING: Found = { damages: [], unknown: 0 };

/** How often a database is looked at that changes so fast that the view of it is lost. */
const LOOKS_MAX = 3;

const codeOf = (error: unknown): unknown => (error as { code?: unknown }).code;

/** Whether an error says that what is stored is not what was written. */
export function tellsDamage(error: unknown): boolean {
  return codeOf(error) === DAMAGED || /: SQLITE_(CORRUPT|NOTADB)\b/.test((error as Error).message);
}

type OwnersOf = (view: View, page: number) => Promise<Owner[]>;

/** `ownersOf` says whose a page is, of a file that many share. */
async function check({ signal, accept }: Checked, open: () => Promise<View>, about: About, ownersOf?: OwnersOf): Promise<Found> {
  for (let looks = 1; ; looks++) {
    const found: Found = { damages: [], unknown: 0 };
    try {
      await look(found, accept, open, about, ownersOf);
      return found;
    } catch (error) {
      signal.throwIfAborted();
      if (codeOf(error) !== FULL) throw error;
      if (looks === LOOKS_MAX || found.damages.length > 0) return { ...found, unfinished: about };
    }
  }
}

async function look(found: Found, accept: boolean, open: () => Promise<View>, about: About, ownersOf?: OwnersOf): Promise<void> {
  let view: View | undefined;
  const add = (problem: string, objects = about.objects): void => {
    found.damages.push({ ...about, objects, offset: offsetIn(problem, view?.pageSize ?? 0), problem });
  };
  try {
    view = await open();
    const { damaged, damagedCount, unknown } = await view.checkPages();
    found.unknown = unknown;
    if (accept && damagedCount > 0) {
      found.accepted = { ...about, pages: await view.acceptPages() };
      damaged.length = 0;
    }
    for (const page of damaged) add(`page ${page} does not match its checksum`, await ownersOf?.(view, page));
    if (damaged.length > 0) {
      if (damagedCount > damaged.length) add(`nor do ${damagedCount - damaged.length} more pages`);
      return; // SQLite cannot read them
    }
    for (const problem of await problemsOfSqlite(view)) add(problem);
  } catch (error) {
    if (!tellsDamage(error)) throw error;
    add((error as Error).message);
  } finally {
    await view?.close();
  }
}

/** What SQLite finds in the structure of its file. */
async function problemsOfSqlite(view: View): Promise<string[]> {
  const problems: string[] = [];
  for await (const rows of view.rows(CHECK)) problems.push(...rows.map(([text]) => text as string));
  if (problems.length === 1 && problems[0] === 'ok') return [];
  return problems.flatMap((text) => text.split('\n')).filter((text) => !text.startsWith('***'));
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
