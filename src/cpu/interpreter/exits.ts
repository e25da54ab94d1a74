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
  /** The budget is used up, or `poll` is set. */
  poll: 4,
  /** Go on at `rip`, which was reached often: time to translate it. */
  hot: 5,
  /** An exception is described by the fault fields, `rip` is at its instruction, which is counted. */
  exception: 6,
} as const;
