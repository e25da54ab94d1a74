/** Bit tests, bit scans and counts, byte order, CRC. */
import type { Value } from '../../ir/node.ts';
import { type Definition, define } from '../definition.ts';
import { routine } from '../helpers.ts';
import type { Operand, Update, Width } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { ifNonZero, width } from './common.ts';

/** What becomes of the tested bit; BT changes nothing. */
type Change = 'set' | 'reset' | 'complement' | undefined;

/** The update that changes the bit at a position, and its value. */
function changeAt(b: InstructionBuilder, change: Change & string, position: Value): [Update, Value] {
  const mask = b.shl(b.i64(1), position);
  if (change === 'reset') return ['and', b.not(mask)];
  return [change === 'set' ? 'or' : 'xor', mask];
}

const bitIn = (b: InstructionBuilder, value: Value, position: Value): Value =>
  b.wrap(b.and(b.shrU(value, position), b.i64(1)));

function testInPlace(b: InstructionBuilder, dst: Operand, position: Value, change: Change): void {
  const value = change === undefined ? dst.read() : dst.update(...changeAt(b, change, position)).old;
  b.setCarry(bitIn(b, value, position));
}

/** A register offset counts from the operand's address, both ways, in units of the operand's size. */
function testBeyond(b: InstructionBuilder, dst: Operand, index: Value, position: Value, change: Change): void {
  const size = width(dst);
  const log2 = Math.log2(size);
  const unit = b.shrS(b.signExtend(index, size), b.i64(log2 + 3));
  const displacement = b.shl(unit, b.i64(log2));
  if (change === undefined) {
    const value = b.load(dst.linearAt(size, 'read', displacement), size, dst.accessFlags);
    b.setCarry(bitIn(b, value, position));
    return;
  }
  const [update, value] = changeAt(b, change, position);
  const { old } = b.updateAt(dst.linearAt(size, 'write', displacement), size, update, value, dst.accessFlags);
  b.setCarry(bitIn(b, old, position));
}

function bitTest(name: string, opcode: string, extension: number, change: Change): Definition {
  const lock = change ? 'lock ' : '';
  return {
    name,
    encodings: [`0f ${opcode} /r ${lock}Ev,Gv`, `0f ba /${extension} ${lock}Ev,Ib`],
    writes: 'c',
    // OF, SF, AF and PF are undefined by the manuals; processors leave them alone.
    undefined: 'osap',
    semantics(b, dst, src) {
      const index = src.read();
      const position = b.and(index, b.i64(width(dst) * 8 - 1));
      if (dst.kind === 'memory' && src.kind === 'gpr') testBeyond(b, dst, index, position, change);
      else testInPlace(b, dst, position, change);
    },
  };
}

/** BSF and BSR: a source of 0 leaves the whole destination register as it is. */
function scan(name: string, opcode: string, find: (b: InstructionBuilder, value: Value) => Value): Definition {
  return {
    name,
    encodings: [`0f ${opcode} /r Gv,Ev`],
    writes: 'z',
    undefined: 'osapc',
    semantics(b, dst, src) {
      const value = src.read();
      ifNonZero(b, value, () => dst.write(find(b, value)));
      b.flagsOfLogic(width(dst), value);
    },
  };
}

/** LZCNT and TZCNT: a source of 0 gives the number of bits, and CF. */
function count(
  name: string,
  opcode: string,
  feature: string,
  find: (b: InstructionBuilder, value: Value, size: Width) => Value,
): Definition {
  return {
    name,
    encodings: [`f3 0f ${opcode} /r Gv,Ev`],
    feature,
    writes: 'zc',
    undefined: 'osap',
    semantics(b, dst, src) {
      const value = src.read();
      const result = find(b, value, width(dst));
      dst.write(result);
      b.setFlags(8, result, b.eqz(value), b.i32(0));
    },
  };
}

/** Reverses the bytes of the low `size` bytes. */
function reverseBytes(b: InstructionBuilder, value: Value, size: Width): Value {
  const swap = (v: Value, bits: number, mask: bigint) =>
    b.or(b.shl(b.and(v, b.i64(mask)), b.i64(bits)), b.and(b.shrU(v, b.i64(bits)), b.i64(mask)));
  const pairs = swap(value, 8, 0x00ff_00ff_00ff_00ffn);
  if (size === 2) return pairs;
  const quads = swap(pairs, 16, 0x0000_ffff_0000_ffffn);
  return size === 4 ? quads : b.rotl(quads, b.i64(32));
}

/** CRC-32C polynomial (Castagnoli), bits reflected. */
const POLYNOMIAL = 0x82f63b78n;

const crc32 = routine('crc32', ['i64', 'i64', 'i32'], 'i64', (b, _cpu, crc, data, bits) => {
  const rest = b.variable('i64', b.xor(crc, data));
  const left = b.variable('i32', bits);
  b.loop((again) => {
    const value = b.get(rest);
    const taken = b.and(b.neg(b.and(value, b.i64(1))), b.i64(POLYNOMIAL));
    b.set(rest, b.xor(b.shrU(value, b.i64(1)), taken));
    const remaining = b.sub(b.get(left), b.i32(1));
    b.set(left, remaining);
    b.branchIf(again, remaining);
  });
  b.return(b.get(rest));
});

export const bitHelpers = [crc32];

export const bit = define([
  bitTest('bt', 'a3', 4, undefined),
  bitTest('bts', 'ab', 5, 'set'),
  bitTest('btr', 'b3', 6, 'reset'),
  bitTest('btc', 'bb', 7, 'complement'),
  scan('bsf', 'bc', (b, value) => b.ctz(value)),
  scan('bsr', 'bd', (b, value) => b.sub(b.i64(63), b.clz(value))),
  count('tzcnt', 'bc', 'bmi1', (b, value, size) =>
    b.ctz(size === 8 ? value : b.or(value, b.i64(1n << BigInt(size * 8)))),
  ),
  count('lzcnt', 'bd', 'lzcnt', (b, value, size) => b.sub(b.clz(value), b.i64(64 - size * 8))),
  {
    name: 'popcnt',
    encodings: ['f3 0f b8 /r Gv,Ev'],
    feature: 'popcnt',
    writes: 'oszapc',
    semantics(b, dst, src) {
      const value = src.read();
      dst.write(b.popcnt(value));
      // All but ZF are cleared, PF too.
      b.setStatusFlags(b.shl(b.eqz(value), b.i32(6)));
    },
  },
  {
    name: 'bswap',
    encodings: ['0f c8+r Zv'],
    semantics(b, dst) {
      const size = width(dst);
      // A 16-bit form is undefined; processors clear the register's low half.
      dst.write(size === 2 ? b.i64(0) : reverseBytes(b, dst.read(), size));
    },
  },
  {
    name: 'movbe',
    encodings: ['0f 38 f0 /r Gv,Mv', '0f 38 f1 /r Mv,Gv'],
    feature: 'movbe',
    semantics: (b, dst, src) => dst.write(reverseBytes(b, src.read(), width(dst))),
  },
  {
    name: 'crc32',
    encodings: ['f2 0f 38 f0 /r Gy,Eb', 'f2 0f 38 f1 /r Gy,Ev'],
    feature: 'sse4.2',
    semantics(b, dst, src) {
      const data = src.read();
      dst.write(b.helper('crc32', b.zeroExtend(dst.read(), 4), data, b.i32(width(src) * 8)));
    },
  },
]);
