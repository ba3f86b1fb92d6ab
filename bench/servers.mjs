// Starts and stops the two servers that the benchmark compares, each with an empty data directory,
// and clears away everything it made, also after an error or Ctrl-C.
import { spawn } from 'node:child_process';
import {
  copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statfsSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parse } from 'jsonc-parser';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const WORKER = join(ROOT, 'bench/worker');
const START_SECONDS_MAX = 30;
const STOP_SECONDS_MAX = 20;
const TMPFS_MAGIC = 0x01021994;

const children = new Set();
const directories = new Set();

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  for (const directory of directories) {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));

// spawn() whose child cannot outlive this process.
export function spawnOwned(command, args, options) {
  const child = spawn(command, args, options);
  children.add(child);
  child.on('exit', () => children.delete(child));
  child.on('error', () => children.delete(child));
  return child;
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

// A new directory under `base`. Memory would hide what durability costs, so tmpfs is refused.
function dataDirectory(base) {
  mkdirSync(base, { recursive: true });
  if (statfsSync(base).type === TMPFS_MAGIC) {
    throw new Error(`${base} is on tmpfs, where fsync costs nothing; give a disk with --dir`);
  }
  const directory = mkdtempSync(join(base, 'bench-'));
  directories.add(directory);
  return directory;
}

const perdure = (...more) => ({
  async command(directory, port) {
    const bin = join(ROOT, 'bin/perdure');
    if (!existsSync(bin)) throw new Error(`${bin} is missing: run "make build" first`);
    const args = [bin, 'serve', WORKER, '--port', `${port}`, '--data', directory, ...more];
    return [process.execPath, args];
  },
});

export const SERVERS = {
  // One thread, as the targets are for.
  perdure: perdure('--threads', '1'),
  'perdure --threads 2': perdure('--threads', '2'),
  'perdure --history-days 0': perdure('--threads', '1', '--history-days', '0'),
  workerd: {
    // A Cap'n Proto configuration rather than the wrangler.jsonc, which workerd reads too: this
    // one states the storage, and leaves out the `request.cf` that workerd otherwise builds for
    // every request and Perdure does not have.
    async command(directory, port) {
      let binary;
      try {
        // The binary itself: the launcher in node_modules/.bin would be one more process.
        binary = createRequire(import.meta.url)('workerd').default;
      } catch {
        throw new Error('the peer is missing: run "npm ci --ignore-scripts" first');
      }
      const wrangler = parse(readFileSync(join(WORKER, 'wrangler.jsonc'), 'utf8'));
      const [binding] = wrangler.durable_objects.bindings;
      copyFileSync(join(WORKER, wrangler.main), join(directory, wrangler.main));
      mkdirSync(join(directory, 'storage'));
      writeFileSync(
        join(directory, 'config.capnp'),
        `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "${wrangler.main}", esModule = embed "${wrangler.main}")],
      compatibilityDate = "${wrangler.compatibility_date}",
      bindings = [(name = "${binding.name}",
                   durableObjectNamespace = (className = "${binding.class_name}"))],
      durableObjectNamespaces = [(className = "${binding.class_name}",
                                  uniqueKey = "${wrangler.name}-${binding.class_name}",
                                  enableSql = true)],
      durableObjectStorage = (localDisk = "disk"),
    )),
    (name = "disk", disk = (path = "${join(directory, 'storage')}", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
`,
      );
      return [binary, ['serve', join(directory, 'config.capnp'), '--experimental']];
    },
  },
};

// Runs `use(server)` with a fresh server, which gets these further arguments, and stops it afterwards.
export async function withServer(name, base, use, moreArgs = []) {
  const directory = dataDirectory(base);
  const port = await freePort();
  const [command, args] = await SERVERS[name].command(directory, port);
  const child = spawnOwned(command, [...args, ...moreArgs], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => (output = (output + chunk).slice(-4000)));
  }
  const ended = new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => resolve(`exit ${code ?? signal}`));
  });
  const server = { name, pid: child.pid, url: `http://127.0.0.1:${port}` };
  try {
    const crashed = ended.then((how) => {
      throw new Error(`${name} ended by itself (${how}):\n${output}`);
    });
    crashed.catch(() => {});
    await Promise.race([ready(server), crashed]);
    return await Promise.race([use(server), crashed]);
  } finally {
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_SECONDS_MAX * 1000);
    await ended;
    clearTimeout(late);
    rmSync(directory, { recursive: true, force: true });
    directories.delete(directory);
  }
}

async function ready(server) {
  const deadline = Date.now() + START_SECONDS_MAX * 1000;
  while (Date.now() < deadline) {
    try {
      if ((await (await fetch(`${server.url}/hello`)).text()) === 'hi') return;
    } catch {
      // Not listening yet.
    }
    await sleep(50);
  }
  throw new Error(`${server.name} did not answer within ${START_SECONDS_MAX} s`);
}

// Resident bytes of a process and its descendants.
export function residentBytes(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  let bytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)[1]) * 1024;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const text = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim();
    for (const child of text ? text.split(' ') : []) bytes += residentBytes(child);
  }
  return bytes;
}
