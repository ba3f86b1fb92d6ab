/** `console` for `perdure dev`: what an object prints begins with its class and name. */
import { formatWithOptions } from 'node:util';
import type { Shard } from './shard.js';

const methods = { log: 'stdout', info: 'stdout', debug: 'stdout', warn: 'stderr', error: 'stderr' } as const;

/** Changes the process's console; for a process that serves one project. */
export function nameObjectsInConsole(shard: Shard): void {
  for (const [method, stream] of Object.entries(methods) as [keyof typeof methods, 'stdout' | 'stderr'][]) {
    const print = console[method].bind(console);
    const colors = process[stream].isTTY && process[stream].hasColors();
    console[method] = (...args: unknown[]): void => {
      const { current } = shard;
      if (current === undefined) print(...args);
      else print('%s %s', colors ? `\x1b[36m[${current.host}]\x1b[39m` : `[${current.host}]`, formatWithOptions({ colors }, ...args));
    };
  }
}
