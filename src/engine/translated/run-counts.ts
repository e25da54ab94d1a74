/** Counts for statistics: why compiled code came back, and how many instructions each tier ran. */
import { EXIT } from '../../cpu/interpreter/exits.ts';
import type { Counters } from '../../isa/counters.ts';

export interface RunCounts {
  /** Code was looked for after one of the exits of `RESOLVED`. */
  resolved(exit: number): void;
  /** The run loop came back; `raised`: with an exception for the engine to deliver. */
  ended(exit: number, raised: boolean): void;
  /** Instructions that the engine took off the budget by itself. */
  interpreted(instructions: number): void;
  /** Instructions run, by any tier. */
  ran(instructions: number): void;
  flushed(): void;
  /** An instruction ran while no other vCPU did. */
  alone(): void;
  stats(): Record<string, number>;
}

export interface RunCountsOptions {
  readonly counters: Counters;
  /** Whether code is translated; where it is not, the interpreter does not count. */
  readonly translates: boolean;
  /** Exceptions of translated code were counted where the run loop tried to deliver them. */
  readonly delivers: boolean;
}

export function createRunCounts({ counters, translates, delivers }: RunCountsOptions): RunCounts {
  const exits = { lookup: 0, link: 0, hot: 0, poll: 0, left: 0, alone: 0 };
  let ran = 0;
  return {
    resolved(exit) {
      if (exit === EXIT.lookup) exits.lookup++;
      else if (exit === EXIT.link) exits.link++;
      else exits.hot++;
    },
    ended(exit, raised) {
      if (exit === EXIT.poll) exits.poll++;
      else if (exit === EXIT.fault) counters.add('faults', 1);
      else if (!raised) exits.left++;
      else if (!delivers) counters.add('exceptions', 1);
    },
    interpreted: (instructions) => counters.add('interpreted', instructions),
    ran(instructions) {
      ran += instructions;
    },
    alone() {
      exits.alone++;
    },
    flushed: () => counters.add('tlbFlushes', 1),
    stats() {
      const interpreted = translates ? counters.read('interpreted') : ran;
      return {
        'instructions interpreted': interpreted,
        'instructions in regions': ran - interpreted,
        'TLB misses': counters.read('tlbMisses'),
        'TLB flushes': counters.read('tlbFlushes'),
        'exits: lookup': exits.lookup,
        'exits: link': exits.link,
        'exits: hot': exits.hot,
        'exits: fault': counters.read('faults'),
        'exits: exception': counters.read('exceptions'),
        'exits: left to the interpreter': exits.left,
        'exits: poll': exits.poll,
        'exits: to run alone': exits.alone,
      };
    },
  };
}
