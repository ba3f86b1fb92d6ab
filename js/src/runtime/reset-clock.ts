/** Orders the resets of objects and the making of stubs on all threads: a stub fails once after a reset that came later. */
export class ResetClock {
  readonly #count: Int32Array;

  /** `shared`: of another thread's clock. */
  constructor(readonly shared = new SharedArrayBuffer(4)) {
    this.#count = new Int32Array(shared);
  }

  /** Of the last reset of any object. */
  now(): number {
    return Atomics.load(this.#count, 0) >>> 0;
  }

  /** Of a reset that happens now. */
  tick(): number {
    return (Atomics.add(this.#count, 0, 1) + 1) >>> 0;
  }
}
