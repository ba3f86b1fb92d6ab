/** `perdure verify`. */
import type { SingleBar } from 'cli-progress';
import { OperateError } from '../operate/error.js';
import type { DataDirectory } from '../operate/open.js';
import { type Damage, verifyLog } from '../operate/verify.js';
import { JsonArray, plain, print } from './output.js';
import { progressBar } from './progress.js';
import { type DataOption, withData } from './session.js';

/** How a start says that it has found damage in the log: nothing is opened then. */
const REFUSED = /^The log is damaged|^The history file/;

/** What has been found, and where it is told. */
class Findings {
  count = 0;
  readonly #array: JsonArray | undefined;

  constructor(json: boolean) {
    this.#array = json ? new JsonArray() : undefined;
  }

  async add(damages: Damage[]): Promise<void> {
    this.count += damages.length;
    if (damages.length === 0) return;
    await (this.#array === undefined ? print(damages.map(line).join('')) : this.#array.add(damages.map((damage) => JSON.stringify(damage))));
  }

  async end(): Promise<void> {
    await this.#array?.end();
    const { count } = this;
    if (count > 0) throw new OperateError(`${count} ${count === 1 ? 'damage' : 'damages'} found. What is damaged can be restored from a backup, or from an export.`, 'damaged');
    if (this.#array === undefined) await print('Nothing is damaged.\n');
  }
}

export function verify(options: DataOption & { json?: true }): Promise<void> {
  return withData(options, async (data) => {
    const findings = new Findings(options.json === true);
    try {
      await verifyAll(data, findings);
    } catch (error) {
      if (!REFUSED.test((error as Error).message)) throw error;
      // The log can be read all the same; whose it is stands in the catalog, which cannot be opened.
      await findings.add((await verifyLog(data.path)).map(({ numbers: _, ...damage }) => damage));
      if (findings.count === 0) throw new OperateError((error as Error).message, 'damaged');
    }
    await findings.end();
  });
}

async function verifyAll(data: DataDirectory, findings: Findings): Promise<void> {
  let bar: SingleBar | undefined;
  let withoutChecksum = 0;
  try {
    for await (const part of data.run('verify', {})) {
      if (Array.isArray(part)) {
        await findings.add(part);
        continue;
      }
      if ('withoutChecksum' in part) {
        withoutChecksum = part.withoutChecksum;
        continue;
      }
      bar ??= progressBar('checking', part.databases);
      bar?.update(part.checked, { id: '' });
    }
  } finally {
    bar?.stop();
  }
  if (withoutChecksum > 0) process.stderr.write(`perdure: ${withoutChecksum} pages of databases have no checksum until they are written again. Of these only the structure was checked.\n`);
}

function line({ file, offset, objects, problem }: Damage): string {
  const at = offset === null ? '' : ` at byte ${offset}`;
  const owners = objects.map(({ namespace, id, name }) => `${namespace} ${name === null ? id : `${JSON.stringify(name)}, ${id}`}`);
  return `${plain(`${file}${at}${owners.length === 0 ? '' : ` (${owners.join('; ')})`}: ${problem}`)}\n`;
}
