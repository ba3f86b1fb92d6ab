// Compares two transcripts of a program and judges their differences.

/**
 * The checks of a transcript, by name, in order. A line is `name: result`; lines that begin with two
 * spaces go on with the result of the line above.
 */
export function parseTranscript(transcript) {
  const checks = new Map();
  let current;
  for (const line of transcript.replace(/\n$/, '').split('\n')) {
    if (line.startsWith('  ')) {
      if (current === undefined) throw new Error(`the transcript begins with "${line.trim()}", which names no check`);
      checks.set(current, `${checks.get(current)}\n${line}`);
      continue;
    }
    const colon = line.indexOf(': ');
    if (colon < 0) throw new Error(`the transcript has a line without a name: "${line}"`);
    current = line.slice(0, colon);
    if (checks.has(current)) throw new Error(`two checks are named "${current}"`);
    checks.set(current, line.slice(colon + 2));
  }
  return checks;
}

/** The check is not in this transcript at all. */
export const MISSING = '(no such check)';

/** `[{ name, workerd, perdure }]`: the checks that the two answer differently, in workerd's order. */
export function differences(workerd, perdure) {
  const names = new Set([...workerd.keys(), ...perdure.keys()]);
  return [...names]
    .map((name) => ({ name, workerd: workerd.get(name) ?? MISSING, perdure: perdure.get(name) ?? MISSING }))
    .filter((check) => check.workerd !== check.perdure);
}

/** The name under which a program tells that one of its sections came to no end; see program.mjs. */
export const ENDS_EARLY = '(the section ends early)';

/** Sentences about sections that end early on both servers: the program is wrong, and checks are missing. */
export function programFaults(workerd, perdure) {
  return [...workerd]
    .filter(([name, result]) => name.endsWith(ENDS_EARLY) && perdure.get(name) === result)
    .map(([name, result]) => `"${name}" on both servers, with ${result}`);
}

const words = (text) => text.replace(/\s+/g, ' ').trim();

/** The heading in docs/compatibility.md below which a difference has to stand: `### By the platform`, say. */
const REASON = /^### (By .+)$/;

/** The parts of a document, as `{ reason, text }`; `reason` is undefined where the heading is none. */
function parts(documentation) {
  return documentation.split(/^(?=#{1,3} )/m).map((part) => {
    const reason = REASON.exec(part.split('\n', 1)[0])?.[1].toLowerCase();
    return { reason, text: words(part) };
  });
}

/**
 * Judges `found` (of differences()) by what a program declares: `[{ because, checks: { name: our answer } }]`,
 * where `because` is a quote of `documentation`, from a part whose heading gives the reason. Returns the
 * differences that are declared, each with its reason ("by the platform"), those that are not, and `faults`:
 * sentences about declarations that do not hold.
 */
export function judge(found, declarations, documentation) {
  const undeclared = new Map(found.map((difference) => [difference.name, difference]));
  const declared = [];
  const faults = [];
  const documented = parts(documentation);
  for (const { because, checks } of declarations) {
    const part = words(because) === '' ? undefined : documented.find(({ text }) => text.includes(words(because)));
    if (part === undefined) faults.push(`docs/compatibility.md does not say "${because}"`);
    else if (part.reason === undefined) faults.push(`docs/compatibility.md says "${because}" below a heading that gives no reason ("By …")`);
    for (const [name, answer] of Object.entries(checks)) {
      const difference = undeclared.get(name);
      if (difference === undefined) faults.push(`"${name}" is declared to differ and does not, or is declared twice`);
      else if (difference.perdure !== answer) faults.push(`"${name}" is declared to answer ${answer}`);
      else {
        undeclared.delete(name);
        declared.push({ ...difference, because, reason: part?.reason });
      }
    }
  }
  return { declared, undeclared: [...undeclared.values()], faults };
}

/** "5 by the platform, 2 by choice": how many of the declared differences have each reason, the most first. */
export function countReasons(declared) {
  const counts = new Map();
  for (const { reason } of declared) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a).map(([reason, n]) => `${n} ${reason}`).join(', ');
}
