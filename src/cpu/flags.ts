/** RFLAGS as one number, from the state block's stored form of the status flags and back. */
import { EFLAGS, STATUS_FLAGS, type VcpuState } from '../isa/state.ts';

/** Bits of RFLAGS that exist besides the always-set bit 1. */
export const FLAGS_MASK =
  STATUS_FLAGS |
  EFLAGS.tf |
  EFLAGS.if |
  EFLAGS.df |
  EFLAGS.iopl |
  EFLAGS.nt |
  EFLAGS.rf |
  EFLAGS.vm |
  EFLAGS.ac |
  EFLAGS.vif |
  EFLAGS.vip |
  EFLAGS.id;

const SYSTEM_FLAGS = FLAGS_MASK & ~STATUS_FLAGS;

/** Every flag, RF and VM included, and bit 1. */
export function readFlags(state: VcpuState): number {
  const aux = state.flagAux;
  const result = state.flagResult;
  const carries = Number(aux >> 62n);
  const low = Number(aux & 0xffffn);
  let parity = Number(result & 0xffn) ^ (low >> 8);
  parity ^= parity >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  let flags = (state.eflags & SYSTEM_FLAGS) | 2;
  if (carries >= 2) flags |= EFLAGS.cf;
  if (carries === 1 || carries === 2) flags |= EFLAGS.of;
  if ((low & 8) !== 0) flags |= EFLAGS.af;
  if (result === 0n) flags |= EFLAGS.zf;
  if ((Number(result >> 63n) ^ (low & 1)) !== 0) flags |= EFLAGS.sf;
  if ((parity & 1) === 0) flags |= EFLAGS.pf;
  return flags;
}

/** `flagAux` for the flags other than ZF, by CF, PF, AF, SF, OF as bits 0–4. */
const AUX = Array.from({ length: 32 }, (_, index) => {
  const bit = (place: number) => BigInt((index >> place) & 1);
  const cf = bit(0);
  return (cf << 63n) | ((cf ^ bit(4)) << 62n) | (bit(2) << 3n) | bit(3) | ((bit(1) ^ 1n) << 8n);
});

/** Replaces every flag; bits that do not exist are dropped. */
export function writeFlags(state: VcpuState, flags: number): void {
  state.eflags = flags & SYSTEM_FLAGS;
  const index = (flags & 1) | ((flags >> 1) & 2) | ((flags >> 2) & 4) | ((flags >> 4) & 8) | ((flags >> 7) & 16);
  state.flagAux = AUX[index];
  state.flagResult = (flags & EFLAGS.zf) !== 0 ? 0n : 0x100n;
}

/** I/O privilege level. */
export function iopl(state: VcpuState): number {
  return (state.eflags >> 12) & 3;
}
