/**
 * The outcome of a case and its coding: what differs from the input, spread over a few streams so that like bytes lie
 * together for the compressor.
 */

import { CODE, DATA, IMAGE, type Mode, SEGMENTS, type SegmentName, startOf, TEST, WINDOW } from './layout.ts';
import type { Reader, Writer } from './streams.ts';

export interface Fault {
  /** Exception vector: 0 #DE, 6 #UD, 13 #GP, 14 #PF, 16 #MF, 17 #AC, 19 #XM. */
  readonly vector: number;
  readonly error: number;
  /** CR2 of a page fault, else 0. */
  readonly address: bigint;
}

export interface MemoryRun {
  /** From DATA. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Selectors and bases at the end, where they are not the initial ones. */
export type SegmentChanges = Partial<Record<SegmentName | 'fsBase' | 'gsBase', bigint>>;

export interface Outcome {
  /** IMAGE.size bytes. RIP is that of the faulting instruction, or of the next one. */
  readonly image: DataView;
  fault: Fault | undefined;
  /** Data bytes that changed. */
  memory: readonly MemoryRun[];
  segments: SegmentChanges;
}

export const STREAM_NAMES = ['shape', 'flags', 'control', 'kind', 'gpr', 'vector', 'stack', 'memory'] as const;
export type StreamName = (typeof STREAM_NAMES)[number];
export type Writers = Readonly<Record<StreamName, Writer>>;
export type Readers = Readonly<Record<StreamName, Reader>>;

/** Parts of an outcome that are present, in the order in which they are coded. */
const PART = {
  gpr: 1,
  flags: 2,
  memory: 4,
  vector: 8,
  stack: 16,
  fpu: 32,
  mxcsr: 64,
  fault: 128,
  rip: 256,
  segments: 512,
};

const SEGMENT_NAMES = ['cs', 'ss', 'ds', 'es', 'fs', 'gs'] as const;
const SEGMENT_KEYS = [...SEGMENT_NAMES, 'fsBase', 'gsBase'] as const;

export function initialSegment(mode: Mode, key: (typeof SEGMENT_KEYS)[number]): bigint {
  if (key === 'fsBase') return SEGMENTS[mode].fs.base;
  if (key === 'gsBase') return SEGMENTS[mode].gs.base;
  return BigInt(SEGMENTS[mode][key].selector);
}

/** How a changed register is coded: [kind, bytes stored]. */
const GPR = {
  low8: 0,
  high8: 1,
  near: 2,
  zero: 3,
  zero8: 4,
  zero16: 5,
  low16: 6,
  zero32: 7,
  signed32: 8,
  all: 9,
} as const;

function writeGpr(streams: Writers, old: bigint, value: bigint): void {
  const raw = (kind: number, bits: bigint, bytes: number): void => {
    streams.kind.byte(kind);
    for (let i = 0; i < bytes; i++) streams.gpr.byte(Number((bits >> BigInt(8 * i)) & 255n));
  };
  const difference = old ^ value;
  const step = BigInt.asIntN(64, value - old);
  if (step >= -64n && step < 64n) {
    streams.kind.byte(GPR.near);
    streams.gpr.signed(step);
  } else if (difference <= 0xffn) raw(GPR.low8, value, 1);
  else if ((difference & ~0xff00n) === 0n) raw(GPR.high8, value >> 8n, 1);
  else if (value === 0n) raw(GPR.zero, 0n, 0);
  else if (value <= 0xffn) raw(GPR.zero8, value, 1);
  else if (value <= 0xffffn) raw(GPR.zero16, value, 2);
  else if (difference <= 0xffffn) raw(GPR.low16, value, 2);
  else if (value <= 0xffffffffn) raw(GPR.zero32, value, 4);
  else if (BigInt.asIntN(32, value) === BigInt.asIntN(64, value)) raw(GPR.signed32, value, 4);
  else raw(GPR.all, value, 8);
}

function readGpr(streams: Readers, old: bigint): bigint {
  const raw = (bytes: number): bigint => {
    let bits = 0n;
    for (let i = 0; i < bytes; i++) bits |= BigInt(streams.gpr.byte()) << BigInt(8 * i);
    return bits;
  };
  const kind = streams.kind.byte();
  switch (kind) {
    case GPR.low8:
      return (old & ~0xffn) | raw(1);
    case GPR.high8:
      return (old & ~0xff00n) | (raw(1) << 8n);
    case GPR.near:
      return BigInt.asUintN(64, old + streams.gpr.signed());
    case GPR.zero:
      return 0n;
    case GPR.zero8:
      return raw(1);
    case GPR.zero16:
      return raw(2);
    case GPR.low16:
      return (old & ~0xffffn) | raw(2);
    case GPR.zero32:
      return raw(4);
    case GPR.signed32:
      return BigInt.asUintN(64, BigInt.asIntN(32, raw(4)));
    case GPR.all:
      return raw(8);
    default:
      throw new RangeError(`unknown register coding ${kind}`);
  }
}

/** Physical register n is ST((n - TOP) & 7): pushes and pops move no register then. */
function stackSlot(view: DataView, image: number, physical: number): number {
  const top = (view.getUint16(image + IMAGE.status, true) >> 11) & 7;
  return image + IMAGE.st + 16 * ((physical - top) & 7);
}

function sameBytes(a: DataView, at: number, b: DataView, bt: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (a.getUint8(at + i) !== b.getUint8(bt + i)) return false;
  return true;
}

/** A part's writer returns whether anything differed; it writes nothing then. `input` has layout TEST. */
function writeGprs(streams: Writers, input: DataView, image: DataView): boolean {
  let mask = 0;
  for (let i = 0; i < 16; i++) if (!sameBytes(input, TEST.image + 8 * i, image, 8 * i, 8)) mask |= 1 << i;
  if (mask === 0) return false;
  streams.kind.varint(mask);
  for (let i = 0; i < 16; i++) {
    if (!(mask & (1 << i))) continue;
    writeGpr(streams, input.getBigUint64(TEST.image + 8 * i, true), image.getBigUint64(8 * i, true));
  }
  return true;
}

function writeVectors(streams: Writers, input: DataView, image: DataView): boolean {
  let mask = 0;
  for (let i = 0; i < 16; i++) {
    const at = IMAGE.xmm + 16 * i;
    if (!sameBytes(input, TEST.image + at, image, at, 16)) mask |= 1 << i;
  }
  if (mask === 0) return false;
  streams.kind.varint(mask);
  for (let i = 0; i < 16; i++) {
    if (!(mask & (1 << i))) continue;
    // Low nibble: the dwords that are stored; high nibble: those that became zero.
    let lanes = 0;
    for (let lane = 0; lane < 4; lane++) {
      const at = IMAGE.xmm + 16 * i + 4 * lane;
      const value = image.getUint32(at, true);
      if (value === input.getUint32(TEST.image + at, true)) continue;
      lanes |= (value === 0 ? 16 : 1) << lane;
    }
    streams.kind.byte(lanes);
    for (let lane = 0; lane < 4; lane++) {
      const at = IMAGE.xmm + 16 * i + 4 * lane;
      if (lanes & (1 << lane)) for (let j = 0; j < 4; j++) streams.vector.byte(image.getUint8(at + j));
    }
  }
  return true;
}

function readVectors(streams: Readers, image: DataView): void {
  const mask = streams.kind.varint();
  for (let i = 0; i < 16; i++) {
    if (!(mask & (1 << i))) continue;
    const lanes = streams.kind.byte();
    for (let lane = 0; lane < 4; lane++) {
      const at = IMAGE.xmm + 16 * i + 4 * lane;
      if (lanes & (16 << lane)) image.setUint32(at, 0, true);
      else if (lanes & (1 << lane)) for (let j = 0; j < 4; j++) image.setUint8(at + j, streams.vector.byte());
    }
  }
}

/** x87 registers by physical number; the status words must be in place on both sides. */
function writeStack(streams: Writers, input: DataView, image: DataView): boolean {
  let mask = 0;
  for (let i = 0; i < 8; i++) {
    if (!sameBytes(input, stackSlot(input, TEST.image, i), image, stackSlot(image, 0, i), 10)) mask |= 1 << i;
  }
  if (mask === 0) return false;
  streams.kind.byte(mask);
  for (let i = 0; i < 8; i++) {
    if (!(mask & (1 << i))) continue;
    const at = stackSlot(image, 0, i);
    streams.kind.byte(image.getUint8(at + 9));
    streams.kind.byte(image.getUint8(at + 8));
    for (let j = 0; j < 8; j++) streams.stack.byte(image.getUint8(at + j));
  }
  return true;
}

function readStack(streams: Readers, input: DataView, image: DataView, changed: boolean): void {
  const mask = changed ? streams.kind.byte() : 0;
  for (let i = 0; i < 8; i++) {
    const at = stackSlot(image, 0, i);
    if (mask & (1 << i)) {
      image.setUint8(at + 9, streams.kind.byte());
      image.setUint8(at + 8, streams.kind.byte());
      for (let j = 0; j < 8; j++) image.setUint8(at + j, streams.stack.byte());
    } else {
      const from = stackSlot(input, TEST.image, i);
      for (let j = 0; j < 16; j++) image.setUint8(at + j, input.getUint8(from + j));
    }
  }
}

/** Fields of the x87 environment that are coded as a difference: [offset, bytes, base]. */
const FPU_FIELDS = [
  [IMAGE.status, 2, 0n],
  [IMAGE.tag, 1, 0n],
  [IMAGE.control, 2, 0n],
  [IMAGE.opcode, 2, 0n],
  [IMAGE.instruction, 8, CODE],
  [IMAGE.operand, 8, DATA],
] as const;

function field(view: DataView, at: number, bytes: number): bigint {
  if (bytes === 8) return view.getBigUint64(at, true);
  return BigInt(bytes === 2 ? view.getUint16(at, true) : view.getUint8(at));
}

function writeFpu(streams: Writers, input: DataView, image: DataView): boolean {
  let mask = 0;
  FPU_FIELDS.forEach(([at, bytes], i) => {
    if (field(input, TEST.image + at, bytes) !== field(image, at, bytes)) mask |= 1 << i;
  });
  if (mask === 0) return false;
  streams.control.byte(mask);
  FPU_FIELDS.forEach(([at, bytes, base], i) => {
    if (!(mask & (1 << i))) return;
    const value = field(image, at, bytes);
    if (bytes === 8) streams.control.signed(BigInt.asIntN(64, value - base));
    else for (let j = 0; j < bytes; j++) streams.control.byte(Number(value >> BigInt(8 * j)) & 255);
  });
  return true;
}

function readFpu(streams: Readers, image: DataView): void {
  const mask = streams.control.byte();
  FPU_FIELDS.forEach(([at, bytes, base], i) => {
    if (!(mask & (1 << i))) return;
    if (bytes === 8) image.setBigUint64(at, BigInt.asUintN(64, streams.control.signed() + base), true);
    else for (let j = 0; j < bytes; j++) image.setUint8(at + j, streams.control.byte());
  });
}

function writeMemory(streams: Writers, runs: readonly MemoryRun[]): boolean {
  if (runs.length === 0) return false;
  streams.kind.varint(runs.length);
  for (const run of runs) {
    streams.kind.signed(BigInt(run.offset - WINDOW));
    streams.kind.varint(run.bytes.length);
    streams.memory.bytes(run.bytes);
  }
  return true;
}

function readMemory(streams: Readers): MemoryRun[] {
  return Array.from({ length: streams.kind.varint() }, () => {
    const offset = Number(streams.kind.signed()) + WINDOW;
    return { offset, bytes: streams.memory.bytes(streams.kind.varint()) };
  });
}

/** Appends an outcome. `input` has layout TEST. */
export function writeOutcome(streams: Writers, input: DataView, outcome: Outcome): void {
  const { image, fault } = outcome;
  const mode = input.getUint32(TEST.mode, true) as Mode;
  let parts = 0;
  if (writeGprs(streams, input, image)) parts |= PART.gpr;
  const flags = input.getUint32(TEST.image + IMAGE.rflags, true) ^ image.getUint32(IMAGE.rflags, true);
  if (flags !== 0) {
    parts |= PART.flags;
    streams.flags.varint(flags);
  }
  if (writeMemory(streams, outcome.memory)) parts |= PART.memory;
  if (writeVectors(streams, input, image)) parts |= PART.vector;
  if (writeFpu(streams, input, image)) parts |= PART.fpu;
  if (writeStack(streams, input, image)) parts |= PART.stack;
  const mxcsr = input.getUint32(TEST.image + IMAGE.mxcsr, true) ^ image.getUint32(IMAGE.mxcsr, true);
  if (mxcsr !== 0) {
    parts |= PART.mxcsr;
    streams.control.varint(mxcsr);
  }
  if (fault !== undefined) {
    parts |= PART.fault;
    streams.control.byte(fault.vector);
    streams.control.varint(fault.error);
    if (fault.vector === 14) streams.control.signed(BigInt.asIntN(64, fault.address - DATA));
  }
  const expectedRip = startOf(mode) + BigInt(fault === undefined ? input.getUint32(TEST.length, true) : 0);
  const rip = image.getBigUint64(IMAGE.rip, true);
  if (rip !== expectedRip) {
    parts |= PART.rip;
    streams.control.signed(BigInt.asIntN(64, rip - expectedRip));
  }
  const changed = SEGMENT_KEYS.filter((key) => outcome.segments[key] !== undefined);
  if (changed.length > 0) {
    parts |= PART.segments;
    streams.control.byte(changed.length);
    for (const key of changed) {
      streams.control.byte(SEGMENT_KEYS.indexOf(key));
      streams.control.signed(BigInt.asIntN(64, outcome.segments[key]!));
    }
  }
  streams.shape.varint(parts);
}

/** Reads the next outcome into `outcome`, whose image buffer is reused. */
export function readOutcome(streams: Readers, input: DataView, outcome: Outcome): void {
  const { image } = outcome;
  const mode = input.getUint32(TEST.mode, true) as Mode;
  const parts = streams.shape.varint();
  new Uint8Array(image.buffer, image.byteOffset, IMAGE.size).set(
    new Uint8Array(input.buffer, input.byteOffset + TEST.image, IMAGE.size),
  );
  if (parts & PART.gpr) {
    const mask = streams.kind.varint();
    for (let i = 0; i < 16; i++) {
      if (mask & (1 << i)) image.setBigUint64(8 * i, readGpr(streams, image.getBigUint64(8 * i, true)), true);
    }
  }
  if (parts & PART.flags)
    image.setUint32(IMAGE.rflags, image.getUint32(IMAGE.rflags, true) ^ streams.flags.varint(), true);
  outcome.memory = parts & PART.memory ? readMemory(streams) : [];
  if (parts & PART.vector) readVectors(streams, image);
  if (parts & PART.fpu) readFpu(streams, image);
  if (parts & (PART.stack | PART.fpu)) readStack(streams, input, image, (parts & PART.stack) !== 0);
  if (parts & PART.mxcsr) {
    image.setUint32(IMAGE.mxcsr, image.getUint32(IMAGE.mxcsr, true) ^ streams.control.varint(), true);
  }
  outcome.fault = undefined;
  if (parts & PART.fault) {
    const vector = streams.control.byte();
    const error = streams.control.varint();
    const address = vector === 14 ? BigInt.asUintN(64, streams.control.signed() + DATA) : 0n;
    outcome.fault = { vector, error, address };
  }
  const expectedRip = startOf(mode) + BigInt(outcome.fault === undefined ? input.getUint32(TEST.length, true) : 0);
  const rip = parts & PART.rip ? expectedRip + streams.control.signed() : expectedRip;
  image.setBigUint64(IMAGE.rip, BigInt.asUintN(64, rip), true);
  outcome.segments = {};
  if (parts & PART.segments) {
    for (let count = streams.control.byte(); count > 0; count--) {
      const key = SEGMENT_KEYS[streams.control.byte()]!;
      outcome.segments[key] = BigInt.asUintN(64, streams.control.signed());
    }
  }
}
