import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** What is to be done at the end of a test, the last first. */
const endings = new WeakMap();

/**
 * Has `end` run when the test `t` ends, before what was asked for earlier: a server ends before its folder
 * is removed. (Hooks of node:test run in the order they were registered, and only until one throws.)
 */
export function atEnd(t, end) {
  if (!endings.has(t)) {
    const stack = [];
    endings.set(t, stack);
    t.after(async () => {
      const errors = [];
      for (const each of stack.reverse()) {
        try {
          await each();
        } catch (error) {
          errors.push(error);
        }
      }
      if (errors.length > 0) throw errors[0];
    });
  }
  endings.get(t).push(end);
}

/** A folder that is removed when the test `t` ends. */
export function temporaryDirectory(t) {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'perdure-test-')));
  atEnd(t, () => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
  return directory;
}

/** Writes `files` (path to content) below `directory`. */
export function writeFiles(directory, files) {
  for (const [path, content] of Object.entries(files)) {
    const file = join(directory, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  return directory;
}

/** The text of a configuration file with one class, changed by `overrides`. */
export function wranglerJson(overrides = {}) {
  return JSON.stringify({
    name: 'test',
    main: 'index.ts',
    compatibility_date: '2026-01-01',
    durable_objects: { bindings: [{ name: 'THING', class_name: 'Thing' }] },
    migrations: [{ tag: 'v1', new_sqlite_classes: ['Thing'] }],
    ...overrides,
  });
}

/** Every object file of a data directory that was stopped cleanly. */
export function objectFiles(dataDirectory) {
  return readdirSync(join(dataDirectory, 'objects'), { recursive: true })
    .filter((path) => path.endsWith('.sqlite'))
    .map((path) => join(dataDirectory, 'objects', path));
}

/** What the `sqlite3` shell prints. */
export function sqlite(file, sql) {
  return execFileSync('sqlite3', ['-readonly', '-bail', file, sql], { encoding: 'utf8' }).trim();
}
