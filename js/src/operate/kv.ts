/** `kv`: the key-value storage of an object, of either kind. */
import { inspect } from 'node:util';
import type { ViewValue } from '../runtime/native.js';
import { checkKey } from '../runtime/kv.js';
import { decodeValue } from '../runtime/values.js';
import type { Operated } from './operated.js';
import { findObject, type Place } from './places.js';
import { View, withView } from './view.js';
import { writeUntil } from './write.js';

export interface KvArguments {
  namespace: string;
  object: string;
}

/** A value: as JSON where that is exact, else as text for people. */
export type ShownValue = { json: string } | { text: string };
export type Pair = [key: string, value: ShownValue];

/** Pairs and levels of a value that its text shows. */
const SHOWN_ITEMS_MAX = 1_000;
const SHOWN_DEPTH_MAX = 8;

/** Where the pairs of an object stand, in the view of what it stores. */
interface Table {
  select: string;
  parameters: string[];
}

const tableOf = ({ space, id }: Place): Table =>
  space.storage === 'kv'
    ? { select: 'SELECT key, value FROM do_storage WHERE namespace = ? AND id = ?', parameters: [space.key, id] }
    : { select: 'SELECT key, value FROM _cf_KV WHERE TRUE', parameters: [] };

const nameOfTable = ({ space }: Place): string => (space.storage === 'kv' ? 'do_storage' : '_cf_KV');

function shown(stored: ViewValue): ShownValue {
  if (typeof stored === 'string') return { json: stored };
  if (!(stored instanceof ArrayBuffer)) return { text: String(stored) };
  try {
    return { text: inspect(decodeValue(stored), { depth: SHOWN_DEPTH_MAX, maxArrayLength: SHOWN_ITEMS_MAX, maxStringLength: null, breakLength: Infinity }) };
  } catch (error) {
    return { text: `<${stored.byteLength} bytes that cannot be read: ${(error as Error).message}>` };
  }
}

/** One part: the value, or null. */
export async function* getKey({ engine }: Operated, { key, ...args }: KvArguments & { key: string }, signal: AbortSignal): AsyncGenerator<ShownValue | null> {
  const place = findObject(engine, args.namespace, args.object);
  const { select, parameters } = tableOf(place);
  yield* withView(View.ofObject(engine, signal, place), async function* (view) {
    const row = (await view.hasTable(nameOfTable(place))) ? await view.first(`${select} AND key = ?`, ...parameters, key) : undefined;
    yield row === undefined ? null : shown(row[1]!);
  });
}

export interface ListArguments extends KvArguments {
  prefix?: string;
  start?: string;
  end?: string;
  limit?: number;
  reverse: boolean;
}

/** Batches of pairs, in the order of the keys' bytes. */
export async function* listKeys({ engine }: Operated, args: ListArguments, signal: AbortSignal): AsyncGenerator<Pair[]> {
  const place = findObject(engine, args.namespace, args.object);
  const { select, parameters } = tableOf(place);
  const query = [select];
  const bound: (string | number)[] = [...parameters];
  const add = (clause: string, ...values: (string | number)[]): void => {
    query.push(clause);
    bound.push(...values);
  };
  if (args.start !== undefined) add('AND key >= ?', args.start);
  if (args.end !== undefined) add('AND key < ?', args.end);
  // No UTF-8 has the byte 0xff: it comes after all that begins with the prefix.
  if (args.prefix !== undefined) add("AND key >= ? AND key < ? || CAST(x'ff' AS TEXT)", args.prefix, args.prefix);
  add(args.reverse ? 'ORDER BY key DESC' : 'ORDER BY key');
  if (args.limit !== undefined) add('LIMIT ?', args.limit);
  yield* withView(View.ofObject(engine, signal, place), async function* (view) {
    if (!(await view.hasTable(nameOfTable(place)))) return;
    for await (const rows of view.rows(query.join(' '), ...bound)) yield rows.map(([key, value]): Pair => [key as string, shown(value!)]);
  });
}

/** Nothing is answered; the value is JSON. */
export async function* putKey(operated: Operated, { key, json, create, ...args }: KvArguments & { key: string; json: string; create: boolean }, signal: AbortSignal): AsyncGenerator<never> {
  checkKey(key);
  const place = findObject(operated.engine, args.namespace, args.object, create);
  await writeUntil(operated, { place, action: { kind: 'put', key, json } }, signal);
}

/** One part: those of the keys that were not there. */
export async function* removeKeys(operated: Operated, { keys, ...args }: KvArguments & { keys: string[] }, signal: AbortSignal): AsyncGenerator<string[]> {
  const place = findObject(operated.engine, args.namespace, args.object);
  yield (await writeUntil(operated, { place, action: { kind: 'delete', keys } }, signal)).missing!;
}
