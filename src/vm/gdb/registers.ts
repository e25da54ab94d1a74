/** The registers that a debugger is shown, in the order in which it numbers them (GDB manual, appendix G.5.8). */
import { isCanonical } from '../../cpu/address.ts';
import { readFlags, writeFlags } from '../../cpu/flags.ts';
import { is64Bit } from '../../cpu/mode.ts';
import { EFLAGS, GPR, SEGMENT, type VcpuState, XMM_STRIDE } from '../../isa/state.ts';
import { fromLittleEndian, littleEndian } from './hex.ts';
import { x87Registers } from './x87-registers.ts';

/** What the description calls a processor: all of x86-64, or the registers of its 32-bit modes alone. */
export type GdbArchitecture = 'i386:x86-64' | 'i386';

export interface Register {
  readonly name: string;
  readonly bits: 32 | 64 | 80 | 128;
  /** Type in the description. */
  readonly type: string;
  readonly group?: 'float' | 'vector';
  read(state: VcpuState): bigint;
  /** `false`: the register does not take this value. Left out: it cannot be written. */
  write?(state: VcpuState, value: bigint): boolean;
}

/** A `feature` of the description. */
export interface RegisterFeature {
  readonly name: string;
  readonly registers: readonly Register[];
}

const GPR_NAMES_64 = 'rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const GPR_NAMES_32 = 'eax ecx edx ebx esp ebp esi edi'.split(' ');

function generalRegister(name: string, bits: 32 | 64): Register {
  const base = `r${name.slice(1)}`;
  const index = base in GPR ? GPR[base as keyof typeof GPR] : Number(name.slice(1));
  const pointer = index === GPR.rsp || index === GPR.rbp;
  return {
    name,
    bits,
    type: pointer ? 'data_ptr' : `int${bits}`,
    read: (state) => state.gpr[index]!,
    write(state, value) {
      state.gpr[index] = value;
      return true;
    },
  };
}

/** A jump by the debugger: what waited for the next instruction boundary is gone, and a halted vCPU runs. */
function writeInstructionPointer(state: VcpuState, value: bigint): boolean {
  if (is64Bit(state) ? !isCanonical(value) : value >> 32n !== 0n) return false;
  if (value === state.rip) return true;
  state.rip = value;
  state.interruptShadow = 0;
  if (state.activity === 1) state.activity = 0;
  return true;
}

/** VM decides how segment registers are read: it stays as it is. */
function writeEflags(state: VcpuState, value: bigint): boolean {
  writeFlags(state, (Number(value) & ~EFLAGS.vm) | (state.eflags & EFLAGS.vm));
  return true;
}

/** Selectors are shown only: loading one is more than putting a number there. */
const selector = (name: keyof typeof SEGMENT): Register => ({
  name,
  bits: 32,
  type: 'int32',
  read: (state) => BigInt(state.segmentSelector[SEGMENT[name]]!),
});

function coreRegisters(bits: 32 | 64): Register[] {
  const names = bits === 64 ? GPR_NAMES_64 : GPR_NAMES_32;
  return [
    ...names.map((name) => generalRegister(name, bits)),
    {
      name: bits === 64 ? 'rip' : 'eip',
      bits,
      type: 'code_ptr',
      read: (state) => state.rip,
      write: writeInstructionPointer,
    },
    { name: 'eflags', bits: 32, type: 'i386_eflags', read: (state) => BigInt(readFlags(state)), write: writeEflags },
    ...(['cs', 'ss', 'ds', 'es', 'fs', 'gs'] as const).map(selector),
    ...x87Registers,
  ];
}

const xmm = (index: number): Register => {
  const at = (index * XMM_STRIDE) / 8;
  return {
    name: `xmm${index}`,
    bits: 128,
    type: 'vec128',
    group: 'vector',
    read: (state) => (state.xmm[at + 1]! << 64n) | state.xmm[at]!,
    write(state, value) {
      state.xmm[at] = value & 0xffff_ffff_ffff_ffffn;
      state.xmm[at + 1] = value >> 64n;
      return true;
    },
  };
};

