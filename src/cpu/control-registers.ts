/** MOV to and from CRn, and what follows from a change (SDM vol. 3A 2.5, 4.10.4.1; vol. 2B MOV). */

import { CR0, CR4, EFER, SEGMENT, type VcpuState, VECTOR } from '../isa/state.ts';
import { type CpuContext, raise } from './context.ts';
import { ATTRIBUTE, isLong } from './mode.ts';
import { loadPageDirectoryPointers } from './page-directory-pointers.ts';
import { PHYSICAL_ADDRESS_BITS } from './physical-address.ts';
import { tssType } from './tss.ts';

const CR0_WRITABLE = CR0.pe | CR0.mp | CR0.em | CR0.ts | CR0.ne | CR0.wp | CR0.am | CR0.nw | CR0.cd | CR0.pg;

/** Bits of CR4 that the processor has; all others are reserved. VME and PVI are not among them. */
const CR4_WRITABLE =
  CR4.tsd |
  CR4.de |
  CR4.pse |
  CR4.pae |
  CR4.mce |
  CR4.pge |
  CR4.pce |
  CR4.osfxsr |
  CR4.osxmmexcpt |
  CR4.umip |
  CR4.fsgsbase |
  CR4.pcide |
  CR4.osxsave |
  CR4.smep |
  CR4.smap;

/** Bits of CR4 whose change makes every translation stale. */
const CR4_FLUSHES = CR4.pse | CR4.pae | CR4.pge | CR4.pcide | CR4.smep;
/** Bits of CR0 and CR4 whose change reloads the PAE page-directory pointers. */
const CR0_RELOADS = CR0.pg | CR0.cd | CR0.nw;
const CR4_RELOADS = CR4.pae | CR4.pge | CR4.pse | CR4.smep;

export const CR3_RESERVED = ((1n << 64n) - 1n) ^ ((1n << BigInt(PHYSICAL_ADDRESS_BITS)) - 1n);
/** Bit 63 of a value written to CR3 with CR4.PCIDE: keep the translations of the new PCID. */
export const CR3_KEEP = 1n << 63n;

const has = (value: number, bit: number): boolean => (value & bit) !== 0;

/** PAE paging proper: on, with PAE, outside IA-32e mode. */
function usesPointers(cr0: number, cr4: number, efer: number): boolean {
  return has(cr0, CR0.pg) && has(cr4, CR4.pae) && !has(efer, EFER.lme);
}

/** Whether the combination of bits is one that CR0 takes at all. */
function validCr0(state: VcpuState, value: number): boolean {
  const cr4 = Number(state.cr4);
  if (has(value, CR0.pg) && !has(value, CR0.pe)) return false;
  if (has(value, CR0.nw) && !has(value, CR0.cd)) return false;
  if (has(value, CR0.pg)) {
    if (has(Number(state.cr0), CR0.pg) || !has(Number(state.efer), EFER.lme)) return true;
    const longCode = has(state.segmentAttributes[SEGMENT.cs], ATTRIBUTE.long);
    return has(cr4, CR4.pae) && !longCode && tssType(state) === 9;
  }
  const longCode = isLong(state) && has(state.segmentAttributes[SEGMENT.cs], ATTRIBUTE.long);
  return !longCode && !has(cr4, CR4.pcide);
}

/** MOV to CR0 and LMSW; `value` is 64 bits. Raises #GP(0) for combinations that the processor refuses. */
export function writeCr0(context: CpuContext, value: bigint): boolean {
  const { state } = context;
  const next = (Number(value & 0xffff_ffffn) & CR0_WRITABLE) | CR0.et;
  if (value >> 32n !== 0n || !validCr0(state, next)) return raise(state, VECTOR.gp, 0);
  const changed = next ^ Number(state.cr0);
  const efer = Number(state.efer);
  if (usesPointers(next, Number(state.cr4), efer) && has(changed, CR0_RELOADS)) {
    if (!loadPageDirectoryPointers(context, state.cr3)) return false;
  }
  state.cr0 = BigInt(next >>> 0);
  if (has(changed, CR0.pg)) {
    const lma = has(next, CR0.pg) && has(efer, EFER.lme);
    state.efer = BigInt(lma ? efer | EFER.lma : efer & ~EFER.lma);
  }
  if (has(changed, CR0.pg | CR0.pe | CR0.wp)) context.flushTlb('all');
  context.modeChanged();
  return true;
}

