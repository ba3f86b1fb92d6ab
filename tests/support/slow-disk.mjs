import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { root, temporaryDirectory } from './files.mjs';

/** A command that runs another one on a disk where each sync takes so long; the `wrapper` of serve(). */
export function slowDisk(t, syncMs) {
  const library = join(temporaryDirectory(t), 'slow-sync.so');
  execFileSync('cc', ['-shared', '-fPIC', '-o', library, join(root, 'tests/fixtures/slow-sync.c'), '-ldl']);
  return ['env', `LD_PRELOAD=${library}`, `PERDURE_TEST_SYNC_MS=${syncMs}`];
}
