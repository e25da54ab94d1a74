/**
 * Breakpoints of a debugger, kept outside guest memory: linear addresses before whose instructions a vCPU stops.
 *
 * Blocks are found by physical page and linked inside it, so that one block may serve several linear addresses. Code that
 * lies at the page offset of any breakpoint therefore begins a block that nothing links to: the run loop looks it up by
 * linear address each time it comes there by another one, and stops where the address is a breakpoint's.
 */
import { PAGE_SIZE } from '../../memory/layout.ts';

export interface Breakpoints {
  /** Replaces the set. What was decoded before must be dropped: its blocks may run on across a breakpoint. */
  set(addresses: ReadonlySet<bigint>): void;
  /** Whether the vCPU stops before the instruction at a linear address. */
  at(linear: bigint): boolean;
  /** Whether the instruction at an offset in its page (0–4095) has to be the first of a block that nothing links to. */
  separates(offset: number): boolean;
}

export function createBreakpoints(): Breakpoints {
  let active: ReadonlySet<bigint> = new Set();
  const offsets = new Uint8Array(PAGE_SIZE);
  return {
    set(addresses) {
      active = new Set(addresses);
      offsets.fill(0);
      for (const address of active) offsets[Number(address & BigInt(PAGE_SIZE - 1))] = 1;
    },
    at: (linear) => active.size > 0 && active.has(linear),
    separates: (offset) => offsets[offset] === 1,
  };
}
