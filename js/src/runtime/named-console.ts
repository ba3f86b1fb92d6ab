/** `console` for `perdure dev`: what an object prints begins with its class and name. */
import { formatWithOptions } from 'node:util';
import type { Shard } from './shard.js';

const methods = { log: 'stdout', info: 'stdout', debug: 'stdout', warn: 'stderr', error: 'stderr' } as const;

/** Whether the streams show colours: a shard on a thread of its own cannot find out. */
export interface NamedConsole {
  colors: { stdout: boolean; stderr: boolean };
}

/** Changes the console of the shard's thread. */
export function nameObjectsInConsole(shard: Shard, options: NamedConsole): void {
  for (const [method, stream] of Object.entries(methods) as [keyof typeof methods, 'stdout' | 'stderr'][]) {
    const print = console[method].bind(console);
    const colors = options.colors[stream];
    console[method] = (...args: unknown[]): void => {
      const { current } = shard;
      if (current === undefined) print('%s', formatWithOptions({ colors }, ...args));
      else print('%s %s', colors ? `\x1b[36m[${current.host}]\x1b[39m` : `[${current.host}]`, formatWithOptions({ colors }, ...args));
    };
  }
}
