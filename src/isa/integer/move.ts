/** Moves, conversions, conditional moves and sets, LEA. */
import type { Value } from '../../ir/node.ts';
import { type Definition, define } from '../definition.ts';
import { CONDITIONS } from '../flag-builder.ts';
import type { Width } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { EFLAGS, GPR } from '../state.ts';
import { conditionFlags, hex, width } from './common.ts';

/** SF, ZF, AF, PF and CF: what LAHF and SAHF carry. */
const LOW_FLAGS = EFLAGS.sf | EFLAGS.zf | EFLAGS.af | EFLAGS.pf | EFLAGS.cf;

/** CBW and its like: the accumulator sign-extended from half of `size`. */
function extendAccumulator(name: string, size: Width): Definition {
  const half = (size / 2) as Width;
  return {
    name,
    encodings: [`98 os${size * 8}`],
    semantics: (b) => b.setGpr(GPR.rax, b.signExtend(b.gpr(GPR.rax, half), half), size),
  };
}

/** CWD and its like: rDX filled with the sign of rAX. */
function extendIntoD(name: string, size: Width): Definition {
  return {
    name,
    encodings: [`99 os${size * 8}`],
    semantics: (b) => b.setGpr(GPR.rdx, b.shrS(b.signExtend(b.gpr(GPR.rax, size), size), b.i64(63)), size),
  };
}

function moveIf(name: string, code: number): Definition {
  return {
    name: `cmov${name}`,
    encodings: [`0f ${hex(0x40 + code)} /r Gv,Ev`],
    reads: conditionFlags(code),
    semantics(b, dst, src) {
      // The source is read, and a 32-bit destination loses its upper half, whatever the condition.
      const value = src.read();
      dst.write(b.select(b.condition(code), value, dst.read()));
    },
  };
}

function setIf(name: string, code: number): Definition {
  return {
    name: `set${name}`,
    encodings: [`0f ${hex(0x90 + code)} /r Eb`],
    reads: conditionFlags(code),
    semantics: (b, dst) => dst.write(b.extendU(b.ne(b.condition(code), b.i32(0)))),
  };
}

/** AL from the table at rBX. */
function translateByte(b: InstructionBuilder): void {
  const offset: Value = b.add(b.gpr(GPR.rbx, b.addressSize), b.gpr(GPR.rax, 1));
  const linear = b.linear(b.dataSegment, b.zeroExtend(offset, b.addressSize), 1, 'read');
  b.setGpr(GPR.rax, b.load(linear, 1), 1);
}

export const move = define([
  {
    name: 'mov',
    encodings: [
      '88 /r Eb,Gb',
      '89 /r Ev,Gv',
      '8a /r Gb,Eb',
      '8b /r Gv,Ev',
      'a0 AL,Ob',
      'a1 rAX,Ov',
      'a2 Ob,AL',
      'a3 Ov,rAX',
      'b0+r Zb,Ib',
      'b8+r Zv,Iv',
      'c6 /0 Eb,Ib',
      'c7 /0 Ev,Izs',
    ],
    semantics: (_b, dst, src) => dst.write(src.read()),
  },
  {
    name: 'movzx',
    encodings: ['0f b6 /r Gv,Eb', '0f b7 /r Gv,Ew'],
    semantics: (_b, dst, src) => dst.write(src.read()),
  },
  {
    name: 'movsx',
    encodings: ['0f be /r Gv,Eb', '0f bf /r Gv,Ew'],
    semantics: (b, dst, src) => dst.write(b.signExtend(src.read(), width(src))),
  },
  {
    name: 'movsxd',
    encodings: ['63 /r o64 Gv,Ez'],
    semantics: (b, dst, src) => dst.write(b.signExtend(src.read(), width(src))),
  },
  { name: 'lea', encodings: ['8d /r Gv,M'], semantics: (_b, dst, src) => dst.write(src.address()) },
  extendAccumulator('cbw', 2),
  extendAccumulator('cwde', 4),
  extendAccumulator('cdqe', 8),
  extendIntoD('cwd', 2),
  extendIntoD('cdq', 4),
  extendIntoD('cqo', 8),
  { name: 'xlatb', encodings: ['d7'], semantics: translateByte },
  {
    name: 'lahf',
    encodings: ['9f'],
    reads: 'szapc',
    semantics(b) {
      const low = b.and(b.statusFlags(), b.i32(LOW_FLAGS));
      b.setGprHigh(0, b.extendU(b.or(low, b.i32(2))));
    },
  },
  {
    name: 'sahf',
    encodings: ['9e'],
    writes: 'szapc',
    semantics(b) {
      const low = b.and(b.wrap(b.gprHigh(0)), b.i32(LOW_FLAGS));
      b.setStatusFlags(b.or(low, b.shl(b.flag('of'), b.i32(11))));
    },
  },
  ...CONDITIONS.map(moveIf),
  ...CONDITIONS.map(setIf),
]);
