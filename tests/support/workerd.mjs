import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { withParent } from './perdure.mjs';

const START_MS_MAX = 30_000;

async function freePort() {
  const probe = createServer();
  await once(probe.listen(0, '127.0.0.1'), 'listening');
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

const config = ({ className, key, storage, port, enableSql = true }) => `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "index.js", esModule = embed "index.js")],
      compatibilityDate = "2026-01-01",
      bindings = [(name = "THING", durableObjectNamespace = (className = "${className}"))],
      durableObjectNamespaces = [(className = "${className}", uniqueKey = "${key}", enableSql = ${enableSql})],
      durableObjectStorage = (localDisk = "disk"),
    )),
    (name = "disk", disk = (path = "${storage}", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
`;

/**
 * Runs the module `source` on workerd, which keeps the objects of its class in `<storage>/<key>`, with SQLite
 * storage or without (`enableSql`). The process is killed when the test ends.
 */
export async function startWorkerd(t, { source, directory, className, key, storage, enableSql }) {
  mkdirSync(directory, { recursive: true });
  mkdirSync(storage, { recursive: true });
  copyFileSync(source, join(directory, 'index.js'));
  const port = await freePort();
  writeFileSync(join(directory, 'config.capnp'), config({ className, key, storage, port, enableSql }));
  const binary = createRequire(import.meta.url)('workerd').default;
  const [command, ...args] = [...withParent, binary, 'serve', join(directory, 'config.capnp'), '--experimental'];
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (errors += text));
  const exited = once(child, 'exit');
  t.after(() => child.kill('SIGKILL'));
  const url = `http://127.0.0.1:${port}`;
  for (const end = Date.now() + START_MS_MAX; ; await delay(20)) {
    const answer = await fetch(`${url}/nothing?name=probe`).catch(() => undefined);
    if (answer !== undefined) break;
    if (child.exitCode !== null || Date.now() > end) throw new Error(`workerd did not start:\n${errors}`);
  }
  return {
    async text(path) {
      const response = await fetch(url + path);
      const text = await response.text();
      if (!response.ok) throw new Error(`${path}: ${response.status} ${text}\n${errors}`);
      return text;
    },
    async stop(signal) {
      child.kill(signal);
      await exited;
    },
  };
}
