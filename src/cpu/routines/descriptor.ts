/** Segment descriptors inside WebAssembly (SDM vol. 3A 3.4.5): what `cpu/descriptor.ts` does in JavaScript. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { writeField } from '../../isa/fields.ts';
import { ATTRIBUTE } from '../mode.ts';

/** Bits of the high doubleword. */
export const HIGH = {
  accessed: 0x100,
  writable: 0x200,
  conforming: 0x400,
  code: 0x800,
  segment: 0x1000,
  present: 0x8000,
  long: 0x20_0000,
  big: 0x40_0000,
  granular: 0x80_0000,
} as const;

export const dplOf = (b: Builder, high: Value): Value => b.and(b.shrU(high, b.i32(13)), b.i32(3));

/** Not 0 (i32) where the bits of `mask` in `high` are those of `value`. */
export const isExactly = (b: Builder, high: Value, mask: number, value: number): Value =>
  b.eq(b.and(high, b.i32(mask)), b.i32(value));

const LONG_CODE_MASK = HIGH.accessed | HIGH.code | HIGH.segment | HIGH.present | HIGH.long | HIGH.big;
const LONG_CODE = LONG_CODE_MASK & ~HIGH.big;

/** Present 64-bit code that is marked accessed already. */
export const isLongCode = (b: Builder, high: Value): Value => isExactly(b, high, LONG_CODE_MASK, LONG_CODE);

const STACK_MASK = HIGH.accessed | HIGH.writable | HIGH.code | HIGH.segment | HIGH.present;
const STACK = STACK_MASK & ~HIGH.code;

/** Present writable data that is marked accessed already. */
export const isStack = (b: Builder, high: Value): Value => isExactly(b, high, STACK_MASK, STACK);

/** Sets a segment register from a descriptor that has been checked and is marked accessed. */
export function setSegment(b: Builder, cpu: Value, segment: number, selector: Value, low: Value, high: Value): void {
  const middle = b.shl(b.and(high, b.i32(0xff)), b.i32(16));
  const base = b.or(b.or(b.shrU(low, b.i32(16)), middle), b.and(high, b.i32(0xff00_0000)));
  const limit = b.or(b.and(low, b.i32(0xffff)), b.and(high, b.i32(0xf_0000)));
  const pages = b.or(b.shl(limit, b.i32(12)), b.i32(0xfff));
  writeField(b, cpu, 'segmentSelector', selector, segment);
  writeField(b, cpu, 'segmentBase', b.extendU(base), segment);
  writeField(b, cpu, 'segmentLimit', b.select(b.and(high, b.i32(HIGH.granular)), pages, limit), segment);
  writeField(b, cpu, 'segmentAttributes', b.and(b.shrU(high, b.i32(8)), b.i32(0xf0ff)), segment);
}

/** Makes a segment register null. */
export function setNull(b: Builder, cpu: Value, segment: number, selector: Value): void {
  writeField(b, cpu, 'segmentSelector', selector, segment);
  writeField(b, cpu, 'segmentBase', b.i64(0), segment);
  writeField(b, cpu, 'segmentLimit', b.i32(0), segment);
  writeField(b, cpu, 'segmentAttributes', b.i32(ATTRIBUTE.unusable), segment);
}
