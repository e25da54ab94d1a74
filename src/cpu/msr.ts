/** Model-specific registers: RDMSR and WRMSR with their #GP rules (SDM vol. 4). */
import { CR0, EFER, SEGMENT, type VcpuState, VECTOR } from '../isa/state.ts';
import { isCanonical } from './address.ts';
import { type CpuContext, raise } from './context.ts';
import { updateSystemTime, writeWallClock } from './kvm-clock.ts';
import { ARCH_CAPABILITIES } from './msr-capabilities.ts';
import { FIXED_MTRRS, MTRR_CAP, validDefault, validFixed, validPat, validVariable } from './mtrr.ts';
import { adjustTsc, readTsc } from './tsc.ts';

/** `undefined` from `read`, `false` from `write`: #GP(0). A missing function: #GP(0) as well. */
interface Msr {
  readonly read?: (context: CpuContext) => bigint | undefined;
  /** `value` is unsigned. */
  readonly write?: (context: CpuContext, value: bigint) => boolean;
}

type U64Field = {
  [K in keyof VcpuState]: VcpuState[K] extends bigint ? K : never;
}[keyof VcpuState];

const anything = () => true;
const lowHalf = (value: bigint): boolean => value >> 32n === 0n;

/** A register that a field of the state block holds. */
function held(field: U64Field, valid: (value: bigint) => boolean): Msr {
  return {
    read: ({ state }) => state[field],
    write: ({ state }, value) => {
      if (!valid(value)) return false;
      state[field] = value;
      return true;
    },
  };
}

/** Always reads the same; writes are ignored where `ignoreWrites`, else #GP. */
function constant(value: bigint, ignoreWrites = false): Msr {
  return ignoreWrites ? { read: () => value, write: anything } : { read: () => value };
}

function base(segment: number): Msr {
  return {
    read: ({ state }) => state.segmentBase[segment],
    write: ({ state }, value) => {
      if (!isCanonical(value)) return false;
      state.segmentBase[segment] = value;
      return true;
    },
  };
}

const EFER_WRITABLE = BigInt(EFER.sce | EFER.lme | EFER.nxe);

/** LMA cannot be written; LME cannot change while paging is on. */
function writeEfer(context: CpuContext, value: bigint): boolean {
  const { state } = context;
  const lma = BigInt(EFER.lma);
  if ((value & ~(EFER_WRITABLE | lma)) !== 0n) return false;
  const changed = (value ^ state.efer) & EFER_WRITABLE;
  if ((Number(state.cr0) & CR0.pg) !== 0 && (changed & BigInt(EFER.lme)) !== 0n) return false;
  state.efer = (value & EFER_WRITABLE) | (state.efer & lma);
  if ((changed & BigInt(EFER.nxe)) !== 0n) context.flushTlb('all');
  context.modeChanged();
  return true;
}

/** No branch trace store, no PEBS. */
const MISC_ENABLE_FIXED = 0x1800n;
/** Bits that can be written, though they mean nothing here: fast strings, thermal monitor, EMON, SpeedStep, MONITOR, CPUID limit, xTPR, XD, turbo. */
const MISC_ENABLE_WRITABLE = 0x44_00c5_0089n | MISC_ENABLE_FIXED;

/** IBRS, STIBP and BHI_DIS_S; SSBD does not exist (SSB_NO). */
const SPEC_CTRL_WRITABLE = 0x403n;
/** IBPB. */
const PRED_CMD_WRITABLE = 1n;
/** Locked, nothing enabled. */
const FEATURE_CONTROL = 1n;
/** Revision in the upper half. */
const MICROCODE = 0x20n << 32n;

function registerTime(context: CpuContext, value: bigint): boolean {
  context.state.kvmSystemTime = value;
  updateSystemTime(context);
  return true;
}

function registerWallClock(context: CpuContext, value: bigint): boolean {
  context.state.kvmWallClock = value;
  writeWallClock(context, value);
  return true;
}

const systemTime: Msr = { read: ({ state }) => state.kvmSystemTime, write: registerTime };
const wallClock: Msr = { read: ({ state }) => state.kvmWallClock, write: registerWallClock };

/** Registers of the time-stamp counter. */
const tsc: Msr = {
  read: readTsc,
  write: (context, value) => {
    adjustTsc(context, value - readTsc(context));
    return true;
  },
};
const tscAdjust: Msr = {
  read: ({ state }) => state.tscAdjust,
  write: (context, value) => {
    adjustTsc(context, value - context.state.tscAdjust);
    return true;
  },
};

/** Highest non-turbo ratio to 100 MHz in bits 15–8. */
const platformInfo: Msr = { read: ({ clock }) => BigInt(Math.round(clock.frequency / 1e8) & 0xff) << 8n };

