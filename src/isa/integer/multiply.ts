/** Multiplication and division. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { define } from '../definition.ts';
import { routine } from '../helpers.ts';
import type { Operand, Width } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { GPR } from '../state.ts';
import { multiplyHighS, multiplyHighU, width } from './common.ts';

/** Writes a double-width product of operands below 8 bytes: AX, DX:AX or EDX:EAX. */
function setProduct(b: InstructionBuilder, size: Width, product: Value): void {
  if (size === 1) {
    b.setGpr(GPR.rax, product, 2);
    return;
  }
  b.setGpr(GPR.rax, product, size);
  b.setGpr(GPR.rdx, b.shrU(product, b.i64(size * 8)), size);
}

/** CF and OF of a product; the flags that the manuals leave undefined follow its low half. */
function productFlags(b: InstructionBuilder, size: Width, low: Value, overflow: Value): void {
  b.setFlags(size, low, overflow, overflow);
}

function multiplyUnsigned(b: InstructionBuilder, src: Operand): void {
  const size = width(src);
  const x = b.gpr(GPR.rax, size);
  const y = src.read();
  const low = b.mul(x, y);
  if (size < 8) {
    setProduct(b, size, low);
    productFlags(b, size, low, b.ne(b.shrU(low, b.i64(size * 8)), b.i64(0)));
    return;
  }
  const high = multiplyHighU(b, x, y);
  b.setGpr(GPR.rax, low);
  b.setGpr(GPR.rdx, high);
  productFlags(b, size, low, b.ne(high, b.i64(0)));
}

/** Low half (below 8 bytes: all) of a signed product, and whether it does not fit `size` bytes. */
function signedProduct(b: InstructionBuilder, size: Width, x: Value, y: Value): { low: Value; overflow: Value } {
  const [sx, sy] = [b.signExtend(x, size), b.signExtend(y, size)];
  const low = b.mul(sx, sy);
  if (size < 8) return { low, overflow: b.ne(low, b.signExtend(low, size)) };
  return { low, overflow: b.ne(multiplyHighS(b, sx, sy), b.shrS(low, b.i64(63))) };
}

function multiplySigned(b: InstructionBuilder, src: Operand): void {
  const size = width(src);
  const x = b.gpr(GPR.rax, size);
  const y = src.read();
  const { low, overflow } = signedProduct(b, size, x, y);
  if (size < 8) setProduct(b, size, low);
  else {
    b.setGpr(GPR.rax, low);
    b.setGpr(GPR.rdx, multiplyHighS(b, x, y));
  }
  productFlags(b, size, low, overflow);
}

function multiplyInto(b: InstructionBuilder, dst: Operand, left: Operand, right: Operand): void {
  const size = width(dst);
  const { low, overflow } = signedProduct(b, size, left.read(), right.read());
  dst.write(low);
  productFlags(b, size, low, overflow);
}

/** The dividend of a division by less than 8 bytes, zero-extended: AX, DX:AX or EDX:EAX. */
function dividend(b: InstructionBuilder, size: Width): Value {
  if (size === 1) return b.gpr(GPR.rax, 2);
  return b.or(b.shl(b.gpr(GPR.rdx, size), b.i64(size * 8)), b.gpr(GPR.rax, size));
}

function setQuotient(b: InstructionBuilder, size: Width, quotient: Value, remainder: Value): void {
  if (size === 1) {
    const low = b.zeroExtend(quotient, 1);
    b.setGpr(GPR.rax, b.or(low, b.shl(remainder, b.i64(8))), 2);
    return;
  }
  b.setGpr(GPR.rax, quotient, size);
  b.setGpr(GPR.rdx, remainder, size);
}

function divideError(b: InstructionBuilder, condition: Value): void {
  b.leaveIf(condition, () => b.raise(0));
}

function divideUnsigned(b: InstructionBuilder, src: Operand): void {
  const size = width(src);
  const divisor = src.read();
  if (size === 8) {
    const [low, high] = [b.gpr(GPR.rax), b.gpr(GPR.rdx)];
    // Covers a divisor of 0.
    divideError(b, b.geU(high, divisor));
    const quotient = b.helper('divide128', high, low, divisor);
    setQuotient(b, size, quotient, b.sub(low, b.mul(quotient, divisor)));
    return;
  }
  const value = dividend(b, size);
  divideError(b, b.eqz(divisor));
  const quotient = b.op('i64.div_u', value, divisor);
  divideError(b, b.ne(b.shrU(quotient, b.i64(size * 8)), b.i64(0)));
  setQuotient(b, size, quotient, b.op('i64.rem_u', value, divisor));
}

function divideSigned(b: InstructionBuilder, src: Operand): void {
  const size = width(src);
  const divisor = b.signExtend(src.read(), size);
  if (size === 8) {
    divideSigned128(b, divisor);
    return;
  }
  const value = b.signExtend(dividend(b, size), size === 1 ? 2 : size * 2);
  const least = b.and(b.eq(value, b.i64(-(1n << 63n))), b.eq(divisor, b.i64(-1)));
  divideError(b, b.or(b.eqz(divisor), least));
  const quotient = b.op('i64.div_s', value, divisor);
  divideError(b, b.ne(quotient, b.signExtend(quotient, size)));
  setQuotient(b, size, quotient, b.op('i64.rem_s', value, divisor));
}

