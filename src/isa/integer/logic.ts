/** Bitwise logic. AF, which the manuals leave undefined, is cleared. */
import { type Definition, define } from '../definition.ts';
import type { Update } from '../operand.ts';
import { rowEncodings, width } from './common.ts';

function logical(name: Update, row: number): Definition {
  return {
    name,
    encodings: rowEncodings(row, true),
    writes: 'oszpc',
    undefined: 'a',
    semantics(b, dst, src) {
      b.flagsOfLogic(width(dst), dst.update(name, src.read()).result);
    },
  };
}

export const logic = define([
  logical('or', 1),
  logical('and', 4),
  logical('xor', 6),
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
    semantics: (b, dst) => void dst.update('xor', b.i64(-1)),
  },
]);
