/** Near jumps, calls and returns, loops. In 64-bit mode an operand-size prefix does not shorten their targets. */
import type { Value } from '../../ir/node.ts';
import { type Definition, define } from '../definition.ts';
import { CONDITIONS } from '../flag-builder.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { GPR } from '../state.ts';
import { conditionFlags, hex } from './common.ts';

/**
 * Raises #GP where a relative target lies outside the code segment. In 64-bit mode there is no limit, and a target that
 * is not canonical is met when it is fetched.
 */
function checkRelative(b: InstructionBuilder, target: Operand): void {
  if (b.mode.codeSize !== 8) b.checkTarget(b.target(target));
}

function branchIf(b: InstructionBuilder, target: Operand, condition: Value): void {
  if (b.mode.codeSize !== 8) b.if(condition, () => checkRelative(b, target));
  b.branchTo(target, condition);
}

function jumpIf(name: string, code: number): Definition {
  return {
    name: `j${name}`,
    encodings: [`${hex(0x70 + code)} f64 Jb`, `0f ${hex(0x80 + code)} f64 Jz`],
    reads: conditionFlags(code),
    ends: true,
    semantics: (b, target) => branchIf(b, target, b.condition(code)),
  };
}

/** LOOP and its conditional forms: `also` is a further condition. */
function loop(name: string, opcode: string, reads: string, also?: (b: InstructionBuilder) => Value): Definition {
  return {
    name,
    encodings: [`${opcode} f64 Jb`],
    reads,
    ends: true,
    semantics(b, target) {
      const size = b.addressSize;
      const count = b.zeroExtend(b.sub(b.gpr(GPR.rcx, size), b.i64(1)), size);
      const more = b.ne(count, b.i64(0));
      const condition = also === undefined ? more : b.and(more, also(b));
      if (b.mode.codeSize !== 8) b.if(condition, () => checkRelative(b, target));
      b.setGpr(GPR.rcx, count, size);
      b.branchTo(target, condition);
    },
  };
}

function jumpIfCountZero(name: string, bits: 16 | 32 | 64): Definition {
  return {
    name,
    encodings: [`e3 f64 as${bits} Jb`],
    ends: true,
    semantics: (b, target) => branchIf(b, target, b.eqz(b.gpr(GPR.rcx, b.addressSize))),
  };
}

function returnNear(b: InstructionBuilder, extra?: Operand): void {
  const size = b.operandSize;
  const ip = b.peek(size);
  b.checkTarget(ip);
  b.drop(extra === undefined ? size : b.add(extra.read(), b.i64(size)));
  b.jump(ip);
}

export const branch = define([
  {
    name: 'jmp',
    encodings: ['eb f64 Jb', 'e9 f64 Jz'],
    ends: true,
    semantics(b, target) {
      checkRelative(b, target);
      b.branchTo(target);
    },
  },
  {
    name: 'jmp',
    encodings: ['ff /4 f64 Ev'],
    ends: true,
    semantics(b, target) {
      const ip = target.read();
      b.checkTarget(ip);
      b.jump(ip);
    },
  },
  ...CONDITIONS.map(jumpIf),
  {
    name: 'call',
    encodings: ['e8 f64 Jz'],
    ends: true,
    uses: ['stack'],
    semantics(b, target) {
      checkRelative(b, target);
      b.push(b.nextIp(), b.operandSize);
      b.branchTo(target);
    },
  },
  {
    name: 'call',
    encodings: ['ff /2 f64 Ev'],
    ends: true,
    uses: ['stack'],
    semantics(b, target) {
      const ip = target.read();
      b.checkTarget(ip);
      b.push(b.nextIp(), b.operandSize);
      b.jump(ip);
    },
  },
  { name: 'ret', encodings: ['c3 f64'], ends: true, uses: ['stack'], semantics: (b) => returnNear(b) },
  { name: 'ret', encodings: ['c2 f64 Iw'], ends: true, uses: ['stack'], semantics: returnNear },
  loop('loopne', 'e0', 'z', (b) => b.eqz(b.flag('zf'))),
  loop('loope', 'e1', 'z', (b) => b.flag('zf')),
  loop('loop', 'e2', ''),
  jumpIfCountZero('jcxz', 16),
  jumpIfCountZero('jecxz', 32),
  jumpIfCountZero('jrcxz', 64),
]);
