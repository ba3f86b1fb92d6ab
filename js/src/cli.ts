import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { registerOperatorCommands } from './commands/register.js';
import { Interrupted, OperateError } from './operate/error.js';
import { explain, explainRecovery } from './explain.js';
import { outputWritten } from './output.js';
import { bundleProject, loadProject, type Project, ProjectError } from './project.js';
import type { ServerOptions } from './server.js';
import { defaultMemoryLimit, MEMORY_LIMIT_BYTES_MIN } from './runtime/memory-limit.js';

const exitCodes = { mistake: 1, usage: 2, missing: 3, damaged: 4, unavailable: 5, interrupted: 130 };

interface ServeOptions {
  port: number;
  host: string;
  data?: string;
  threads?: number;
  idleMs: number;
  memoryLimit?: number;
  watchdogMs: number;
  alarmRetryMs: number;
  historyDays: number;
  historyLimit: number;
  config?: string;
}

function integerBetween(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Give a whole number from ${min} to ${max}.`);
  };
}

/** Powers of 1024. */
const UNITS = 'KMGT';

/** A size in bytes: 512M, 2G. */
function sizeFrom(min: number): (text: string) => number {
  return (text) => {
    const [, number, unit] = /^(\d{1,15})([KMGT])(?:i?B)?$/i.exec(text) ?? [];
    const bytes = unit === undefined ? NaN : Number(number) * 1024 ** (UNITS.indexOf(unit.toUpperCase()) + 1);
    if (bytes >= min && bytes <= Number.MAX_SAFE_INTEGER) return bytes;
    throw new InvalidArgumentError(`Give a size such as 512M or 2G, at least ${min / 1024 ** 2}M.`);
  };
}

const DAY_MS = 86_400_000;
const HISTORY_DAYS_MAX = 3650;
/** Less than a segment of the log would keep nothing. */
const HISTORY_LIMIT_BYTES_MIN = 64 * 1024 ** 2;
const HISTORY_LIMIT_BYTES = 16 * 1024 ** 3;

/** Each has a JavaScript environment and its memory. */
const THREADS_MAX = 64;

function version(): string {
  const manifest = createRequire(import.meta.url)('../../package.json') as { version: string };
  return manifest.version;
}

/** A command that serves a project, with the options for that. */
function serveCommand(program: Command, name: string): Command {
  return program
    .command(name)
    .argument('[DIR]', 'the folder of the project', '.')
    .option('--port <number>', 'port to listen on; 0 takes a free one', integerBetween(0, 65535), 8787)
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--data <folder>', 'where the objects live (default: DIR/.perdure)')
    .option('--threads <number>', 'how many threads run the Worker and the objects (default: one for each core)', integerBetween(1, THREADS_MAX))
    .option('--idle-ms <milliseconds>', 'how long an object without work stays in memory', integerBetween(1, 86_400_000), 10_000)
    .option('--memory-limit <size>', 'memory that the process may take, such as 512M or 2G (default: three quarters of what there is)', sizeFrom(MEMORY_LIMIT_BYTES_MIN))
    .option('--watchdog-ms <milliseconds>', 'code that keeps its thread for longer is reported; 0: never', integerBetween(0, 86_400_000), 5_000)
    .option('--alarm-retry-ms <milliseconds>', 'when a failed alarm is tried again; each further time comes after twice as long', integerBetween(1, 3_600_000), 2_000)
    .option('--history-days <days>', 'how far back objects can be restored; 0: not at all', integerBetween(0, HISTORY_DAYS_MAX), 30)
    .addOption(
      new Option('--history-limit <size>', 'disk space for that, past which the oldest is given up')
        .argParser(sizeFrom(HISTORY_LIMIT_BYTES_MIN))
        .default(HISTORY_LIMIT_BYTES, '16G'),
    )
    .option('--config <file>', 'the configuration file, when it is not the one in DIR');
}

function createProgram(): Command {
  const program = new Command('perdure')
    .description('Durable Objects on machines you own.')
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .addHelpText('after', '\nExample:\n  perdure serve examples/counter\n')
    .showHelpAfterError('Run "perdure --help" for what there is.')
    .exitOverride();
  serveCommand(program, 'serve')
    .description('Serve a project: a folder with wrangler.jsonc, wrangler.json or wrangler.toml.')
    .addHelpText(
      'after',
      `
Examples:
  perdure serve                                   the project in the working directory
  perdure serve examples/counter --port 9000
  perdure serve . --host 0.0.0.0 --data /var/lib/counter

SIGTERM or Ctrl-C stops it cleanly: requests in flight finish, and every object is then a plain
SQLite file below the data folder.`,
    )
    .action(serve);
  serveCommand(program, 'dev')
    .description('Serve a project while you work on it: each change is built and served, on the same data.')
    .addHelpText(
      'after',
      `
Examples:
  perdure dev                                     the project in the working directory
  perdure dev examples/counter --port 9000

Each request is printed with its status and time, and what an object prints begins with its class and
name. Requests wait while a new version starts. After a mistake the version before goes on serving.
Ctrl-C stops it cleanly.`,
    )
    .action(dev);
  program
    .command('import')
    .description('Take over the objects of "wrangler dev", of workerd (localDisk) or of an export for a project.')
    .argument('<SOURCE>', 'the folder that holds them, for example .wrangler/state')
    .option('--project <folder>', 'the folder of the project', '.')
    .option('--no-project', 'for a program that uses the package: take every namespace under its own key (needs --data)')
    .option('--data <folder>', 'where the objects will live (default: .perdure in the project)')
    .option('--config <file>', 'the configuration file, when it is not the one in the project')
    .addHelpText(
      'after',
      `
Examples:
  perdure import .wrangler/state
  perdure import old/.wrangler/state --project counter --data /var/lib/counter
  perdure import disk --no-project --data data

Stop the other program first. Its files are only read. Either all objects are imported or none; an
object that exists already is never overwritten. The project's name and classes must be those that
the objects were made with, as their ids depend on them.`,
    )
    .action(importState);
  registerOperatorCommands(program);
  return program;
}

interface ImportCommandOptions {
  /** false: --no-project. */
  project: string | false;
  data?: string;
  config?: string;
}

async function importState(source: string, options: ImportCommandOptions): Promise<void> {
  const { runImport } = await import('./import-command.js');
  if (options.project === false) {
    if (options.data === undefined) throw new ProjectError('Without a project, say where the objects will live: --data <folder>.');
    console.log(runImport(source, undefined, resolve(options.data)));
    return;
  }
  const project = loadProject(options.project, configOption(options));
  console.log(runImport(source, project, resolve(options.data ?? join(project.directory, '.perdure'))));
}

function configOption({ config }: { config?: string }): { config?: string } {
  return config === undefined ? {} : { config };
}

/** A folder for bundles that is removed at the end. Not in the data directory: another process may own that one. */
function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'perdure-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const dataDirectory = (project: Project, options: ServeOptions): string => resolve(options.data ?? join(project.directory, '.perdure'));

function serverOptions(project: Project, bundle: string, options: ServeOptions): ServerOptions {
  const { host, port, idleMs, watchdogMs, alarmRetryMs } = options;
  const memoryLimit = options.memoryLimit ?? defaultMemoryLimit();
  const threads = options.threads ?? Math.min(availableParallelism(), THREADS_MAX);
  const history = { ms: options.historyDays * DAY_MS, bytes: options.historyLimit };
  return { project, bundle, dataDirectory: dataDirectory(project, options), host, port, threads, history, idleMs, memoryLimit, watchdogMs, alarmRetryMs };
}

function announce(project: Project, port: number, options: ServeOptions): void {
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  console.log(`Perdure serves ${project.name} on http://${host}:${port} (data in ${dataDirectory(project, options)})`);
}

