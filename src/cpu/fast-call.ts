/** SYSCALL, SYSRET, SYSENTER, SYSEXIT as an Intel processor has them (SDM vol. 3A 5.8.7, 5.8.8). */
import { CR0, EFER, EFLAGS, GPR, SEGMENT, type VcpuState, VECTOR } from '../isa/state.ts';
import { isCanonical } from './address.ts';
import { type CpuContext, raise } from './context.ts';
import { FLAGS_MASK, readFlags, writeFlags } from './flags.ts';
import { interruptsMayFollow } from './interrupt-window.ts';
import { is64Bit, isLong } from './mode.ts';
import { setSegment } from './segmentation.ts';

/** Flat code, accessed and readable: present, S, type 11. DPL is ORed in. */
const CODE_32 = 0xc09b;
export const FLAT_CODE_64 = 0xa09b;
export const FLAT_DATA = 0xc093;

/** Loads CS and SS with flat segments whose descriptors are not read, and the privilege level. */
function setFlat(state: VcpuState, cs: number, ss: number, level: number, wide: boolean): void {
  const dpl = level << 5;
  setSegment(state, SEGMENT.cs, (cs & 0xfffc) | level, 0n, 0xffff_ffff, (wide ? FLAT_CODE_64 : CODE_32) | dpl);
  setSegment(state, SEGMENT.ss, (ss & 0xfffc) | level, 0n, 0xffff_ffff, FLAT_DATA | dpl);
  state.cpl = level;
}

/** SYSCALL. #UD outside 64-bit mode or without EFER.SCE. */
export function syscall(context: CpuContext, nextIp: bigint): boolean {
  const { state } = context;
  if (!is64Bit(state) || (Number(state.efer) & EFER.sce) === 0) return raise(state, VECTOR.ud);
  const flags = readFlags(state);
  state.gpr[GPR.rcx] = nextIp;
  state.gpr[11] = BigInt(flags & ~EFLAGS.rf);
  const selector = Number((state.star >> 32n) & 0xfffcn);
  setFlat(state, selector, selector + 8, 0, true);
  writeFlags(state, flags & ~(Number(state.sfmask & 0xffff_ffffn) | EFLAGS.rf));
  state.rip = state.lstar;
  context.modeChanged();
  return true;
}

/** SYSRET; `wide` with REX.W: back to 64-bit mode. */
export function sysret(context: CpuContext, wide: boolean): boolean {
  const { state } = context;
  if (!is64Bit(state) || (Number(state.efer) & EFER.sce) === 0) return raise(state, VECTOR.ud);
  const target = state.gpr[GPR.rcx];
  if (state.cpl !== 0 || (wide && !isCanonical(target))) return raise(state, VECTOR.gp, 0);
  const selector = Number(state.star >> 48n);
  const { eflags } = state;
  setFlat(state, selector + (wide ? 16 : 0), selector + 8, 3, wide);
  writeFlags(state, Number(state.gpr[11] & 0xffff_ffffn) & FLAGS_MASK & ~(EFLAGS.rf | EFLAGS.vm));
  state.rip = wide ? target : target & 0xffff_ffffn;
  context.modeChanged();
  interruptsMayFollow(context, eflags);
  return true;
}

/** SYSENTER. #GP(0) in real mode and while no target segment is set. */
export function sysenter(context: CpuContext): boolean {
  const { state } = context;
  const selector = Number(state.sysenterCs & 0xfffcn);
  if ((Number(state.cr0) & CR0.pe) === 0 || selector === 0) return raise(state, VECTOR.gp, 0);
  const long = isLong(state);
  state.eflags &= ~(EFLAGS.vm | EFLAGS.if | EFLAGS.rf);
  setFlat(state, selector, selector + 8, 0, long);
  state.gpr[GPR.rsp] = long ? state.sysenterEsp : state.sysenterEsp & 0xffff_ffffn;
  state.rip = long ? state.sysenterEip : state.sysenterEip & 0xffff_ffffn;
  context.modeChanged();
  return true;
}

/** SYSEXIT; `wide` with REX.W: to 64-bit mode. */
export function sysexit(context: CpuContext, wide: boolean): boolean {
  const { state } = context;
  const selector = Number(state.sysenterCs & 0xfffcn);
  if ((Number(state.cr0) & CR0.pe) === 0 || selector === 0 || state.cpl !== 0) return raise(state, VECTOR.gp, 0);
  const ip = state.gpr[GPR.rdx];
  const sp = state.gpr[GPR.rcx];
  if (wide && !(isCanonical(ip) && isCanonical(sp))) return raise(state, VECTOR.gp, 0);
  setFlat(state, selector + (wide ? 32 : 16), selector + (wide ? 40 : 24), 3, wide);
  state.gpr[GPR.rsp] = wide ? sp : sp & 0xffff_ffffn;
  state.rip = wide ? ip : ip & 0xffff_ffffn;
  context.modeChanged();
  return true;
}
