/**
 * Code that sees what others have written: whatever it puts out depends on that (rule 1). There is one for
 * each instance of an object and for each request that the Worker handles.
 */
export class Observer {
  #observedLsn = 0;
  /** Which shard has the object that its code has called first; -1: none yet. */
  calledShard = -1;

  /** The LSN of the last commit that it has seen the effects of. */
  get observedLsn(): number {
    return this.#observedLsn;
  }

  observe(lsn: number): void {
    if (lsn > this.#observedLsn) this.#observedLsn = lsn;
  }
}
