/** A data directory for the command line: through the process that serves it, or opened here when nobody does. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { loadNative, type NativeEngine, NOTHING_EXPIRES } from '../runtime/native.js';
import { Shard } from '../runtime/shard.js';
import { askServer } from './admin-client.js';
import { OperateError } from './error.js';
import { clearExports } from './export.js';
import type { Operated } from './operated.js';
import { type ArgumentsOf, type OperationName, operations, type PartOf } from './operations.js';
import { tellsDamage } from './verify.js';
import { writeOn } from './write.js';

/** A server that starts has the lock before it answers, and another command has it for a moment. */
const LOCKED_MS_MAX = 10_000;
const LOCKED_POLL_MS = 50;
/** Who waits for longer is told why. */
const UNTOLD_MS_MAX = 1_000;

const IDLE_MS = 10_000;

/** How opening ends where this user may not write. */
const REFUSED = /: (Permission denied|Operation not permitted|Read-only file system)\.?$|^(EACCES|EPERM|EROFS): /;

/** Throws OperateError unless it is a data directory that this user may look into. */
function checkThere(path: string): void {
  try {
    statSync(join(path, 'format'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      const what = existsSync(path) ? `${path} is no data directory: it has no file "format".` : `There is no data directory ${path}.`;
      throw new OperateError(`${what} Say where the objects live: --data <folder> (a served project has them in its .perdure).`, 'missing');
    }
    if (code === 'EACCES' || code === 'EPERM')
      throw new OperateError(`The data directory ${path} is another user's, and this one may not look into it: run this command as the owner (${message}).`, 'unavailable');
    throw error;
  }
}

export class DataDirectory {
  #hasAsked = false;
  #own: { engine: NativeEngine; shard: Shard; operated: Operated } | undefined;

  constructor(
    readonly path: string,
    readonly signal: AbortSignal,
  ) {
    checkThere(path);
  }

  /** A server may do what it was asked for, or has done it. */
  get hasAsked(): boolean {
    return this.#hasAsked;
  }

  /** The same operation on the same code, here or in the process that serves. Throws an OperateError for what is damaged. */
  async *run<Name extends OperationName>(name: Name, args: ArgumentsOf<Name>): AsyncGenerator<PartOf<Name>> {
    try {
      yield* this.#run(name, args);
    } catch (error) {
      throw tellsDamage(error) ? new OperateError((error as Error).message, 'damaged') : error;
    }
  }

  async *#run<Name extends OperationName>(name: Name, args: ArgumentsOf<Name>): AsyncGenerator<PartOf<Name>> {
    const answer = this.#own === undefined ? await this.#ask(name, args) : undefined;
    if (answer !== undefined) {
      yield* answer;
      return;
    }
    const operation = operations[name] as unknown as (operated: Operated, args: unknown, signal: AbortSignal) => AsyncGenerator<PartOf<Name>>;
    yield* operation(this.#own!.operated, args, this.signal);
  }

  /** Undefined: this process has the data directory now. */
  async #ask<Name extends OperationName>(name: Name, args: ArgumentsOf<Name>): Promise<AsyncGenerator<PartOf<Name>> | undefined> {
    const begunMs = Date.now();
    for (let told = false; ; ) {
      this.#hasAsked = true;
      const answer = await askServer(this.path, name, args, this.signal);
      if (answer !== undefined) return answer;
      this.#hasAsked = false;
      try {
        this.#open();
        return undefined;
      } catch (error) {
        const { message } = error as Error;
        if (REFUSED.test(message))
          throw new OperateError(`The data directory ${this.path} cannot be written by this user, which each command needs, if only for its lock. Run this one as the owner, or on a copy (${message.replace(/\.$/, '')}).`, 'unavailable');
        if (!/ is in use by another process\./.test(message)) throw error;
        const waitedMs = Date.now() - begunMs;
        if (waitedMs > LOCKED_MS_MAX)
          throw new OperateError(`The data directory ${this.path} is in use by a process without an admin socket: a program that has opened it with the package, or another command. Stop that one.`, 'unavailable');
        if (waitedMs > UNTOLD_MS_MAX && !told) {
          told = true;
          process.stderr.write(`perdure: Another process has the data directory ${this.path}. Waiting for it, for ${LOCKED_MS_MAX / 1000} s at most.\n`);
        }
      }
      await setTimeout(LOCKED_POLL_MS, undefined, { signal: this.signal });
    }
  }

  #open(): void {
    const engine = loadNative().openEngine(this.path, undefined, NOTHING_EXPIRES.historyMs, NOTHING_EXPIRES.historyBytes);
    clearExports(this.path);
    const shard = new Shard({ engine, report: (what, error) => console.error(what, error), onWake: () => {}, idleMs: IDLE_MS, deleteAllDeletesAlarm: true });
    shard.alarms.stop(); // there are no classes here that could handle them
    const operated = { engine, dataDirectory: this.path, write: (write: Parameters<Operated['write']>[0]) => writeOn(shard, write), server: undefined };
    this.#own = { engine, shard, operated };
  }

  close(): void {
    if (this.#own === undefined) return;
    const { engine, shard } = this.#own;
    this.#own = undefined;
    shard.close();
    engine.close();
  }
}
