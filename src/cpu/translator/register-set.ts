/** Sets of what a region keeps in locals: general registers, XMM registers, the status flags. */

/** `registers`: bits 0–15 general registers, bits 16–31 XMM registers. */
export interface RegisterSet {
  readonly registers: number;
  readonly flags: boolean;
}

export const EMPTY: RegisterSet = { registers: 0, flags: false };

/** Position of XMM register 0. */
export const XMM = 16;

export function union(a: RegisterSet, b: RegisterSet): RegisterSet {
  return { registers: a.registers | b.registers, flags: a.flags || b.flags };
}

export function without(a: RegisterSet, b: RegisterSet): RegisterSet {
  return { registers: a.registers & ~b.registers, flags: a.flags && !b.flags };
}

export function same(a: RegisterSet, b: RegisterSet): boolean {
  return a.registers === b.registers && a.flags === b.flags;
}

/** Positions of the registers in a set, lowest first. */
export function listRegisters({ registers }: RegisterSet): number[] {
  const list: number[] = [];
  for (let rest = registers; rest !== 0; rest &= rest - 1) list.push(31 - Math.clz32(rest & -rest));
  return list;
}
