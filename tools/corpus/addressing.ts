/** Chooses memory operands of every form, with the register values that make them point into the window. */

import type { Address } from './assemble.ts';
import { type Mode, SEGMENTS, windowAddress } from './layout.ts';
import type { Random } from './prng.ts';
import type { Pointer, Range } from './setup.ts';

/** Segment prefixes by register number. */
export const SEGMENT_PREFIX = { es: 0x26, cs: 0x2e, ss: 0x36, ds: 0x3e, fs: 0x64, gs: 0x65 } as const;

export interface Placed {
  readonly address: Address;
  readonly prefixes: readonly number[];
  readonly pointers: readonly Pointer[];
  readonly ranges: readonly Range[];
}

export interface Wanted {
  readonly mode: Mode;
  /** Of the operand: a power of two up to 64. */
  readonly align: number;
  /** Registers that may not be (part of) the address. */
  readonly taken: readonly number[];
  /** No address-size prefix: another register points at the window too. */
  readonly plain: boolean;
}

/** A general register that is not taken. */
export function freeRegister(random: Random, mode: Mode, taken: readonly number[]): number {
  for (;;) {
    const register = random.below(mode === 64 ? 16 : 8);
    if (!taken.includes(register)) return register;
  }
}

function displacement(random: Random, bytes: 0 | 1 | 2 | 4): bigint {
  if (bytes === 0) return 0n;
  const small = bytes === 1 || random.once(2);
  return small ? BigInt(random.below(256) - 128) : BigInt.asIntN(bytes * 8, BigInt(random.u32()));
}

/** An index register with small values, most of which keep the operand aligned. */
function indexRange(register: number, align: number, scale: number): Range {
  const step = Math.max(1, align >> scale);
  const most = Math.max(8, step);
  return { register, minimum: -most, maximum: most, ...(step > 1 && { step }) };
}

const aligned = (random: Random, align: number): number => (random.below(192) & -align) + (random.once(8) ? 1 : 0);

/** Without a base register: absolute, or counted from the next instruction. */
function placeFixed(random: Random, w: Wanted, size: Mode): Placed {
  const linear = windowAddress(w.mode, size, aligned(random, w.align));
  const none = { index: -1, scale: 0, size, displacementBytes: size === 16 ? 2 : 4 } as const;
  if (size !== 16 && (w.mode === 64 ? !random.once(3) : random.once(2))) {
    const target = w.mode === 64 ? linear : linear - SEGMENTS[w.mode].ds.base;
    return { address: { ...none, base: 'rip', displacement: target }, prefixes: [], pointers: [], ranges: [] };
  }
  // A 32-bit displacement reaches the low mapping only.
  const low = windowAddress(w.mode, w.mode === 64 ? 32 : size, aligned(random, w.align));
  const absolute = low - SEGMENTS[w.mode].ds.base;
  const index = size === 16 || random.once(2) ? -1 : freeRegister(random, w.mode, [...w.taken, 4]);
  const scale = index < 0 ? 0 : random.below(4);
  return {
    address: { ...none, base: -1, index, scale, displacement: absolute },
    prefixes: [],
    pointers: [],
    ranges: index < 0 ? [] : [indexRange(index, w.align, scale)],
  };
}

function placeBased16(random: Random, w: Wanted): Address | undefined {
  const pairs = [
    [3, 6],
    [3, 7],
    [5, 6],
    [5, 7],
    [6, -1],
    [7, -1],
    [5, -1],
    [3, -1],
  ].filter((pair) => !pair.some((register) => w.taken.includes(register)));
  if (pairs.length === 0) return undefined;
  const [base, index] = random.pick(pairs) as [number, number];
  const displacementBytes = random.pick([0, 1, 2] as const);
  const bytes = base === 5 && index < 0 && displacementBytes === 0 ? 1 : displacementBytes;
  return { size: 16, base, index, scale: 0, displacement: displacement(random, bytes), displacementBytes: bytes };
}

function placeBased(random: Random, w: Wanted, size: Mode): Address {
  const base = freeRegister(random, w.mode, w.taken);
  const indexed = random.below(5) < 2;
  const index = indexed ? freeRegister(random, w.mode, [...w.taken, base, 4]) : -1;
  const chosen = random.pick([0, 1, 1, 4] as const);
  const displacementBytes = chosen === 0 && (base & 7) === 5 ? 1 : chosen;
  return {
    size,
    base,
    index,
    scale: index < 0 ? 0 : random.below(4),
    displacement: displacement(random, displacementBytes),
    displacementBytes,
  };
}

/** Segment overrides: FS and GS count everywhere, the others outside 64-bit mode only. */
function override(random: Random, w: Wanted, size: Mode): 'fs' | 'gs' | 'es' | 'cs' | 'ss' | 'ds' | undefined {
  if (!random.once(6)) return undefined;
  if (w.mode === 64 && size !== 64) return undefined;
  const kind = random.below(16);
  if (kind === 0) return 'cs';
  return kind < 10 ? random.pick(['fs', 'gs']) : random.pick(['es', 'ss', 'ds']);
}

/** In 32-bit mode nothing that 16-bit addresses reach is mapped: such an operand always faults. */
function addressSize(random: Random, w: Wanted): Mode {
  if (w.plain) return w.mode;
  if (w.mode === 64) return random.once(8) ? 32 : 64;
  if (w.mode === 32) return random.once(24) ? 16 : 32;
  return random.once(3) ? 32 : 16;
}

/** A memory operand that points into the window. */
export function placeOperand(random: Random, w: Wanted): Placed {
  const size = addressSize(random, w);
  if (random.once(6)) return placeFixed(random, w, size);
  const address = size === 16 ? placeBased16(random, w) : placeBased(random, w, size);
  if (address === undefined) return placeFixed(random, w, size);
  const segment = override(random, w, size);
  const pointer: Pointer = {
    register: address.base as number,
    ...(address.displacement !== 0n && { bias: Number(address.displacement) }),
    ...(w.align > 1 && { align: w.align }),
    ...((segment === 'fs' || segment === 'gs') && { segment }),
  };
  return {
    address,
    prefixes: segment === undefined ? [] : [SEGMENT_PREFIX[segment]],
    pointers: [pointer],
    ranges: address.index < 0 ? [] : [indexRange(address.index, w.align, address.scale)],
  };
}
