/** `history`, `bookmark` and `restore`: the past of an object with SQLite storage. */
import type { NativeEngine } from '../runtime/native.js';
import { OperateError } from './error.js';
import type { Operated } from './operated.js';
import { COMMITS_MAX } from './limits.js';
import { findObject, type Place } from './places.js';
import { stoppable } from './stoppable.js';
import { View } from './view.js';
import { writeUntil } from './write.js';

/** Commits in one part of it. */
const BATCH = 500;
/** Values of each commit in what the engine answers. */
const VALUES = 7;

export interface PastCommit {
  /** Of the state that the commit has left. */
  bookmark: string;
  timeMs: number;
  changedPages: number;
  /** Of the differences of these pages. */
  changedBytes: number;
  /** Of the database after it. */
  bytes: number;
  /** It took the object back to an older state. */
  restore: boolean;
}

/** By what native.past() says. */
const ENDS = ['more', 'first', 'expired'] as const;
/** How a list ends: there are more commits; that was the first; those before are not kept. */
export type HistoryEnd = (typeof ENDS)[number];

interface OfObject {
  namespace: string;
  object: string;
}

/** The object, which has a past. */
function findPast(engine: NativeEngine, { namespace, object }: OfObject): Place {
  const place = findObject(engine, namespace, object);
  refuseKeyValues(place);
  return place;
}

function refuseKeyValues({ space }: Place): void {
  if (space.storage === 'kv')
    throw new OperateError(`The objects of ${space.key} have key-value storage (new_classes), whose past is not kept. Only objects with SQLite storage can be taken back.`);
}

/** Batches, the last commit first; then how the list ends. */
export async function* listHistory({ engine }: Operated, { limit, ...of }: OfObject & { limit: number }, signal: AbortSignal): AsyncGenerator<PastCommit[] | HistoryEnd> {
  const { space, id } = findPast(engine, of);
  const [end, ...flat] = await stoppable(signal, (work) => engine.past(space.number, id, Math.min(limit, COMMITS_MAX), work));
  for (let from = 0; from < flat.length; from += BATCH * VALUES) {
    signal.throwIfAborted();
    const batch: PastCommit[] = [];
    for (let i = from; i < Math.min(from + BATCH * VALUES, flat.length); i += VALUES) {
      const [timeMs, changedPages, changedBytes, pages, pageSize, restore] = flat.slice(i + 1, i + VALUES) as [number, number, number, number, number, number];
      batch.push({ bookmark: flat[i] as string, timeMs, changedPages, changedBytes, bytes: pages * pageSize, restore: restore !== 0 });
    }
    yield batch;
  }
  yield ENDS[end as number]!;
}

/** One part: the state now, or at that time. */
export async function* getBookmark({ engine }: Operated, { atMs, ...of }: OfObject & { atMs?: number }, signal: AbortSignal): AsyncGenerator<string> {
  const { space, id } = findPast(engine, of);
  yield await stoppable(signal, (work) => engine.bookmark(space.number, id, atMs ?? NaN, work));
}

/** A state of the past, as an operator names it. */
export type Moment = { bookmark: string } | { timeMs: number };

function bookmarkOf(engine: NativeEngine, signal: AbortSignal, { space, id }: Place, moment: Moment): Promise<string> {
  return 'bookmark' in moment ? Promise.resolve(moment.bookmark) : stoppable(signal, (work) => engine.bookmark(space.number, id, moment.timeMs, work));
}

/** What the object had stored at that moment; without one, what it has now. */
export async function viewAt(engine: NativeEngine, signal: AbortSignal, place: Place, moment: Moment | undefined): Promise<View> {
  if (moment === undefined) return View.ofObject(engine, signal, place);
  refuseKeyValues(place);
  const view = await View.ofPast(engine, signal, place, await bookmarkOf(engine, signal, place, moment));
  if (view.pages > 0) return view;
  await view.close();
  throw new OperateError('The object had nothing stored then.', 'missing');
}

export interface RestorePlan {
  bookmark: string;
  /** What is taken back. */
  commits: number;
  changedPages: number;
}

/** First what is to be done, then, unless that is all, the bookmark that takes it back: it has been done. */
export async function* restoreObject(
  operated: Operated,
  { to, dryRun, ...of }: OfObject & { to: Moment; dryRun: boolean },
  signal: AbortSignal,
): AsyncGenerator<RestorePlan | { undo: string }> {
  const { engine } = operated;
  const place = findPast(engine, of);
  const bookmark = await bookmarkOf(engine, signal, place, to);
  const [, commits, changedPages] = await stoppable(signal, (work) => engine.planRestore(place.space.number, place.id, bookmark, work));
  yield { bookmark, commits, changedPages };
  if (dryRun) return;
  const { undo } = await writeUntil(operated, { place, action: { kind: 'restore', bookmark } }, signal);
  yield { undo: undo! };
}
