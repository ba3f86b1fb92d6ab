#!/usr/bin/env node
// Touches many new objects one after the other under `--memory-limit`, then all of them once more. The
// resident memory of the process must never be above the limit, and the second pass must find every value.
//
//   node bench/memory-limit.mjs [--objects N] [--limit SIZE] [--dir DIR]
//
// Objects have an hour of idle time, so that the limit alone makes them leave. Prints the peak of the resident
// memory (VmHWM, which the kernel keeps) after each pass, and fails when something does not hold.
import { readFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { withServer } from './servers.mjs';

const CONNECTIONS = 8;
const MEGABYTE = 1 << 20;
const UNITS = { M: MEGABYTE, G: 1024 * MEGABYTE };

const { values: options } = parseArgs({
  options: {
    objects: { type: 'string', default: '100000' },
    limit: { type: 'string', default: '512M' },
    dir: { type: 'string', default: join(dirname(fileURLToPath(import.meta.url)), '../build/bench-data') },
  },
});
const objects = Number(options.objects);
const limit = Number(options.limit.slice(0, -1)) * UNITS[options.limit.slice(-1)];
if (!Number.isInteger(objects) || !(limit > 0)) throw new Error('usage: node bench/memory-limit.mjs [--objects 100000] [--limit 512M] [--dir DIR]');

const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });

function ask(url) {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (part) => (body += part));
      response.on('end', () => (response.statusCode === 200 ? resolve(body) : reject(new Error(`${url} gave ${response.statusCode}: ${body}`))));
    }).on('error', reject);
  });
}

function resident(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const bytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)[1]) * 1024;
  return { peak: bytes('VmHWM'), now: bytes('VmRSS') };
}

// Each object counts: that it answers `expected` says that it has found what it had counted before.
async function pass(server, expected) {
  let next = 0;
  const wrong = [];
  const started = performance.now();
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      for (let i = next++; i < objects; i = next++) {
        const answer = await ask(`${server.url}/increment?name=limit-${i}`);
        if (Number(answer) !== expected) wrong.push(`limit-${i}: ${answer}`);
      }
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  const { peak, now } = resident(server.pid);
  const figure = (bytes) => `${(bytes / MEGABYTE).toFixed(0)} MB`;
  console.log(`pass ${expected}  ${objects} objects  ${Math.round(objects / seconds)}/s  peak ${figure(peak)}  now ${figure(now)}  limit ${figure(limit)}`);
  if (wrong.length > 0) throw new Error(`${wrong.length} wrong answers, the first: ${wrong[0]}`);
  if (peak > limit) throw new Error(`The process was larger than its limit: ${figure(peak)}.`);
}

const args = ['--memory-limit', options.limit, '--idle-ms', '3600000'];
await withServer('perdure', options.dir, async (server) => {
  await pass(server, 1);
  await pass(server, 2);
}, args);
