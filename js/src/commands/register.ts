/** The commands for operators. Each is loaded when it is run. */
import type { Moment } from '../operate/history.js';
import { type Command, InvalidArgumentError, Option } from 'commander';

const NAMESPACE = '<NAMESPACE>';
const NAMESPACE_HELP = 'the namespace, as the data directory has it: <name of the project>-<class>';
const OBJECT = '<NAME>';
const OBJECT_HELP = 'the object: the 64 hex digits of its id, or its name';

const NOTES = `
The data directory may be served meanwhile (the command then asks the server, through the socket
admin.sock in it) or not (the command opens it itself).

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such data directory, namespace, object or key, 4 damage found,
5 the data directory cannot be reached (in use, not yours, or not to be written), 130 interrupted.`;

function positiveInteger(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Give a whole number from 1.');
}

function secondsUpToADay(text: string): number {
  const seconds = /^\d+(\.\d{1,3})?$/.test(text) ? Number(text) : NaN;
  if (seconds > 0 && seconds <= 86_400) return seconds;
  throw new InvalidArgumentError('Give seconds, up to 86400; parts of one as 0.5.');
}

/** Options that would do nothing. */
function refuseWithoutWrite(command: Command, ...names: string[]): void {
  if (command.getOptionValue('write') === true) return;
  const given = names.find((name) => command.getOptionValueSource(name) === 'cli');
  if (given !== undefined) command.error(`error: option '--${given}' does nothing without '--write'`);
}

function describe(command: Command, description: string, examples: string): Command {
  return command
    .description(description)
    .option('--data <folder>', 'the data directory', '.perdure')
    .addHelpText('after', `\nExamples:\n${examples}\n${NOTES}`);
}

export function registerOperatorCommands(program: Command): void {
  registerObjects(program);
  registerSql(program);
  registerKv(program);
  registerHistory(program);
  registerExport(program);
  registerStats(program);
  registerVerify(program);
}

/** Loads `file` when the command is run. */
const lazily =
  <Module, Arguments extends unknown[]>(load: () => Promise<Module>, run: (module: Module, ...args: Arguments) => Promise<void>) =>
  async (...args: Arguments): Promise<void> =>
    run(await load(), ...args);

const objects = () => import('./objects.js');
const storage = () => import('./storage.js');

function group(program: Command, name: string, description: string): Command {
  return program.command(name).description(description).helpCommand(false).showHelpAfterError(`Run "perdure ${name} --help" for what there is.`);
}

/** A time with its zone, or milliseconds since 1970. */
function momentTime(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const ms = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text) ? Date.parse(text) : NaN;
  // Date.parse() takes February 30 for March 2.
  const day = text.slice(0, 10);
  if (Number.isNaN(ms) || !new Date(`${day}T00:00:00Z`).toISOString().startsWith(day)) throw new InvalidArgumentError('Give a time such as 2026-11-21T09:30:00Z (or +01:00 instead of Z), or milliseconds since 1970.');
  return ms;
}

const BOOKMARK = /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/i;

const moment = (text: string): Moment => (BOOKMARK.test(text) ? { bookmark: text.toLowerCase() } : { timeMs: momentTime(text) });

