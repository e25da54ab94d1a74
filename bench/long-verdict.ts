/** Whether a long run stayed as it was: results, speed, memory. */
import { median, spread } from './statistics.ts';

/** One round: a project compiled and run. */
export interface Round {
  /** By the host's clock. */
  readonly seconds: number;
  /** Processor time of the vCPU's thread, and of all threads, in seconds. */
  readonly vcpuSeconds: number;
  readonly allSeconds: number;
  readonly checksum: string;
  /** After the round, in KiB: the process, the guest's memory in it, the heap of the machine's thread. */
  readonly resident: number;
  readonly guest: number;
  readonly heap: number;
  /** Guest instructions in the round: all, and those that the interpreter ran. */
  readonly instructions: number;
  readonly interpreted: number;
  /** Regions made in the round, and the code of those that there are now, in bytes. */
  readonly regionsMade: number;
  readonly regionsLive: number;
  readonly codeBytes: number;
  /** Since the start: regions evicted, times that the cache of blocks was emptied. */
  readonly evicted: number;
  readonly flushes: number;
}

/** A rule and whether it was kept. */
export interface Finding {
  readonly text: string;
  readonly kept: boolean;
}

/** Fewer say nothing. */
export const LEAST_ROUNDS = 8;
/** How much of a change is not one: slower, more memory. */
const TOLERANCE = { time: 0.05, interpreted: 0.1, memory: 0.05 } as const;

/** What the monitor itself has, in MiB. */
export const monitorMiB = ({ resident, guest }: Round): number => (resident - guest) / 1024;

function quarter(rounds: readonly Round[], index: number): readonly Round[] {
  const at = (part: number): number => Math.round((part * rounds.length) / 4);
  return rounds.slice(at(index), at(index + 1));
}

const percent = (ratio: number): string => `${ratio >= 1 ? '+' : ''}${(100 * (ratio - 1)).toFixed(1)} %`;

/**
 * The second quarter of the rounds is compared with the last; the first is warm-up.
 *
 * - Every round has the result `expected`.
 * - The median processor time of the vCPU's thread grew by no more than 5 %, or than the noise, which is half the distance
 *   between the quartiles of the second quarter or of the last.
 * - The median of instructions interpreted, which no other load on the host touches, grew by no more than 10 %.
 * - The most memory beside the guest's grew by no more than 5 %.
 */
export function judge(rounds: readonly Round[], expected: string): readonly Finding[] {
  if (rounds.length < LEAST_ROUNDS) {
    return [{ text: `${rounds.length} rounds are too few; ${LEAST_ROUNDS} are needed`, kept: false }];
  }
  const wrong = rounds.filter(({ checksum }) => checksum !== expected).length;
  const [early, late] = [quarter(rounds, 1), quarter(rounds, 3)];
  const compare = (of: (round: Round) => number, pick: (values: readonly number[]) => number): number =>
    pick(late.map(of)) / pick(early.map(of));
  const time = ({ vcpuSeconds }: Round): number => vcpuSeconds;
  const noise = Math.max(spread(early.map(time)), spread(late.map(time)));
  const slower = compare(time, median);
  const allowed = Math.max(TOLERANCE.time, noise);
  const interpreted = compare((round) => round.interpreted, median);
  const memory = compare(monitorMiB, (values) => Math.max(...values));
  return [
    { text: `${rounds.length - wrong} of ${rounds.length} results are right`, kept: wrong === 0 },
    {
      text: `processor time of the vCPU's thread ${percent(slower)} (${(100 * allowed).toFixed(1)} % allowed, noise ${(100 * noise).toFixed(1)} %)`,
      kept: slower <= 1 + allowed,
    },
    {
      text: `instructions interpreted ${percent(interpreted)} (${100 * TOLERANCE.interpreted} % allowed)`,
      kept: interpreted <= 1 + TOLERANCE.interpreted,
    },
    {
      text: `memory of the monitor ${percent(memory)} (${100 * TOLERANCE.memory} % allowed)`,
      kept: memory <= 1 + TOLERANCE.memory,
    },
  ];
}
