/**
 * The memory that a shard's JavaScript and the addon share; src/node/exchange.h is its twin and says
 * why it exists. The two must agree.
 */
import type { Cursor } from './sql-cursor.js';

export const CELLS_MAX = 1024;
export const TEXT_BYTES_MAX = 16384;
export const ROWS_MAX = 256;

/** What a cell is. */
export const NULL = 0;
export const NUMBER = 1;
export const TEXT = 2;
export const EXTRA = 3;

/** Indexes into `header`, in and out of `run`. */
export const IN_STATEMENT = 0;
export const IN_PARAMETERS = 1;
export const IN_ROWS_MAX = 2;
/** … and of `kvGetInline` and `kvPutInline`: key and value stand in `text`, one behind the other. */
export const IN_SLOT = 0;
export const IN_KEY_BYTES = 1;
export const IN_VALUE_BYTES = 3;
export const OUT_ROWS = 0;
export const OUT_STATUS = 1;
export const OUT_BEGAN = 2;
export const OUT_HAS_EXTRAS = 3;
export const OUT_REPREPARED = 8;
export const OUT_ROWS_READ = 9;
export const OUT_ROWS_WRITTEN = 10;
/** Which turn runs, for the watchdog. */
export const TURN = 11;
export const TURN_SLOT = 12;
export const TURN_LABEL = 13;

/** Values of header[OUT_STATUS]. */
export const DONE = 1;
export const FAILED = 2;

const HEADER_BYTES = 64;
const NUMBERS_AT = HEADER_BYTES;
const LENGTHS_AT = NUMBERS_AT + 8 * CELLS_MAX;
const ROWS_READ_AT = LENGTHS_AT + 4 * CELLS_MAX;
const KINDS_AT = ROWS_READ_AT + 4 * ROWS_MAX;
const TEXT_AT = KINDS_AT + CELLS_MAX;

export class Exchange {
  readonly buffer = new ArrayBuffer(TEXT_AT + TEXT_BYTES_MAX);
  readonly header = new Int32Array(this.buffer, 0, 16);
  readonly numbers = new Float64Array(this.buffer, NUMBERS_AT, CELLS_MAX);
  readonly lengths = new Int32Array(this.buffer, LENGTHS_AT, CELLS_MAX);
  readonly rowsRead = new Uint32Array(this.buffer, ROWS_READ_AT, ROWS_MAX);
  readonly kinds = new Uint8Array(this.buffer, KINDS_AT, CELLS_MAX);
  readonly text = new Uint8Array(this.buffer, TEXT_AT, TEXT_BYTES_MAX);
  /** The cursor whose batch `rowsRead` describes, as long as it has rows of it to hand out. */
  unread: Cursor | undefined;
  /** How often `text` was taken: who writes it in several steps, with code of the user in between, looks again. */
  textUses = 0;
}
