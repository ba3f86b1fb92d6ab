/**
 * What user code throws where nobody catches it - a rejected promise that nobody awaits, an exception in
 * a tick or an emitter's listener - is reported with the object's name, and the process goes on.
 */
import type { Instance } from './host.js';
import type { Shard } from './shard.js';

/**
 * Node.js tells of an unhandled rejection when the turn is over and `Shard.current` is empty again. It
 * asks for `process.domain` at once, though, and hands the error to the domain that it got then. So
 * something that looks like a domain finds out whose code has rejected, at no cost for promises that
 * are fine. Without it (user code that imports `node:domain`) the report lacks the name, no more.
 */
class Blame {
  constructor(
    readonly shard: Shard,
    readonly instance: Instance,
  ) {}

  emit(_event: 'error', error: unknown): boolean {
    this.shard.report(`${this.instance.host.toString()}: a promise was rejected and nobody handled it:`, error);
    return true;
  }
}

/** For a thread that serves one project. */
export function reportUncaught(shard: Shard): void {
  // What is printed when nobody reads it any more (a pipe whose reader has ended) is lost. As an uncaught
  // exception it would be reported, which is printing: without end.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  Object.defineProperty(process, 'domain', {
    configurable: true,
    get: () => (shard.current === undefined ? undefined : new Blame(shard, shard.current)),
  });
  process.on('unhandledRejection', (reason) => shard.report('Unhandled rejection:', reason));
  process.on('uncaughtException', (error) => {
    const owner = shard.current?.host.toString();
    shard.report(owner === undefined ? 'Uncaught exception:' : `${owner}: nobody caught an exception:`, error);
  });
}
