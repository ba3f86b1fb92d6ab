/**
 * Code that sees what others have written: whatever it puts out depends on that (rule 1). There is one for
 * each instance of an object and for each request that the Worker handles.
 */
export class Observer {
  /** The LSN of the last commit that it has seen the effects of, as far as JavaScript knows. */
  observedLsn = 0;
  /** Which shard has the object that its code has called first; -1: none yet. */
  calledShard = -1;

  /** What the object core knows beside. */
  get coreLsn(): number {
    return 0;
  }

  observe(lsn: number): void {
    if (lsn > this.observedLsn) this.observedLsn = lsn;
  }
}
