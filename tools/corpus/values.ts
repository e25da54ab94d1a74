/**
 * Operand values where implementations go wrong: boundaries, special encodings, halfway cases, and random values between.
 * Every function writes little-endian at `at` and draws only from `random`.
 */

import type { Random } from './prng.ts';

export type FloatFormat = 'f32' | 'f64' | 'f80';

/** Writes the low `bytes` (1, 2, 4 or 8) of the pair. */
function put(view: DataView, at: number, bytes: number, low: number, high: number): void {
  if (bytes === 1) view.setUint8(at, low);
  else if (bytes === 2) view.setUint16(at, low, true);
  else {
    view.setUint32(at, low, true);
    if (bytes === 8) view.setUint32(at + 4, high, true);
  }
}

/** The integer being made, as two 32-bit halves (no allocation: this runs a hundred times a case). */
let integerLow = 0;
let integerHigh = 0;

function setInteger(low: number, high: number): void {
  integerLow = low;
  integerHigh = high;
}

/** 0, 1, -1, the borders of the signed range and their neighbours. */
function borderInteger(random: Random, bits: number): void {
  const kind = random.below(6);
  const top = bits === 64 ? 0 : 2 ** (bits - 1);
  const topHigh = bits === 64 ? 0x80000000 : 0;
  if (kind < 2) setInteger(kind, 0);
  else if (kind === 2) setInteger(-1, -1);
  else if (kind === 3) setInteger(top, topHigh);
  else {
    const near = kind === 4 ? -1 : random.below(5) - 2;
    setInteger(top + near, near < 0 ? topHigh - 1 : topHigh);
  }
}

/** One bit, all bits but one, or all bits below one. */
function bitInteger(random: Random, bits: number): void {
  const bit = random.below(bits);
  const low = bit < 32 ? 1 << bit : 0;
  const high = bit < 32 ? 0 : 1 << (bit - 32);
  const kind = random.below(3);
  if (kind === 0) setInteger(low, high);
  else if (kind === 1) setInteger(~low, ~high);
  else setInteger(low - 1, bit < 32 ? 0 : high - 1);
}

/** Shift counts and bit offsets up to and past the operand size, their negatives, and bit patterns. */
function smallInteger(random: Random, bits: number): void {
  const kind = random.below(3);
  if (kind === 0) setInteger(random.below(2 * bits + 3), 0);
  else if (kind === 1) setInteger(-1 - random.below(2 * bits), -1);
  else {
    const pattern = random.pick(PATTERNS);
    setInteger(pattern, pattern);
  }
}

const PATTERNS = [0x55555555, 0xaaaaaaaa, 0x00ff00ff, 0x0f0f0f0f, 0x80808080, 0x7f7f7f7f];

/** An integer of 1, 2, 4 or 8 bytes; the value is chosen for that size. Half of them are plain random bits. */
export function writeInteger(random: Random, view: DataView, at: number, bytes: number): void {
  const kind = random.below(8);
  if (kind < 4) setInteger(random.u32(), bytes === 8 ? random.u32() : 0);
  else if (kind < 6) borderInteger(random, bytes * 8);
  else if (kind === 6) bitInteger(random, bytes * 8);
  else smallInteger(random, bytes * 8);
  put(view, at, bytes, integerLow, integerHigh);
}

/** `bytes` bytes made of integers of one random size. */
export function writeIntegers(random: Random, view: DataView, at: number, bytes: number): void {
  let size = 1 << random.below(4);
  if (size > bytes) size = bytes;
  for (let i = 0; i < bytes; i += size) writeInteger(random, view, at + i, size);
}

/** Words that differ from each other and from case to case, cheaply: for state that an instruction should leave alone. */
export function writeNoise(random: Random, view: DataView, at: number, bytes: number): void {
  let word = 0;
  for (let i = 0; i < bytes; i += 4) {
    word = i % 16 === 0 ? random.u32() : Math.imul(word, 0x2c1b3c6d) + 0x297a2d39;
    view.setUint32(at + i, word, true);
  }
}

/** Two binary-coded digits a byte, now and then an invalid one. */
export function writeDigits(random: Random, view: DataView, at: number, bytes: number): void {
  for (let i = 0; i < bytes; i++) {
    const digit = (): number => (random.once(10) ? 10 + random.below(6) : random.below(10));
    view.setUint8(at + i, (digit() << 4) | digit());
  }
}

/** An 80-bit packed BCD number: 18 digits and a sign byte, some of whose unused bits may be set. */
export function writePackedDecimal(random: Random, view: DataView, at: number): void {
  const digits = random.below(19);
  for (let i = 0; i < 9; i++) {
    const digit = (place: number): number => (place >= digits ? 0 : random.once(60) ? 15 : random.below(10));
    view.setUint8(at + i, (digit(2 * i + 1) << 4) | digit(2 * i));
  }
  view.setUint8(at + 9, random.once(4) ? random.u32() & 0xff : random.below(2) << 7);
}

