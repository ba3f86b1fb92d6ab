/**
 * Whether a write of an operator is still wanted: one number that two threads share, that of whoever asks for
 * it and that of the object.
 */

/** Nobody has begun it. */
const WAITS = 0;
const BEGUN = 1;
/** src/node/operator_binding.cc knows this one: what was begun is to end. */
const GIVEN_UP = 2;

export type Claim = Int32Array;

export const newClaim = (): Claim => new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

/** False: it is not wanted any more. */
export const begin = (claim: Claim): boolean => Atomics.compareExchange(claim, 0, WAITS, BEGUN) === WAITS;

/** True: it will never begin. False: it has begun, and ends soon, if only by having been made. */
export const giveUp = (claim: Claim): boolean => Atomics.exchange(claim, 0, GIVEN_UP) === WAITS;
