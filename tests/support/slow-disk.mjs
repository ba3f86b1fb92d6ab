import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, temporaryDirectory } from './files.mjs';

/**
 * A disk that needs `syncMs` for each sync: `wrapper` is the command that runs a server on it, `logSyncs()` how many
 * syncs of the log have begun.
 */
export function slowDisk(t, syncMs) {
  const directory = temporaryDirectory(t);
  const library = join(directory, 'slow-sync.so');
  execFileSync('cc', ['-shared', '-fPIC', '-o', library, join(root, 'tests/fixtures/slow-sync.c'), '-ldl']);
  const list = join(directory, 'syncs');
  return {
    wrapper: ['env', `LD_PRELOAD=${library}`, `PERDURE_TEST_SYNC_MS=${syncMs}`, `PERDURE_TEST_SYNC_LIST=${list}`],
    logSyncs: () => (existsSync(list) ? readFileSync(list, 'utf8').split('\n').filter((path) => /\/log\/[^/]*\.log$/.test(path)).length : 0),
  };
}
