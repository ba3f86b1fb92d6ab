/** `perdure history`, `bookmark` and `restore`. */
import type { HistoryEnd, Moment, PastCommit } from '../operate/history.js';
import { COMMITS_MAX } from '../operate/limits.js';
import { counted, JsonArray, print, sizeText, TablePrinter } from './output.js';
import { type DataOption, withData } from './session.js';

const timeOf = (ms: number): string => new Date(ms).toISOString();

export function showHistory(namespace: string, object: string, options: DataOption & { limit: number; json?: true }): Promise<void> {
  return withData(options, async (data) => {
    const parts = data.run('history', { namespace, object, limit: options.limit });
    if (options.json === true) await printJson(parts);
    else explainEnd(await printTable(parts));
  });
}

async function printTable(parts: AsyncIterable<PastCommit[] | HistoryEnd>): Promise<HistoryEnd> {
  const table = TablePrinter.ofOurs(['time', 'bookmark', 'pages', 'bytes', 'size', 'kind']);
  let end: HistoryEnd = 'first';
  for await (const part of parts) {
    if (typeof part === 'string') end = part;
    else
      await table.rows(part.map(({ timeMs, bookmark, changedPages, changedBytes, bytes, restore }) => [timeOf(timeMs), bookmark, changedPages, changedBytes, sizeText(bytes), restore ? 'restore' : 'commit']));
  }
  await table.end();
  return end;
}

function explainEnd(end: HistoryEnd): void {
  if (end === 'more') console.error(`There are more. --limit prints up to ${COMMITS_MAX}.`);
  else if (end === 'expired') console.error('What was before is not kept any more.');
}

async function printJson(parts: AsyncIterable<PastCommit[] | HistoryEnd>): Promise<void> {
  const array = new JsonArray();
  for await (const part of parts) {
    if (typeof part !== 'string') await array.add(part.map(({ timeMs, ...commit }) => JSON.stringify({ time: timeOf(timeMs), ...commit })));
  }
  await array.end();
}

export function showBookmark(namespace: string, object: string, options: DataOption & { at?: number }): Promise<void> {
  return withData(options, async (data) => {
    for await (const bookmark of data.run('bookmark', { namespace, object, ...(options.at === undefined ? {} : { atMs: options.at }) })) await print(`${bookmark}\n`);
  });
}

export function restore(namespace: string, object: string, options: DataOption & { to: Moment; dryRun?: true }): Promise<void> {
  return withData(options, async (data) => {
    const { to, dryRun } = options;
    for await (const part of data.run('restore', { namespace, object, to, dryRun: dryRun === true })) {
      if ('undo' in part) {
        await print(`${part.undo}\n`);
        console.error('Restored. The bookmark that is printed takes that back.');
        continue;
      }
      const { bookmark, commits, changedPages } = part;
      console.error(`${dryRun === true ? 'Would take' : 'Taking'} back ${counted(commits, 'commit')} (${changedPages} ${changedPages === 1 ? 'page differs' : 'pages differ'}), to ${bookmark}.`);
    }
  }, options.dryRun !== true);
}
