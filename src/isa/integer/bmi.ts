/** BMI1, BMI2 and ADX. The VEX forms take their size from VEX.W in 64-bit mode; elsewhere VEX.W is ignored. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { type Definition, define } from '../definition.ts';
import { routine } from '../helpers.ts';
import type { Width } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { GPR } from '../state.ts';
import { multiplyHighU, topBit, width } from './common.ts';

/** The low `count` bits set; `count` (i64) from 0 to 63. */
const lowMask = (b: InstructionBuilder, count: Value): Value => b.sub(b.shl(b.i64(1), count), b.i64(1));

/** BLSI, BLSMSK, BLSR. `carry` is i32. */
function lowestBit(
  name: string,
  extension: number,
  operation: (b: InstructionBuilder, x: Value) => Value,
  carry: (b: InstructionBuilder, x: Value) => Value,
): Definition {
  return {
    name,
    encodings: [`vex.np.0f38 f3 /${extension} By,Ey`],
    feature: 'bmi1',
    writes: 'oszc',
    undefined: 'ap',
    semantics(b, dst, src) {
      const x = src.read();
      const result = operation(b, x);
      dst.write(result);
      b.setFlags(width(dst), result, carry(b, x), b.i32(0));
    },
  };
}

/** SARX, SHLX, SHRX: no flags. */
function shiftX(
  name: string,
  prefix: string,
  operation: (b: InstructionBuilder, x: Value, count: Value, size: Width) => Value,
): Definition {
  return {
    name,
    encodings: [`vex.${prefix}.0f38 f7 /r Gy,Ey,By`],
    feature: 'bmi2',
    semantics(b, dst, src, source) {
      const size = width(dst);
      const x = src.read();
      dst.write(operation(b, x, b.and(source.read(), b.i64(size * 8 - 1)), size));
    },
  };
}

/** Walks the set bits of `mask`, lowest first, with `position` counting up from a mask of 1. */
function eachBit(b: Builder, mask: Value, visit: (lowest: Value, position: Value) => void): void {
  const rest = b.variable('i64', mask);
  const position = b.variable('i64', b.i64(1));
  b.block((end) => {
    b.loop((again) => {
      const value = b.get(rest);
      b.branchIf(end, b.eqz(value));
      const place = b.get(position);
      visit(b.and(value, b.neg(value)), place);
      b.set(rest, b.and(value, b.sub(value, b.i64(1))));
      b.set(position, b.shl(place, b.i64(1)));
      b.branch(again);
    });
  });
}

/** Scatters (PDEP) or gathers (PEXT) bits: copies `from` bits of the source to `to` bits of the result. */
function bitMover(name: string, deposit: boolean) {
  return routine(name, ['i64', 'i64'], 'i64', (b, _cpu, source, mask) => {
    const result = b.variable('i64', b.i64(0));
    eachBit(b, mask, (lowest, position) => {
      const [from, to] = deposit ? [position, lowest] : [lowest, position];
      const set = b.ne(b.and(source, from), b.i64(0));
      b.set(result, b.or(b.get(result), b.select(set, to, b.i64(0))));
    });
    b.return(b.get(result));
  });
}

export const bmiHelpers = [bitMover('depositBits', true), bitMover('extractBits', false)];

function moveBits(name: string, prefix: string, helper: string): Definition {
  return {
    name,
    encodings: [`vex.${prefix}.0f38 f5 /r Gy,By,Ey`],
    feature: 'bmi2',
    semantics(b, dst, src, mask) {
      const places = mask.read();
      dst.write(b.helper(helper, src.read(), places));
    },
  };
}

/** ADCX and ADOX: an addition whose carry chain goes through one flag. */
function addWith(name: string, prefix: string, flag: 'cf' | 'of'): Definition {
  return {
    name,
    encodings: [`${prefix} 0f 38 f6 /r Gy,Ey`],
    feature: 'adx',
    reads: flag[0] as string,
    writes: flag[0] as string,
    semantics(b, dst, src) {
      const size = width(dst);
      const y = src.read();
      const x = dst.read();
      const result = b.add(b.add(x, y), b.extendU(b.flag(flag)));
      const carry = topBit(b, b.or(b.and(x, y), b.and(b.or(x, y), b.not(result))), size);
      const other = flag === 'of' ? b.flag('cf') : undefined;
      dst.write(result);
      if (other === undefined) b.setCarry(carry);
      else b.setCarryOverflow(other, carry);
    },
  };
}

