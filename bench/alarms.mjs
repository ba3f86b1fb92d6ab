// What alarms cost: the memory and the start-up time of a million that sleep, and how the rest of the service
// fares while 100,000 that are due at once run. `node bench/alarms.mjs [--sleeping N] [--due N] [--class THING|KEYED]`
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({ options: { sleeping: { type: 'string', default: '1000000' }, due: { type: 'string', default: '100000' }, class: { type: 'string', default: 'THING' } } });
const sleeping = Number(values.sleeping);
const due = Number(values.due);
const directory = mkdtempSync(join(tmpdir(), 'perdure-bench-'));
const data = join(directory, 'data');
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

async function start() {
  const begun = performance.now();
  const child = spawn(process.execPath, [join(root, 'bin/perdure'), 'serve', join(root, 'bench/alarms'), '--port', '0', '--data', data, '--threads', '1'], { stdio: ['ignore', 'pipe', 'inherit'] });
  process.on('exit', () => child.kill('SIGKILL'));
  let said = '';
  for await (const part of child.stdout) if ((said += part).includes('\n')) break;
  const url = /http:\/\/\S+/.exec(said)[0];
  return {
    startMs: performance.now() - begun,
    text: async (path) => (await fetch(url + path)).text(),
    /** MB that the process has in memory now, and at most until now. */
    memory: () => ['VmRSS', 'VmHWM'].map((name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]) / 1024),
    async stop() {
      const closed = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await closed;
    },
  };
}

const YEAR_MS = 365 * 86_400_000;
const QUIET_MS = 5_000;
/** Objects of one request. */
const BATCH = 1_000;

const ms = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

/** Sets the alarms of the objects 0 to `count`, in batches; returns how long that took. */
async function setAll(server, className, count, time) {
  const begun = performance.now();
  for (let from = 0; from < count; from += BATCH) await server.text(`/set?class=${className}&from=${from}&to=${Math.min(count, from + BATCH)}&time=${time}`);
  return performance.now() - begun;
}

async function sleepers() {
  const without = await start();
  const [before] = without.memory();
  await setAll(without, 'KEYED', sleeping, Date.now() + YEAR_MS);
  await without.stop();
  const server = await start();
  const [after] = server.memory();
  console.log(`${sleeping} alarms that sleep: ready after ${ms(server.startMs)} (${ms(without.startMs)} without them), ${Math.round(((after - before) * 2 ** 20) / sleeping)} bytes of memory each`);
  await server.stop();
}

/** Durable increments, one after the other, until `ended()`: how long they took. */
async function increments(server, ended) {
  const latencies = [];
  do {
    const begun = performance.now();
    await server.text('/increment');
    latencies.push(performance.now() - begun);
    await delay(1);
  } while (!(await ended()));
  latencies.sort((a, b) => a - b);
  const at = (part) => ms(latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * part))]);
  return `median ${at(0.5)}, 99 of 100 within ${at(0.99)}, longest ${at(1)} (${latencies.length} requests)`;
}

async function allAtOnce() {
  const server = await start();
  const sample = Math.ceil(due / 20);
  const sampleMs = await setAll(server, values.class, sample, Date.now() + YEAR_MS);
  const time = Math.ceil(Date.now() + 1.5 * sampleMs * (due / sample) + QUIET_MS);
  const setMs = await setAll(server, values.class, due, time);
  if (Date.now() > time - QUIET_MS) throw new Error('Setting them took longer at the end than at the beginning: run it again when less goes on.');
  await delay(time - QUIET_MS - Date.now());
  const quiet = await increments(server, () => Date.now() > time - 500);
  await delay(time - Date.now());
  const busy = await increments(server, async () => Number(await server.text('/ran')) >= due);
  const ringMs = Date.now() - time;
  console.log(`${due} alarms of ${values.class}: set in ${ms(setMs)}; due at once, all ran within ${ms(ringMs)} (${Math.round((due / ringMs) * 1000)} a second), ${Math.round(server.memory()[1])} MB at most`);
  console.log(`  a durable increment meanwhile: ${busy}`);
  console.log(`  when nothing rings:            ${quiet}`);
  await server.stop();
}

if (sleeping > 0) await sleepers();
if (due > 0) await allAtOnce();
process.exit(0);
