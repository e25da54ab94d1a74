/** How many instructions fit into a time: a running estimate of the vCPU's speed. */

export interface Pacer {
  /** Instructions for about `ns` nanoseconds of host time; at least a few hundred, so that something happens. */
  instructions(ns: number): number;
  /** `count` instructions took `ns` nanoseconds. */
  measured(count: number, ns: number): void;
}

const FEWEST = 500;
const MOST = 20_000_000;
/** Runs shorter than this say little about speed. */
const SHORTEST_NS = 50_000;

export function createPacer(): Pacer {
  let perNs = 0.05;
  return {
    instructions: (ns) => Math.min(MOST, Math.max(FEWEST, Math.floor(ns * perNs))),
    measured(count, ns) {
      if (ns < SHORTEST_NS || count < FEWEST) return;
      perNs += (count / ns - perNs) / 8;
    },
  };
}
