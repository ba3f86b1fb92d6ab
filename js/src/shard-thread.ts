/** The entry of a thread that runs one shard of a served project; server.ts starts it and tells it what to do. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { outputWritten } from './output.js';
import { ProjectError } from './project.js';
import { loadNative } from './runtime/native.js';
import { ResetClock } from './runtime/reset-clock.js';
import type { Placement } from './runtime/shard.js';
import { ServedShard, type Settled, type ShardSettings } from './served-shard.js';

export interface ThreadData {
  engineToken: number;
  settings: ShardSettings;
  resetClock: SharedArrayBuffer;
  placement: Placement;
}

/** What a thread is asked to do, in this order; each is answered once. */
export interface ThreadCalls {
  frontStopped(): Promise<string[]>;
  settled(deadlineMs: number): Promise<Settled>;
  close(): Promise<void>;
}

export type Question = { [Name in keyof ThreadCalls]: { name: Name; argument: Parameters<ThreadCalls[Name]>[0] } }[keyof ThreadCalls];

/** The first message says whether the shard serves; each further one answers a question. */
export type Answer = { value: unknown } | { failed: { message: string; stack: string | undefined; ofProject: boolean } };

async function main(port: MessagePort, { engineToken, settings, resetClock, placement }: ThreadData): Promise<void> {
  const answer = (message: Answer): void => port.postMessage(message);
  let served: ServedShard;
  try {
    served = await ServedShard.start(loadNative().attachEngine(engineToken), settings, new ResetClock(resetClock), placement);
  } catch (error) {
    const { message, stack } = error as Error;
    answer({ failed: { message, stack, ofProject: error instanceof ProjectError } });
    port.close();
    return;
  }
  port.on('message', ({ name, argument }: Question) => {
    switch (name) {
      case 'frontStopped':
        void served.frontStopped().then((value) => answer({ value }));
        break;
      case 'settled':
        void served.settled(argument!).then((value) => answer({ value }));
        break;
      case 'close':
        served.close();
        void outputWritten().then(() => {
          answer({ value: undefined });
          process.exit(); // this thread: timers of user code would keep it
        });
    }
  });
  answer({ value: undefined });
}

await main(parentPort!, workerData as ThreadData);
