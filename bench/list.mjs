#!/usr/bin/env node
// A page of ten keys, `storage.list({ startAfter, limit: 10 })`, in a store of a thousand keys and in
// one of a million: it has to cost the same, because a list seeks to its start and reads no further
// than its limit.
//
//   node bench/list.mjs [--rounds N] [--dir DIR]
//
// Prints the best of the rounds, and fails when pages one after the other cost more than RATIO_MAX times
// as much in the large store. Pages at random places are printed, too: there the large store pays for
// memory that no cache holds.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { withServer } from './servers.mjs';

const COUNTS = [1_000, 1_000_000];
const PAGES = 20_000;
const RATIO_MAX = 1.5;

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    dir: { type: 'string', default: join(dirname(fileURLToPath(import.meta.url)), '../build/bench-data') },
  },
});

async function get(server, path) {
  const response = await fetch(server.url + path);
  const body = await response.text();
  if (!response.ok) throw new Error(`GET ${path} gave ${response.status}: ${body}`);
  return Number(body);
}

const best = await withServer('perdure', options.dir, async (server) => {
  for (const count of COUNTS) await get(server, `/prepare-list?count=${count}`);
  const figures = {};
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const order of ['following', 'random']) {
      for (const count of COUNTS) {
        const micros = await get(server, `/list-pages?count=${count}&n=${PAGES}&order=${order}`);
        figures[order] ??= {};
        figures[order][count] = Math.min(figures[order][count] ?? Infinity, micros);
      }
    }
  }
  return figures;
});

for (const [order, figures] of Object.entries(best)) {
  const [small, large] = COUNTS.map((count) => figures[count]);
  const figure = (micros) => `${micros.toFixed(2).padStart(7)} µs`;
  console.log(`${order.padEnd(10)} 1,000 keys ${figure(small)}   1,000,000 keys ${figure(large)}   ${(large / small).toFixed(2)} times`);
}
const ratio = best.following[COUNTS[1]] / best.following[COUNTS[0]];
if (ratio > RATIO_MAX) {
  console.error(`A page in the large store costs ${ratio.toFixed(2)} times as much; at most ${RATIO_MAX} is right.`);
  process.exitCode = 1;
}
