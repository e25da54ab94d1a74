/** Decimal adjustment (SDM vol. 2A, AAA to DAS). Not in 64-bit mode. */
import type { Value } from '../../ir/node.ts';
import { define } from '../definition.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { GPR } from '../state.ts';

/** Whether the low digit passes 9 or AF is set: 0 or 1. */
function lowDigitCarries(b: InstructionBuilder, al: Value): Value {
  return b.or(b.gtU(b.and(al, b.i64(15)), b.i64(9)), b.flag('af'));
}

/** DAA and DAS: `subtract` for the latter. */
function adjustPacked(b: InstructionBuilder, subtract: boolean): void {
  const al = b.gpr(GPR.rax, 1);
  const low = lowDigitCarries(b, al);
  const high = b.or(b.gtU(al, b.i64(0x99)), b.flag('cf'));
  const change = b.add(b.select(low, b.i64(6), b.i64(0)), b.select(high, b.i64(0x60), b.i64(0)));
  const result = b.zeroExtend(subtract ? b.sub(al, change) : b.add(al, change), 1);
  // Taking 6 from less than 6 borrows, which DAS keeps.
  const carry = subtract ? b.or(high, b.and(low, b.ltU(al, b.i64(6)))) : high;
  b.setGpr(GPR.rax, result, 1);
  b.setFlags(1, result, carry, b.i32(0), low);
}

/** AAA and AAS: AL's low digit adjusted, AH stepped by `sign`. */
function adjustUnpacked(b: InstructionBuilder, sign: 1 | -1): void {
  const ax = b.gpr(GPR.rax, 2);
  const carry = lowDigitCarries(b, ax);
  const result = b.add(ax, b.select(carry, b.i64(sign * 0x106), b.i64(0)));
  b.setGpr(GPR.rax, b.and(result, b.i64(0xff0f)), 2);
  b.setFlags(1, b.and(result, b.i64(15)), carry, b.i32(0), carry);
}

function splitDigits(b: InstructionBuilder, base: Operand): void {
  const divisor = base.read();
  b.leaveIf(b.eqz(divisor), () => b.raise(0));
  const al = b.gpr(GPR.rax, 1);
  const high = b.op('i64.div_u', al, divisor);
  const low = b.op('i64.rem_u', al, divisor);
  b.setGpr(GPR.rax, b.or(b.shl(high, b.i64(8)), low), 2);
  b.flagsOfLogic(1, low);
}

function joinDigits(b: InstructionBuilder, base: Operand): void {
  const result = b.zeroExtend(b.add(b.gpr(GPR.rax, 1), b.mul(b.gprHigh(0), base.read())), 1);
  b.setGpr(GPR.rax, result, 2);
  b.flagsOfLogic(1, result);
}

export const bcd = define([
  {
    name: 'daa',
    encodings: ['27 i64'],
    reads: 'ac',
    writes: 'szapc',
    undefined: 'o',
    semantics: (b) => adjustPacked(b, false),
  },
  {
    name: 'das',
    encodings: ['2f i64'],
    reads: 'ac',
    writes: 'szapc',
    undefined: 'o',
    semantics: (b) => adjustPacked(b, true),
  },
  {
    name: 'aaa',
    encodings: ['37 i64'],
    reads: 'a',
    writes: 'ac',
    undefined: 'oszp',
    semantics: (b) => adjustUnpacked(b, 1),
  },
  {
    name: 'aas',
    encodings: ['3f i64'],
    reads: 'a',
    writes: 'ac',
    undefined: 'oszp',
    semantics: (b) => adjustUnpacked(b, -1),
  },
  { name: 'aam', encodings: ['d4 i64 Ib'], writes: 'szp', undefined: 'oac', semantics: splitDigits },
  { name: 'aad', encodings: ['d5 i64 Ib'], writes: 'szp', undefined: 'oac', semantics: joinDigits },
]);
