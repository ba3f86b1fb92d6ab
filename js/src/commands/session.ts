/** One command of an operator: a data directory, and an end that always comes. */
import { resolve } from 'node:path';
import { Interrupted } from '../operate/error.js';
import { DataDirectory } from '../operate/open.js';
import { ReaderGone } from './output.js';

export interface DataOption {
  data: string;
}

/** Calls `run` with the data directory, and leaves that as it was. `writes`: it may change an object. */
export async function withData(options: DataOption, run: (data: DataDirectory) => Promise<void>, writes = false): Promise<void> {
  const interrupted = new AbortController();
  const onSignal = (): void => interrupted.abort(new Interrupted('Interrupted.'));
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  const data = new DataDirectory(resolve(options.data), interrupted.signal);
  try {
    await run(data);
  } catch (error) {
    // What a server had begun when this connection broke, it may have finished.
    if (interrupted.signal.aborted && writes && data.hasAsked) throw new Interrupted('Interrupted. What the server had begun may have been written: look before you repeat it.');
    if (interrupted.signal.aborted) throw interrupted.signal.reason;
    if (!(error instanceof ReaderGone)) throw error; // who has read enough is content
  } finally {
    data.close();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}