const TEXT = [0, 0x20, 0x41, 0x42, 0x43, 0x61, 0x62, 0x7f, 0x80, 0xff];

/** Short strings over few characters, as bytes or as words, so that string comparisons find something. */
export function writeText(random: Random, view: DataView, at: number, bytes: number): void {
  const size = random.once(3) ? 2 : 1;
  const alphabet = 2 + random.below(TEXT.length - 1);
  const zeroes = random.once(2);
  for (let i = 0; i < bytes; i += size) {
    const character = TEXT[random.below(alphabet)] || (zeroes ? 0 : 0x61);
    put(view, at + i, size, size === 2 && random.once(8) ? character << 8 : character, 0);
  }
}

const SHAPE = {
  f32: { fraction: 23, maximum: 0xff, bias: 0x7f },
  f64: { fraction: 52, maximum: 0x7ff, bias: 0x3ff },
  f80: { fraction: 63, maximum: 0x7fff, bias: 0x3fff },
} as const;

/** Exponents at which conversions to integers overflow, and single and double precision end. */
const BORDERS = [-1, 0, 7, 8, 14, 15, 16, 23, 24, 30, 31, 32, 52, 53, 62, 63, 64];

/** Fractions are kept as 64 bits, first fraction bit on top; these two hold the one being made. */
let fractionHigh = 0;
let fractionLow = 0;

function setFraction(high: number, low: number): void {
  fractionHigh = high;
  fractionLow = low;
}

/** A single bit of the fraction, counted from the top, as seen by the half that `high` chooses. */
function fractionBit(index: number, high: boolean): number {
  return index < 32 === high ? 0x80000000 >>> (index & 31) : 0;
}

/** Keeps the first `count` bits. */
function keepFraction(count: number): void {
  if (count <= 0) setFraction(0, 0);
  else if (count < 32) setFraction(fractionHigh & ~(0xffffffff >>> count), 0);
  else if (count < 64) fractionLow &= count === 32 ? 0 : ~(0xffffffff >>> (count - 32));
}

/** Zero, all ones, the last bit, all but the last, halfway cases, few bits, or random bits. */
function randomFraction(random: Random, bits: number): void {
  const kind = random.below(10);
  const last = bits - 1;
  if (kind === 0) setFraction(0, 0);
  else if (kind === 1) setFraction(-1, -1);
  else if (kind === 2) setFraction(fractionBit(last, true), fractionBit(last, false));
  else if (kind === 3) setFraction(~fractionBit(last, true), ~fractionBit(last, false));
  else setFraction(random.u32(), random.u32());
  if (kind === 4) {
    // Exactly between two values of a narrower format, or one bit beside that.
    const border = random.pick([23, 52, 10, 31]);
    keepFraction(border);
    fractionHigh |= fractionBit(border, true);
    fractionLow |= fractionBit(border, false);
    if (random.once(3)) fractionLow |= 1 << (64 - bits);
  } else if (kind === 5) keepFraction(1 + random.below(12));
}

/**
 * What the numbers of one case have in common, so that sums and products overflow, underflow or cancel: nothing, all
 * near the largest, all near the smallest, near the square roots of those, or all near one.
 */
export type Theme = 'any' | 'large' | 'small' | 'rootLarge' | 'rootSmall' | 'one';

const THEMES: readonly Theme[] = ['any', 'any', 'any', 'any', 'large', 'small', 'rootLarge', 'rootSmall', 'one', 'one'];

export function randomTheme(random: Random): Theme {
  return random.pick(THEMES);
}

function themeExponent(random: Random, theme: Theme, format: FloatFormat): number {
  const { maximum, bias } = SHAPE[format];
  const near = random.below(4);
  if (theme === 'large') return maximum - 1 - (near & 1);
  if (theme === 'small') return near;
  if (theme === 'rootLarge') return bias + (bias >> 1) + near - 1;
  if (theme === 'rootSmall') return (bias >> 1) + near - 1;
  return bias + near - 2;
}

