/** `perdure verify`. */
import type { SingleBar } from 'cli-progress';
import { OperateError } from '../operate/error.js';
import type { Damage } from '../operate/verify.js';
import { JsonArray, plain, print } from './output.js';
import { progressBar } from './progress.js';
import { type DataOption, withData } from './session.js';

/** How a start says that it has found damage: the data directory is not even opened. */
const REFUSED = /damaged|does not match|is not a whole|cannot be read|malformed/;

export function verify(options: DataOption & { json?: true }): Promise<void> {
  return withData(options, async (data) => {
    const array = options.json === true ? new JsonArray() : undefined;
    let found = 0;
    let bar: SingleBar | undefined;
    const tell = async (damages: Damage[]): Promise<void> => {
      found += damages.length;
      await (array === undefined ? print(damages.map(line).join('')) : array.add(damages.map((damage) => JSON.stringify(damage))));
    };
    try {
      for await (const part of data.run('verify', {})) {
        if (Array.isArray(part)) {
          if (part.length > 0) await tell(part);
          continue;
        }
        bar ??= progressBar('checking', part.databases);
        bar?.update(part.checked, { id: '' });
      }
    } catch (error) {
      if (!(error instanceof Error) || error instanceof OperateError || !REFUSED.test(error.message)) throw error;
      throw new OperateError(error.message, 'damaged');
    } finally {
      bar?.stop();
    }
    await array?.end();
    if (found > 0) throw new OperateError(`${found} ${found === 1 ? 'damage' : 'damages'} found. What is damaged can be restored from a backup, or from an export.`, 'damaged');
    if (array === undefined) await print('Nothing is damaged.\n');
  });
}

function line({ file, offset, namespace, id, name, problem }: Damage): string {
  const at = offset === null ? '' : ` at byte ${offset}`;
  const object = id === null ? '' : ` (${namespace} ${name === null ? id : `${JSON.stringify(name)}, ${id}`})`;
  return `${plain(`${file}${at}${object}: ${problem}`)}\n`;
}