const sysenterCs: Msr = {
  read: ({ state }) => state.sysenterCs,
  write: ({ state }, value) => {
    state.sysenterCs = value & 0xffff_ffffn;
    return true;
  },
};

const miscEnable: Msr = {
  read: ({ state }) => state.miscEnable,
  write: ({ state }, value) => {
    if ((value & ~MISC_ENABLE_WRITABLE) !== 0n) return false;
    state.miscEnable = value | MISC_ENABLE_FIXED;
    return true;
  },
};

const MSRS = new Map<number, Msr>([
  [0x10, tsc],
  [0x11, wallClock],
  [0x12, systemTime],
  [0x17, constant(0n)],
  [0x2a, constant(0n, true)],
  [0x34, constant(0n)],
  [0x3a, constant(FEATURE_CONTROL)],
  [0x3b, tscAdjust],
  [0x48, held('specCtrl', (value) => (value & ~SPEC_CTRL_WRITABLE) === 0n)],
  [0x49, { write: (_, value) => (value & ~PRED_CMD_WRITABLE) === 0n }],
  [0x79, { write: anything }],
  [0x8b, constant(MICROCODE, true)],
  [0xce, platformInfo],
  [0xfe, constant(MTRR_CAP)],
  [0x10a, constant(ARCH_CAPABILITIES)],
  [0x174, sysenterCs],
  [0x175, held('sysenterEsp', isCanonical)],
  [0x176, held('sysenterEip', isCanonical)],
  // No machine-check banks.
  [0x179, constant(0n)],
  [0x17a, held('mcgStatus', lowHalf)],
  [0x1a0, miscEnable],
  // No last-branch records: the bits of DEBUGCTL that ask for them are taken and forgotten.
  [0x1d9, { read: () => 0n, write: (_, value) => (value & ~3n) === 0n }],
  [0x1db, constant(0n)],
  [0x1dc, constant(0n)],
  [0x1dd, constant(0n)],
  [0x1de, constant(0n)],
  [0x277, held('pat', validPat)],
  [0x2ff, held('mtrrDefault', validDefault)],
  [0xc000_0080, { read: ({ state }) => state.efer, write: writeEfer }],
  [0xc000_0081, held('star', anything)],
  [0xc000_0082, held('lstar', isCanonical)],
  [0xc000_0083, held('cstar', isCanonical)],
  [0xc000_0084, held('sfmask', lowHalf)],
  [0xc000_0100, base(SEGMENT.fs)],
  [0xc000_0101, base(SEGMENT.gs)],
  [0xc000_0102, held('kernelGsBase', isCanonical)],
  [0xc000_0103, held('tscAux', lowHalf)],
  [0x4b56_4d00, wallClock],
  [0x4b56_4d01, systemTime],
  ...FIXED_MTRRS.map((index, i): [number, Msr] => [index, element('mtrrFixed', i, validFixed)]),
  ...Array.from({ length: 16 }, (_, i): [number, Msr] => [
    0x200 + i,
    element('mtrrVariable', i, (value) => validVariable(i, value)),
  ]),
]);

function element(field: 'mtrrFixed' | 'mtrrVariable', index: number, valid: (value: bigint) => boolean): Msr {
  return {
    read: ({ state }) => state[field][index],
    write: ({ state }, value) => {
      if (!valid(value)) return false;
      state[field][index] = value;
      return true;
    },
  };
}

/** IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC range. */
const ofApic = (index: number): boolean => index === 0x1b || index === 0x6e0 || (index >= 0x800 && index <= 0x8ff);

const name = (index: number): string => `MSR 0x${index.toString(16)}`;

/** RDMSR, CPL already checked; `undefined` after #GP(0). */
export function readMsr(context: CpuContext, index: number): bigint | undefined {
  const msr = MSRS.get(index);
  const value = ofApic(index) ? context.apic.readMsr(index) : msr?.read?.(context);
  if (value !== undefined) return value;
  if (msr === undefined) context.log(`read of unknown ${name(index)}`);
  raise(context.state, VECTOR.gp, 0);
  return undefined;
}

/** WRMSR, CPL already checked; `value` is unsigned. */
export function writeMsr(context: CpuContext, index: number, value: bigint): boolean {
  const msr = MSRS.get(index);
  const done = ofApic(index) ? context.apic.writeMsr(index, value) : msr?.write?.(context, value) === true;
  if (done) return true;
  context.log(
    `write of 0x${value.toString(16)} to ${msr === undefined && !ofApic(index) ? 'unknown ' : ''}${name(index)} refused`,
  );
  return raise(context.state, VECTOR.gp, 0);
}
