/** Which object an operator means. */
import type { NativeEngine } from '../runtime/native.js';
import { OperateError } from './error.js';

/** A namespace of the data directory. */
export interface Space {
  number: number;
  /** As the data directory has it: `<name of the project>-<class>`. */
  key: string;
  storage: 'sqlite' | 'kv';
}

/** An object that is there. */
export interface Place {
  space: Space;
  id: string;
  /** Undefined: only the id was given. */
  name: string | undefined;
}

const HEX_ID = /^[0-9a-f]{64}$/i;

/** All namespaces, by key. */
export function spaces(engine: NativeEngine): Space[] {
  const flat = engine.namespaces();
  const found: Space[] = [];
  for (let i = 0; i < flat.length; i += 3) {
    found.push({ number: flat[i] as number, key: flat[i + 1] as string, storage: flat[i + 2] === true ? 'kv' : 'sqlite' });
  }
  return found.sort((a, b) => (a.key < b.key ? -1 : 1));
}

export function findSpace(engine: NativeEngine, key: string): Space {
  const all = spaces(engine);
  const found = all.find((space) => space.key === key);
  if (found !== undefined) {
    engine.openNamespace(found.key, found.storage === 'kv'); // its ids can be made and checked from now on
    return found;
  }
  const there = all.length === 0 ? 'It has none yet.' : `There are: ${all.map((space) => space.key).join(', ')}.`;
  throw new OperateError(`There is no namespace "${key}" in the data directory. A namespace is "<name of the project>-<class>". ${there}`, 'missing');
}

/** The object with this id or this name. Throws OperateError unless it is there, or is to be made. */
export function findObject(engine: NativeEngine, key: string, nameOrId: string, create = false): Place {
  const space = findSpace(engine, key);
  const place = placeOf(engine, space, nameOrId);
  if (create || engine.hasObject(space.number, place.id)) return place;
  const what = place.name === undefined ? `with the id ${place.id}` : `named ${JSON.stringify(nameOrId)}`;
  const hints = [`"perdure objects ls ${key}" lists those that are there.`];
  if (place.name !== undefined && HEX_ID.test(nameOrId)) hints.push(`(Nor is that the id of one: it was not made for ${key}.)`);
  if (space.storage === 'kv') hints.push('(An object of key-value storage is there while it has keys.)');
  throw new OperateError(`There is no object ${what} in ${key}. ${hints.join(' ')}`, 'missing');
}

/** A name may be 64 hex digits, too (a checksum, say), but half of an id proves that it was made for its namespace. */
function placeOf(engine: NativeEngine, space: Space, nameOrId: string): Place {
  if (engine.isId(space.number, nameOrId)) return { space, id: nameOrId.toLowerCase(), name: undefined };
  return { space, id: engine.idFromName(space.number, nameOrId), name: nameOrId };
}
