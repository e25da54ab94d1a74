/**
 * Makes the input of a case from a seed: what kinds of values go into which registers and into memory is said by a
 * `Setup`, which is stored with the form; the values themselves never are.
 */

import {
  CODE_BYTES,
  DATA_SIZE,
  dataBase,
  ERROR_SUMMARY,
  IMAGE,
  type Mode,
  READ_ONLY_SIZE,
  SEGMENTS,
  startOf,
  TEST,
  WINDOW,
  WINDOW_SIZE,
} from './layout.ts';
import type { Random } from './prng.ts';
import type { Theme } from './values.ts';
import * as values from './values.ts';

/** A register that is (part of) an address: it is set so that `register + bias` is in the window. */
export interface Pointer {
  /** GPR number. */
  readonly register: number;
  /** What the operand adds to the register: the displacement. */
  readonly bias?: number;
  /** Bytes, a power of two up to 64, that the address is mostly aligned to. */
  readonly align?: number;
  readonly segment?: 'fs' | 'gs';
}

/** A register that holds a small number: an index, a repeat count, a bit offset. */
export interface Range {
  readonly register: number;
  readonly minimum: number;
  readonly maximum: number;
  /** Mostly a multiple of this. */
  readonly step?: number;
}

export interface Setup {
  /** General registers that are not listed below; `int` if absent. */
  readonly gpr?: 'int' | 'digits';
  /** XMM registers; noise if absent. With a float kind MXCSR is random too. */
  readonly vector?: 'int' | 'f32' | 'f64' | 'text';
  /** x87: freshly initialised if absent. `mmx` puts integers into the registers. */
  readonly fpu?: 'f80' | 'mmx';
  /**
   * The window: `int` if absent. `env16`, `env32`, `fxsave` put a valid x87 environment (FLDENV, FRSTOR with 16- or 32-bit
   * operand size) or FXSAVE image at its start, where the pointers then point. `code` is return addresses.
   */
  readonly memory?: 'int' | 'f32' | 'f64' | 'f80' | 'decimal' | 'text' | 'code' | 'env16' | 'env32' | 'fxsave';
  readonly pointers?: readonly Pointer[];
  readonly ranges?: readonly Range[];
  /** Registers that hold an address in the code pages (JMP, CALL). */
  readonly targets?: readonly number[];
  /** Of the pointers; the mode if absent. */
  readonly addressSize?: Mode;
  /** String instructions: DF is set in half of the cases. */
  readonly string?: boolean;
}

type Elements = 'int' | 'f32' | 'f64' | 'f80' | 'decimal' | 'text';

/** Windows whose contents are one structure: the pointers point to its start and nothing overwrites it. */
function isStructure(memory: Setup['memory']): boolean {
  return memory === 'env16' || memory === 'env32' || memory === 'fxsave';
}

/** Code addresses near the start; they hold INT3. In 16-bit mode offsets. */
function codeAddress(random: Random, mode: Mode): bigint {
  return startOf(mode) + BigInt(64 + random.below(1024));
}

/** The last instruction's pointers are zero unless an exception is pending: some processors load them only then. */
function writeImageOfFpu(random: Random, view: DataView, at: number, kind: 'f80' | 'mmx', theme: Theme): void {
  const control = values.randomControl(random);
  const status = values.randomStatus(random, control);
  const top = (status >> 11) & 7;
  view.setUint16(at, control, true);
  view.setUint16(at + 2, status, true);
  view.setUint16(at + 4, values.randomTag(random, top), true);
  if (status & ERROR_SUMMARY) {
    view.setUint16(at + 6, random.u32() & 0x7ff, true);
    view.setUint32(at + 8, random.u32() >>> 1, true);
    view.setUint32(at + 16, random.u32() >>> 1, true);
  }
  for (let i = 0; i < 8; i++) {
    const st = at + IMAGE.st - IMAGE.fx + 16 * i;
    if (kind === 'f80') values.writeFloat(random, view, st, 'f80', theme);
    else {
      values.writeIntegers(random, view, st, 8);
      view.setUint16(st + 8, random.once(4) ? random.u32() & 0xffff : 0xffff, true);
    }
  }
}

function writeFpu(random: Random, view: DataView, kind: Setup['fpu'], theme: Theme): void {
  const at = TEST.image + IMAGE.fx;
  if (kind !== undefined) writeImageOfFpu(random, view, at, kind, theme);
  else view.setUint16(at, 0x37f, true);
}

/** Any kind but `noise` in elements of its size; `bytes` is a multiple of 16. */
function writeElements(random: Random, view: DataView, at: number, bytes: number, kind: Elements, theme: Theme): void {
  const step = kind === 'f32' ? 4 : kind === 'f64' ? 8 : 16;
  for (let i = 0; i < bytes; i += step) {
    if (kind === 'f32' || kind === 'f64' || kind === 'f80') values.writeFloat(random, view, at + i, kind, theme);
    else if (kind === 'text') values.writeText(random, view, at + i, 16);
    else if (kind === 'decimal') values.writePackedDecimal(random, view, at + i);
    else values.writeIntegers(random, view, at + i, 16);
  }
}

