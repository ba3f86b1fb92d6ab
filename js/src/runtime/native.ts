/** The addon's surface (src/node); the C++ side documents what each function does. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

export interface NativeEngine {
  readonly recovery: { records: number; cutBytes: number; cutFile: string; cutOffset: number };
  openNamespace(key: string, keyValueStorage: boolean): number;
  idFromName(namespace: number, name: string): string;
  uniqueId(namespace: number): string;
  isId(namespace: number, hex: string): boolean;
  hasObject(namespace: number, hex: string): boolean;
  /** Makes objects that do not exist yet of the copies that copyDatabase() has made in the data directory. */
  adopt(objects: { namespace: number; id: string; file: string; alarmMs: number; name: string }[]): void;
  /** Of the namespaces whose objects have alarms. */
  keysWithAlarms(): string[];
  /** expression, last run, … */
  cronRuns(): (string | number)[];
  keepCronRuns(runs: (string | number)[]): void;
  checkpoint(): void;
  requestCheckpoint(): void;
  close(): void;
  /** For attachEngine() on other threads. */
  readonly token: number;
  /** Has the queues that the shards have opened filled with requests from now on; -> the port. */
  listen(host: string, port: number): number;
  stopListening(graceMs: number): void;
  closeListener(): void;
  // What operators look at (src/node/admin_binding.h).
  /** number, key, whether its objects have key-value storage, … */
  namespaces(): (number | string | boolean)[];
  openView(namespace: number, hexId: string, bookmark: string, anySize: boolean, work?: NativeWork): Promise<[view: number, pageSize: number, pages: number]>;
  viewQuery(view: number, sql: string, parameters: (string | number)[]): Promise<string[]>;
  viewRows(view: number, most: number): Promise<ViewValue[]>;
  viewPages(view: number, first: number, count: number): Promise<ArrayBuffer>;
  /** Of the file that the view is of. */
  checkPages(view: number, first: number, count: number): Promise<[reachedEnd: number, unknown: number, damagedCount: number, ...damaged: number[]]>;
  /** … -> how many pages count from now on as they are, although they do not match. */
  acceptPages(view: number): Promise<number>;
  viewPairs(view: number, namespace: number, hexId: string, file: string): Promise<void>;
  interruptView(view: number): void;
  closeView(view: number): void;
  objectPath(namespace: number, hexId: string): string;
  bookmark(namespace: number, hexId: string, timeMs: number, work?: NativeWork): Promise<string>;
  planRestore(namespace: number, hexId: string, bookmark: string, work?: NativeWork): Promise<[lsn: number, commits: number, pages: number]>;
  /** PAST_*, then seven values of each commit: PastCommit in js/src/operate/history.ts. */
  past(namespace: number, hexId: string, most: number, work?: NativeWork): Promise<(number | string)[]>;
  /** bytes, milliseconds of the last commit, … */
  currentHeads(numbers: number[]): number[];
  whenDurable(): Promise<void>;
  counters(): { appendedLsn: number; durableLsn: number; logBytesSinceCheckpoint: number; dirtyBytes: number; hasRoom: boolean };
  createShard(exchange: ArrayBuffer, onWake: () => void, alarmRetryMs: number): NativeShard;
}

/** Something long that is done (src/node/work.h). Nobody looks into it. */
export interface NativeWork {
  readonly nativeWork: unique symbol;
}

/** The `code` of errors that say that what is stored is not what was written. */
export const DAMAGED = 'PERDURE_DAMAGED';
/** … that there is no room: on the disk, or within a limit. */
export const FULL = 'PERDURE_FULL';

/** A value of a row as a view shows it; whole numbers that a number does not have exactly are bigints. */
export type ViewValue = null | number | bigint | string | ArrayBuffer;

/** What `arrive` answers. */
export const DELIVER = 0;
export const CONSTRUCT = 2;

