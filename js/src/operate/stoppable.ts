/** Long work of the engine, which ends soon when whoever has asked for it is gone. */
import { loadNative, type NativeWork } from '../runtime/native.js';

/** Calls `start`, whose promise has to settle when `work` is stopped. Rejects with the reason of `signal` then. */
export async function stoppable<T>(signal: AbortSignal, start: (work: NativeWork) => Promise<T>, work = loadNative().createWork()): Promise<T> {
  signal.throwIfAborted();
  const onAbort = (): void => loadNative().stopWork(work);
  signal.addEventListener('abort', onAbort);
  try {
    return await start(work);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
