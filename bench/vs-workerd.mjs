#!/usr/bin/env node
// Perdure against workerd: the same JavaScript (bench/worker) on both, loaded in turn.
//
//   node bench/vs-workerd.mjs [--only NAME]... [--json] [--seconds N] [--rounds N] [--dir DIR]
//                             [--peer-only]
//
// Every measurement has a fresh process and an empty data directory, and only one server runs at a
// time, so neither pays for what the other left behind (evictions, checkpoints, dirty pages). The
// servers alternate within a round, and a figure is the median over the rounds; for the lines
// inside an object it is the best. A line whose answers are wrong, or that had one failed request,
// reports that instead of a figure, and the exit code is 1. The peer is workerd, but for the line that
// compares two threads of Perdure with one.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { request, Agent } from 'node:http';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { residentBytes, spawnOwned, withServer } from './servers.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const CONNECTIONS = 32;
const WARM_UP_SECONDS = 1;
const REQUEST_MS_MAX = 120_000;
// The requests that wrk leaves unanswered when it stops are carried out within this time, so that
// they do not count into what follows.
const UNANSWERED_MS = 200;
const WARM_OBJECTS = 1000;
const NEW_OBJECTS_CHECKED_MAX = 1000;

// Objects touched before and between the two readings of resident memory: the first ones pay for
// what a process has once (heap, caches, threads).
const MEMORY_OBJECTS_BEFORE = 500;
const MEMORY_OBJECTS = 2000;
const MEMORY_BATCH = 100;
// Both servers evict an object after 10 s without an event.
const MEMORY_TOUCH_ALL_MS = 3000;
const MEMORY_SETTLE_MS = 1000;

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    json: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    dir: { type: 'string', default: join(HERE, '../build/bench-data') },
    'peer-only': { type: 'boolean', default: false },
  },
});

class Failure extends Error {}

function expect(condition, message) {
  if (!condition) throw new Failure(message);
}

// One connection that stays open, so that a measurement from outside has no handshake in it.
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

async function get(server, path) {
  const message = request(server.url + path, {
    agent,
    signal: AbortSignal.timeout(REQUEST_MS_MAX),
  });
  message.end();
  const [response] = await once(message, 'response');
  let body = '';
  for await (const chunk of response.setEncoding('utf8')) body += chunk;
  expect(response.statusCode === 200, `GET ${path} gave ${response.statusCode}: ${body}`);
  return body;
}

const getNumber = async (server, path) => Number(await get(server, path));

