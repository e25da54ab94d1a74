/** Bitwise logic. AF, which the manuals leave undefined, is cleared. */
import type { Value } from '../../ir/node.ts';
import { type Definition, define } from '../definition.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { rowEncodings, width } from './common.ts';

type Operation = (b: InstructionBuilder, x: Value, y: Value) => Value;

function logical(name: string, row: number, operation: Operation): Definition {
  return {
    name,
    encodings: rowEncodings(row, true),
    writes: 'oszpc',
    undefined: 'a',
    semantics(b, dst, src) {
      const x = dst.modify();
      const result = operation(b, x, src.read());
      dst.write(result);
      b.flagsOfLogic(width(dst), result);
    },
  };
}

export const logic = define([
  logical('or', 1, (b, x, y) => b.or(x, y)),
  logical('and', 4, (b, x, y) => b.and(x, y)),
  logical('xor', 6, (b, x, y) => b.xor(x, y)),
  {
    name: 'test',
    encodings: [
      '84 /r Eb,Gb',
      '85 /r Ev,Gv',
      'a8 AL,Ib',
      'a9 rAX,Izs',
      'f6 /0 Eb,Ib',
      'f6 /1 Eb,Ib',
      'f7 /0 Ev,Izs',
      'f7 /1 Ev,Izs',
    ],
    writes: 'oszpc',
    undefined: 'a',
    semantics(b, left, right) {
      const x = left.read();
      b.flagsOfLogic(width(left), b.and(x, right.read()));
    },
  },
  {
    name: 'not',
    encodings: ['f6 /2 lock Eb', 'f7 /2 lock Ev'],
    semantics: (b, dst) => dst.write(b.not(dst.modify())),
  },
]);
