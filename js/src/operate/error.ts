/** What an operator is told when a command cannot be done. */

/** Decides the exit code of the command line. */
export type ErrorKind =
  /** A wrong argument, refused SQL, an error of the disk. */
  | 'failed'
  /** No such namespace, object or key. */
  | 'missing'
  /** What is stored is not what was written. */
  | 'damaged'
  /** Another process has the data directory, or the user may not use it. */
  | 'unavailable';

export class OperateError extends Error {
  constructor(
    message: string,
    readonly kind: ErrorKind = 'failed',
  ) {
    super(message);
  }
}

/** The user has pressed Ctrl-C, or asked for the end. */
export class Interrupted extends Error {}