function registerHistory(program: Command): void {
  const history = () => import('./history.js');
  const command = (name: string): Command => program.command(name).argument(NAMESPACE, NAMESPACE_HELP).argument(OBJECT, OBJECT_HELP);
  describe(
    command('history'),
    'List the commits of an object, the last one first: time, bookmark of what it left, changed pages, bytes.',
    '  perdure history chat-Room lobby\n  perdure history chat-Room lobby --limit 100000 --json',
  )
    .option('--limit <number>', 'so many at most', positiveInteger, 100)
    .option('--json', 'one array, a commit on each line')
    .action(lazily(history, (module, ...args: Parameters<typeof module.showHistory>) => module.showHistory(...args)));
  describe(
    command('bookmark'),
    'Print the bookmark of the state that an object has, or had.',
    '  perdure bookmark chat-Room lobby\n  perdure bookmark chat-Room lobby --at 2026-11-21T09:30:00Z',
  )
    .option('--at <time>', 'the state at this time: ISO 8601 with a zone, or milliseconds since 1970', momentTime)
    .action(lazily(history, (module, ...args: Parameters<typeof module.showBookmark>) => module.showBookmark(...args)));
  describe(
    command('restore'),
    'Take an object back to an older state, with its alarm. Prints the bookmark that takes this back.',
    `  perdure restore chat-Room lobby --to 2026-11-21T09:30:00Z --dry-run
  perdure restore chat-Room lobby --to 0000002a-00000007-00000000-7e4f0c1f2b3a49586770811923ab54cd

An instance that is in memory is reset, whatever it does, and is constructed anew at its next event.
A restore is a commit like any other: "perdure history" lists it.`,
  )
    .requiredOption('--to <bookmark or time>', 'the state to go back to', moment)
    .option('--dry-run', 'only say what would be taken back')
    .action(lazily(history, (module, ...args: Parameters<typeof module.restore>) => module.restore(...args)));
}

function registerObjects(program: Command): void {
  describe(
    group(program, 'objects', 'Look at the objects of a data directory.').command('ls').argument('[NAMESPACE]', NAMESPACE_HELP),
    'List objects: namespace, name, id, size, last change and next alarm (UTC).',
    `  perdure objects ls
  perdure objects ls chat-Room --data /var/lib/chat
  perdure objects ls chat-Room --json | jq -r '.[] | select(.alarm) | .name'

Objects of key-value storage (new_classes) are listed with the size of their keys and values; their
names are kept only while they have an alarm, and when they changed is not known.`,
  )
    .option('--json', 'one array, an object on each line')
    .action(lazily(objects, (module, ...args: Parameters<typeof module.listObjects>) => module.listObjects(...args)));
}

function registerStats(program: Command): void {
  describe(program.command('stats'), 'Show how much a data directory holds and what its server does.', '  perdure stats\n  perdure stats --data /var/lib/chat --json')
    .option('--json', 'one object')
    .action(lazily(objects, (module, ...args: Parameters<typeof module.showStats>) => module.showStats(...args)));
}

function registerVerify(program: Command): void {
  describe(
    program.command('verify'),
    'Check every checksum of log, history and databases, and the structure of every database.',
    `  perdure verify
  perdure verify --data /var/lib/chat --json

Names file, byte and object of what is damaged, and files that are missing. It may run beside a server. SQLite's files have no
checksums of their own: those of their pages are kept beside them, and SQLite looks how the pages fit together.

A damaged page is refused wherever it is read, so that nothing is built on it. Put back a backup of the data directory. Without one,
--accept lets the objects go on with what is there; look at what they have with "perdure sql".`,
  )
    .option('--json', 'one array, a damage on each line')
    .option('--accept', 'take pages of databases that do not match their checksums as they are, from now on')
    .action(lazily(() => import('./verify.js'), (module, ...args: Parameters<typeof module.verify>) => module.verify(...args)));
}

function registerSql(program: Command): void {
  describe(
    program.command('sql').argument(NAMESPACE, NAMESPACE_HELP).argument(OBJECT, OBJECT_HELP).argument('<SQL>', 'one or more statements; the rows of the last one are printed'),
    'Run SQL on the database of an object.',
    `  perdure sql chat-Room lobby "SELECT * FROM messages ORDER BY id DESC LIMIT 10"
  perdure sql chat-Room lobby "SELECT count(*) FROM messages" --json
  perdure sql chat-Room lobby "DELETE FROM messages WHERE id < 100" --write

Without --write nothing can be changed, and what is read is the state of the last commit: the object
goes on meanwhile. With it, all statements are one transaction, which runs as an event of the object: it waits while
the object is inside blockConcurrencyWhile() or transaction(). The class is not constructed for it. As the object serves
nobody while its thread runs the statements, they are stopped after --timeout, or with Ctrl-C, and nothing is written then.
"rows written" counts what INSERT, UPDATE and DELETE have done, in all statements and by triggers.
What the object itself may not do (tables that begin with _cf_, pragmas, ATTACH) is refused.`,
  )
    .option('--write', 'let it change the database')
    .addOption(new Option('--at <bookmark or time>', 'read an older state').argParser(moment).conflicts('write'))
    .option('--create', 'with --write: make the object if it is not there')
    .option('--timeout <seconds>', 'with --write: stop statements that take longer', secondsUpToADay, 30)
    .option('--json', 'an array with an object for each row; a blob is {"hex": "…"}, an infinite number 9e999')
    .option('--csv', 'with a heading; NULL is empty, an empty text is "", a blob is hexadecimal')
    .hook('preAction', (command) => refuseWithoutWrite(command, 'create', 'timeout'))
    .action(lazily(storage, (module, ...args: Parameters<typeof module.runSql>) => module.runSql(...args)));
}

