// Runs programs on workerd and on Perdure and compares what they say.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'jsonc-parser';
import { differences, judge, parseTranscript, programFaults } from './compare.mjs';
import { root, withServer } from './servers.mjs';

const PROGRAMS = 'conformance/programs';
/** What a program may import. */
const SHARED = ['conformance/support', 'conformance/sections', 'tests/support'];
const TRANSCRIPT_MS_MAX = 60_000;
const PROGRAMS_AT_ONCE = 2;

export function programNames() {
  return readdirSync(join(root, PROGRAMS), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}

/**
 * Runs the programs `names` and reports on each, in their order:
 * `{ name, checks, declared, undeclared, faults, seconds }`, see compare.mjs for the parts.
 */
export async function runPrograms(names, { seed, onReport = () => {} }) {
  const reports = [];
  const waiting = [...names.entries()];
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, name] = next;
      reports[index] = await runProgram(name, seed);
      onReport(reports[index]);
    }
  };
  await Promise.all(Array.from({ length: PROGRAMS_AT_ONCE }, work));
  return reports;
}

async function runProgram(name, seed) {
  const started = performance.now();
  const [workerd, perdure] = await Promise.all(['workerd', 'perdure'].map((server) => transcript(server, name, seed)));
  const seconds = (performance.now() - started) / 1000;
  const faults = [workerd, perdure].flatMap(({ fault }) => fault ?? []);
  if (faults.length > 0) return { name, checks: 0, declared: [], undeclared: [], faults, seconds, transcript: workerd.text };
  const expected = parseTranscript(workerd.text);
  const answered = parseTranscript(perdure.text);
  const found = differences(expected, answered);
  const judged = judge(found, declarations(name), readFileSync(join(root, 'docs/compatibility.md'), 'utf8'));
  judged.faults.push(...programFaults(expected, answered));
  return { name, checks: expected.size, ...judged, seconds, transcript: workerd.text };
}

function declarations(name) {
  const file = join(root, PROGRAMS, name, 'differences.jsonc');
  return existsSync(file) ? parse(readFileSync(file, 'utf8')) : [];
}

/** `{ text }`, or `{ fault }` when the server gives none. */
async function transcript(server, name, seed) {
  const temporary = mkdtempSync(join(tmpdir(), 'perdure-conformance-'));
  try {
    const text = await withServer(server, stage(temporary, name), async (url) => {
      const response = await fetch(`${url}/?seed=${seed}`, { signal: AbortSignal.timeout(TRANSCRIPT_MS_MAX) });
      if (response.status !== 200) throw new Error(`answers ${response.status} ${await response.text()}`);
      return response.text();
    });
    return { text };
  } catch (error) {
    return { fault: error.message };
  } finally {
    rmSync(temporary, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** A copy of the program, as workerd keeps the objects' storage beside the configuration. */
function stage(temporary, name) {
  for (const folder of [...SHARED, join(PROGRAMS, name)]) {
    if (existsSync(join(root, folder))) cpSync(join(root, folder), join(temporary, 'source', folder), { recursive: true });
  }
  mkdirSync(join(temporary, 'tmp'));
  return {
    project: join(temporary, 'source', PROGRAMS, name),
    data: join(temporary, 'data'),
    temporary: join(temporary, 'tmp'),
  };
}