export const bmi = define([
  {
    name: 'andn',
    encodings: ['vex.np.0f38 f2 /r Gy,By,Ey'],
    feature: 'bmi1',
    writes: 'oszc',
    undefined: 'ap',
    semantics(b, dst, inverted, src) {
      const y = src.read();
      const result = b.and(b.not(inverted.read()), y);
      dst.write(result);
      b.flagsOfLogic(width(dst), result);
    },
  },
  {
    name: 'bextr',
    encodings: ['vex.np.0f38 f7 /r Gy,Ey,By'],
    feature: 'bmi1',
    writes: 'ozc',
    undefined: 'sap',
    semantics(b, dst, src, control) {
      const x = src.read();
      const bits = control.read();
      const start = b.and(bits, b.i64(0xff));
      const length = b.and(b.shrU(bits, b.i64(8)), b.i64(0xff));
      const limit = b.i64(64);
      const moved = b.select(b.ltU(start, limit), b.shrU(x, start), b.i64(0));
      const result = b.select(b.ltU(length, limit), b.and(moved, lowMask(b, length)), moved);
      dst.write(result);
      b.flagsOfLogic(width(dst), result);
    },
  },
  lowestBit(
    'blsr',
    1,
    (b, x) => b.and(b.sub(x, b.i64(1)), x),
    (b, x) => b.eqz(x),
  ),
  lowestBit(
    'blsmsk',
    2,
    (b, x) => b.xor(b.sub(x, b.i64(1)), x),
    (b, x) => b.eqz(x),
  ),
  lowestBit(
    'blsi',
    3,
    (b, x) => b.and(b.neg(x), x),
    (b, x) => b.ne(x, b.i64(0)),
  ),
  {
    name: 'bzhi',
    encodings: ['vex.np.0f38 f5 /r Gy,Ey,By'],
    feature: 'bmi2',
    writes: 'oszc',
    undefined: 'ap',
    semantics(b, dst, src, index) {
      const size = width(dst);
      const x = src.read();
      const count = b.and(index.read(), b.i64(0xff));
      const inside = b.ltU(count, b.i64(size * 8));
      const result = b.select(inside, b.and(x, lowMask(b, count)), x);
      dst.write(result);
      b.setFlags(size, result, b.eqz(inside), b.i32(0));
    },
  },
  moveBits('pdep', 'f2', 'depositBits'),
  moveBits('pext', 'f3', 'extractBits'),
  {
    name: 'rorx',
    encodings: ['vex.f2.0f3a f0 /r Gy,Ey,Ib'],
    feature: 'bmi2',
    semantics(b, dst, src, source) {
      const x = src.read();
      const count = source.read();
      dst.write(width(dst) === 8 ? b.rotr(x, count) : b.extendU(b.rotr(b.wrap(x), b.wrap(count))));
    },
  },
  shiftX('sarx', 'f3', (b, x, count, size) => b.shrS(b.signExtend(x, size), count)),
  shiftX('shlx', '66', (b, x, count) => b.shl(x, count)),
  shiftX('shrx', 'f2', (b, x, count) => b.shrU(x, count)),
  {
    name: 'mulx',
    encodings: ['vex.f2.0f38 f6 /r Gy,By,Ey'],
    feature: 'bmi2',
    semantics(b, high, low, src) {
      const size = width(src);
      const y = src.read();
      const x = b.gpr(GPR.rdx, size);
      const product = b.mul(x, y);
      const upper = size === 8 ? multiplyHighU(b, x, y) : b.shrU(product, b.i64(32));
      // The high half last: it stays where both name one register.
      low.write(product);
      high.write(upper);
    },
  },
  addWith('adcx', '66', 'cf'),
  addWith('adox', 'f3', 'of'),
]);
