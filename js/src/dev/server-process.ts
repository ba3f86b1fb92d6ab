/** One version of the user's program, served by a process of its own. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { withinMs } from './within.js';

/** What the process is told: to serve, once; then to stop, once. It travels as JSON: the receiver makes what is no data again. */
export type Order<Options> = { serve: Options; userDirectories: string[] } | { stop: true };

/** What it answers to the first. */
export type Report = { port: number; notice?: string } | { failure: string };

/** A program that has not started after this long (a top-level await that never ends) has failed. */
const START_MS_MAX = 30_000;

const program = fileURLToPath(new URL('./dev-server.js', import.meta.url));

export class ServerProcess {
  /** Resolves, with how, when the process has ended, whyever. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;

  constructor() {
    this.#child = fork(program, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.ended = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve(error.message));
      this.#child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : signal));
    });
  }

  /** Resolves with what came of the start; a process that failed has ended then. */
  async start(serve: unknown, userDirectories: string[]): Promise<Report> {
    const reported = new Promise<Report>((resolve) => this.#child.once('message', (message) => resolve(message as Report)));
    this.#send({ serve, userDirectories });
    const ended = this.ended.then((how) => ({ failure: `The server process ended at its start (${how}).` }));
    const late = { failure: `The program did not start within ${START_MS_MAX / 1000} s.` };
    const report = (await withinMs(START_MS_MAX, Promise.race([reported, ended]))) ?? late;
    if ('failure' in report) await this.kill();
    return report;
  }

  /** Resolves when the process has ended: by itself, true, or killed after `graceMs`. */
  async stop(graceMs: number): Promise<boolean> {
    this.#send({ stop: true });
    const stopped = (await withinMs(graceMs, this.ended)) !== undefined;
    if (!stopped) await this.kill();
    return stopped;
  }

  /** Everything that it has acknowledged is durable: that is what the log is for. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  #send(order: Order<unknown>): void {
    // A process that is gone cannot be told anything; `ended` says so to whoever waits.
    if (this.#child.connected) this.#child.send(order, () => {});
  }
}
