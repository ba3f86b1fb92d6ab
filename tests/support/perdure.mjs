import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { atEnd, root } from './files.mjs';

const launcher = join(root, 'bin/perdure');
const startTimeoutMs = 30_000;
const printMsMax = 30_000;

/** A command with this before it is killed when the process that has started it ends, however that ends. */
export const withParent = ['setpriv', '--pdeathsig', 'KILL'];

function launch(args, { wrapper = [], ...options } = {}) {
  const [command, ...rest] = [...withParent, ...wrapper, process.execPath, launcher, ...args];
  const child = spawn(command, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
    env: { ...process.env, ...options.env },
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => (output[name] += text));
  }
  return { child, output };
}

/** Runs the command line to its end. */
export async function runPerdure(args, options) {
  const { child, output } = launch(args, options);
  const [code, signal] = await once(child, 'close');
  return { code, signal, ...output };
}

/**
 * Serves `directory` on a free port and resolves when it listens. The process is killed when the
 * test `t` ends. `args` are further options; `wrapper` is a command that runs it, with its arguments;
 * `command` is `dev` for the server that follows changes.
 */
export async function serve(t, directory, { data, args = [], wrapper = [], env = {}, temporary = join(data, '../tmp'), command = 'serve' }) {
  // A server that is killed leaves its bundle behind: let that be where the test cleans up.
  mkdirSync(temporary, { recursive: true });
  const { child, output } = launch([command, directory, '--port', '0', '--data', data, ...args], {
    wrapper,
    env: { ...env, TMPDIR: temporary },
  });
  const closed = once(child, 'close');
  const exited = once(child, 'exit');
  atEnd(t, async () => {
    // esbuild may outlive a process that watches with it and is killed.
    child.kill(command === 'dev' ? 'SIGTERM' : 'SIGKILL');
    await exited;
    for (const stream of [child.stdout, child.stderr]) stream.destroy();
  });
  const port = await listening(child, output);
  const seen = { stdout: 0, stderr: 0 };
  const url = `http://127.0.0.1:${port}`;
  return {
    child,
    port,
    url,
    output,
    closed,
    /** Waits for the end of the process and what it wrote. */
    async end() {
      const [code, signal] = await closed;
      return { code, signal, ...output };
    },
    /** Resolves with the match once what was printed after the last such call (of this stream) matches. */
    printed(pattern, stream = 'stdout') {
      return new Promise((resolve, reject) => {
        const look = () => {
          const text = output[stream].slice(seen[stream]);
          const match = pattern.exec(text);
          if (match === null) return;
          seen[stream] += match.index + match[0].length;
          end();
          resolve(match);
        };
        const fail = () => {
          end();
          reject(new Error(`no ${pattern} in ${stream}\nstdout: ${output.stdout}\nstderr: ${output.stderr}`));
        };
        const timer = setTimeout(fail, printMsMax);
        const end = () => {
          clearTimeout(timer);
          child[stream].off('data', look);
          child.off('close', fail);
        };
        child[stream].on('data', look);
        child.once('close', fail);
        look();
      });
    },
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      return this.end();
    },
    async text(path, init) {
      const response = await fetch(url + path, init);
      return response.text();
    },
  };
}

function listening(child, output) {
  return new Promise((resolve, reject) => {
    const fail = (why) => {
      child.kill('SIGKILL');
      reject(new Error(`${why}\nstdout: ${output.stdout}\nstderr: ${output.stderr}`));
    };
    const timer = setTimeout(() => fail('the server did not start in time'), startTimeoutMs);
    const onClose = (code) => fail(`the server ended with ${code} at its start`);
    child.once('close', onClose);
    child.stdout.on('data', () => {
      const port = /^Perdure serves \S+ on http:\/\/\S+:(\d+) \(data in /m.exec(output.stdout)?.[1];
      if (port === undefined) return;
      clearTimeout(timer);
      child.off('close', onClose);
      resolve(Number(port));
    });
    child.once('close', () => clearTimeout(timer));
  });
}
