/** `perdure dev`: serves a project, and each change of it. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type BuildContext, stop as stopEsbuild } from 'esbuild';
import { type BuildOutcome, watchProject } from '../bundle/watch.js';
import { ProjectError } from '../config/error.js';
import type { Project } from '../config/wrangler.js';
import { type Answered, Forwarder } from './forwarder.js';
import { Versions } from './versions.js';

export interface DevOptions<Options> {
  host: string;
  port: number;
  /** Reads the project as it is now; throws ProjectError. */
  load(): Project;
  /** For the bundles; the caller removes it. */
  bundleDirectory: string;
  /** What a server process needs to serve a bundle of the project. */
  serverOptions(project: Project, bundle: string): Options;
  /** The server listens; nothing is served yet. */
  onListening(project: Project, port: number): void;
}

export interface RunningDev {
  stop(): Promise<void>;
  /** Ends the server process at once. */
  kill(): void;
}

export async function startDev<Options>(options: DevOptions<Options>): Promise<RunningDev> {
  const project = options.load();
  const forwarder = new Forwarder((answered) => console.log(describe(answered)));
  options.onListening(project, await forwarder.listen(options.host, options.port));
  const versions = new Versions<Options>(forwarder, console.log, (line) => console.error(`perdure: ${line}`));
  const watcher = new Watcher(options, versions);
  await watcher.watch(project);
  return {
    async stop() {
      await watcher.close();
      await versions.stop();
    },
    kill() {
      versions.kill();
      void stopEsbuild();
    },
  };
}

/** Makes a version of each build that is another than the one before. */
class Watcher<Options> {
  readonly #options: DevOptions<Options>;
  readonly #versions: Versions<Options>;
  #context: BuildContext | undefined;
  #watched!: Project;
  #count = 0;
  /** What the last version was made of; undefined after a mistake, as then even the same is news. */
  #last: string | undefined;

  constructor(options: DevOptions<Options>, versions: Versions<Options>) {
    this.#options = options;
    this.#versions = versions;
  }

  async watch(project: Project): Promise<void> {
    this.#watched = project;
    const directory = join(this.#options.bundleDirectory, 'any'); // as deep as those of the versions
    this.#context = await watchProject(project, directory, hasColors(process.stderr), (outcome) => this.#onBuild(outcome));
  }

  async close(): Promise<void> {
    await this.#context?.dispose();
    await stopEsbuild();
  }

  #onBuild(outcome: BuildOutcome): void {
    let project: Project;
    try {
      project = this.#options.load();
    } catch (error) {
      if (!(error instanceof ProjectError)) throw error;
      this.#mistake(error.message, 'The configuration has a mistake');
      return;
    }
    if (project.main !== this.#watched.main || project.configFile !== this.#watched.configFile) {
      const before = this.#context;
      void this.watch(project).then(() => before?.dispose());
      return;
    }
    const { files, mistakes } = outcome;
    if (mistakes !== undefined) this.#mistake(mistakes.join(''), 'The build failed');
    else this.#make(project, files);
  }

  #mistake(text: string, what: string): void {
    this.#last = undefined;
    console.error(text.trimEnd());
    this.#versions.mistake(what);
  }

  #make(project: Project, files: { path: string; contents: Uint8Array; hash: string }[]): void {
    const made = JSON.stringify([project, files.map(({ hash }) => hash)]);
    if (made === this.#last && this.#versions.serves) return;
    this.#last = made;
    const directory = join(this.#options.bundleDirectory, String(++this.#count));
    mkdirSync(directory);
    for (const { path, contents } of files) writeFileSync(join(directory, basename(path)), contents);
    this.#versions.change({
      options: this.#options.serverOptions(project, join(directory, 'worker.mjs')),
      userDirectories: [project.directory, directory],
      remove: () => rmSync(directory, { recursive: true, force: true }),
    });
  }
}

/** Whether it is a terminal that wants them. */
export const hasColors = (stream: NodeJS.WriteStream): boolean => stream.isTTY && stream.hasColors();

const GREEN = 32;
const RED = 31;
const YELLOW = 33;

/** A line of the request log. */
function describe({ method, target, status, ms }: Answered): string {
  const outcome = status === undefined ? 'cut off' : String(status);
  const color = status === undefined || status >= 500 ? RED : status >= 400 ? YELLOW : GREEN;
  const shown = hasColors(process.stdout) ? `\x1b[${color}m${outcome}\x1b[39m` : outcome;
  return `${method} ${target} ${shown} ${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}
