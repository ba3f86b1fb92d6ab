import { readFileSync } from 'node:fs';
import * as jsonc from 'jsonc-parser';
import { parse as parseToml, TomlDate, TomlError } from 'smol-toml';
import { type Position, ProjectError } from './error.js';
import { findTomlPositions } from './toml-positions.js';

export type Path = readonly (string | number)[];

/** A configuration file: its value, and where each part of the value stands in the text. */
export interface Document {
  readonly file: string;
  readonly value: unknown;
  /** The position of the key (or array element) at `path`, or of its nearest known ancestor. */
  keyPosition(path: Path): Position | undefined;
  /** The position of the value at `path`, or of its nearest known ancestor. */
  valuePosition(path: Path): Position | undefined;
}

/** Reads a `.json`, `.jsonc` or `.toml` file. Throws ProjectError with the position of a mistake. */
export function readDocument(file: string): Document {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new ProjectError(`${file}: cannot be read: ${(error as Error).message}`);
  }
  if (text.startsWith('\uFEFF')) text = text.slice(1);
  return file.endsWith('.toml') ? readToml(file, text) : readJsonc(file, text);
}

const jsonMistakes: Record<string, string> = {
  InvalidSymbol: 'this is no JSON value',
  InvalidNumberFormat: 'this is no JSON number',
  PropertyNameExpected: 'a key in double quotes is expected here',
  ValueExpected: 'a value is expected here',
  ColonExpected: 'a colon is expected here',
  CommaExpected: 'a comma is expected here',
  CloseBraceExpected: 'a closing brace "}" is missing',
  CloseBracketExpected: 'a closing bracket "]" is missing',
  EndOfFileExpected: 'nothing may follow after the end of the object',
  UnexpectedEndOfComment: 'this comment does not end',
  UnexpectedEndOfString: 'this string does not end',
  UnexpectedEndOfNumber: 'this number does not end',
  InvalidUnicode: 'this is no Unicode escape',
  InvalidEscapeCharacter: 'this is no escape that JSON knows',
  InvalidCharacter: 'this character must be escaped',
};

function positionIn(text: string, offset: number): Position {
  const before = text.slice(0, offset);
  const lineStart = before.lastIndexOf('\n') + 1;
  return { line: before.split('\n').length, column: offset - lineStart + 1 };
}

function readJsonc(file: string, text: string): Document {
  if (text.trim() === '') throw ProjectError.at(file, { line: 1, column: 1 }, 'the file is empty');
  const mistakes: jsonc.ParseError[] = [];
  const root = jsonc.parseTree(text, mistakes, { allowTrailingComma: true });
  const mistake = mistakes[0];
  if (mistake || !root) {
    const code = mistake ? jsonc.printParseErrorCode(mistake.error) : 'ValueExpected';
    const what = jsonMistakes[code] ?? 'this is not valid JSON';
    throw ProjectError.at(file, positionIn(text, mistake?.offset ?? 0), what);
  }
  refuseDuplicateKeys(file, text, root);

  const nodeAt = (path: Path): jsonc.Node => {
    for (let length = path.length; length > 0; length--) {
      const node = jsonc.findNodeAtLocation(root, path.slice(0, length));
      if (node) return node;
    }
    return root;
  };
  return {
    file,
    value: jsonc.getNodeValue(root),
    keyPosition(path) {
      const node = nodeAt(path);
      const start = node.parent?.type === 'property' ? node.parent : node;
      return positionIn(text, start.offset);
    },
    valuePosition: (path) => positionIn(text, nodeAt(path).offset),
  };
}

/** JSON lets the last of two equal keys win, and the first would be dropped silently. */
function refuseDuplicateKeys(file: string, text: string, node: jsonc.Node): void {
  const seen = new Set<string>();
  for (const child of node.children ?? []) {
    if (node.type === 'object') {
      const key = child.children?.[0];
      const name = String(key?.value);
      if (seen.has(name)) {
        throw ProjectError.at(file, positionIn(text, child.offset), `the key "${name}" is there twice`);
      }
      seen.add(name);
    }
    refuseDuplicateKeys(file, text, child);
  }
}

function readToml(file: string, text: string): Document {
  let value: unknown;
  try {
    value = parseToml(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // The first line says what is wrong; the rest draws the place, which the position names.
    const what = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? '';
    throw ProjectError.at(file, { line: error.line, column: error.column }, what);
  }
  const positions = findTomlPositions(text);
  const nearest = (path: Path): Position | undefined => {
    for (let length = path.length; length > 0; length--) {
      const position = positions.get(JSON.stringify(path.slice(0, length)));
      if (position) return position;
    }
    return undefined;
  };
  return { file, value, keyPosition: nearest, valuePosition: nearest };
}

/** The dates of TOML are the one kind of value that JSON has not. */
export function isTomlDate(value: unknown): boolean {
  return value instanceof TomlDate;
}