/** One integer of a random size in each eight bytes, the rest noise: enough for operands of general registers. */
function writeScalars(random: Random, view: DataView, at: number, bytes: number): void {
  values.writeNoise(random, view, at, bytes);
  for (let i = 0; i < bytes; i += 8) values.writeInteger(random, view, at + i, 1 << random.below(4));
}

function writeCodeAddresses(random: Random, view: DataView, mode: Mode): void {
  for (let i = 0; i < WINDOW_SIZE; i += mode / 8) {
    const address = codeAddress(random, mode);
    if (mode === 64) view.setBigUint64(TEST.window + i, address, true);
    else if (mode === 32) view.setUint32(TEST.window + i, Number(address), true);
    else view.setUint16(TEST.window + i, Number(address), true);
  }
}

function writeWindow(random: Random, view: DataView, mode: Mode, setup: Setup, theme: Theme): void {
  const at = TEST.window;
  const kind = setup.memory ?? 'int';
  const wide = setup.vector !== undefined || setup.fpu !== undefined;
  if (kind === 'int' && !wide) writeScalars(random, view, at, WINDOW_SIZE);
  else if (kind === 'code') writeCodeAddresses(random, view, mode);
  else if (kind === 'env16' || kind === 'env32') writeEnvironment(random, view, at, kind === 'env16' ? 2 : 4);
  else if (kind === 'fxsave') {
    values.writeNoise(random, view, at, WINDOW_SIZE);
    writeImageOfFpu(random, view, at, 'f80', 'any');
    view.setUint32(at + 24, random.once(16) ? random.u32() : values.randomMxcsr(random), true);
  } else {
    if (kind === 'f80' || kind === 'decimal') values.writeNoise(random, view, at, WINDOW_SIZE);
    writeElements(random, view, at, WINDOW_SIZE, kind, theme);
  }
}

/** FLDENV's and FRSTOR's operand with fields of `step` bytes; the registers follow the seven fields. */
function writeEnvironment(random: Random, view: DataView, at: number, step: number): void {
  values.writeNoise(random, view, at, WINDOW_SIZE);
  const control = values.randomControl(random);
  const status = values.randomStatus(random, control);
  view.setUint16(at, control, true);
  view.setUint16(at + step, status, true);
  for (let i = 0; i < 8; i++) values.writeFloat(random, view, at + 7 * step + 10 * i, 'f80', 'any');
}

/** Where a pointer points, as an offset from DATA: mostly into the window, at times to where something faults. */
function pointerOffset(random: Random, setup: Setup, align: number): number {
  if (random.once(64)) {
    const border = random.pick([0, DATA_SIZE, DATA_SIZE + READ_ONLY_SIZE]);
    return border + random.below(33) - 16;
  }
  if (isStructure(setup.memory)) return WINDOW;
  const near = random.once(8) ? 112 + random.below(17) : random.below(WINDOW_SIZE - 64);
  return WINDOW + (random.once(8) ? near : near & -align);
}

function writePointer(random: Random, view: DataView, mode: Mode, setup: Setup, pointer: Pointer): void {
  const addressSize = setup.addressSize ?? mode;
  const segment = SEGMENTS[mode][pointer.segment ?? 'ds'];
  const linear = dataBase(mode, addressSize) + BigInt(pointerOffset(random, setup, pointer.align ?? 1));
  let value = linear - segment.base - BigInt(pointer.bias ?? 0);
  const noise = random.once(2) ? 0n : BigInt(random.u32());
  if (addressSize === 64 && random.once(96)) value ^= 1n << BigInt(47 + random.below(17));
  if (addressSize === 32) value = BigInt.asUintN(32, value) | (noise << 32n);
  if (addressSize === 16) value = BigInt.asUintN(16, value) | (noise << 16n);
  view.setBigUint64(TEST.image + 8 * pointer.register, BigInt.asUintN(64, value), true);
}

function writeRange(random: Random, view: DataView, range: Range): void {
  const step = range.step !== undefined && !random.once(4) ? range.step : 1;
  const value = Math.trunc((range.minimum + random.below(range.maximum - range.minimum + 1)) / step) * step;
  view.setBigInt64(TEST.image + 8 * range.register, BigInt(value), true);
}

