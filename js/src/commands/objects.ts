/** `perdure objects ls` and `perdure stats`. */
import type { ListedObject } from '../operate/objects.js';
import type { Stats } from '../operate/stats.js';
import { counted, JsonArray, plain, print, sizeText, TablePrinter, timeText } from './output.js';
import { type DataOption, withData } from './session.js';

const isoOf = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

export function listObjects(namespace: string | undefined, options: DataOption & { json?: true }): Promise<void> {
  return withData(options, async (data) => {
    const batches = data.run('objects', namespace === undefined ? {} : { namespace });
    await (options.json === true ? printJson(batches) : printTable(batches));
  });
}

async function printJson(batches: AsyncIterable<ListedObject[]>): Promise<void> {
  const array = new JsonArray();
  for await (const objects of batches)
    await array.add(objects.map(({ changedMs, alarmMs, ...object }) => JSON.stringify({ ...object, changed: isoOf(changedMs), alarm: isoOf(alarmMs) })));
  await array.end();
}

async function printTable(batches: AsyncIterable<ListedObject[]>): Promise<void> {
  const table = TablePrinter.ofOurs(['namespace', 'name', 'id', 'size', 'changed', 'alarm']);
  const time = (ms: number | null): string => (ms === null ? '-' : timeText(ms));
  for await (const objects of batches)
    await table.rows(objects.map(({ namespace, name, id, bytes, changedMs, alarmMs }) => [namespace, name ?? '-', id, sizeText(bytes), time(changedMs), time(alarmMs)]));
  await table.end();
}

export function showStats(options: DataOption & { json?: true }): Promise<void> {
  return withData(options, async (data) => {
    for await (const stats of data.run('stats', {})) await print(options.json === true ? `${JSON.stringify(stats)}\n` : textOf(stats));
  });
}

function textOf({ dataDirectory, server, namespaces, log }: Stats): string {
  const lines: [string, string][] = [['data directory', dataDirectory]];
  if (server === null) lines.push(['server', 'none']);
  else {
    lines.push(['server', `process ${server.pid} serves ${plain(server.project)} on port ${server.port} for ${durationText(server.uptimeMs)}`]);
    lines.push(['memory', `${sizeText(server.memoryBytes)} of ${sizeText(server.memoryLimitBytes)}`]);
    lines.push(['objects in memory', `${server.objectsInMemory.reduce((sum, count) => sum + count, 0)} (by thread: ${server.objectsInMemory.join(', ')})`]);
  }
  for (const { key, storage, objects, alarms } of namespaces)
    lines.push([plain(key), `${counted(objects, 'object')} (${storage === 'kv' ? 'key-value' : 'SQLite'} storage), ${counted(alarms, 'alarm')}`]);
  lines.push(['log', `${log.appendedLsn} records, ${log.appendedLsn - log.durableLsn} of them on their way to the disk`]);
  lines.push(['since checkpoint', `${sizeText(log.bytesSinceCheckpoint)} of log, ${sizeText(log.dirtyBytes)} of pages in memory`]);
  if (!log.hasRoom) lines.push(['disk', 'full: commits are refused until there is room']);
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('');
}

function durationText(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const parts = [[Math.floor(seconds / 86_400), 'd'], [Math.floor(seconds / 3_600) % 24, 'h'], [Math.floor(seconds / 60) % 60, 'min'], [seconds % 60, 's']] as const;
  const first = parts.findIndex(([count]) => count > 0);
  return parts.slice(first < 0 ? -1 : first).slice(0, 2).map(([count, unit]) => `${count} ${unit}`).join(' ');
}
