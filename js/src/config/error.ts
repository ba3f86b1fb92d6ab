/** Where something stands in a file of the user; lines and columns count from 1. */
export interface Position {
  line: number;
  column?: number;
}

/**
 * A mistake in the user's project. The message is complete: it names the file, the line and what to
 * do, and is printed without a stack.
 */
export class ProjectError extends Error {
  override readonly name = 'ProjectError';

  static at(file: string, position: Position | undefined, message: string): ProjectError {
    const line = position ? `:${position.line}` : '';
    const column = position?.column ? `:${position.column}` : '';
    return new ProjectError(`${file}${line}${column}: ${message}`);
  }
}
