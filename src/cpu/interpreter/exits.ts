/** What a handler tells the run loop when it comes back. */
export const EXIT = {
  /** Go on at the vCPU's `rip`. */
  dispatch: 0,
  /** An exception is described by the fault fields; `current` is the record of the instruction. */
  fault: 1,
  /** Go on at `rip`; the jump record in `current` wants its target. */
  link: 2,
  /** No block is known for `rip`. */
  lookup: 3,
  /** Go on at `rip`, which was reached often: time to translate it. */
  hot: 4,
  /** The budget is used up, or `poll` is set. */
  poll: 5,
  /**
   * As `fault`, with `rip` at the instruction and all before it counted. Without a fault in the fault fields: the
   * instruction is one that only the interpreter can run.
   */
  exception: 6,
  /** Go on at `rip`, where the region of the record in `current` wants to be compared with the interpreter; see `exitInfo`. */
  verify: 7,
} as const;

/** Exits that `resolve` answers, first and last. */
export const RESOLVED = [EXIT.link, EXIT.hot] as const;
