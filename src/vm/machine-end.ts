/** How a machine ends, and the number that stands for it in memory that threads share. */

const REASONS = ['power-off', 'reset', 'triple-fault', 'halted'] as const;

export type MachineEnd =
  | { readonly reason: (typeof REASONS)[number] }
  /** `status` is (V << 1) | 1 for a write of V to the debug-exit port. */
  | { readonly reason: 'debug-exit'; readonly status: number };

/** The first end that is told is heard. */
export interface Ends {
  /** `end` as a number. */
  finish(end: number): void;
  /** How the machine ended, or 0. */
  ended(): number;
  /** It goes on after an end. */
  revive(): void;
}

/** The end of a machine of one thread. */
export function createEnds(): Ends {
  let end = 0;
  return {
    finish(reached) {
      end ||= reached;
    },
    ended: () => end,
    revive() {
      end = 0;
    },
  };
}

const DEBUG_EXIT = REASONS.length + 1;

/** 1 and up. */
export function endNumber(end: MachineEnd): number {
  return end.reason === 'debug-exit' ? DEBUG_EXIT + end.status : REASONS.indexOf(end.reason) + 1;
}

/** `undefined` for 0. */
export function endOfNumber(number: number): MachineEnd | undefined {
  if (number === 0) return undefined;
  return number >= DEBUG_EXIT ? { reason: 'debug-exit', status: number - DEBUG_EXIT } : { reason: REASONS[number - 1] };
}
