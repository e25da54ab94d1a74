/** RFLAGS as one number inside WebAssembly: what `cpu/flags.ts` does in JavaScript. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { readField, writeField } from '../../isa/fields.ts';
import { type Helper, routine } from '../../isa/helpers.ts';
import { EFLAGS, STATUS_FLAGS } from '../../isa/state.ts';
import { FLAGS_MASK } from '../flags.ts';

const SYSTEM_FLAGS = FLAGS_MASK & ~STATUS_FLAGS;

/** Bit `from` (0–63) of an i64, moved to the place of `flag` in an i32. */
function flagAt(b: Builder, value: Value, from: number, flag: number): Value {
  const bit = b.and(b.wrap(b.shrU(value, b.i64(from))), b.i32(1));
  return b.shl(bit, b.i32(Math.log2(flag)));
}

/** (cpu) -> every flag, RF and VM included, and bit 1. */
const readFlags = routine('readFlags', [], 'i32', (b, cpu) => {
  const aux = b.variable('i64', readField(b, cpu, 'flagAux'));
  const result = b.variable('i64', readField(b, cpu, 'flagResult'));
  const a = () => b.get(aux);
  const r = () => b.get(result);
  const carry = b.or(flagAt(b, a(), 63, EFLAGS.cf), flagAt(b, b.xor(a(), b.shl(a(), b.i64(1))), 63, EFLAGS.of));
  const sign = b.xor(flagAt(b, r(), 63, EFLAGS.sf), flagAt(b, a(), 0, EFLAGS.sf));
  const odd = b.and(b.popcnt(b.and(b.wrap(b.xor(r(), b.shrU(a(), b.i64(8)))), b.i32(0xff))), b.i32(1));
  const parity = b.shl(b.eqz(odd), b.i32(2));
  const zero = b.shl(b.eqz(r()), b.i32(6));
  const status = b.or(b.or(carry, sign), b.or(b.or(parity, zero), flagAt(b, a(), 3, EFLAGS.af)));
  b.return(b.or(b.or(status, b.and(readField(b, cpu, 'eflags'), b.i32(SYSTEM_FLAGS))), b.i32(2)));
});

/** Replaces every flag; bits that do not exist are dropped. (cpu, flags) */
const writeFlags = routine('writeFlags', ['i32'], undefined, (b, cpu, flags) => {
  const bit = (flag: number) => b.and(b.extendU(b.shrU(flags, b.i32(Math.log2(flag)))), b.i64(1));
  const cf = bit(EFLAGS.cf);
  const carries = b.or(b.shl(cf, b.i64(63)), b.shl(b.xor(cf, bit(EFLAGS.of)), b.i64(62)));
  const notParity = b.shl(b.xor(bit(EFLAGS.pf), b.i64(1)), b.i64(8));
  const rest = b.or(b.or(b.shl(bit(EFLAGS.af), b.i64(3)), bit(EFLAGS.sf)), notParity);
  writeField(b, cpu, 'flagAux', b.or(carries, rest));
  writeField(b, cpu, 'flagResult', b.select(b.and(flags, b.i32(EFLAGS.zf)), b.i64(0), b.i64(0x100)));
  writeField(b, cpu, 'eflags', b.and(flags, b.i32(SYSTEM_FLAGS)));
});

export const flagRoutines: readonly Helper[] = [readFlags, writeFlags];