async function serve(directory: string, options: ServeOptions): Promise<void> {
  process.setSourceMapsEnabled(true);
  const project = loadProject(directory, configOption(options));
  const bundleDirectory = temporaryDirectory();
  const bundle = await bundleProject(project, bundleDirectory);

  const { startServer } = await import('./server.js');
  let server;
  try {
    server = await startServer(serverOptions(project, bundle.file, options));
  } catch (error) {
    console.error(`perdure: ${explain(error, [project.directory, bundleDirectory])}`);
    process.exit(exitCodes.mistake);
  }
  announce(project, server.port, options);
  const notice = explainRecovery(server.recovery);
  if (notice !== undefined) console.log(notice);
  stopOnSignals(server.stop);
}

async function dev(directory: string, options: ServeOptions): Promise<void> {
  // Whoever read what is printed may be gone. What serves does the same (runtime/uncaught.ts).
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const { hasColors, startDev } = await import('./dev/dev.js');
  const running = await startDev({
    host: options.host,
    port: options.port,
    bundleDirectory: temporaryDirectory(),
    load: () => loadProject(directory, configOption(options)),
    onListening: (project, port) => announce(project, port, options),
    // The address is that of what stands before it.
    serverOptions: (project, bundle) => ({
      ...serverOptions(project, bundle, { ...options, host: '127.0.0.1', port: 0 }),
      namedConsole: { colors: { stdout: hasColors(process.stdout), stderr: hasColors(process.stderr) } },
    }),
  });
  stopOnSignals(running.stop, running.kill);
}

/** The first signal stops cleanly; a second one, of an impatient user, at once. */
function stopOnSignals(stop: () => Promise<void>, kill = (): void => {}): void {
  let stopping = false;
  const onSignal = (): void => {
    if (stopping) {
      kill();
      process.exit(exitCodes.interrupted);
    }
    stopping = true;
    stop()
      .then(
        () => 0,
        (error: unknown) => {
          console.error(`perdure: ${explain(error, [])}`);
          return exitCodes.mistake;
        },
      )
      .then(async (code) => {
        await outputWritten();
        process.exit(code);
      });
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

async function main(): Promise<void> {
  try {
    await createProgram().parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : exitCodes.usage;
      return;
    }
    console.error(`perdure: ${explain(error, [])}`);
    process.exitCode = exitCodeOf(error);
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof Interrupted) return exitCodes.interrupted;
  if (!(error instanceof OperateError) || error.kind === 'failed') return exitCodes.mistake;
  return exitCodes[error.kind];
}

await main();