/** Chooses an exponent field and leaves a fraction behind. */
function randomMagnitude(random: Random, format: FloatFormat, theme: Theme): number {
  const { fraction, maximum, bias } = SHAPE[format];
  const kind = random.below(32);
  randomFraction(random, fraction);
  if (theme !== 'any' && !random.once(4)) return themeExponent(random, theme, format);
  if (kind < 3) {
    setFraction(0, 0);
    return 0;
  }
  if (kind < 6) {
    // Denormal: of any size.
    if (random.once(2)) {
      const zeroes = random.below(fraction);
      if (zeroes >= 32) setFraction(0, fractionHigh >>> (zeroes - 32));
      else if (zeroes > 0)
        setFraction(fractionHigh >>> zeroes, (fractionHigh << (32 - zeroes)) | (fractionLow >>> zeroes));
    }
    return 0;
  }
  if (kind === 6) {
    setFraction(0, 0);
    return maximum;
  }
  if (kind < 10) {
    // NaN, quiet or signalling by its top bit.
    if (fractionHigh >>> 0 === 0) fractionHigh = random.pick([0x40000000, 0x80000000, 0xc0000000]);
    return maximum;
  }
  if (kind < 12) return 1 + random.below(random.once(2) ? 2 : fraction + 3);
  if (kind < 14) return maximum - 1 - random.below(random.once(2) ? 2 : fraction + 3);
  if (kind < 16) {
    setFraction(0, 0);
    return bias + random.below(4);
  }
  if (kind < 20) {
    // Integers and halves.
    const exponent = random.below(random.once(2) ? 6 : 66);
    keepFraction(exponent + random.below(2));
    return bias + exponent;
  }
  if (kind < 24) return bias + random.pick(BORDERS);
  if (kind < 26) return (maximum >> 1) + random.below(fraction + 4) - (fraction >> 1);
  if (kind < 27) return random.below(2) === 0 ? bias >> 1 : bias + (bias >> 1);
  if (kind < 28) return random.u32() & maximum;
  return bias + random.below(9) - 4;
}

/** A floating-point number; 4, 8 or 10 bytes. */
export function writeFloat(random: Random, view: DataView, at: number, format: FloatFormat, theme: Theme): void {
  const exponent = randomMagnitude(random, format, theme);
  const sign = random.u32() >>> 31;
  if (format === 'f32') {
    view.setUint32(at, ((sign << 31) | (exponent << 23) | (fractionHigh >>> 9)) >>> 0, true);
  } else if (format === 'f64') {
    view.setUint32(at, (fractionHigh << 20) | (fractionLow >>> 12), true);
    view.setUint32(at + 4, ((sign << 31) | (exponent << 20) | (fractionHigh >>> 12)) >>> 0, true);
  } else {
    // The integer bit is explicit; the wrong one gives pseudo-denormals, unnormals, pseudo-infinities and pseudo-NaNs.
    let integer = exponent === 0 ? 0 : 1;
    if (random.once(16)) integer ^= 1;
    view.setUint32(at, (fractionHigh << 31) | (fractionLow >>> 1), true);
    view.setUint32(at + 4, ((integer << 31) | (fractionHigh >>> 1)) >>> 0, true);
    view.setUint16(at + 8, (sign << 15) | exponent, true);
  }
}

/** MXCSR: all rounding modes, FTZ, DAZ, sticky flags; exceptions mostly masked. */
export function randomMxcsr(random: Random): number {
  const bits = random.u32();
  const masks = random.once(8) ? (bits >>> 8) & 0x3f : 0x3f;
  const sticky = random.once(2) ? 0 : bits & 0x3f;
  // An exception that is flagged and unmasked may stay flagged: only a new one traps.
  const rounding = random.once(2) ? 0 : (bits >>> 16) & 3;
  const flush = random.once(4) ? 0x8000 : 0;
  const denormals = random.once(4) ? 0x40 : 0;
  return flush | (rounding << 13) | (masks << 7) | denormals | sticky;
}

/** x87 control word: all precisions and roundings; exceptions mostly masked. */
export function randomControl(random: Random): number {
  const masks = random.once(8) ? random.below(64) : 0x3f;
  const precision = random.once(2) ? 3 : random.pick([0, 2, 3]);
  const rounding = random.once(2) ? 0 : random.below(4);
  return 0x40 | masks | (precision << 8) | (rounding << 10);
}

/** x87 status word that fits `control`: ES and B are set when an unmasked exception is pending, which is seldom. */
export function randomStatus(random: Random, control: number): number {
  const bits = random.u32();
  let status = bits & 0x7f00;
  if (random.once(3)) {
    status |= (bits >>> 16) & 0x7f;
    if (!random.once(4)) status &= ~(~control & 0x3f);
    if (!(status & 1)) status &= ~0x40;
  }
  return status & ~control & 0x3f ? status | 0x8080 : status;
}

/** Abridged x87 tag: all in use, one free to push onto, or any. */
export function randomTag(random: Random, top: number): number {
  const kind = random.below(10);
  if (kind < 3) return 0xff;
  if (kind < 7) return 0xff & ~(1 << ((top + 7) & 7));
  if (kind < 9) return random.below(256);
  return 0;
}
