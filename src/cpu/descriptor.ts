/** Segment and gate descriptors in the GDT and LDT (SDM vol. 3A 3.4.5, 5.8.3, 7.2.2). */
import { MEMORY_ACCESS } from '../isa/access.ts';
import { SEGMENT, type VcpuState } from '../isa/state.ts';
import { type CpuContext, raise } from './context.ts';
import { ATTRIBUTE } from './mode.ts';

/** Types of system descriptors. */
export const SYSTEM_TYPE = {
  tss16: 1,
  ldt: 2,
  tss16Busy: 3,
  callGate16: 4,
  taskGate: 5,
  interruptGate16: 6,
  trapGate16: 7,
  tss32: 9,
  tss32Busy: 11,
  callGate32: 12,
  interruptGate32: 14,
  trapGate32: 15,
} as const;

/** Bit of a TSS type that says busy. */
export const TSS_BUSY = 2;

/** A descriptor as it stands in memory. */
export interface Descriptor {
  readonly selector: number;
  /** Linear address. */
  readonly address: bigint;
  /** The two doublewords, unsigned. */
  readonly low: number;
  readonly high: number;
}

export const isNull = (selector: number): boolean => (selector & 0xfffc) === 0;

/** Attributes in the form of the state block. */
export const attributesOf = (d: Descriptor): number => (d.high >>> 8) & 0xf0ff;
export const dplOf = (d: Descriptor): number => (d.high >>> 13) & 3;
export const isPresent = (d: Descriptor): boolean => (d.high & 0x8000) !== 0;
/** Code or data segment, not a system descriptor. */
export const isSegment = (d: Descriptor): boolean => (d.high & 0x1000) !== 0;
export const isCode = (d: Descriptor): boolean => (d.high & 0x1800) === 0x1800;
export const isConforming = (d: Descriptor): boolean => (d.high & 0x0400) !== 0;
export const isWritableData = (d: Descriptor): boolean => (d.high & 0x1a00) === 0x1200;
/** Data, or code that can be read. */
export const isReadable = (d: Descriptor): boolean =>
  (d.high & 0x1000) !== 0 && ((d.high & 0x0800) === 0 || (d.high & 0x0200) !== 0);
/** Type of a system descriptor. */
export const typeOf = (d: Descriptor): number => (d.high >>> 8) & 15;
/** L set and D clear: a 64-bit code segment. */
export const isLongCode = (d: Descriptor): boolean => (d.high & 0x600000) === 0x200000;

export function baseOf(d: Descriptor): number {
  return ((d.low >>> 16) | ((d.high & 0xff) << 16) | (d.high & 0xff000000)) >>> 0;
}

/** Offset of the last byte. */
export function limitOf(d: Descriptor): number {
  const limit = (d.low & 0xffff) | (d.high & 0xf0000);
  return (d.high & 0x800000) !== 0 ? ((limit << 12) | 0xfff) >>> 0 : limit;
}

/** An error code that names a selector; `ext` is 1 during the delivery of an event that the program did not ask for. */
export const selectorError = (selector: number, ext = 0): number => (selector & 0xfffc) | ext;

/**
 * Linear address of the `bytes`-byte descriptor that a selector names, or `undefined` if the table does not hold it.
 */
function addressOf(state: VcpuState, selector: number, bytes: 8 | 16): bigint | undefined {
  const last = (selector | 7) + bytes - 8;
  const index = BigInt(selector & 0xfff8);
  if ((selector & 4) === 0) return last > state.gdtrLimit ? undefined : state.gdtrBase + index;
  if ((state.segmentAttributes[SEGMENT.ldtr] & ATTRIBUTE.unusable) !== 0) return undefined;
  return last > state.segmentLimit[SEGMENT.ldtr] ? undefined : state.segmentBase[SEGMENT.ldtr] + index;
}

/** Reads the descriptor that a selector names; raises `vector`(selector) where the table does not hold it. */
export function readDescriptor(context: CpuContext, selector: number, vector: number, ext = 0): Descriptor | undefined {
  const address = addressOf(context.state, selector, 8);
  if (address === undefined) {
    raise(context.state, vector, selectorError(selector, ext));
    return undefined;
  }
  const value = context.readLinear(address, 8, MEMORY_ACCESS.system);
  if (value === undefined) return undefined;
  return { selector, address, low: Number(value & 0xffff_ffffn), high: Number(value >> 32n) };
}

/** As `readDescriptor`, without a fault for what the table does not hold: `null`. LAR, LSL, VERR, VERW. */
export function peekDescriptor(context: CpuContext, selector: number): Descriptor | null | undefined {
  if (isNull(selector) || addressOf(context.state, selector, 8) === undefined) return null;
  return readDescriptor(context, selector, 0);
}

/**
 * The upper 8 bytes of a 16-byte system descriptor of IA-32e mode: bits 63–32 of base or offset. Raises
 * `vector`(selector) where the table does not hold them or their type field is not 0.
 */
export function readUpperHalf(context: CpuContext, d: Descriptor, vector: number, ext = 0): bigint | undefined {
  const error = selectorError(d.selector, ext);
  if (addressOf(context.state, d.selector, 16) === undefined) {
    raise(context.state, vector, error);
    return undefined;
  }
  const value = context.readLinear(d.address + 8n, 8, MEMORY_ACCESS.system);
  if (value === undefined) return undefined;
  if ((value & (0x1f00n << 32n)) !== 0n) {
    raise(context.state, vector, error);
    return undefined;
  }
  return value & 0xffff_ffffn;
}

/**
 * Replaces the type in memory: the accessed bit of a segment, the busy bit of a TSS. `false`: the byte of type and rights is
 * another by now, and stays; `undefined`: a fault. One byte can be exchanged wherever a descriptor lies.
 */
export function exchangeType(context: CpuContext, d: Descriptor, type: number): boolean | undefined {
  const before = (d.high >>> 8) & 0xff;
  return context.compareExchangeByte(d.address + 5n, before, (before & 0xf0) | type, MEMORY_ACCESS.system);
}

/**
 * Sets the accessed bit in memory where it is clear. A descriptor that others changed meanwhile stays as it is: this load came
 * before the change, which then replaced the bit.
 */
export function markAccessed(context: CpuContext, d: Descriptor): boolean {
  if ((d.high & 0x100) !== 0) return true;
  return exchangeType(context, d, ((d.high >>> 8) & 15) | ATTRIBUTE.accessed) !== undefined;
}