async function wrk(server, path, seconds, ...mode) {
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--timeout', '10s'];
  args.push('-s', join(HERE, 'wrk.lua'), server.url + path, '--', ...mode);
  const child = spawnOwned('wrk', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  await once(child, 'close');
  await sleep(UNANSWERED_MS);
  const line = /^WRK (.*)$/m.exec(output);
  expect(line, `wrk failed:\n${output}`);
  const result = JSON.parse(line[1]);
  for (const kind of ['connect', 'read', 'write', 'status', 'timeout']) {
    expect(result[kind] === 0, `${result[kind]} ${kind} errors in ${result.requests} requests`);
  }
  expect(result.requests > 0, 'no request was answered');
  return result;
}

// wrk counts the answers it got; when it stops, one request of each connection may be unanswered.
function expectCount(counted, answered) {
  expect(
    counted >= answered && counted <= answered + CONNECTIONS,
    `${answered} requests were answered but ${counted} were carried out`,
  );
}

// ---- lines over HTTP: requests a second -----------------------------------------------------

async function hello(server, seconds) {
  await wrk(server, '/hello', WARM_UP_SECONDS, 'static');
  const load = await wrk(server, '/hello', seconds, 'static');
  expect((await get(server, '/hello')) === 'hi', 'the answer is not "hi"');
  return load.requests / load.seconds;
}

async function rpc(server, seconds) {
  await wrk(server, '/rpc', WARM_UP_SECONDS, 'static');
  const before = await getNumber(server, '/rpc');
  const load = await wrk(server, '/rpc', seconds, 'static');
  expectCount((await getNumber(server, '/rpc')) - before - 1, load.requests);
  return load.requests / load.seconds;
}

async function incrementOne(server, seconds) {
  const total = '/sum-value?prefix=one&from=1&to=1';
  await wrk(server, '/increment?name=one1', WARM_UP_SECONDS, 'static');
  const before = await getNumber(server, total);
  const load = await wrk(server, '/increment?name=one1', seconds, 'static');
  expectCount((await getNumber(server, total)) - before, load.requests);
  return load.requests / load.seconds;
}

async function incrementWarm(server, seconds) {
  const mode = ['random', 'warm', WARM_OBJECTS];
  const total = `/sum-value?prefix=warm&from=1&to=${WARM_OBJECTS}`;
  await get(server, `/sum-increment?prefix=warm&from=1&to=${WARM_OBJECTS}`);
  await wrk(server, '/increment?name=', WARM_UP_SECONDS, ...mode);
  const before = await getNumber(server, total);
  const load = await wrk(server, '/increment?name=', seconds, ...mode);
  expectCount((await getNumber(server, total)) - before, load.requests);
  return load.requests / load.seconds;
}

async function incrementNew(server, seconds) {
  await wrk(server, '/increment?name=', WARM_UP_SECONDS, 'unique', 'first');
  const prefix = `new${Math.random().toString(36).slice(2, 8)}-`;
  const load = await wrk(server, '/increment?name=', seconds, 'unique', prefix);
  // The names went out in order; those of the requests left unanswered may be missing.
  const to = Math.min(load.requests, NEW_OBJECTS_CHECKED_MAX);
  const sum = await getNumber(server, `/sum-value?prefix=${prefix}&from=1&to=${to}`);
  expect(sum <= to && sum >= to - CONNECTIONS, `the first ${to} new objects add up to ${sum}`);
  return load.requests / load.seconds;
}

// One request at a time, the way one client sees it: a chain of objects that each write once, and one
// object, in turn. Microseconds; medians.
const CHAIN = ['link1', 'link2', 'link3', 'link4', 'link5'];
const CHAIN_PATH = `/chain?names=${CHAIN}`;
const LATENCY_TURNS = 500;

async function chain(server, seconds) {
  const total = `/sum-value?prefix=link&from=1&to=${CHAIN.length}`;
  await wrk(server, CHAIN_PATH, WARM_UP_SECONDS, 'static');
  const before = await getNumber(server, total);
  const load = await wrk(server, CHAIN_PATH, seconds, 'static');
  expectCount(((await getNumber(server, total)) - before) / CHAIN.length, load.requests);
  return load.requests / load.seconds;
}

async function latencies(server) {
  const timed = async (path) => {
    const start = performance.now();
    await get(server, path);
    return (performance.now() - start) * 1000;
  };
  const [ofOne, ofChain] = [[], []];
  for (let turn = 0; turn < LATENCY_TURNS; turn++) {
    ofOne.push(await timed('/increment?name=one1'));
    ofChain.push(await timed(CHAIN_PATH));
  }
  const links = await getNumber(server, `/sum-value?prefix=link&from=1&to=${CHAIN.length}`);
  expect(links === CHAIN.length * LATENCY_TURNS, `the chain adds up to ${links}`);
  return { ofOne: median(ofOne), ofChain: median(ofChain) };
}

// ---- memory: bytes for each object that is awake --------------------------------------------

async function memory(server) {
  let touched = 0;
  let touchedAll = Date.now();
  const touchUpTo = async (count) => {
    while (touched < count) {
      const range = `from=${touched + 1}&to=${touched + MEMORY_BATCH}`;
      await get(server, `/sum-increment?prefix=memory&${range}`);
      touched += MEMORY_BATCH;
      if (Date.now() - touchedAll > MEMORY_TOUCH_ALL_MS) await touchAll();
    }
    await touchAll();
    await sleep(MEMORY_SETTLE_MS);
    return residentBytes(server.pid);
  };
  const touchAll = async () => {
    const sum = await getNumber(server, `/sum-value?prefix=memory&from=1&to=${touched}`);
    expect(sum === touched, `${touched} objects add up to ${sum}`);
    touchedAll = Date.now();
  };
  const before = await touchUpTo(MEMORY_OBJECTS_BEFORE);
  const after = await touchUpTo(MEMORY_OBJECTS_BEFORE + MEMORY_OBJECTS);
  return (after - before) / MEMORY_OBJECTS;
}

// ---- lines inside an object: microseconds for each turn of a loop ---------------------------

// workerd's clock stands still while JavaScript runs, so the time is taken here, of one request
// that runs the loop n times, minus that of the same request with n = 0. What the loop has written
// is committed, and durable, within that time, on both sides. n is the same for both servers and
// large enough that the request takes some hundred milliseconds.
const loop = (name, n, expected) => async (server) => {
  const timed = async (turns) => {
    await get(server, `/prepare?loop=${name}`);
    const start = performance.now();
    const result = await get(server, `/run?loop=${name}&n=${turns}`);
    const milliseconds = performance.now() - start;
    if (turns > 0) expect(Number(result) === expected, `result ${result}, not ${expected}`);
    return milliseconds;
  };
  await timed(n);
  const empty = Math.min(await timed(0), await timed(0), await timed(0));
  const full = Math.min(await timed(n), await timed(n), await timed(n));
  return ((full - empty) * 1000) / n;
};

const sumUpTo = (n) => (n * (n - 1)) / 2;

// ---- the table ------------------------------------------------------------------------------

const perSecond = { unit: '/s', better: 'higher', pick: median };
const micros = { unit: 'µs', better: 'lower', pick: (figures) => Math.min(...figures) };
const latency = { unit: 'µs', better: 'lower', pick: median };
const share = { unit: '×', better: 'lower', pick: median };
const kilobytes = { unit: 'KB', better: 'lower', pick: median };

// `target` is the ratio that Perdure must reach, as "times better than the peer", and `oursMax` what
// its own figure must stay below. `servers` are the peer and ours where they are not the usual ones.
const LINES = [
  { name: 'hello', title: 'Worker answers "hi"', ...perSecond, target: 2, run: hello },
  { name: 'rpc', title: 'RPC to one object, no storage', ...perSecond, target: 3, run: rpc },
  { name: 'increment-one', title: 'durable increment, one object', ...perSecond, target: 10,
    run: incrementOne },
  { name: 'increment-warm', title: 'durable increment, 1,000 warm objects', ...perSecond,
    target: 15, run: incrementWarm },
  { name: 'increment-new', title: 'durable increment, every object new', ...perSecond, target: 30,
    run: incrementNew },
  { name: 'increment-threads', title: '1,000 warm objects, --threads 2 against 1', ...perSecond,
    target: 1, run: incrementWarm, servers: ['perdure', 'perdure --threads 2'] },
  // Segments are sealed behind checkpoints, so only rounds of 30 s or more (--seconds) show all of it.
  { name: 'increment-history', title: '1,000 warm objects, history on against off', ...perSecond,
    target: 0.95, run: incrementWarm, servers: ['perdure --history-days 0', 'perdure'] },
  { name: 'chain-5', title: 'chain of 5 objects, a durable write each', ...perSecond, target: 3,
    run: chain },
  { name: 'chain-5-latency', title: 'the same, one request at a time', ...latency, target: 1,
    run: async (server) => (await latencies(server)).ofChain },
  { name: 'one-latency', title: 'one object, one request at a time', ...latency, target: 1,
    run: async (server) => (await latencies(server)).ofOne },
  { name: 'chain-5-share', title: 'time of the chain by that of one', ...share, target: 1,
    oursMax: 2,
    run: async (server) => {
      const { ofOne, ofChain } = await latencies(server);
      return ofChain / ofOne;
    } },
  { name: 'memory', title: 'memory per active small object', ...kilobytes, target: 4,
    run: async (server) => (await memory(server)) / 1000 },
  { name: 'sql-insert', title: 'sql.exec INSERT, 3 columns', ...micros, target: 5,
    run: loop('sql-insert', 300_000, 300_000) },
  { name: 'sql-select', title: 'sql.exec point SELECT + one()', ...micros, target: 5,
    run: loop('sql-select', 200_000, 200 * sumUpTo(1000)) },
  { name: 'sql-iterate', title: 'iterate rows of 4 columns, per row', ...micros, target: 2.5,
    run: loop('sql-iterate', 800_000, 20 * sumUpTo(40_000)) },
  { name: 'kv-put', title: 'kv.put of a small object', ...micros, target: 2,
    run: loop('kv-put', 300_000, 299_999) },
  { name: 'kv-get', title: 'kv.get of a small object', ...micros, target: 3,
    run: loop('kv-get', 200_000, 200_000 * 7) },
  { name: 'storage-put', title: 'storage.put, not awaited', ...micros, target: 3,
    run: loop('storage-put', 100_000, 99_999) },
  { name: 'storage-get', title: 'await storage.get', ...micros, target: 3,
    run: loop('storage-get', 100_000, 100_000 * 7) },
  { name: 'storage-put-await', title: 'await storage.put', ...micros, target: 1,
    run: loop('storage-put-await', 100_000, 99_999) },
];

function median(figures) {
  const sorted = [...figures].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

async function measure(line, servers, rounds, seconds) {
  const samples = Object.fromEntries(servers.map((server) => [server, []]));
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 ? servers.toReversed() : servers) {
      process.stderr.write(`${line.name}: ${name}, round ${round + 1} of ${rounds}\n`);
      try {
        const use = (server) => line.run(server, seconds);
        samples[name].push(await withServer(name, options.dir, use));
      } catch (error) {
        agent.destroy();
        return { error: `${name}: ${error.message}` };
      }
    }
  }
  const figure = (name) => (samples[name] ? line.pick(samples[name]) : null);
  const [peer, ours] = line.servers?.map(figure) ?? [figure('workerd'), figure('perdure')];
  const ratio = ours === null ? null : line.better === 'higher' ? ours / peer : peer / ours;
  const reached = ratio === null ? null : ratio >= line.target && !(ours >= line.oursMax);
  return { peer, ours, ratio, reached, samples };
}

