/** Where the admin socket is, and a way to it that fits into a socket's address. */
import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';

/** In the data directory. */
export const SOCKET_NAME = 'admin.sock';

/** The path in a socket's address, in bytes with the 0 at its end (sun_path). */
const ADDRESS_BYTES_MAX = 108;

/** A path to `name` in the folder that a socket's address has room for, however deep the folder is; good until release(). */
export function socketPath(folder: string, name: string): { path: string; release(): void } {
  const path = join(folder, name);
  if (Buffer.byteLength(path) < ADDRESS_BYTES_MAX) return { path, release: () => {} };
  // The kernel finds the open folder under a short name.
  const descriptor = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  return { path: `/proc/self/fd/${descriptor}/${name}`, release: () => closeSync(descriptor) };
}