const MXCSR_BITS = 0xffffn;

const mxcsr: Register = {
  name: 'mxcsr',
  bits: 32,
  type: 'i386_mxcsr',
  group: 'vector',
  read: (state) => BigInt(state.mxcsr),
  write(state, value) {
    // A reserved bit would raise #GP at LDMXCSR.
    if ((value & ~MXCSR_BITS) !== 0n) return false;
    state.mxcsr = Number(value);
    return true;
  },
};

function segmentBase(name: string, segment: number): Register {
  return {
    name,
    bits: 64,
    type: 'int64',
    read: (state) => state.segmentBase[segment]!,
    write(state, value) {
      if (!isCanonical(value)) return false;
      state.segmentBase[segment] = value;
      return true;
    },
  };
}

const kernelGsBase: Register = {
  name: 'k_gs_base',
  bits: 64,
  type: 'int64',
  read: (state) => state.kernelGsBase,
  write(state, value) {
    if (!isCanonical(value)) return false;
    state.kernelGsBase = value;
    return true;
  },
};

/** Control registers are shown only: many of their bits must change together. */
function controlRegisters(bits: 32 | 64): Register[] {
  const show = (name: string, type: string, read: (state: VcpuState) => bigint): Register => ({
    name,
    bits,
    type,
    read,
  });
  return [
    show('cr0', 'x86_cr0', (state) => state.cr0),
    show('cr2', `int${bits}`, (state) => state.cr2),
    show('cr3', `int${bits}`, (state) => state.cr3),
    show('cr4', 'x86_cr4', (state) => state.cr4),
    show('efer', 'x86_efer', (state) => state.efer),
  ];
}

/** The features of an architecture; the order of their registers is the order of their numbers, from 0. */
export function registerFeatures(architecture: GdbArchitecture): readonly RegisterFeature[] {
  const long = architecture === 'i386:x86-64';
  const bits = long ? 64 : 32;
  const bases = [segmentBase('fs_base', SEGMENT.fs), segmentBase('gs_base', SEGMENT.gs)];
  return [
    { name: 'org.gnu.gdb.i386.core', registers: coreRegisters(bits) },
    {
      name: 'org.gnu.gdb.i386.sse',
      registers: [...Array.from({ length: long ? 16 : 8 }, (_, index) => xmm(index)), mxcsr],
    },
    ...(long ? [{ name: 'org.gnu.gdb.i386.segments', registers: bases }] : []),
    { name: 'virts.x86.system', registers: [...(long ? [kernelGsBase] : []), ...controlRegisters(bits)] },
  ];
}

/** One register's bytes as hexadecimal digits. */
export function readRegister(register: Register, state: VcpuState): string {
  return littleEndian(register.read(state), register.bits);
}

/** Sets one register; `false` where it refuses, or is written with another number of bytes than it has. */
export function writeRegister(register: Register, state: VcpuState, bytes: Uint8Array): boolean {
  if (bytes.length * 8 !== register.bits) return false;
  const value = fromLittleEndian(bytes);
  if (value === BigInt.asUintN(register.bits, register.read(state))) return true;
  return register.write?.(state, value) ?? false;
}

/**
 * Sets all registers from their bytes in order. Those that cannot be written stay as they are; `false` where the length
 * is wrong (nothing is written) or a register refuses (the others are).
 */
export function writeRegisters(registers: readonly Register[], state: VcpuState, bytes: Uint8Array): boolean {
  const total = registers.reduce((sum, { bits }) => sum + bits / 8, 0);
  if (bytes.length !== total) return false;
  let at = 0;
  const values = registers.map((register) => {
    const value = bytes.subarray(at, at + register.bits / 8);
    at += register.bits / 8;
    return { register, value };
  });
  // The x87 stack is numbered from its top, which the status word holds: that one goes first.
  values.sort((a, b) => Number(b.register.name === 'fstat') - Number(a.register.name === 'fstat'));
  return values
    .filter(({ register }) => register.write !== undefined)
    .map(({ register, value }) => writeRegister(register, state, value))
    .every((taken) => taken);
}
