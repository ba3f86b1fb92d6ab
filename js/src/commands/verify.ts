/** `perdure verify`. */
import { join } from 'node:path';
import type { SingleBar } from 'cli-progress';
import { OperateError } from '../operate/error.js';
import type { DataDirectory } from '../operate/open.js';
import { type Damage, type Progress, tellsDamage, verifyLog, type VerifyPart } from '../operate/verify.js';
import { JsonArray, plain, print } from './output.js';
import { progressBar } from './progress.js';
import { type DataOption, withData } from './session.js';

const MIB = 1 << 20;

type About = Omit<Damage, 'offset' | 'problem'>;

/** What has been found, and where it is told. */
class Findings {
  count = 0;
  readonly unfinished: About[] = [];
  readonly accepted: (About & { pages: number })[] = [];
  readonly #array: JsonArray | undefined;

  constructor(json: boolean) {
    this.#array = json ? new JsonArray() : undefined;
  }

  async add(damages: Damage[]): Promise<void> {
    this.count += damages.length;
    if (damages.length === 0) return;
    await (this.#array === undefined ? print(damages.map(line).join('')) : this.#array.add(damages.map(json)));
  }

  async end(): Promise<void> {
    await this.#array?.end();
    const { count, unfinished, accepted } = this;
    for (const { file, objects, pages } of accepted) process.stderr.write(`perdure: ${placeText(file, objects)}: ${pages} ${pages === 1 ? 'page that does' : 'pages that do'} not match the checksums ${pages === 1 ? 'counts' : 'count'} from now on as ${pages === 1 ? 'it is' : 'they are'}.\n`);
    for (const { file, objects } of unfinished) process.stderr.write(`perdure: ${placeText(file, objects)}: changed so fast that only its pages were checked, and not how they belong together.\n`);
    if (count > 0) throw new OperateError(`${count} ${count === 1 ? 'damage' : 'damages'} found. What is damaged can be restored from a backup, or from an export.`, 'damaged');
    if (unfinished.length > 0) throw new OperateError('No damage was found, but not everything could be checked. Run verify again when less is being written.');
    if (this.#array === undefined) await print('Nothing is damaged.\n');
  }
}

export function verify(options: DataOption & { json?: true; accept?: true }): Promise<void> {
  return withData(options, async (data) => {
    const findings = new Findings(options.json === true);
    try {
      await show(data.run('verify', { accept: options.accept === true }), findings);
    } catch (error) {
      if (!tellsDamage(error)) throw error;
      // The data directory could not be opened because of what is damaged or missing in it.
      await verifyRefused(data, findings, (error as Error).message);
    }
    await findings.end();
  });
}

/**
 * Log and history can be read all the same; whose they are stands in the catalog, which cannot be opened. What has been
 * found before is what was refused later.
 */
async function verifyRefused(data: DataDirectory, findings: Findings, why: string): Promise<void> {
  if (findings.count === 0) await show(verifyLog(data.path, data.signal), findings);
  if (findings.count === 0) await findings.add([{ file: fileIn(why, data.path), offset: offsetIn(why), objects: [], problem: why }]);
}

/** The file of the data directory that a message names; without one it is about the catalog. */
function fileIn(message: string, dataDirectory: string): string {
  const from = message.indexOf(`${dataDirectory}/`);
  if (from < 0) return join(dataDirectory, 'catalog.sqlite');
  return /^.*?(\.sqlite|\/format)/.exec(message.slice(from))?.[0] ?? dataDirectory;
}

function offsetIn(message: string): number | null {
  const byte = /\bbyte (\d+)/.exec(message)?.[1];
  return byte === undefined ? null : Number(byte);
}

async function show(parts: AsyncIterable<VerifyPart>, findings: Findings): Promise<void> {
  const bars = new Bars();
  let withoutChecksum = 0;
  try {
    for await (const part of parts) {
      if (!Array.isArray(part)) {
        if ('withoutChecksum' in part) withoutChecksum = part.withoutChecksum;
        else if ('accepted' in part) findings.accepted.push(part.accepted);
        else if ('unfinished' in part) findings.unfinished.push(part.unfinished);
        else bars.show(part);
      } else if (part.length > 0) {
        bars.end(); // it would be written over
        await findings.add(part);
      }
    }
  } finally {
    bars.end();
  }
  if (withoutChecksum > 0) process.stderr.write(`perdure: ${withoutChecksum} pages of databases have no checksum until they are written again. Of these only the structure was checked.\n`);
}

/** One after the other: of log and history in MiB, then of the databases. */
class Bars {
  #of: Progress['of'] | undefined;
  #bar: SingleBar | undefined;

  show({ of, done, total }: Progress): void {
    const unit = of === 'log' ? MIB : 1;
    if (of !== this.#of) {
      this.end();
      this.#of = of;
      this.#bar = progressBar(of === 'log' ? 'checking MiB of the log' : 'checking', Math.ceil(total / unit));
    }
    this.#bar?.update(Math.floor(done / unit), { id: '' });
  }

  end(): void {
    this.#bar?.stop();
    this.#bar = undefined;
    this.#of = undefined;
  }
}

const json = ({ file, offset, objects, problem }: Damage): string => JSON.stringify({ file, offset, objects, problem });

function line({ file, offset, objects, problem }: Damage): string {
  return `${placeText(offset === null ? file : `${file} at byte ${offset}`, objects)}: ${plain(problem)}\n`;
}

function placeText(place: string, objects: Damage['objects']): string {
  const owners = objects.map(({ namespace, id, name }) => `${namespace} ${name === null ? id : `${JSON.stringify(name)}, ${id}`}`);
  return plain(owners.length === 0 ? place : `${place} (${owners.join('; ')})`);
}
