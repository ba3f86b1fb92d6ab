import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const COMMAND_MS_MAX = 60_000;
const run = promisify(execFile);

/**
 * The sessions in a README: each `sh` block that begins with `perdure serve`, as the commands after that line
 * with what their comments say that they print.
 */
export function sessions(markdown) {
  return [...markdown.matchAll(/^```sh\nperdure serve .*\n([^]*?)^```$/gm)].map(([, lines]) =>
    lines.trimEnd().split('\n').map((line) => {
      const [, command, expected] = /^(.*?)\s+# (.*)$/.exec(line) ?? [];
      if (command === undefined) throw new Error(`"${line}" does not say what it prints: add "# ..." to it`);
      return { command, expected };
    }),
  );
}

/** What the command prints, with the server's address for that in the README. */
export async function runCommand(command, url) {
  const there = command.replaceAll('http://127.0.0.1:8787', url);
  if (there === command) throw new Error(`"${command}" does not go to http://127.0.0.1:8787`);
  const { stdout } = await run('sh', ['-c', there], { timeout: COMMAND_MS_MAX });
  return stdout.trimEnd();
}