/** RDX:RAX by a signed 64-bit divisor, through the division of magnitudes. */
function divideSigned128(b: InstructionBuilder, divisor: Value): void {
  const [low, high] = [b.gpr(GPR.rax), b.gpr(GPR.rdx)];
  const zero = b.i64(0);
  const negative = b.ltS(high, zero);
  const magnitudeLow = b.select(negative, b.neg(low), low);
  const negatedHigh = b.add(b.not(high), b.extendU(b.eqz(low)));
  const magnitudeHigh = b.select(negative, negatedHigh, high);
  const magnitude = b.select(b.ltS(divisor, zero), b.neg(divisor), divisor);
  divideError(b, b.geU(magnitudeHigh, magnitude));
  const unsigned = b.helper('divide128', magnitudeHigh, magnitudeLow, magnitude);
  const opposite = b.ltS(b.xor(high, divisor), zero);
  // 2^63 fits only as a negative quotient.
  divideError(b, b.gtU(unsigned, b.add(b.i64((1n << 63n) - 1n), b.extendU(opposite))));
  const quotient = b.select(opposite, b.neg(unsigned), unsigned);
  setQuotient(b, 8, quotient, b.sub(low, b.mul(quotient, divisor)));
}

/** One 32-bit digit of a quotient: (high * 2^32 + next) / (d1 * 2^32 + d0), with d1 at least 2^31 (Knuth 4.3.1 D). */
function digit(b: Builder, high: Value, next: Value, d1: Value, d0: Value): Value {
  const first = b.op('i64.div_u', high, d1);
  const quotient = b.variable('i64', first);
  const rest = b.variable('i64', b.sub(high, b.mul(first, d1)));
  const most = b.i64(0xffff_ffff);
  for (let correction = 0; correction < 2; correction++) {
    const [q, r] = [b.get(quotient), b.get(rest)];
    const product = b.gtU(b.mul(q, d0), b.or(b.shl(r, b.i64(32)), next));
    b.if(b.and(b.leU(r, most), b.or(b.gtU(q, most), product)), () => {
      b.set(quotient, b.sub(q, b.i64(1)));
      b.set(rest, b.add(r, d1));
    });
  }
  return b.get(quotient);
}

/** Quotient of the unsigned 128-bit `high`:`low` by `divisor`, which is more than `high`. */
const divide128 = routine('divide128', ['i64', 'i64', 'i64'], 'i64', (b, _cpu, high, low, divisor) => {
  b.if(b.eqz(high), () => b.return(b.op('i64.div_u', low, divisor)));
  const shift = b.clz(divisor);
  const d = b.shl(divisor, shift);
  const [d1, d0] = [b.shrU(d, b.i64(32)), b.and(d, b.i64(0xffff_ffff))];
  const carried = b.shrU(b.shrU(low, b.i64(1)), b.sub(b.i64(63), shift));
  const top = b.or(b.shl(high, shift), carried);
  const rest = b.shl(low, shift);
  const [n1, n0] = [b.shrU(rest, b.i64(32)), b.and(rest, b.i64(0xffff_ffff))];
  const q1 = digit(b, top, n1, d1, d0);
  const middle = b.sub(b.or(b.shl(top, b.i64(32)), n1), b.mul(q1, d));
  const q0 = digit(b, middle, n0, d1, d0);
  b.return(b.or(b.shl(q1, b.i64(32)), q0));
});

export const multiplyHelpers = [divide128];

export const multiply = define([
  {
    name: 'mul',
    encodings: ['f6 /4 Eb', 'f7 /4 Ev'],
    writes: 'oc',
    undefined: 'szap',
    semantics: multiplyUnsigned,
  },
  {
    name: 'imul',
    encodings: ['f6 /5 Eb', 'f7 /5 Ev'],
    writes: 'oc',
    undefined: 'szap',
    semantics: multiplySigned,
  },
  {
    name: 'imul',
    encodings: ['0f af /r Gv,Ev'],
    writes: 'oc',
    undefined: 'szap',
    semantics: (b, dst, src) => multiplyInto(b, dst, dst, src),
  },
  {
    name: 'imul',
    encodings: ['69 /r Gv,Ev,Izs', '6b /r Gv,Ev,Ibs'],
    writes: 'oc',
    undefined: 'szap',
    semantics: multiplyInto,
  },
  { name: 'div', encodings: ['f6 /6 Eb', 'f7 /6 Ev'], undefined: 'oszapc', semantics: divideUnsigned },
  { name: 'idiv', encodings: ['f6 /7 Eb', 'f7 /7 Ev'], undefined: 'oszapc', semantics: divideSigned },
]);
