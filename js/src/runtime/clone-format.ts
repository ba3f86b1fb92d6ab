/** Structured clones as bytes: V8's format on every runtime, so that any of them reads what another wrote. */
import { Deserializer, Serializer } from 'node:v8';
import { V8Reader } from './v8-reader.js';
import { V8Writer } from './v8-writer.js';

const REFUSED = /could not be cloned\.$/;

class CloneSerializer extends Serializer {
  /** Node calls it for the error to throw; plain `Error` is its default. */
  protected _getDataCloneError(message: string): Error {
    return new DOMException(message, 'DataCloneError');
  }
}

function writeByRuntime(value: unknown): Uint8Array {
  const serializer = new CloneSerializer();
  serializer.writeHeader();
  try {
    serializer.writeValue(value);
  } catch (error) {
    // Deno does not call the method above.
    if (error instanceof Error && error.constructor === Error && REFUSED.test(error.message)) throw new DOMException(error.message, 'DataCloneError');
    throw error;
  }
  return serializer.releaseBuffer();
}

/** V8 does not read all that an older one has written (an error with a cause from Node.js 20, on Node.js 24), and
 * no runtime reads the objects of the platform: we do. */
function readByRuntime(bytes: Uint8Array): unknown {
  try {
    const deserializer = new Deserializer(bytes);
    deserializer.readHeader();
    return deserializer.readValue();
  } catch {
    return V8Reader.read(bytes);
  }
}

/** Bun's node:v8 has the classes but not what they do. */
function runtimeHasFormat(): boolean {
  try {
    return new Serializer() instanceof Serializer;
  } catch {
    return false;
  }
}

const byRuntime = runtimeHasFormat();

/** The same for a value that holds objects of the platform (platform-values.ts), which no runtime writes. */
export const writeWithPlatformValues: (value: unknown) => Uint8Array = V8Writer.write;

/** Throws a DataCloneError for what cannot be cloned. */
export const writeClone: (value: unknown) => Uint8Array = byRuntime ? writeByRuntime : V8Writer.write;

export const readClone: (bytes: Uint8Array) => unknown = byRuntime ? readByRuntime : V8Reader.read;
