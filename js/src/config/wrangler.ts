import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { type CronTrigger, parseCron } from './cron.js';
import { isTomlDate, readDocument } from './document.js';
import { ProjectError } from './error.js';
import {
  applyMigrations,
  type ClassDeclaration,
  type Migration,
  MigrationMistake,
} from './migrations.js';
import { Reader } from './reader.js';

/** A folder with a wrangler file, as far as Perdure serves it. */
export interface Project {
  /** Absolute; the folder of the configuration file. */
  directory: string;
  /** Absolute. */
  configFile: string;
  name: string;
  /** Absolute path of the entry module. */
  main: string;
  /** `YYYY-MM-DD`. */
  compatibilityDate: string;
  compatibilityFlags: string[];
  /** Values that JSON can hold. */
  vars: Record<string, unknown>;
  bindings: { name: string; className: string }[];
  /** The classes after the last migration, bound or not. */
  classes: ClassDeclaration[];
  crons: CronTrigger[];
}

const configNames = ['wrangler.jsonc', 'wrangler.json', 'wrangler.toml'];

/** `$schema` is for editors and has no effect on a server: it is accepted on purpose. */
const servedKeys = [
  '$schema',
  'name',
  'main',
  'compatibility_date',
  'compatibility_flags',
  'durable_objects',
  'migrations',
  'vars',
  'triggers',
];

/**
 * The flags whose behaviour is what Perdure does: Node.js is always there, so are RPC and
 * `navigator.userAgent`; those about `deleteAll()` are followed.
 */
const servedFlags = [
  'nodejs_compat',
  'nodejs_compat_v2',
  'nodejs_als',
  'rpc',
  'global_navigator',
  'delete_all_deletes_alarm',
  'delete_all_preserves_alarm',
];

/**
 * Reads the project in a folder, or of a configuration file. `options.config` names another
 * configuration file, relative to the working directory. Throws ProjectError.
 */
export function loadProject(directoryOrFile: string, options: { config?: string } = {}): Project {
  const configFile = findConfigFile(resolve(directoryOrFile), options.config);
  const directory = dirname(configFile);
  const root = Reader.root(readDocument(configFile));
  const keys = root.object(servedKeys);

  const name = readName(root, keys.get('name'));
  const main = readMain(root, keys.get('main'), directory);
  const compatibilityDate = readDate(root, keys.get('compatibility_date'));
  const compatibilityFlags = readFlags(keys.get('compatibility_flags'));
  const vars = readVars(keys.get('vars'));
  const classes = readClasses(keys.get('migrations'));
  const bindings = readBindings(keys.get('durable_objects'), vars, classes);
  const crons = readCrons(keys.get('triggers'));
  return {
    directory,
    configFile,
    name,
    main,
    compatibilityDate,
    compatibilityFlags,
    vars,
    bindings,
    classes,
    crons,
  };
}

function findConfigFile(directoryOrFile: string, config: string | undefined): string {
  if (config !== undefined) {
    const file = resolve(config);
    if (!existsSync(file)) throw new ProjectError(`${file}: there is no such file`);
    return knownFormat(file);
  }
  const status = statSync(directoryOrFile, { throwIfNoEntry: false });
  if (!status) throw new ProjectError(`${directoryOrFile}: there is no such folder`);
  if (status.isFile()) return knownFormat(directoryOrFile);
  const found = configNames.map((name) => join(directoryOrFile, name)).filter(existsSync);
  if (found.length > 1) {
    throw new ProjectError(
      `${directoryOrFile}: more than one configuration file (${found.map((file) => basename(file)).join(', ')}); name the one to use with --config`,
    );
  }
  if (!found[0]) {
    throw new ProjectError(
      `${directoryOrFile}: no wrangler.jsonc, wrangler.json or wrangler.toml is here; name a project folder, or a file with --config`,
    );
  }
  return found[0];
}

function knownFormat(file: string): string {
  if (/\.(jsonc|json|toml)$/.test(file)) return file;
  throw new ProjectError(`${file}: a configuration file ends in .jsonc, .json or .toml`);
}

function missing(reader: Reader, key: string, example: string): ProjectError {
  return reader.mistake(`the key "${key}" is missing; add it, for example ${example}`);
}

function readName(root: Reader, key: Reader | undefined): string {
  if (!key) throw missing(root, 'name', '"name": "my-project"');
  const name = key.string();
  if (/^[a-z0-9_][a-z0-9_-]*$/.test(name)) return name;
  throw key.mistake(
    `the name "${name}" may hold only lower-case letters, digits, "_" and "-", and may not begin with "-"`,
  );
}

function readMain(root: Reader, key: Reader | undefined, directory: string): string {
  if (!key) throw missing(root, 'main', '"main": "src/index.ts"');
  const main = resolve(directory, key.string());
  if (statSync(main, { throwIfNoEntry: false })?.isFile()) return main;
  throw key.mistake(`"main" names ${main}, and there is no such file`);
}

