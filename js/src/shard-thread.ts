/** The entry of a thread that runs one shard of a served project; server.ts starts it and tells it what to do. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type Write, writeOn, type Written } from './operate/write.js';
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

/** What a thread is asked to do: writes of operators, and then the steps of a stop, in this order. */
export interface ThreadCalls {
  write(write: Write): Promise<Written>;
  objectsInMemory(): Promise<number>;
  frontStopped(): Promise<string[]>;
  settled(deadlineMs: number): Promise<Settled>;
  close(): Promise<void>;
}

/** Numbers are from 1. */
export type Question = { [Name in keyof ThreadCalls]: { number: number; name: Name; argument: Parameters<ThreadCalls[Name]>[0] } }[keyof ThreadCalls];

/** The first message, number 0, says whether the shard serves; each further one answers a question. */
export type Answer = { number: number } & ({ value: unknown } | { failed: Failed });

/** An error, with what a message to another thread would lose. */
export interface Failed {
  message: string;
  stack: string | undefined;
  /** Such as DAMAGED. */
  code: unknown;
  ofProject: boolean;
}

function failure(number: number, error: unknown): Answer {
  const { message, stack, code } = error as NodeJS.ErrnoException;
  return { number, failed: { message, stack, code, ofProject: error instanceof ProjectError } };
}

async function main(port: MessagePort, { engineToken, settings, resetClock, placement }: ThreadData): Promise<void> {
  const answer = (message: Answer): void => port.postMessage(message);
  let served: ServedShard;
  try {
    served = await ServedShard.start(loadNative().attachEngine(engineToken), settings, new ResetClock(resetClock), placement);
  } catch (error) {
    answer(failure(0, error));
    port.close();
    return;
  }
  port.on('message', ({ number, name, argument }: Question) => {
    const answerWith = (outcome: Promise<unknown>): void =>
      void outcome.then(
        (value) => answer({ number, value }),
        (error: unknown) => answer(failure(number, error)),
      );
    switch (name) {
      case 'write':
        answerWith(writeOn(served.shard, argument));
        break;
      case 'objectsInMemory':
        answer({ number, value: served.shard.objects });
        break;
      case 'frontStopped':
        answerWith(served.frontStopped());
        break;
      case 'settled':
        answerWith(served.settled(argument));
        break;
      case 'close':
        served.close();
        void outputWritten().then(() => {
          answer({ number, value: undefined });
          process.exit(); // this thread: timers of user code would keep it
        });
    }
  });
  answer({ number: 0, value: undefined });
}

await main(parentPort!, workerData as ThreadData);
