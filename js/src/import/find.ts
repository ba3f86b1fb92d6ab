/** Which objects a folder of `wrangler dev` or of workerd's localDisk holds. */
import { readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** An object as the other program keeps it. */
export interface FoundObject {
  /** The namespace's unique key there, which the ids were made with: the folder's name. */
  key: string;
  /** 64 hex digits. */
  id: string;
  file: string;
}

export class ImportError extends Error {}

const objectFile = /^([0-9a-f]{64})\.sqlite$/;
/** From a project's folder down to its objects: .wrangler/state/v3/do/<key>/. */
const DEPTH_MAX = 5;

/** All objects below the folder, by key and id. Throws ImportError when there is none. */
export function findObjects(directory: string): FoundObject[] {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new ImportError(`There is no folder ${directory}. Give the one that "wrangler dev" keeps its state in (.wrangler/state), or the folder of workerd's localDisk.`);
  const found = filesBelow(directory, DEPTH_MAX).flatMap((file) => {
    const id = objectFile.exec(basename(file))?.[1];
    return id === undefined ? [] : [{ key: basename(dirname(file)), id, file }];
  });
  if (found.length === 0)
    throw new ImportError(`There are no objects in ${directory}: no <name>-<class>/<id>.sqlite in it or in a folder below.`);
  refuseTwice(found);
  return found.sort((a, b) => (a.file < b.file ? -1 : 1));
}

function filesBelow(directory: string, depth: number): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isFile()) return [path];
    return entry.isDirectory() && depth > 0 && entry.name !== 'node_modules' && entry.name !== '.perdure' ? filesBelow(path, depth - 1) : [];
  });
}

function refuseTwice(objects: FoundObject[]): void {
  const files = new Map<string, string>();
  for (const { id, file } of objects) {
    const other = files.get(id);
    if (other !== undefined) throw new ImportError(`The object ${id} is there twice: ${other} and ${file}. Give the folder of one of them.`);
    files.set(id, file);
  }
}
