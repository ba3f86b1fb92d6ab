import { SingleBar } from 'cli-progress';

/** A bar for long work, on stderr; undefined: nobody looks. `what` is done, `total` times. */
export function progressBar(what: string, total: number): SingleBar | undefined {
  if (!process.stderr.isTTY) return undefined;
  const bar = new SingleBar({ format: `${what} {bar} {value}/{total} {id}`, hideCursor: true, clearOnComplete: true, stream: process.stderr });
  bar.start(total, 0, { id: '' });
  return bar;
}

/** Says something on stderr while a bar may stand there, which goes on below it. */
export function sayBeside(bar: SingleBar | undefined, text: string): void {
  if (bar === undefined) return void process.stderr.write(text);
  const total = bar.getTotal();
  const done = Math.round(bar.getProgress() * total);
  bar.stop();
  process.stderr.write(text);
  bar.start(total, done, { id: '' });
}
