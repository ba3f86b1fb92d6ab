/**
 * What an object gets: `ctx` and its storage. The names and shapes are those of
 * `@cloudflare/workers-types`, so that each can stand in for the other (tests/types holds them to it);
 * only `sql.prepare()` and `sql.ingest()` are not in Cloudflare's types.
 * What belongs to Cloudflare's platform alone is `any` here.
 */
export interface DurableObjectId {
  toString(): string;
  equals(other: DurableObjectId): boolean;
  readonly name?: string;
  readonly jurisdiction?: any;
}

export interface DurableObjectState<Props = unknown> {
  readonly id: DurableObjectId;
  readonly storage: DurableObjectStorage;
  readonly props: Props;
  waitUntil(promise: Promise<any>): void;
  blockConcurrencyWhile<T>(callback: () => Promise<T>): Promise<T>;
  abort(reason?: string, options?: any): void;
  acceptWebSocket(ws: any, tags?: string[]): void;
  getWebSockets(tag?: string): any[];
  getTags(ws: any): string[];
  setWebSocketAutoResponse(pair?: any): void;
  getWebSocketAutoResponse(): any;
  getWebSocketAutoResponseTimestamp(ws: any): Date | null;
  setHibernatableWebSocketEventTimeout(timeoutMs?: number): void;
  getHibernatableWebSocketEventTimeout(): number | null;
  readonly exports: any;
  container?: any;
  facets: any;
}

export interface DurableObjectGetOptions {
  allowConcurrency?: boolean;
  noCache?: boolean;
}
export interface DurableObjectPutOptions {
  allowConcurrency?: boolean;
  allowUnconfirmed?: boolean;
  noCache?: boolean;
}
export interface DurableObjectGetAlarmOptions {
  allowConcurrency?: boolean;
}
export interface DurableObjectSetAlarmOptions {
  allowConcurrency?: boolean;
  allowUnconfirmed?: boolean;
}
export interface SyncKvListOptions {
  start?: string;
  startAfter?: string;
  end?: string;
  prefix?: string;
  reverse?: boolean;
  limit?: number;
}
export interface DurableObjectListOptions extends SyncKvListOptions {
  allowConcurrency?: boolean;
  noCache?: boolean;
}

/** What the storage and a transaction have in common. */
interface KeyValueMethods {
  get<T = unknown>(key: string, options?: DurableObjectGetOptions): Promise<T | undefined>;
  get<T = unknown>(keys: string[], options?: DurableObjectGetOptions): Promise<Map<string, T>>;
  list<T = unknown>(options?: DurableObjectListOptions): Promise<Map<string, T>>;
  put<T>(key: string, value: T, options?: DurableObjectPutOptions): Promise<void>;
  put<T>(entries: Record<string, T>, options?: DurableObjectPutOptions): Promise<void>;
  delete(key: string, options?: DurableObjectPutOptions): Promise<boolean>;
  delete(keys: string[], options?: DurableObjectPutOptions): Promise<number>;
  getAlarm(options?: DurableObjectGetAlarmOptions): Promise<number | null>;
  setAlarm(scheduledTime: number | Date, options?: DurableObjectSetAlarmOptions): Promise<void>;
  deleteAlarm(options?: DurableObjectSetAlarmOptions): Promise<void>;
}

export interface DurableObjectTransaction extends KeyValueMethods {
  rollback(): void;
}

export interface DurableObjectStorage extends KeyValueMethods {
  readonly sql: SqlStorage;
  readonly kv: SyncKvStorage;
  deleteAll(options?: DurableObjectPutOptions): Promise<void>;
  sync(): Promise<void>;
  transaction<T>(closure: (txn: DurableObjectTransaction) => Promise<T>): Promise<T>;
  transactionSync<T>(closure: () => T): T;
  getCurrentBookmark(): Promise<string>;
  getBookmarkForTime(timestamp: number | Date): Promise<string>;
  onNextSessionRestoreBookmark(bookmark: string): Promise<string>;
}

export interface SyncKvStorage {
  get<T = unknown>(key: string): T | undefined;
  list<T = unknown>(options?: SyncKvListOptions): Iterable<[string, T]>;
  put<T>(key: string, value: T): void;
  delete(key: string): boolean;
}

export type SqlStorageValue = ArrayBuffer | string | number | null;

export interface SqlStorage {
  exec<T extends Record<string, SqlStorageValue>>(query: string, ...bindings: any[]): SqlStorageCursor<T>;
  /** A statement to run again and again. The query is looked at when it runs. */
  prepare<T extends Record<string, SqlStorageValue> = Record<string, SqlStorageValue>>(query: string): SqlStorageStatement<T>;
  /** Runs the statements of a script that comes in parts: those that are complete, each ended by its `;`. */
  ingest(script: string): SqlIngestResult;
  /** Bytes. */
  readonly databaseSize: number;
  Cursor: any;
  Statement: any;
}

export interface SqlStorageStatement<T extends Record<string, SqlStorageValue>> {
  /** What exec() of the query returns; without bindings, with those of bind(). */
  (...bindings: any[]): SqlStorageCursor<T>;
  /** Sets the bindings for the calls that bring none, and returns the statement. */
  bind(...values: any[]): this;
  /** Runs it to its end; the cursor has the counts. */
  run(): SqlStorageCursor<T>;
  all(): T[];
  /** The first row, or null when there is none. */
  first(): T | null;
  /** What the first row has in `column`, or null when there is no row. Throws a TypeError for a column that is not there. */
  first<K extends string & keyof T>(column: K): T[K] | null;
  /** All rows, as arrays. */
  raw<U extends SqlStorageValue[]>(): U[];
}

export interface SqlIngestResult {
  /** What follows the last complete statement: to be put in front of the next part. */
  remainder: string;
  rowsRead: number;
  rowsWritten: number;
  statementCount: number;
}

export interface SqlStorageCursor<T extends Record<string, SqlStorageValue>> {
  next(): IteratorResult<T, undefined>;
  toArray(): T[];
  one(): T;
  raw<U extends SqlStorageValue[]>(): IterableIterator<U>;
  columnNames: string[];
  readonly rowsRead: number;
  readonly rowsWritten: number;
  [Symbol.iterator](): IterableIterator<T>;
}