/** MOV to CR3. Raises #GP(0) for reserved bits and PAE pointers with reserved bits. */
export function writeCr3(context: CpuContext, value: bigint): boolean {
  const { state } = context;
  const cr4 = Number(state.cr4);
  const tagged = has(cr4, CR4.pcide);
  const next = tagged ? value & ~CR3_KEEP : value;
  if ((next & CR3_RESERVED) !== 0n) return raise(state, VECTOR.gp, 0);
  if (usesPointers(Number(state.cr0), cr4, Number(state.efer)) && !loadPageDirectoryPointers(context, next))
    return false;
  state.cr3 = next;
  if (!tagged) context.flushTlb('pcid', 0n, 0);
  else if ((value & CR3_KEEP) === 0n) context.flushTlb('pcid', 0n, Number(next & 0xfffn));
  context.modeChanged();
  return true;
}

function validCr4(state: VcpuState, value: bigint): boolean {
  const next = Number(value & 0xffff_ffffn);
  if (value >> 32n !== 0n || (next & ~CR4_WRITABLE) !== 0) return false;
  if (isLong(state) && !has(next, CR4.pae)) return false;
  if (!has(next, CR4.pcide) || has(Number(state.cr4), CR4.pcide)) return true;
  return isLong(state) && (state.cr3 & 0xfffn) === 0n;
}

/** MOV to CR4. Raises #GP(0) for reserved bits and combinations that the processor refuses. */
export function writeCr4(context: CpuContext, value: bigint): boolean {
  const { state } = context;
  if (!validCr4(state, value)) return raise(state, VECTOR.gp, 0);
  const next = Number(value);
  const changed = next ^ Number(state.cr4);
  if (usesPointers(Number(state.cr0), next, Number(state.efer)) && has(changed, CR4_RELOADS)) {
    if (!loadPageDirectoryPointers(context, state.cr3)) return false;
  }
  state.cr4 = value;
  if (has(changed, CR4_FLUSHES)) context.flushTlb('all');
  context.modeChanged();
  return true;
}

/** MOV to CR0, CR2, CR3, CR4 or CR8, CPL already checked; #UD for the others. `value` is unsigned. */
export function writeControlRegister(context: CpuContext, index: number, value: bigint): boolean {
  const { state } = context;
  switch (index) {
    case 0:
      return writeCr0(context, value);
    case 2:
      state.cr2 = value;
      return true;
    case 3:
      return writeCr3(context, value);
    case 4:
      return writeCr4(context, value);
    case 8:
      if (value > 15n) return raise(state, VECTOR.gp, 0);
      context.apic.setCr8(Number(value));
      return true;
    default:
      return raise(state, VECTOR.ud);
  }
}

/** MOV from CRn, CPL already checked; `undefined` after #UD. */
export function readControlRegister(context: CpuContext, index: number): bigint | undefined {
  const { state } = context;
  switch (index) {
    case 0:
      return state.cr0;
    case 2:
      return state.cr2;
    case 3:
      return state.cr3;
    case 4:
      return state.cr4;
    case 8:
      return BigInt(context.apic.cr8());
    default:
      raise(state, VECTOR.ud);
      return undefined;
  }
}

/** LMSW: the low four bits of CR0; PE can be set but not cleared. */
export function loadMachineStatusWord(context: CpuContext, value: number): boolean {
  const old = Number(context.state.cr0);
  return writeCr0(context, BigInt(((old & ~0xe) | (value & 0xf)) >>> 0));
}

/** INVPCID, CPL already checked: `pcid` and `address` are the two halves of the descriptor. SDM vol. 2A INVPCID. */
export function invalidatePcid(context: CpuContext, type: bigint, pcid: bigint, address: bigint): boolean {
  const { state } = context;
  const refuse = () => raise(state, VECTOR.gp, 0);
  if (type > 3n) return refuse();
  if (type <= 1n && pcid >> 12n !== 0n) return refuse();
  if (type <= 1n && pcid !== 0n && !has(Number(state.cr4), CR4.pcide)) return refuse();
  const top = address >> 47n;
  if (type === 0n && top !== 0n && top !== 0x1ffffn) return refuse();
  if (type === 0n) context.flushTlb('pcid-page', address, Number(pcid));
  else if (type === 1n) context.flushTlb('pcid', 0n, Number(pcid));
  else context.flushTlb(type === 2n ? 'all' : 'non-global');
  return true;
}
