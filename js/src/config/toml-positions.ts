import type { Position } from './error.js';

type Key = string | number;

/**
 * Finds the lines of the tables and keys of a TOML text that is known to be valid, by path (as a JSON
 * text). The TOML parser does not keep positions. Keys inside inline tables are not found: the caller
 * then takes the position of the key that holds them.
 */
export function findTomlPositions(text: string): Map<string, Position> {
  const positions = new Map<string, Position>();
  const arrayLengths = new Map<string, number>();
  const note = (path: Key[], position: Position): void => {
    const key = JSON.stringify(path);
    if (!positions.has(key)) positions.set(key, position);
  };

  /** The element of an array of tables that a later header or key means is the last one so far. */
  const resolve = (keys: string[]): Key[] => {
    const path: Key[] = [];
    for (const key of keys) {
      path.push(key);
      const length = arrayLengths.get(JSON.stringify(path));
      if (length !== undefined) path.push(length - 1);
    }
    return path;
  };

  let table: Key[] = [];
  let depth = 0;
  let stringEnd: string | undefined;
  for (const [index, line] of text.split('\n').entries()) {
    const indent = line.length - line.trimStart().length;
    const position = { line: index + 1, column: indent + 1 };
    if (depth === 0 && stringEnd === undefined) {
      const header = /^(\[\[?)\s*([^\]]+?)\s*\]/.exec(line.slice(indent));
      const key = /^((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=/.exec(
        line.slice(indent),
      );
      if (header?.[1] === '[[') {
        const keys = splitKey(header[2] ?? '');
        const array = [...resolve(keys.slice(0, -1)), ...keys.slice(-1)];
        const length = (arrayLengths.get(JSON.stringify(array)) ?? 0) + 1;
        arrayLengths.set(JSON.stringify(array), length);
        table = [...array, length - 1];
        note(array, position);
        note(table, position);
        continue;
      }
      if (header) {
        table = resolve(splitKey(header[2] ?? ''));
        for (let length = 1; length <= table.length; length++) note(table.slice(0, length), position);
        continue;
      }
      if (key) {
        const keys = splitKey(key[1] ?? '');
        for (let length = 1; length <= keys.length; length++) {
          note([...table, ...keys.slice(0, length)], position);
        }
      }
    }
    ({ depth, stringEnd } = skipLine(line, depth, stringEnd));
  }
  return positions;
}

function splitKey(text: string): string[] {
  return [...text.matchAll(/"([^"]*)"|'([^']*)'|([\w-]+)/g)].map(
    (match) => match[1] ?? match[2] ?? match[3] ?? '',
  );
}

/** Follows brackets and multi-line strings, so that what is inside them is not taken for keys. */
function skipLine(
  line: string,
  depth: number,
  stringEnd: string | undefined,
): { depth: number; stringEnd: string | undefined } {
  let at = 0;
  while (at < line.length) {
    if (stringEnd !== undefined) {
      const escaped = stringEnd.startsWith('"') && line[at] === '\\';
      if (!escaped && line.startsWith(stringEnd, at)) {
        at += stringEnd.length;
        stringEnd = undefined;
      } else {
        at += escaped ? 2 : 1;
      }
      continue;
    }
    const rest = line.slice(at, at + 3);
    if (rest === '"""' || rest === "'''") {
      stringEnd = rest;
      at += 3;
      continue;
    }
    const character = line[at];
    if (character === '#') break;
    if (character === '"' || character === "'") stringEnd = character;
    if (character === '[' || character === '{') depth++;
    if (character === ']' || character === '}') depth--;
    at++;
  }
  // A plain string ends on its line.
  return { depth, stringEnd: stringEnd?.length === 3 ? stringEnd : undefined };
}