function registerKv(program: Command): void {
  const kv = group(program, 'kv', 'Read and write the key-value storage of an object, of either kind.');
  const command = (name: string): Command => kv.command(name).argument(NAMESPACE, NAMESPACE_HELP).argument(OBJECT, OBJECT_HELP);
  describe(
    command('get').argument('<KEY>', 'the key'),
    'Print the value of a key: JSON, or as Node.js shows it when JSON does not have it (Date, Map, undefined, …).',
    '  perdure kv get chat-Room lobby topic',
  ).action(lazily(storage, (module, ...args: Parameters<typeof module.getValue>) => module.getValue(...args)));
  describe(
    command('put').argument('<KEY>', 'the key').argument('<JSON>', 'the value'),
    'Store a value, which is JSON.',
    `  perdure kv put chat-Room lobby topic '"Gardening"'
  perdure kv put chat-Room lobby limits '{"members": 100}'`,
  )
    .option('--create', 'make the object if it is not there')
    .action(lazily(storage, (module, ...args: Parameters<typeof module.putValue>) => module.putValue(...args)));
  describe(command('rm').argument('<KEY...>', 'the keys'), 'Remove keys.', '  perdure kv rm chat-Room lobby topic limits').action(
    lazily(storage, (module, ...args: Parameters<typeof module.removeKeys>) => module.removeKeys(...args)),
  );
  describe(command('ls'), 'List keys and values, in the order of the keys.', '  perdure kv ls chat-Room lobby\n  perdure kv ls chat-Room lobby --prefix user: --limit 10 --json')
    .option('--prefix <text>', 'keys that begin with it')
    .option('--start <key>', 'from this key on')
    .option('--end <key>', 'keys before this one')
    .option('--limit <number>', 'so many at most', positiveInteger)
    .option('--reverse', 'the last one first')
    .option('--json', 'one array, {"key", "value"} on each line; "text" instead of "value" where JSON does not have it')
    .action(lazily(storage, (module, ...args: Parameters<typeof module.listPairs>) => module.listPairs(...args)));
}

function registerExport(program: Command): void {
  describe(
    program.command('export').argument(NAMESPACE, NAMESPACE_HELP).argument('<NAME or DIR>', `${OBJECT_HELP}; left out: all objects`).argument('[DIR]', 'the folder to write to'),
    'Write the database of an object, or of each, to a SQLite file: DIR/NAMESPACE/<id>.sqlite.',
    `  perdure export chat-Room lobby /tmp/out
  perdure export chat-Room /backup/2026-11-21 --data /var/lib/chat
  perdure export chat-Room lobby /tmp/before --at 2026-11-21T09:30:00Z

Each file is the state of one moment; the objects go on meanwhile. Nothing is overwritten. The list
objects.jsonl beside the files of a whole namespace has the names and alarms (with --at those of then). "perdure import" takes the folder.`,
  )
    .option('--at <bookmark or time>', 'the state at that time', moment)
    .action(
      lazily(
        () => import('./export.js'),
        (module, ...args: Parameters<typeof module.exportObjects>) => module.exportObjects(...args),
      ),
    );
}
