/** Loads, stores and moves between stack registers. */
import type { Value } from '../../ir/node.ts';
import { type Definition, define, type Semantics } from '../definition.ts';
import type { Helper } from '../helpers.ts';
import { probeWrite } from '../integer/common.ts';
import type { Operand, Width } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { begin, finishStores, reach, recordPointers, simple, x87Definition } from './common.ts';
import { x87Routine } from './routines.ts';
import { BEFORE_RESULT, BEFORE_STORE, DEFAULT_NAN, type X87 } from './unit.ts';

/** Converts the value read from memory to a significand, its sign and exponent in `fpResultExponent`. */
type Load = (b: InstructionBuilder, memory: Operand) => Value;

const loadFloat =
  (name: string): Load =>
  (b, memory) => {
    const bits = memory.read();
    return b.helper(name, memory.size === 4 ? b.wrap(bits) : bits);
  };
export const loadInteger: Load = (b, memory) =>
  b.helper('i64_to_f80', b.signExtend(memory.read(), memory.size as Width));

/** Ten bytes: the low eight, and the high two in `fpResultExponent`. */
const loadTen: Load = (b, memory) => {
  const host = reach(b, memory, 10, 8, 'read');
  b.setScratchField('fpResultExponent', b.loadHost('i32.load16_u', host, 8));
  return b.loadHost('i64.load', host);
};
const loadDecimal: Load = (b, memory) => {
  const low = loadTen(b, memory);
  return b.helper('bcd_to_f80', low, b.field('fpResultExponent'));
};

const load =
  (convert: Load): Semantics =>
  (b, memory) => {
    begin(b);
    const significand = convert(b, memory);
    recordPointers(b, memory);
    b.perform('x87_push', significand, b.field('fpResultExponent'));
  };

/** A conversion of ST(0) for a store, or `indefinite` and a stack fault where it is empty. */
const conversion = (
  name: string,
  indefinite: bigint,
  compute: (u: X87, significand: Value, signExponent: Value) => Value,
) =>
  x87Routine(name, [], 'i64', (u) => {
    const { b } = u;
    const top = u.physical(0);
    b.if(u.used(top), () => b.return(compute(u, u.significand(top), u.signExponent(top))));
    u.stackFault();
    u.setField('fpResultExponent', b.i32(DEFAULT_NAN.signExponent));
    b.return(b.i64(indefinite));
  });

const integerConversion = (bits: 16 | 32 | 64, truncate: boolean) =>
  conversion(`x87_to_i${bits}${truncate ? '_truncated' : ''}`, 1n << BigInt(bits - 1), (u, s, e) => {
    const { b } = u;
    const mode = truncate ? b.i32(3) : b.and(b.shrU(u.control, b.i32(10)), b.i32(3));
    return b.call(`f80_to_i${bits}`, u.cpu, s, e, mode);
  });

const conversions: readonly Helper[] = [
  conversion('x87_to_f32', 0xffc0_0000n, (u, s, e) => u.b.extendU(u.b.call('f80_to_f32', u.cpu, s, e, u.control))),
  conversion('x87_to_f64', 0xfff8n << 48n, (u, s, e) => u.b.call('f80_to_f64', u.cpu, s, e, u.control)),
  conversion('x87_to_f80', DEFAULT_NAN.significand, (u, s, e) => {
    u.setField('fpResultExponent', e);
    return s;
  }),
  conversion('x87_to_bcd', DEFAULT_NAN.significand, (u, s, e) => u.b.call('f80_to_bcd', u.cpu, s, e, u.control)),
  ...([16, 32, 64] as const).flatMap((bits) => [integerConversion(bits, false), integerConversion(bits, true)]),
];

/** `x87_stored (pops)`: settles a store, and pops where it took place. */
const stored = x87Routine('x87_stored', ['i32'], undefined, (u, pops) => {
  const { b } = u;
  b.if(b.and(u.settle(BEFORE_STORE), pops), () => u.pop());
});

