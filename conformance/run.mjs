#!/usr/bin/env node
// Runs the conformance programs; see README.md beside this file.
import { parseArgs } from 'node:util';
import { countReasons } from './support/compare.mjs';
import { programNames, runPrograms } from './support/conformance.mjs';

const USAGE = `usage: node conformance/run.mjs [NAME…] [--seed N] [--json] [--transcript]

Runs the programs NAME…, or all, on workerd and on Perdure and compares what they say.
  --seed N      of the random programs; otherwise a new one each time, which is printed
  --json        the reports as JSON
  --transcript  also print what workerd says
The exit code is 1 when something differs that is not declared, or a declaration does not hold.`;

function options() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { seed: { type: 'string' }, json: { type: 'boolean' }, transcript: { type: 'boolean' }, help: { type: 'boolean' } },
    });
    const known = programNames();
    const unknown = positionals.find((name) => !known.includes(name));
    if (unknown !== undefined) throw new Error(`there is no program "${unknown}"; there are ${known.join(', ')}`);
    const seed = Number(values.seed ?? Date.now() % 2 ** 32);
    if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) throw new Error('--seed takes an integer from 0 to 4294967295');
    const named = positionals.length > 0;
    return { ...values, seed, named, names: named ? positionals : known };
  } catch (error) {
    console.error(`conformance: ${error.message}\n\n${USAGE}`);
    process.exit(2);
  }
}

/** Differences of one program that are printed when it was not asked for by name. */
const PRINTED_MAX = 20;

function printReport({ name, checks, undeclared, declared, faults, seconds, transcript }, wanted) {
  if (wanted.transcript && transcript !== undefined) console.log(transcript);
  const printed = wanted.named ? undeclared : undeclared.slice(0, PRINTED_MAX);
  for (const difference of printed) {
    console.log(`${name}: ${difference.name}`);
    const [workerd, perdure] = upToDifference(difference.workerd, difference.perdure);
    console.log(`  workerd: ${workerd}`);
    console.log(`  perdure: ${perdure}`);
  }
  if (printed.length < undeclared.length)
    console.log(`${name}: and ${undeclared.length - printed.length} more; "node conformance/run.mjs ${name}" prints all`);
  for (const fault of faults) console.log(`${name}: ${fault}`);
  console.log(
    `${name.padEnd(24)} ${count(checks, 'check')}, ${count(undeclared.length, 'difference')}, ${declared.length} declared, ${seconds.toFixed(1)} s`,
  );
}

/** Of results of many lines, the first that differs, with those that led there once. */
function upToDifference(workerd, perdure) {
  const [a, b] = [workerd.split('\n'), perdure.split('\n')];
  let same = 0;
  while (same < a.length && a[same] === b[same]) same++;
  return [a.slice(0, same + 1).join('\n'), (same === 0 ? b.slice(0, 1) : [b[same] ?? '(nothing more)']).join('\n')];
}

const count = (n, noun) => `${n} ${noun}${n === 1 ? '' : 's'}`;

async function main() {
  const wanted = options();
  if (wanted.help) return console.log(USAGE);
  const onReport = wanted.json ? undefined : (report) => printReport(report, wanted);
  const reports = await runPrograms(wanted.names, { seed: wanted.seed, onReport });
  const sum = (size) => reports.reduce((total, report) => total + size(report), 0);
  const total = {
    seed: wanted.seed,
    checks: sum((report) => report.checks),
    differences: sum((report) => report.undeclared.length),
    declared: sum((report) => report.declared.length),
    faults: sum((report) => report.faults.length),
  };
  if (wanted.json) console.log(JSON.stringify({ ...total, programs: reports }, null, 2));
  else {
    if (total.declared > 0) console.log(`\n${total.declared} declared: ${countReasons(reports.flatMap((report) => report.declared))}`);
    console.log(
      `\n${count(total.checks, 'check')}, ${count(total.differences, 'difference')}, ${count(total.declared, 'declared difference')}` +
        `${total.faults === 0 ? '' : `, ${count(total.faults, 'fault')}`} (seed ${total.seed})`,
    );
  }
  if (total.differences > 0 || total.faults > 0) process.exitCode = 1;
}

await main();
