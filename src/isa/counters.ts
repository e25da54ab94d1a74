/**
 * What WebAssembly counts for statistics: 64-bit words behind the vCPU's state block, so that code which knows the block
 * finds them, and snapshots do not.
 */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/node.ts';
import { VCPU } from './state.ts';

const NAMES = [
  /** Instructions that the interpreter took off the budget. */
  'interpreted',
  /** Walks of page tables for pages that the TLB did not have. */
  'tlbMisses',
  /** Flushes of a page or more that the guest asked for. */
  'tlbFlushes',
  /** Exceptions raised by interpreted and by translated code. */
  'faults',
  'exceptions',
] as const;
export type Counter = (typeof NAMES)[number];

const WORD = 8;
const offsetOf = (name: Counter) => VCPU.size + WORD * NAMES.indexOf(name);

/** Bytes of a state block with its counters. */
export const VCPU_BYTES = VCPU.size + WORD * NAMES.length;

/** Adds `by` (i64), or 1. */
export function count(b: Builder, cpu: Value, name: Counter, by: Value = b.i64(1)): void {
  const offset = offsetOf(name);
  b.storeHost('i64.store', cpu, b.add(b.loadHost('i64.load', cpu, offset), by), offset);
}

export interface Counters {
  read(name: Counter): number;
  add(name: Counter, by: number): void;
}

/** The counters of the vCPU whose state block is at `cpu`. */
export function openCounters(buffer: ArrayBufferLike, cpu: number): Counters {
  const words = new BigUint64Array(buffer, cpu + VCPU.size, NAMES.length);
  return {
    read: (name) => Number(words[NAMES.indexOf(name)]),
    add(name, by) {
      words[NAMES.indexOf(name)] += BigInt(by);
    },
  };
}
