/** `perdure sql` and `perdure kv`. */
import { OperateError } from '../operate/error.js';
import type { Moment } from '../operate/history.js';
import type { Pair, ShownValue } from '../operate/kv.js';
import { counted, type Format, JsonArray, plain, print, type RowPrinter, rowPrinter, TablePrinter } from './output.js';
import { type DataOption, withData } from './session.js';

export interface SqlOptions extends DataOption {
  write?: true;
  create?: true;
  json?: true;
  csv?: true;
  at?: Moment;
  /** Seconds. */
  timeout: number;
}

export function runSql(namespace: string, object: string, sql: string, options: SqlOptions): Promise<void> {
  const format: Format = options.json === true ? 'json' : options.csv === true ? 'csv' : 'table';
  return withData(options, async (data) => {
    let printer: RowPrinter | undefined;
    let changed: number | undefined;
    for await (const part of data.run('sql', { namespace, object, sql, write: options.write === true, create: options.create === true, timeMsMax: Math.round(options.timeout * 1000), ...(options.at === undefined ? {} : { at: options.at }) })) {
      if ('columns' in part) printer = part.columns.length === 0 ? undefined : rowPrinter(format, part.columns);
      else if ('rows' in part) await printer?.rows(part.rows);
      else changed = part.changed;
    }
    await printer?.end();
    if (changed !== undefined) console.error(`${counted(changed, 'row')} written.`);
  }, options.write);
}

/** JSON, or the text in quotes when JSON does not have it. */
const valueText = (value: ShownValue): string => ('json' in value ? value.json : value.text);
const valueJson = (value: ShownValue): string => ('json' in value ? `"value":${value.json}` : `"text":${JSON.stringify(value.text)}`);

export function getValue(namespace: string, object: string, key: string, options: DataOption): Promise<void> {
  return withData(options, async (data) => {
    for await (const value of data.run('kv-get', { namespace, object, key })) {
      if (value === null) throw new OperateError(`There is no key ${JSON.stringify(key)}.`, 'missing');
      await print(`${valueText(value)}\n`);
    }
  });
}

export interface ListOptions extends DataOption {
  prefix?: string;
  start?: string;
  end?: string;
  limit?: number;
  reverse?: true;
  json?: true;
}

export function listPairs(namespace: string, object: string, { data: folder, json, reverse, ...range }: ListOptions): Promise<void> {
  return withData({ data: folder }, async (data) => {
    const batches = data.run('kv-ls', { namespace, object, ...range, reverse: reverse === true });
    await (json === true ? printJson(batches) : printTable(batches));
  });
}

async function printJson(batches: AsyncIterable<Pair[]>): Promise<void> {
  const array = new JsonArray();
  for await (const pairs of batches) await array.add(pairs.map(([key, value]) => `{"key":${JSON.stringify(key)},${valueJson(value)}}`));
  await array.end();
}

async function printTable(batches: AsyncIterable<Pair[]>): Promise<void> {
  const table = TablePrinter.ofOurs(['key', 'value']);
  for await (const pairs of batches) await table.rows(pairs.map(([key, value]) => [plain(key), valueText(value)]));
  await table.end();
}

export function putValue(namespace: string, object: string, key: string, json: string, options: DataOption & { create?: true }): Promise<void> {
  return withData(options, async (data) => {
    for await (const _ of data.run('kv-put', { namespace, object, key, json, create: options.create === true })) void _;
  }, true);
}

/** Keys that are named. */
const NAMED_MAX = 10;

function missingText(missing: string[], wanted: number): string {
  const named = missing.slice(0, NAMED_MAX).map((key) => JSON.stringify(key)).join(', ');
  const more = missing.length > NAMED_MAX ? ` and ${missing.length - NAMED_MAX} more` : '';
  const removed = wanted - missing.length;
  const others = removed === 0 ? '' : removed === 1 ? ' The other one was removed.' : ` The other ${removed} were removed.`;
  return `${missing.length === 1 ? 'There is no key' : 'There are no keys'} ${named}${more}.${others}`;
}

export function removeKeys(namespace: string, object: string, keys: string[], options: DataOption): Promise<void> {
  return withData(options, async (data) => {
    const wanted = new Set(keys);
    for await (const missing of data.run('kv-rm', { namespace, object, keys: [...wanted] })) {
      if (missing.length > 0) throw new OperateError(missingText(missing, wanted.size), 'missing');
    }
  }, true);
}
