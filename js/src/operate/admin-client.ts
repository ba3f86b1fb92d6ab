/** Asks the process that serves a data directory, through its admin socket. */
import { type IncomingMessage, request } from 'node:http';
import { OperateError } from './error.js';
import type { ArgumentsOf, OperationName, PartOf } from './operations.js';
import { SOCKET_NAME, socketPath } from './socket.js';
import { partsOf } from './wire.js';

/** As admin-server.ts has it. */
const PROTOCOL = 'v1';

/** What connecting fails with when nobody serves: there is no socket, or one that a crash has left. */
const NOBODY = ['ENOENT', 'ECONNREFUSED'];

/** The parts of the answer; undefined when nobody serves the data directory. */
export async function askServer<Name extends OperationName>(
  dataDirectory: string,
  name: Name,
  args: ArgumentsOf<Name>,
  signal: AbortSignal,
): Promise<AsyncGenerator<PartOf<Name>> | undefined> {
  let response: IncomingMessage;
  try {
    const { path, release } = socketPath(dataDirectory, SOCKET_NAME);
    response = await post(path, name, JSON.stringify(args), signal).finally(release);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (NOBODY.includes(code ?? '')) return undefined;
    if (code === 'EACCES' || code === 'EPERM')
      throw new OperateError(`The admin socket in ${dataDirectory} is for the user who serves it: run this command as that one (${message}).`, 'unavailable');
    if (code === 'ECONNRESET') throw new OperateError('The server ended before it answered. What it was asked for may have been done.', 'unavailable');
    throw error;
  }
  return partsOf(wholeUntilCut(response)) as AsyncGenerator<PartOf<Name>>;
}

/** A connection that breaks ends the answer, which its last frame has not done then. */
async function* wholeUntilCut(response: IncomingMessage): AsyncGenerator<Uint8Array> {
  try {
    yield* response as AsyncIterable<Uint8Array>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
  }
}

function post(socketPath: string, name: string, body: string, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path: `/${PROTOCOL}/${name}`, method: 'POST', signal }, resolve);
    sent.on('error', reject);
    sent.end(body);
  });
}
