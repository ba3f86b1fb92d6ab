// The two servers that a program runs on: each in a process of its own, on a free port.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const START_MS_MAX = 30_000;
const STOP_MS_MAX = 10_000;
/** How much of what a server writes is kept for the message when it fails. */
const OUTPUT_UNITS_MAX = 2_000;

/** The command, and how its output tells the port. Each gets `project` and `data`, folders for it alone. */
const SERVERS = {
  workerd: ({ project }) => {
    // The binary itself: the launcher in node_modules/.bin would be one more process.
    const binary = createRequire(import.meta.url)('workerd').default;
    // Where the two cannot read the same configuration, workerd's stands beside it.
    const own = join(project, 'wrangler.workerd.jsonc');
    const config = existsSync(own) ? own : join(project, 'wrangler.jsonc');
    return {
      command: [binary, 'serve', config, '--experimental', '--socket-addr', 'http=127.0.0.1:0', '--control-fd', '3'],
      port: /"socket":"http","port":(\d+)/,
    };
  },
  perdure: ({ project, data }) => ({
    command: [process.execPath, join(root, 'bin/perdure'), 'serve', project, '--port', '0', '--data', data, '--threads', '1'],
    port: /^Perdure serves \S+ on http:\/\/\S+:(\d+) /m,
  }),
};

const children = new Set();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** Starts the server, gives its URL to `use`, stops it, and returns what `use` did. */
export async function withServer(name, folders, use) {
  const { command, port } = SERVERS[name](folders);
  const child = start(command, folders.temporary);
  try {
    return await use(`http://127.0.0.1:${await child.port(port)}`);
  } catch (error) {
    throw new Error(`${name}: ${error.message}${error.cause === undefined ? '' : ` (${error.cause.message})`}\n${child.output}`.trim());
  } finally {
    await child.stop();
  }
}

function start([command, ...args], temporary) {
  const env = { ...process.env, TMPDIR: temporary, PATH: [join(root, 'node_modules/.bin'), process.env.PATH].join(delimiter) };
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  children.add(child);
  const closed = new Promise((resolve) => child.once('close', resolve));
  const server = {
    output: '',
    port: (pattern) => listening(child, closed, pattern),
    async stop() {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
      await closed;
      clearTimeout(late);
      children.delete(child);
    },
  };
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (part) => (server.output = (server.output + part).slice(-OUTPUT_UNITS_MAX)));
  return server;
}

function listening(child, closed, pattern) {
  return new Promise((resolve, reject) => {
    let said = '';
    const timer = setTimeout(() => reject(new Error(`does not listen after ${START_MS_MAX} ms`)), START_MS_MAX);
    child.once('error', reject);
    void closed.then(() => reject(new Error('ends at its start'))).finally(() => clearTimeout(timer));
    for (const stream of [child.stdout, child.stdio[3]]) {
      stream.on('data', (part) => {
        said = (said + part).slice(-OUTPUT_UNITS_MAX);
        const found = pattern.exec(said);
        if (found === null) return;
        clearTimeout(timer);
        resolve(Number(found[1]));
      });
    }
  });
}
