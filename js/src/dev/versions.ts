/** Which version of the program is served: a new one takes over from the old one, or the old one goes on. */
import type { Forwarder } from './forwarder.js';
import { ServerProcess } from './server-process.js';
import { withinMs } from './within.js';

/** A state of the project that could be built. */
export interface Version<Options> {
  /** What a server process needs to serve it. */
  options: Options;
  /** Its code is there: a stack that passes through is the user's. */
  userDirectories: string[];
  /** The files that only it needs, when nobody will serve it any more. */
  remove(): void;
}

/** Requests in flight, and promises given to waitUntil(), get this long when a new version takes over. */
const TAKE_OVER_GRACE_MS = 5000;
/** The same when it is for good; then the checkpoint, in which nothing can be lost, has its time. */
const STOP_GRACE_MS = 10_000;
const CHECKPOINT_MS_MAX = 60_000;

/** At most one server process at a time: the data directory has one owner. */
export class Versions<Options> {
  readonly #forwarder: Forwarder;
  readonly #say: (line: string) => void;
  readonly #complain: (line: string) => void;
  #process: ServerProcess | undefined;
  /** The version that `#process` serves, or the last one that was served. */
  #good: Version<Options> | undefined;
  #next: Version<Options> | undefined;
  #changing: Promise<void> | undefined;
  /** Nothing has been built yet: what comes first is no reload. */
  #first = true;
  #stopping = false;

  constructor(forwarder: Forwarder, say: (line: string) => void, complain: (line: string) => void) {
    this.#forwarder = forwarder;
    this.#say = say;
    this.#complain = complain;
  }

  get serves(): boolean {
    return this.#process !== undefined || this.#changing !== undefined;
  }

  /** There is a new version. Of several that come while one takes over, the last takes over next. */
  change(version: Version<Options>): void {
    this.#next?.remove();
    this.#next = version;
    this.#changing ??= this.#changeAll().finally(() => {
      this.#changing = undefined;
    });
  }

  /** The project has changed to something that gives no version, for this reason. */
  mistake(why: string): void {
    this.#first = false;
    if (this.serves) this.#complain(`${why}; the version before goes on serving.`);
    else this.#wait(why);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const closed = this.#forwarder.close(STOP_GRACE_MS);
    if (this.#changing !== undefined) {
      await this.#process?.stop(TAKE_OVER_GRACE_MS); // it may never start
      await this.#changing;
      this.#process = undefined;
    }
    if (this.#process === undefined) this.#forwarder.refuse('The server is stopping.');
    await closed;
    await this.#process?.stop(STOP_GRACE_MS + CHECKPOINT_MS_MAX);
  }

  /** For an impatient user. */
  kill(): void {
    void this.#process?.kill();
  }

  async #changeAll(): Promise<void> {
    while (this.#next !== undefined && !this.#stopping) {
      const version = this.#next;
      this.#next = undefined;
      await this.#change(version);
      this.#first = false;
    }
  }

  async #change(version: Version<Options>): Promise<void> {
    const start = performance.now();
    const before = this.#good;
    await this.#release();
    if (await this.#serve(version)) {
      before?.remove();
      this.#good = version;
      if (!this.#first) this.#say(`Reloaded in ${Math.round(performance.now() - start)} ms.`);
      return;
    }
    version.remove();
    if (before !== undefined && (await this.#serve(before))) this.#say('The version before goes on serving.');
    else if (!this.#stopping) this.#wait('The program could not be started');
  }

  /** The server process lets go of the data directory. */
  async #release(): Promise<void> {
    const running = this.#process;
    this.#forwarder.hold();
    this.#process = undefined;
    if (running === undefined) return;
    const deadline = performance.now() + TAKE_OVER_GRACE_MS;
    // Only then: a server that is told to stop closes connections without a request, and one may be on its way there.
    await withinMs(TAKE_OVER_GRACE_MS, this.#forwarder.drained());
    if (!(await running.stop(Math.max(0, deadline - performance.now()))))
      this.#complain(`The version before did not stop within ${TAKE_OVER_GRACE_MS / 1000} s and was killed: requests in flight are lost, no data is.`);
  }

  async #serve(version: Version<Options>): Promise<boolean> {
    if (this.#stopping) return false;
    const process = new ServerProcess();
    this.#process = process;
    const report = await process.start(version.options, version.userDirectories);
    if ('failure' in report) {
      this.#process = undefined;
      if (!this.#stopping) this.#complain(report.failure);
      return false;
    }
    if (report.notice !== undefined) this.#say(report.notice);
    void process.ended.then((how) => this.#onEnded(process, how));
    this.#forwarder.serve(report.port);
    return true;
  }

  #onEnded(process: ServerProcess, how: string): void {
    if (process !== this.#process || this.#stopping) return;
    this.#process = undefined;
    this.#wait(`The server process ended by itself (${how})`);
  }

  #wait(why: string): void {
    const text = `${why}; waiting for a change.`;
    this.#complain(text);
    this.#forwarder.refuse(text);
  }
}