function readDate(root: Reader, key: Reader | undefined): string {
  if (!key) throw missing(root, 'compatibility_date', '"compatibility_date": "2026-01-01"');
  const date = isTomlDate(key.value) ? String((key.value as Date).toISOString()) : key.string();
  const time = Date.parse(`${date}T00:00:00Z`);
  const valid =
    /^\d{4}-\d{2}-\d{2}$/.test(date) &&
    !Number.isNaN(time) &&
    new Date(time).toISOString().startsWith(date);
  if (valid) return date;
  throw key.mistake(`the compatibility date "${date}" is not a day written as YYYY-MM-DD`);
}

function readFlags(key: Reader | undefined): string[] {
  const flags = key?.array() ?? [];
  return flags.map((element, index) => {
    const flag = element.string();
    if (!servedFlags.includes(flag)) {
      throw element.mistake(
        `the compatibility flag "${flag}" is not served by Perdure; remove it (served are ${servedFlags.join(', ')})`,
      );
    }
    if (flags.slice(0, index).some((earlier) => earlier.value === flag)) {
      throw element.mistake(`the compatibility flag "${flag}" is there twice`);
    }
    return flag;
  });
}

function readVars(key: Reader | undefined): Record<string, unknown> {
  if (!key) return {};
  for (const member of key.members().values()) refuseDates(member);
  return key.value as Record<string, unknown>;
}

function refuseDates(reader: Reader): void {
  if (isTomlDate(reader.value)) {
    throw reader.keyMistake(`"${reader.name}" is a date, and a variable can only be what JSON holds; put it in quotes`);
  }
  if (typeof reader.value === 'object' && reader.value !== null) {
    for (const child of Object.keys(reader.value)) refuseDates(reader.below(child));
  }
}

function readMigration(step: Reader): Migration {
  const keys = step.object([
    'tag',
    'new_sqlite_classes',
    'new_classes',
    'renamed_classes',
    'deleted_classes',
  ]);
  const tag = keys.get('tag');
  if (!tag) throw missing(step, `${step.name}.tag`, '"tag": "v1"');
  const renamed = keys.get('renamed_classes')?.array() ?? [];
  return {
    tag: tag.string(),
    new_sqlite_classes: keys.get('new_sqlite_classes')?.strings() ?? [],
    new_classes: keys.get('new_classes')?.strings() ?? [],
    renamed_classes: renamed.map((element) => {
      element.object(['from', 'to']);
      return { from: element.below('from').string(), to: element.below('to').string() };
    }),
    deleted_classes: keys.get('deleted_classes')?.strings() ?? [],
  };
}

function readClasses(key: Reader | undefined): ClassDeclaration[] {
  if (!key) return [];
  try {
    return applyMigrations(key.array().map(readMigration));
  } catch (error) {
    if (error instanceof MigrationMistake) throw key.below(...error.path).mistake(error.message);
    throw error;
  }
}

function readBindings(
  key: Reader | undefined,
  vars: Record<string, unknown>,
  classes: ClassDeclaration[],
): Project['bindings'] {
  const list = key?.object(['bindings']).get('bindings')?.array() ?? [];
  const names = new Set(Object.keys(vars));
  return list.map((element) => {
    const keys = element.members();
    const script = keys.get('script_name');
    if (script) {
      throw script.keyMistake(
        'the key "script_name" is not served by Perdure: a project is served alone, so a binding can only name a class of its own; remove it',
      );
    }
    element.object(['name', 'class_name']);
    const name = keys.get('name');
    if (!name) throw missing(element, `${element.name}.name`, '"name": "COUNTER"');
    const className = keys.get('class_name');
    if (!className) throw missing(element, `${element.name}.class_name`, '"class_name": "Counter"');
    const binding = { name: name.string(), className: className.string() };
    if (names.has(binding.name)) {
      throw name.mistake(`two bindings or variables have the name "${binding.name}"`);
    }
    names.add(binding.name);
    if (!classes.some((declaration) => declaration.className === binding.className)) {
      throw className.mistake(
        `the class "${binding.className}" (bound as ${binding.name}) is in no migration; add one, for example "migrations": [{ "tag": "v1", "new_sqlite_classes": ["${binding.className}"] }]`,
      );
    }
    return binding;
  });
}

function readCrons(key: Reader | undefined): CronTrigger[] {
  const crons = key?.object(['crons']).get('crons')?.array() ?? [];
  return crons.map((element, index) => {
    const expression = element.string();
    if (crons.slice(0, index).some((earlier) => earlier.value === expression))
      throw element.mistake(`the cron expression "${expression}" is there twice`);
    try {
      return parseCron(expression);
    } catch (error) {
      throw element.mistake(`the cron expression "${expression}" is wrong: ${(error as Error).message}`);
    }
  });
}