export interface NativeShard {
  add(namespace: number, hexId: string, name: string): number;
  remove(slot: number): void;
  arrive(slot: number, event: number, section: number): number;
  constructed(slot: number): void;
  next(slot: number): number;
  /** -> what the object has seen and committed so far. */
  finish(slot: number, nowMs: number): number;
  /** -> what the object has seen and committed so far. */
  seenLsn(slot: number): number;
  openSection(slot: number, request: number, section: number, nowMs: number): number;
  nextSection(slot: number, nowMs: number): [request: number, section: number] | null;
  closeSection(slot: number, section: number): void;
  hold(slot: number): void;
  release(slot: number, nowMs: number): void;
  reset(slot: number, nowMs: number): number[];
  idle(nowMs: number, idleMs: number): number[];
  evictable(slot: number): boolean;
  leastRecentlyUsed(max: number): number[];
  evict(slot: number): void;
  watch(thresholdMs: number): void;
  label(className: string, method: string): number;
  begin(slot: number): boolean;
  beginExplicit(slot: number): void;
  commit(slot: number, unconfirmedWrites: number): number;
  rollback(slot: number): void;
  savepoint(slot: number, action: 0 | 1 | 2, depth: number): void;
  databaseSize(slot: number): number;
  prepare(slot: number, sql: string): [number, number, boolean, boolean, ...string[]];
  /** -> [statements, rows read, rows written, remainder] */
  ingest(slot: number, script: string): [number, number, number, string];
  readonly countsRows: boolean;
  run(extras?: unknown[]): string | unknown[] | undefined;
  columnNames(statement: number): string[];
  resetStatement(statement: number): void;
  finalize(statement: number): void;
  transactionLost(slot: number): boolean;
  // For what operators run (src/node/operator_binding.cc).
  limitStatements(slot: number, timeMsMax: number, claim: Int32Array, isMainThread: boolean, client: number): void;
  liftLimit(): [rowsChanged: number, stopped: number];
  kvGet(slot: number, key: string): string | ArrayBuffer | undefined;
  kvPut(slot: number, key: string, value: string | Uint8Array): void;
  kvGetInline(): string | ArrayBuffer | undefined;
  kvPutInline(): void;
  kvDelete(slot: number, key: string): boolean;
  kvList(slot: number, start: string | undefined, startAfter: boolean, end: string | undefined, prefix: string | undefined,
    reverse: boolean, limit: number): (string | ArrayBuffer)[];
  deleteAll(slot: number, withAlarm: boolean): void;
  loadAlarms(namespace: number, shard: number, shards: number): void;
  nextAlarm(): number;
  dueAlarm(nowMs: number): [namespace: number, hexId: string, name: string] | null;
  alarmDue(slot: number, nowMs: number): boolean;
  alarmBegins(slot: number, nowMs: number): [scheduledMs: number, retryCount: number] | null;
  alarmReturned(slot: number): void;
  alarmFailed(slot: number, nowMs: number, byStorage: boolean): number;
  setAlarm(slot: number, timeMs: number, nowMs: number): void;
  deleteAlarm(slot: number): void;
  getAlarm(slot: number): number | null;
  beginSession(slot: number): boolean;
  currentBookmark(slot: number): string;
  bookmarkForTime(slot: number, timeMs: number): string;
  restoreAtNextSession(slot: number, bookmark: string): string;
  flushLog(): void;
  durableLsn(): number;
  appendedLsn(): number;
  wakeWhenDurable(lsn: number): void;
  keep(): void;
  unkeep(): void;
  close(): void;
  openHttp(shard: number): NativeHttp;
}

/** Kinds of request events (front::RequestEvent::Kind); BODY_COMPLETE is added to the first two. */
export const REQUEST = 0;
export const BODY = 1;
export const CANCEL = 2;
export const WRITABLE = 3;
export const BODY_COMPLETE = 8;

/** Kinds of response events (front::ResponseEvent::Kind). */
export const WHOLE = 0;
export const HEAD = 1;
export const CHUNK = 2;
export const END = 3;
export const ABORT = 4;

/** A shard's side of the HTTP front. */
export interface NativeHttp {
  take(): (number | string | ArrayBuffer | undefined)[];
  respond(kind: number, id: number, status: number, lsn: number, head: string | undefined, body: string | Uint8Array | ArrayBuffer | undefined, nextSink: number): void;
  consumed(id: number, bytes: number): void;
  flush(): void;
  stopped(): boolean;
  close(): void;
}

/**
 * For a command that opens a data directory for a moment: how much of the past is kept is for those to say who serve it,
 * so nothing expires meanwhile.
 */
export const NOTHING_EXPIRES = { historyMs: 3650 * 86_400_000, historyBytes: Number.MAX_SAFE_INTEGER };

export interface Native {
  /** undefined: in memory, with nothing left after close(). */
  openEngine(directory: string | undefined, memoryBytes?: number, historyMs?: number, historyBytes?: number): NativeEngine;
  releaseFreeMemory(): void;
  /** The engine that another thread has opened; only that one closes it, when all shards are closed. */
  attachEngine(token: number): NativeEngine;
  /**
   * Copies a database of another program, with its -wal, for an object of SQLite or of key-value storage; -> when the
   * object's alarm is due (ms), if it has one.
   */
  copyDatabase(source: string, target: string, keyValueStorage: boolean): number | undefined;
  /** What of log and history in a data directory is damaged, open or not: file, offset, problem, numbers of databases, … */
  verifyLog(directory: string, work?: NativeWork): Promise<(string | number | number[])[]>;
  createWork(): NativeWork;
  /** What it is for ends soon, and fails. */
  stopWork(work: NativeWork): void;
  workDone(work: NativeWork): [bytes: number, totalBytes: number];
  /** The alarms in a copy of workerd's `metadata.sqlite`: id, milliseconds since 1970, name or '', … */
  foreignAlarms(copy: string): (string | number)[];
}

export function loadNative(): Native {
  const path = process.env['PERDURE_ADDON'] ?? fileURLToPath(new URL('../../build/release/perdure.node', import.meta.url));
  return createRequire(import.meta.url)(path) as Native;
}
