/** Compares what an implementation did with what the corpus expects. */

import type { CorpusCase } from './format.ts';
import { DATA_SIZE, IMAGE, initialByte, TEST } from './layout.ts';
import { maskUndefined } from './mask.ts';
import { type Fault, initialSegment, type MemoryRun, type Outcome, type SegmentChanges } from './outcome.ts';

const GPR_NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');

/** Name, offset, bytes of what is compared. */
const FIELDS: readonly (readonly [string, number, number])[] = [
  ...GPR_NAMES.map((name, i) => [name, 8 * i, 8] as const),
  ['rip', IMAGE.rip, 8],
  ['rflags', IMAGE.rflags, 8],
  ['x87 control', IMAGE.control, 2],
  ['x87 status', IMAGE.status, 2],
  ['x87 tag', IMAGE.tag, 1],
  ['x87 opcode', IMAGE.opcode, 2],
  ['x87 instruction pointer', IMAGE.instruction, 8],
  ['x87 operand pointer', IMAGE.operand, 8],
  ['mxcsr', IMAGE.mxcsr, 4],
  ...Array.from({ length: 8 }, (_, i) => [`st${i}`, IMAGE.st + 16 * i, 10] as const),
  ...Array.from({ length: 16 }, (_, i) => [`xmm${i}`, IMAGE.xmm + 16 * i, 16] as const),
];

function number(view: DataView, at: number, bytes: number): bigint {
  let value = 0n;
  for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(view.getUint8(at + i));
  return value;
}

/** Order-preserving integer of an 80-bit number, so that neighbours differ by one. */
function ordered(bits: bigint): bigint {
  const magnitude = bits & ((1n << 79n) - 1n);
  // The integer bit follows from the exponent: without it the numbers are contiguous.
  const packed = ((magnitude >> 64n) << 63n) | (magnitude & ((1n << 63n) - 1n));
  return bits >> 79n === 1n ? -packed : packed;
}

function nearlyEqual(test: CorpusCase, at: number, actual: DataView): boolean {
  const { approximate } = test.form;
  const expected = test.expected.image;
  if (approximate?.kind === 'x87' && at >= IMAGE.st && at < IMAGE.xmm) {
    const distance = ordered(number(expected, at, 10)) - ordered(number(actual, at, 10));
    const size = distance < 0n ? -distance : distance;
    return size <= BigInt(Math.ceil(2 * approximate.tolerance));
  }
  if (approximate?.kind === 'x87' && at === IMAGE.status) {
    return ((expected.getUint16(at, true) ^ actual.getUint16(at, true)) & ~0x220) === 0;
  }
  if (approximate?.kind === 'f32' && at >= IMAGE.xmm) {
    return [0, 4, 8, 12].every((lane) => {
      const want = expected.getFloat32(at + lane, true);
      const got = actual.getFloat32(at + lane, true);
      if (expected.getUint32(at + lane, true) === actual.getUint32(at + lane, true)) return true;
      // Both are within the tolerance of the exact value.
      return Math.abs(want - got) <= 2 * approximate.tolerance * Math.abs(want);
    });
  }
  return false;
}

/** True where the images are equal in every byte, which most are. */
function sameImage(a: DataView, b: DataView): boolean {
  for (let at = 0; at < IMAGE.size; at += 4) if (a.getInt32(at, true) !== b.getInt32(at, true)) return false;
  return true;
}

/** What one side changed: the new byte, or -1. */
const changed = new Int16Array(DATA_SIZE).fill(-1);