function format(value, digits) {
  if (value === null) return '-';
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 100 ? digits : 0 });
}

const target = (line) => (line.oursMax ? `${line.target}, below ${line.oursMax} ${line.unit}` : `${line.target}`);

function printTable(lines) {
  const rows = [['line', 'peer', 'perdure', 'unit', 'ratio', 'target', 'reached']];
  for (const line of lines) {
    if (line.error) continue;
    const reached = line.reached === null ? '-' : line.reached ? 'yes' : 'NO';
    rows.push([line.title, format(line.peer, 2), format(line.ours, 2), line.unit,
               format(line.ratio, 1), target(line), reached]);
  }
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  for (const [title, ...cells] of rows) {
    const aligned = cells.map((cell, i) => cell.padStart(widths[i + 1]));
    console.log([title.padEnd(widths[0]), ...aligned].join('  '));
  }
  for (const line of lines) if (line.error) console.log(`\nFAILED  ${line.title}: ${line.error}`);
}

async function main() {
  if (spawnSync('wrk', ['--version']).error) {
    throw new Error('wrk is missing: install the Debian package "wrk"');
  }
  const [rounds, seconds] = [Number(options.rounds), Number(options.seconds)];
  if (!(Number.isInteger(rounds) && rounds > 0 && Number.isInteger(seconds) && seconds > 0)) {
    throw new Error('--rounds and --seconds take a whole number above 0');
  }
  const names = LINES.map((line) => line.name);
  const unknown = options.only.find((name) => !names.includes(name));
  if (unknown) throw new Error(`no line "${unknown}"; there are: ${names.join(', ')}`);

  const servers = options['peer-only'] ? ['workerd'] : ['workerd', 'perdure'];
  const lines = [];
  for (const line of LINES) {
    if (options.only.length > 0 && !options.only.includes(line.name)) continue;
    if (line.servers && options['peer-only']) continue;
    const { name, title, unit, target, oursMax } = line;
    const measured = await measure(line, line.servers ?? servers, rounds, seconds);
    lines.push({ name, title, unit, target, oursMax, ...measured });
  }
  if (options.json) console.log(JSON.stringify({ rounds, seconds, lines }, null, 2));
  else printTable(lines);
  if (lines.some((line) => line.error)) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  console.error(`vs-workerd: ${error.message}`);
  process.exitCode = 2;
}
agent.destroy();
