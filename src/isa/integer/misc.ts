/** BOUND, SALC and random numbers. */
import { type Definition, define } from '../definition.ts';
import { helper } from '../helpers.ts';
import { EFLAGS, GPR, VECTOR } from '../state.ts';
import { width } from './common.ts';

/** 64 random bits from the host. */
const random = helper('random', [], 'i64');

export const miscHelpers = [random];

/** RDRAND and RDSEED: the host always has a number ready. */
function randomNumber(name: string, extension: number): Definition {
  return {
    name,
    encodings: [`0f c7 /${extension} Rv`],
    feature: name,
    writes: 'oszapc',
    unrecorded: true,
    semantics(b, dst) {
      dst.write(b.helper('random'));
      b.setStatusFlags(b.i32(EFLAGS.cf));
    },
  };
}

export const misc = define([
  {
    name: 'bound',
    encodings: ['62 /r i64 Gv,Ma'],
    semantics(b, index, bounds) {
      const size = width(index);
      const at = (offset: number) =>
        b.signExtend(b.load(bounds.linear(size, 'read', offset), size, bounds.accessFlags), size);
      const [lower, upper] = [at(0), at(size)];
      const value = b.signExtend(index.read(), size);
      b.leaveIf(b.or(b.ltS(value, lower), b.gtS(value, upper)), () => b.raise(VECTOR.br));
    },
  },
  {
    name: 'salc',
    encodings: ['d6 i64'],
    reads: 'c',
    semantics: (b) => b.setGpr(GPR.rax, b.neg(b.extendU(b.flag('cf'))), 1),
  },
  randomNumber('rdrand', 6),
  randomNumber('rdseed', 7),
]);
