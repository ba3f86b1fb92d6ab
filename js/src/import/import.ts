/** Objects of `wrangler dev`, of workerd and of an export become objects of a data directory: all of them, or none. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Native, type NativeEngine, NOTHING_EXPIRES } from '../runtime/native.js';
import { type FoundObject, ImportError } from './find.js';
import { type Listed, readList } from './list.js';

/** A namespace that objects can be imported into. */
export interface ImportTarget {
  /** Its key on disk; decides which ids belong to it. */
  key: string;
  className: string;
  storage: 'sqlite' | 'kv';
}

export interface ImportOptions {
  native: Native;
  objects: FoundObject[];
  /** The namespaces of the project `projectName`. */
  targets: ImportTarget[];
  projectName: string;
  dataDirectory: string;
  /** Called before each object with how many are done. */
  progress(done: number, object: FoundObject): void;
}

export interface Imported {
  object: FoundObject;
  className: string;
  /** When its alarm is due, in milliseconds since 1970. */
  alarmMs: number | undefined;
}

/** Below the data directory: copies that are not checked yet. */
const WORK_FOLDER = 'import';
/** Beside the objects of a namespace, with the alarms of all. */
const METADATA_FILE = 'metadata.sqlite';
const NAMED_MAX = 3;

/** Throws ImportError, or what the engine throws; then nothing has been imported. */
export function importObjects(options: ImportOptions): Imported[] {
  const { native, objects, dataDirectory } = options;
  const targets = targetsOf(options);
  const engine = native.openEngine(dataDirectory, undefined, NOTHING_EXPIRES.historyMs, NOTHING_EXPIRES.historyBytes);
  const work = join(dataDirectory, WORK_FOLDER);
  try {
    const numbers = new Map([...targets].map(([key, { storage }]) => [key, engine.openNamespace(key, storage === 'kv')]));
    checkIds(engine, objects, numbers, dataDirectory);
    mkdirSync(work, { recursive: true });
    const alarms = readAlarms(native, objects, join(work, METADATA_FILE));
    const lists = readLists(engine, objects, numbers);
    const imported = objects.map((object, done) => {
      options.progress(done, object);
      const { className, storage } = targets.get(object.key)!;
      const own = native.copyDatabase(object.file, join(work, object.id), storage === 'kv');
      const known = alarms.get(object.id);
      const listed = lists.get(object.id);
      // What the file of an object with SQLite storage says is part of its state, the others are copies.
      return { object, className, alarmMs: storage === 'kv' ? (known?.timeMs ?? listed?.alarmMs) : own, name: known?.name || (listed?.name ?? '') };
    });
    engine.adopt(
      imported.map(({ object: { key, id }, alarmMs = 0, name }) => ({ namespace: numbers.get(key)!, id, file: join(work, id), alarmMs, name })),
    );
    return imported;
  } finally {
    rmSync(work, { recursive: true, force: true });
    engine.close();
  }
}

/** What an export has listed beside the objects' files, by id. A name that is not the object's is refused. */
function readLists(engine: NativeEngine, objects: FoundObject[], numbers: Map<string, number>): Map<string, Listed> {
  const lists = new Map([...new Set(objects.map(({ file }) => dirname(file)))].flatMap((folder) => [...readList(folder)]));
  for (const { key, id } of objects) {
    const { name, place } = lists.get(id) ?? {};
    if (name !== undefined && engine.idFromName(numbers.get(key)!, name) !== id)
      throw new ImportError(`${place}: "${name}" is not the name of the object ${id}. Correct it, or write null: the object is imported without its name then.`);
  }
  return lists;
}

/** What the other program knows of alarms beside the objects' files, by id. */
function readAlarms(native: Native, objects: FoundObject[], copy: string): Map<string, { timeMs: number; name: string }> {
  const alarms = new Map<string, { timeMs: number; name: string }>();
  for (const folder of new Set(objects.map(({ file }) => dirname(file)))) {
    const file = join(folder, METADATA_FILE);
    if (!existsSync(file)) continue;
    native.copyDatabase(file, copy, false);
    const flat = native.foreignAlarms(copy);
    for (let i = 0; i < flat.length; i += 3) alarms.set(flat[i] as string, { timeMs: flat[i + 1] as number, name: flat[i + 2] as string });
  }
  return alarms;
}

/** The namespaces that the objects are of. */
export const keysOf = (objects: FoundObject[]): string[] => [...new Set(objects.map(({ key }) => key))];

/** Those that the objects are of, by key. */
function targetsOf({ objects, targets, projectName }: ImportOptions): Map<string, ImportTarget> {
  const found = new Map<string, ImportTarget>();
  for (const { key, file } of objects) {
    const target = targets.find((each) => each.key === key);
    if (target === undefined)
      throw new ImportError(
        `${file}: "${key}" is no class of the project "${projectName}", which has ${targets.map((each) => `"${each.key}"`).join(', ') || 'none'}. Add the class to its migrations, or give a folder without it. (Ids belong to a key: renaming the folder does not help.)`,
      );
    found.set(key, target);
  }
  return found;
}

function checkIds(engine: NativeEngine, objects: FoundObject[], numbers: Map<string, number>, dataDirectory: string): void {
  for (const { key, id, file } of objects) {
    if (!engine.isId(numbers.get(key)!, id))
      throw new ImportError(`${file}: its id was not made for the namespace "${key}". The folder's name must be the unique key that the objects were made with.`);
  }
  const there = objects.filter(({ key, id }) => engine.hasObject(numbers.get(key)!, id));
  if (there.length === 0) return;
  const names = there.slice(0, NAMED_MAX).map(({ key, id }) => `${key}/${id}`);
  const more = there.length > NAMED_MAX ? `, and ${there.length - NAMED_MAX} more` : '';
  throw new ImportError(
    `${there.length} of ${objects.length} objects exist already in ${dataDirectory}: ${names.join(', ')}${more}. Nothing was imported; choose another data folder with --data.`,
  );
}
