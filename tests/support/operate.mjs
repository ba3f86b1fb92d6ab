import { runPerdure } from './perdure.mjs';

/** Runs the command line on a data directory; what it prints is checked by the test. */
export const operator =
  (data, options) =>
  (...args) =>
    runPerdure([...args, '--data', data], options);

/** The same, for a command that has to succeed: -> what it has printed. */
export function succeeding(data, options) {
  const run = operator(data, options);
  return async (...args) => {
    const { code, stdout, stderr } = await run(...args);
    if (code !== 0) throw new Error(`perdure ${args.join(' ')} has ended with ${code}: ${stderr}${stdout}`);
    return stdout;
  };
}
