import { fileURLToPath } from 'node:url';

const ownDirectory = fileURLToPath(new URL('..', import.meta.url));

/**
 * What to print for an error that ended the start or the stop of the server. An error that passed
 * through the user's code (a file in one of `userDirectories`) comes with the user's lines of its
 * stack; any other is a mistake that its message explains.
 */
export function explain(error: unknown, userDirectories: string[]): string {
  if (!(error instanceof Error)) return String(error);
  const userFrames = (error.stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .filter((line) => userDirectories.some((directory) => line.includes(directory)))
    .filter((line) => !line.includes(ownDirectory));
  if (userFrames.length > 0) return [`${error.name}: ${error.message}`, ...userFrames].join('\n');
  // A syntax or link error of a module has no frame of its own; Node puts the place on the first line.
  const place = /^(?:file:\/\/)?(\S+:\d+)\n/.exec(error.stack ?? '')?.[1];
  if (place && userDirectories.some((directory) => place.includes(directory))) {
    return `${place}: ${error.name}: ${error.message}`;
  }
  return error.message;
}

/** What to print about the log that a server found; undefined: nothing. */
export function explainRecovery({ cutBytes, cutFile, cutOffset }: { cutBytes: number; cutFile: string; cutOffset: number }): string | undefined {
  if (cutBytes === 0) return undefined;
  return `The log had a torn end: ${cutBytes} bytes were cut from ${cutFile} at offset ${cutOffset}; nothing in them had been acknowledged.`;
}