const store =
  (conversionName: string, pops: boolean): Semantics =>
  (b, memory) => {
    begin(b);
    const value = b.helper(conversionName);
    const unmasked = b.and(b.field('fpExceptions'), b.not(b.field('fcw')));
    b.if(
      b.eqz(b.and(unmasked, b.i32(BEFORE_STORE))),
      () => {
        if (memory.size === 10) storeTen(b, memory, value);
        else memory.write(value);
      },
      // Nothing is stored, but the place must be one that could be.
      () => probeWrite(b, memory.linear(memory.size, 'write'), memory.size, memory.accessFlags),
    );
    recordPointers(b, memory);
    b.perform('x87_stored', b.i32(pops ? 1 : 0));
  };

function storeTen(b: InstructionBuilder, memory: Operand, low: Value): void {
  const host = reach(b, memory, 10, 8, 'write');
  b.storeHost('i64.store', host, low);
  b.storeHost('i32.store16', host, b.field('fpResultExponent'), 8);
  finishStores(b);
}

/** FLD ST(i). */
const loadRegister = x87Routine('x87_load_register', ['i32'], undefined, (u, index) => {
  const { b } = u;
  const source = u.physical(index);
  b.if(u.used(source), () => {
    b.call('x87_push', u.cpu, u.significand(source), u.signExponent(source));
    b.return();
  });
  u.stackFault();
  b.if(u.settle(BEFORE_RESULT), () => {
    u.descend();
    u.write(u.physical(0), b.i64(DEFAULT_NAN.significand), b.i32(DEFAULT_NAN.signExponent));
  });
});

/** FST ST(i), FSTP ST(i). */
const storeRegister = x87Routine('x87_store_register', ['i32', 'i32'], undefined, (u, index, pops) => {
  const { b } = u;
  const top = u.physical(0);
  const significand = b.variable('i64', u.significand(top));
  const signExponent = b.variable('i32', u.signExponent(top));
  b.if(b.eqz(u.used(top)), () => {
    u.stackFault();
    b.set(significand, b.i64(DEFAULT_NAN.significand));
    b.set(signExponent, b.i32(DEFAULT_NAN.signExponent));
  });
  b.if(u.settle(BEFORE_RESULT), () => {
    u.write(u.physical(index), b.get(significand), b.get(signExponent));
    b.if(pops, () => u.pop());
  });
});

/** FSTPNCE: from an empty register nothing is moved. */
const storeUnchecked = x87Routine('x87_store_unchecked', ['i32'], undefined, (u, index) => {
  const { b } = u;
  const [top, target] = [u.physical(0), u.physical(index)];
  b.if(u.used(top), () => u.write(target, u.significand(top), u.signExponent(top)));
  u.report(0);
  u.settle(BEFORE_RESULT);
  u.pop();
});

/** Puts the default NaN into a register that is empty. */
function fillEmpty(u: X87, register: Value): void {
  const { b } = u;
  b.if(b.eqz(u.used(register)), () => {
    u.write(register, b.i64(DEFAULT_NAN.significand), b.i32(DEFAULT_NAN.signExponent));
  });
}

const exchange = x87Routine('x87_exchange', ['i32'], undefined, (u, index) => {
  const { b } = u;
  const [x, y] = [u.physical(0), u.physical(index)];
  b.if(b.eqz(b.and(u.used(x), u.used(y))), () => u.stackFault());
  b.if(u.settle(BEFORE_RESULT), () => {
    fillEmpty(u, x);
    fillEmpty(u, y);
    const [xs, xe] = [u.significand(x), u.signExponent(x)];
    u.write(x, u.significand(y), u.signExponent(y));
    u.write(y, xs, xe);
  });
});

/** `x87_move_if (condition, index)`: FCMOVcc. */
const moveIf = x87Routine('x87_move_if', ['i32', 'i32'], undefined, (u, condition, index) => {
  const { b } = u;
  const [x, y] = [u.physical(0), u.physical(index)];
  const usable = b.and(u.used(x), u.used(y));
  b.if(b.eqz(usable), () => u.stackFault());
  b.if(u.settle(BEFORE_RESULT, 0), () => {
    b.if(
      usable,
      () => b.if(condition, () => u.write(x, u.significand(y), u.signExponent(y))),
      () => u.write(x, b.i64(DEFAULT_NAN.significand), b.i32(DEFAULT_NAN.signExponent)),
    );
  });
});