/** Copies one of `count` slots over half of the others, with a bit of byte `sign` or of byte 0 changed in some. */
function relateSlots(random: Random, view: DataView, at: number, count: number, bytes: number, sign: number): void {
  const stride = bytes === 8 ? 8 : 16;
  const from = at + stride * random.below(count);
  for (let i = 0; i < count; i++) {
    const to = at + stride * i;
    if (to === from || random.once(2)) continue;
    for (let j = 0; j < bytes; j++) view.setUint8(to + j, view.getUint8(from + j));
    const change = random.below(4);
    if (change === 0) view.setUint8(to + sign, view.getUint8(to + sign) ^ 0x80);
    if (change === 1) view.setUint8(to, view.getUint8(to) ^ 1);
  }
}

/** Makes operands equal, opposite or adjacent, which independent values hardly ever are. */
function relate(random: Random, view: DataView, setup: Setup): void {
  const image = TEST.image;
  if (setup.vector !== undefined) relateSlots(random, view, image + IMAGE.xmm, 16, 16, random.pick([3, 7, 11, 15]));
  if (setup.fpu !== undefined) relateSlots(random, view, image + IMAGE.st, 8, 10, 9);
  relateSlots(random, view, image, 16, 8, 7);
}

/** Where a pointer points in the input `view` (layout TEST), as an offset from DATA of the mapping it is meant for. */
export function pointedOffset(view: DataView, mode: Mode, setup: Setup, pointer: Pointer): number {
  const addressSize = setup.addressSize ?? mode;
  const value = view.getBigUint64(TEST.image + 8 * pointer.register, true) + BigInt(pointer.bias ?? 0);
  const base = SEGMENTS[mode][pointer.segment ?? 'ds'].base;
  const linear = BigInt.asUintN(mode === 64 ? 64 : 32, base + BigInt.asUintN(addressSize, value));
  return Number(linear - dataBase(mode, addressSize));
}

/** Puts a register's value where the first pointer points, so that comparisons with memory succeed at times. */
function relateMemory(random: Random, view: DataView, mode: Mode, setup: Setup): void {
  const pointer = setup.pointers?.[0];
  if (pointer === undefined || setup.memory === 'code' || isStructure(setup.memory)) return;
  const offset = pointedOffset(view, mode, setup, pointer) - WINDOW;
  if (offset < 0 || offset > WINDOW_SIZE - 16) return;
  const from = TEST.image + (setup.vector !== undefined ? IMAGE.xmm + 16 * random.below(16) : 8 * random.below(4));
  const bytes = setup.vector !== undefined ? 16 : 8;
  for (let i = 0; i < bytes; i++) view.setUint8(TEST.window + offset + i, view.getUint8(from + i));
}

const STATUS_FLAGS = 0x8d5;

/**
 * Fills `view` (TEST.size bytes, layout TEST) with the code and the input that `random` gives. Deterministic: the corpus
 * stores none of it.
 */
export function writeInput(random: Random, view: DataView, mode: Mode, code: Uint8Array, setup: Setup): void {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, TEST.size);
  bytes.fill(0);
  view.setUint32(TEST.mode, mode, true);
  view.setUint32(TEST.length, code.length, true);
  bytes.set(code.subarray(0, CODE_BYTES), TEST.code);
  const image = TEST.image;
  for (let i = 0; i < 16; i++) {
    const at = image + 8 * i;
    const size = 1 << random.below(4);
    if (!random.once(8)) values.writeNoise(random, view, at, 8);
    if (setup.gpr === 'digits') values.writeDigits(random, view, at, 2);
    else values.writeInteger(random, view, at, size);
  }
  const theme = values.randomTheme(random);
  writeFpu(random, view, setup.fpu, theme);
  if (setup.vector === undefined) values.writeNoise(random, view, image + IMAGE.xmm, 256);
  else writeElements(random, view, image + IMAGE.xmm, 256, setup.vector, theme);
  const floats = setup.vector === 'f32' || setup.vector === 'f64';
  view.setUint32(image + IMAGE.mxcsr, floats ? values.randomMxcsr(random) : 0x1f80, true);
  writeWindow(random, view, mode, setup, theme);
  if (random.once(8)) relate(random, view, setup);
  for (const range of setup.ranges ?? []) writeRange(random, view, range);
  for (const register of setup.targets ?? []) {
    view.setBigUint64(image + 8 * register, codeAddress(random, mode), true);
  }
  for (const pointer of setup.pointers ?? []) writePointer(random, view, mode, setup, pointer);
  if (random.once(4)) relateMemory(random, view, mode, setup);
  let flags = 0x202 | (random.u32() & STATUS_FLAGS);
  if (random.once(setup.string ? 2 : 8)) flags |= 0x400;
  if (random.once(32)) flags |= 0x40000;
  view.setBigUint64(image + IMAGE.rflags, BigInt(flags), true);
  view.setBigUint64(image + IMAGE.rip, startOf(mode), true);
  if (mode !== 64) {
    for (let i = 0; i < 16; i++) view.setUint32(image + 8 * i + 4, 0, true);
    bytes.fill(0, image + 64, image + 128);
    bytes.fill(0, image + IMAGE.xmm + 128, image + IMAGE.size);
  }
}