/** Whether two lists of runs leave the same memory behind. */
function sameMemory(input: DataView, expected: readonly MemoryRun[], actual: readonly MemoryRun[]): boolean {
  if (expected.length === 0 && actual.length === 0) return true;
  let open = 0;
  for (const { offset, bytes } of expected) {
    for (let i = 0; i < bytes.length; i++) {
      if (bytes[i] === initialByte(input, offset + i)) continue;
      changed[offset + i] = bytes[i]!;
      open++;
    }
  }
  let same = true;
  for (const { offset, bytes } of actual) {
    for (let i = 0; i < bytes.length; i++) {
      if (bytes[i] === initialByte(input, offset + i)) continue;
      if (changed[offset + i] === bytes[i]) open--;
      else same = false;
    }
  }
  for (const { offset, bytes } of expected) changed.fill(-1, offset, offset + bytes.length);
  return same && open === 0;
}

/** Splits runs into single changed bytes, by address. */
function normalise(input: DataView, runs: readonly MemoryRun[]): MemoryRun[] {
  return runs
    .flatMap((run) =>
      Array.from(run.bytes, (_, i) => ({ offset: run.offset + i, bytes: run.bytes.subarray(i, i + 1) })),
    )
    .filter((run) => run.bytes[0] !== initialByte(input, run.offset))
    .sort((a, b) => a.offset - b.offset);
}

function memoryText(runs: readonly MemoryRun[]): string {
  return runs.map((run) => `${run.offset.toString(16)}: ${Buffer.from(run.bytes).toString('hex')}`).join(', ');
}

function isEmpty(changes: SegmentChanges): boolean {
  for (const _ in changes) return false;
  return true;
}

function compareSegments(test: CorpusCase, actual: Outcome): string[] {
  if (isEmpty(test.expected.segments) && isEmpty(actual.segments)) return [];
  const mode = test.form.mode;
  return (['cs', 'ss', 'ds', 'es', 'fs', 'gs', 'fsBase', 'gsBase'] as const).flatMap((key) => {
    const want = test.expected.segments[key] ?? initialSegment(mode, key);
    const got = actual.segments[key] ?? initialSegment(mode, key);
    return want === got ? [] : [`${key}: expected ${want.toString(16)}, got ${got.toString(16)}`];
  });
}

function sameFault(a: Fault | undefined, b: Fault | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.vector === b.vector && a.error === b.error && (a.vector !== 14 || a.address === b.address);
}

function faultText(fault: Fault | undefined): string {
  if (fault === undefined) return 'no fault';
  const { vector, error, address } = fault;
  return `exception ${vector}, error ${error.toString(16)}${vector === 14 ? ` at ${address.toString(16)}` : ''}`;
}

function compareImages(test: CorpusCase, actual: DataView): string[] {
  const expected = test.expected.image;
  if (sameImage(expected, actual)) return [];
  return FIELDS.flatMap(([name, at, bytes]) => {
    const want = number(expected, at, bytes);
    const got = number(actual, at, bytes);
    if (want === got || nearlyEqual(test, at, actual)) return [];
    const was = number(test.input, TEST.image + at, bytes);
    return [`${name}: expected ${want.toString(16)}, got ${got.toString(16)}, was ${was.toString(16)}`];
  });
}

function compareMemory(test: CorpusCase, actual: readonly MemoryRun[]): string[] {
  const expected = test.expected.memory;
  if (sameMemory(test.input, expected, actual)) return [];
  const text = (runs: readonly MemoryRun[]) => memoryText(normalise(test.input, runs));
  return [`memory: expected {${text(expected)}}, got {${text(actual)}}`];
}

/**
 * One line for each difference; none when `actual` is right. Changes `actual`: what is undefined is taken out of it.
 * Memory runs are compared byte by byte, so their division does not matter; unchanged bytes may be listed.
 */
export function compareOutcome(test: CorpusCase, actual: Outcome): string[] {
  const { expected } = test;
  if (!sameFault(expected.fault, actual.fault))
    return [`expected ${faultText(expected.fault)}, got ${faultText(actual.fault)}`];
  maskUndefined(test.input, actual, test.undefined);
  return [
    ...compareImages(test, actual.image),
    ...compareMemory(test, actual.memory),
    ...compareSegments(test, actual),
  ];
}