/** Names and condition codes (even: of EFLAGS) of FCMOVcc in the order of their encodings. */
const MOVES = [
  ['b', 2, 'da c0'],
  ['e', 4, 'da c8'],
  ['be', 6, 'da d0'],
  ['u', 10, 'da d8'],
  ['nb', 3, 'db c0'],
  ['ne', 5, 'db c8'],
  ['nbe', 7, 'db d0'],
  ['nu', 11, 'db d8'],
] as const;

const READS: Readonly<Record<string, string>> = { b: 'c', e: 'z', be: 'cz', u: 'p' };

const conditionalMoves = MOVES.map(([condition, code, opcode]): Definition => {
  const [first, second] = opcode.split(' ') as [string, string];
  const extension = (Number.parseInt(second, 16) >> 3) & 7;
  return {
    ...x87Definition(`fcmov${condition}`, `${first} /${extension} T`, (b, source) => {
      begin(b);
      const holds = b.condition(code);
      recordPointers(b);
      b.perform('x87_move_if', holds, source.index());
    }),
    feature: 'cmov',
    reads: READS[condition.replace(/^n/, '')] as string,
  };
});

const INTEGERS = [
  ['i16', 'w', 'df', 0, 2, 3, 1],
  ['i32', 'd', 'db', 0, 2, 3, 1],
] as const;

const integerMoves = INTEGERS.flatMap(([type, size, opcode, fild, fist, fistp, fisttp]) => [
  x87Definition('fild', `${opcode} /${fild} M${size}`, load(loadInteger)),
  x87Definition('fist', `${opcode} /${fist} M${size}`, store(`x87_to_${type}`, false)),
  x87Definition('fistp', `${opcode} /${fistp} M${size}`, store(`x87_to_${type}`, true)),
  {
    ...x87Definition('fisttp', `${opcode} /${fisttp} M${size}`, store(`x87_to_${type}_truncated`, true)),
    feature: 'sse3',
  },
]);

export const loadStore = define([
  x87Definition('fld', 'd9 /0 Md', load(loadFloat('f32_to_f80'))),
  x87Definition('fld', 'dd /0 Mq', load(loadFloat('f64_to_f80'))),
  x87Definition('fld', 'db /5 Mt', load(loadTen)),
  x87Definition('fld', 'd9 /0 T', simple('x87_load_register')),
  x87Definition('fst', 'd9 /2 Md', store('x87_to_f32', false)),
  x87Definition('fst', 'dd /2 Mq', store('x87_to_f64', false)),
  x87Definition('fst', 'dd /2 T', simple('x87_store_register', 0)),
  x87Definition('fstp', 'd9 /3 Md', store('x87_to_f32', true)),
  x87Definition('fstp', 'dd /3 Mq', store('x87_to_f64', true)),
  x87Definition('fstp', 'db /7 Mt', store('x87_to_f80', true)),
  // DF D0, DF D8 and FSTPNCE are undocumented.
  x87Definition('fstp', ['dd /3 T', 'df /2 T', 'df /3 T'], simple('x87_store_register', 1)),
  x87Definition('fstpnce', 'd9 /3 T', simple('x87_store_unchecked')),
  ...integerMoves,
  x87Definition('fild', 'df /5 Mq', load(loadInteger)),
  x87Definition('fistp', 'df /7 Mq', store('x87_to_i64', true)),
  { ...x87Definition('fisttp', 'dd /1 Mq', store('x87_to_i64_truncated', true)), feature: 'sse3' },
  x87Definition('fbld', 'df /4 Mt', load(loadDecimal)),
  x87Definition('fbstp', 'df /6 Mt', store('x87_to_bcd', true)),
  x87Definition('fxch', ['d9 /1 T', 'dd /1 T', 'df /1 T'], simple('x87_exchange')),
  ...conditionalMoves,
]);

export const loadStoreHelpers: readonly Helper[] = [
  ...conversions,
  stored,
  loadRegister,
  storeRegister,
  storeUnchecked,
  exchange,
  moveIf,
];
