/** `perdure export`: a SQLite file for each object. */
import { mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { SingleBar } from 'cli-progress';
import { OperateError } from '../operate/error.js';
import type { Moment } from '../operate/history.js';
import type { ListedObject } from '../operate/objects.js';
import type { DataDirectory } from '../operate/open.js';
import type { ArgumentsOf } from '../operate/operations.js';
import { counted, plain, print, sizeText } from './output.js';
import { progressBar, sayBeside } from './progress.js';
import { type DataOption, withData } from './session.js';

/** In the folder of the files: which object each is of. js/src/import/list.ts reads it. */
const LIST_FILE = 'objects.jsonl';

/** Which state, when it is not the last one. */
interface At {
  at?: Moment;
}

/** What has been written. */
interface Total {
  objects: number;
  bytes: number;
  /** Objects that are damaged, and have no file. */
  leftOut: number;
}

/** (namespace, folder) or (namespace, object, folder) */
export function exportObjects(namespace: string, objectOrFolder: string, folderAfterObject: string | undefined, options: DataOption & { at?: Moment }): Promise<void> {
  const folder = join(resolve(folderAfterObject ?? objectOrFolder), folderName(namespace));
  const at = options.at === undefined ? {} : { at: options.at };
  return withData(options, async (data) => {
    const total = { objects: 0, bytes: 0, leftOut: 0 };
    if (folderAfterObject === undefined) await exportAll(data, namespace, at, folder, total);
    else await exportNamed(data, namespace, objectOrFolder, at, folder, total);
    await print(`Exported ${counted(total.objects, 'object')} (${sizeText(total.bytes)}) to ${folder}\n`);
    if (total.leftOut > 0) throw new OperateError(`${counted(total.leftOut, 'damaged object')} ${total.leftOut === 1 ? 'was' : 'were'} left out. "perdure verify" finds everything that is damaged.`, 'damaged');
  });
}

/** An import finds a namespace by the name of its folder. */
function folderName(namespace: string): string {
  if (/[/\0]/.test(namespace) || namespace === '.' || namespace === '..')
    throw new OperateError(`The namespace "${namespace}" has a name that no folder can have.`);
  return namespace;
}

async function exportAll(data: DataDirectory, namespace: string, at: At, folder: string, total: Total): Promise<void> {
  const count = await countOf(data, namespace);
  await refuseUsed(folder);
  const bar = progressBar('exporting', count);
  const list = await open(join(folder, LIST_FILE), 'wx');
  try {
    for await (const objects of data.run('objects', { namespace })) {
      for (const object of objects) await exportListed(data, object, at, folder, list, total, bar);
    }
    await list.sync();
  } catch (error) {
    bar?.stop();
    if (total.objects === 0) await rm(join(folder, LIST_FILE));
    else process.stderr.write(`perdure: The folder ${folder} is not complete: it has the ${total.objects} of ${count} objects that ${LIST_FILE} lists. Remove it, or export to another one.\n`);
    throw error;
  } finally {
    bar?.stop();
    await list.close();
  }
  await syncFolder(folder);
}

async function exportListed(data: DataDirectory, object: ListedObject, at: At, folder: string, list: FileHandle, total: Total, bar: SingleBar | undefined): Promise<void> {
  const { namespace, id, name } = object;
  bar?.update(total.objects + total.leftOut, { id: plain(name ?? id) });
  let exported: Exported;
  try {
    exported = await exportOne(data, { namespace, object: id, ...at }, join(folder, `${id}.sqlite`));
  } catch (error) {
    // An object of key-value storage whose last key has gone meanwhile.
    if (error instanceof OperateError && error.kind === 'missing') return;
    if (!(error instanceof OperateError) || error.kind !== 'damaged') throw error;
    total.leftOut++;
    sayBeside(bar, `perdure: left out: ${namespace} ${plain(name === null ? id : `${JSON.stringify(name)}, ${id}`)}: ${plain(error.message)}\n`);
    return;
  }
  const { bytes, alarmMs = object.alarmMs } = exported;
  await list.write(`${JSON.stringify({ id, name, file: `${id}.sqlite`, bytes, alarm: alarmMs === null ? null : new Date(alarmMs).toISOString() })}\n`);
  total.objects++;
  total.bytes += bytes;
}

/** The object's id is not known here; the server finds it by its name. */
async function exportNamed(data: DataDirectory, namespace: string, object: string, at: At, folder: string, total: Total): Promise<void> {
  let id = '';
  for await (const found of data.run('find', { namespace, object })) id = found.id;
  await makeFolder(folder);
  total.bytes = (await exportOne(data, { namespace, object: id, ...at }, join(folder, `${id}.sqlite`))).bytes;
  total.objects = 1;
  await syncFolder(folder);
}

async function countOf(data: DataDirectory, namespace: string): Promise<number> {
  let found: number | undefined;
  for await (const { namespaces } of data.run('stats', {})) found = namespaces.find(({ key }) => key === namespace)?.objects;
  // The list says what is wrong with a namespace that is not there.
  return found ?? 0;
}

async function refuseUsed(folder: string): Promise<void> {
  await makeFolder(folder);
  if ((await readdir(folder)).length > 0) throw new OperateError(`The folder ${folder} is not empty. Nothing is overwritten: give another one.`);
}

/** A file that has been written. */
interface Exported {
  bytes: number;
  /** Of a state of the past: when its alarm was due. null: it had none. */
  alarmMs?: number | null;
}

/** A file is there when it is whole, and on the disk. */
async function exportOne(data: DataDirectory, of: ArgumentsOf<'export'>, path: string): Promise<Exported> {
  const partial = `${path}.partial`;
  const file = await open(partial, 'wx');
  const exported: Exported = { bytes: 0 };
  try {
    try {
      for await (const part of data.run('export', of)) {
        if (!(part instanceof Uint8Array)) {
          if (part.alarmMs !== undefined) exported.alarmMs = part.alarmMs;
          continue;
        }
        await file.writeFile(part);
        exported.bytes += part.length;
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await refuseExisting(path);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
  return exported;
}

/** As mkdir with `recursive`, which never ends where a folder is there and takes none (/proc). */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && (await stat(folder)).isDirectory()) return;
    const parent = dirname(folder);
    if (code !== 'ENOENT' || (await isThere(parent))) throw error;
    await makeFolder(parent);
    await makeFolder(folder);
  }
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

async function refuseExisting(path: string): Promise<void> {
  const there = await open(path, 'r').catch(() => undefined);
  if (there === undefined) return;
  await there.close();
  throw new OperateError(`The file ${path} is there already. Nothing is overwritten: give another folder, or remove it.`);
}

async function syncFolder(folder: string): Promise<void> {
  const opened = await open(folder, 'r');
  try {
    await opened.sync();
  } finally {
    await opened.close();
  }
}
