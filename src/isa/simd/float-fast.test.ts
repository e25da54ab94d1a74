/**
 * What is done natively against the routines: adversarial operands under all of MXCSR. The routines themselves are tested
 * against a processor.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFlags } from '../../cpu/flags.ts';
import { createRig } from '../float/rig.test-helper.ts';
import { floatHelpers } from '../float/routines.ts';
import { NO_FAULT, STATUS_FLAGS, VECTOR } from '../state.ts';
import { prepare, reset, state } from './rig.test-helper.ts';

const soft = createRig(floatHelpers);
const CASES = 4000;

let seed = 1n;
function random(): bigint {
  seed = BigInt.asUintN(64, seed * 6364136223846793005n + 1442695040888963407n);
  return seed ^ (seed >> 29n) ^ (seed >> 47n);
}
const below = (count: number): number => Number((random() >> 20n) % BigInt(count));
const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T;

interface Format {
  readonly bits: 32 | 64;
  readonly fraction: number;
  readonly name: 'f32' | 'f64';
  /** Biased exponents around which something changes. */
  readonly edges: readonly number[];
}
const DOUBLE: Format = {
  bits: 64,
  fraction: 52,
  name: 'f64',
  edges: [0, 1, 54, 511, 515, 767, 1023, 1075, 1279, 1535, 1539, 2046, 2047],
};
const SINGLE: Format = {
  bits: 32,
  fraction: 23,
  name: 'f32',
  edges: [0, 1, 25, 63, 67, 95, 127, 150, 159, 191, 195, 254, 255],
};

/** A number whose exponent is near an edge and whose fraction has few bits, or many, or ends just so. */
function operand({ bits, fraction, edges }: Format, near?: bigint): bigint {
  const all = BigInt(fraction);
  if (near !== undefined && below(3) === 0) {
    const sign = BigInt(below(2)) << BigInt(bits - 1);
    return BigInt.asUintN(bits, (near ^ sign) + BigInt(below(5) - 2) * (below(2) ? 1n : 1n << (all / 2n)));
  }
  const exponent = below(4)
    ? Math.max(0, Math.min(2 ** (bits - fraction - 1) - 1, pick(edges) + below(5) - 2))
    : pick(edges);
  const full = (1n << all) - 1n;
  const kept = full ^ ((1n << BigInt(below(fraction + 1))) - 1n);
  const low = pick([0n, 1n, full, full - 1n, 1n << (all - 1n), random() & full, random() & kept, random() & kept]);
  return (BigInt(below(2)) << BigInt(bits - 1)) | (BigInt(exponent) << all) | low;
}

/** About 1, with half of the significand's bits: sums and products are exact, or just not. */
function short({ bits, fraction, edges }: Format): bigint {
  const kept = -1n << BigInt((fraction >> 1) + below(2));
  const exponent = BigInt((edges[6] as number) + below(3));
  return (
    (BigInt(below(2)) << BigInt(bits - 1)) |
    (exponent << BigInt(fraction)) |
    (random() & ((1n << BigInt(fraction)) - 1n) & kept)
  );
}

/** Flags clear or set, rounding, FTZ, DAZ, and now and then something unmasked. */
function control(): number {
  const sticky = pick([0, 0x20, 0x20, 0x22, 0x3f]);
  const masks = below(6) ? 0x1f80 : below(64) << 7;
  return sticky | masks | (below(3) ? 0 : below(4) << 13) | (below(4) ? 0 : 0x8000) | (below(4) ? 0 : 0x40);
}

interface Expected {
  readonly results: readonly bigint[];
  readonly mxcsr: number;
  readonly fault: number | undefined;
}

/** Runs routines, one for each lane, and raises what they collect (SDM vol. 1 11.5.2). */
function expect(mxcsr: number, lanes: readonly (() => bigint)[]): Expected {
  soft.state.fpExceptions = 0;
  const results = lanes.map((lane) => lane());
  const found = soft.state.fpExceptions & 0x3f;
  const unmasked = found & ~(mxcsr >> 7) & 0x3f;
  const flags = unmasked & 7 ? found & 7 : found;
  return { results, mxcsr: mxcsr | flags, fault: unmasked ? VECTOR.xm : undefined };
}

function call(name: string, f: Format, ...args: (bigint | number)[]): bigint {
  const given = args.map((a) =>
    typeof a === 'number' ? a : f.bits === 64 ? BigInt.asIntN(64, a) : Number(BigInt.asIntN(32, a)),
  );
  return BigInt(soft.routine(name)(soft.cpu, ...given));
}

/** Lanes of an XMM register. */
const laneOf = (register: number, f: Format, i: number): bigint => {
  const word = state.xmm[4 * register + Math.floor((i * f.bits) / 64)] as bigint;
  return BigInt.asUintN(f.bits, f.bits === 64 ? word : word >> BigInt(32 * (i & 1)));
};
function setLanes(register: number, f: Format, lanes: readonly bigint[]): void {
  for (let half = 0; half < 2; half++) {
    const word = f.bits === 64 ? lanes[half] : (lanes[2 * half] as bigint) | ((lanes[2 * half + 1] as bigint) << 32n);
    state.xmm[4 * register + half] = word as bigint;
  }
}
const text = (values: readonly bigint[]): string => values.map((v) => v.toString(16)).join(' ');

type Lane = (f: Format, x: bigint, y: bigint, mxcsr: number, i: number) => bigint;

/** `code` works on XMM1 and XMM2; each of its `count` lanes must come out as `lane` says. */
function compare(title: string, code: string, f: Format, count: number, lane: Lane): void {
  test(title, () => {
    reset();
    const execute = prepare(code);
    const all = 128 / f.bits;
    for (let n = 0; n < CASES; n++) {
      const exact = below(4) === 0;
      const mxcsr = exact ? 0x1f80 : control();
      // Packed forms are native only where every lane is: let all lanes but one be harmless half of the time.
      const odd = count > 1 && below(2) === 0 ? below(all) : -1;
      const harmless = { ...f, edges: [f.edges[6] as number] };
      const x = Array.from({ length: all }, (_, i) =>
        exact ? short(f) : operand(odd < 0 || i === odd ? f : harmless),
      );
      const y = x.map((v, i) => (exact ? short(f) : odd >= 0 && i !== odd ? v : operand(f, v)));
      setLanes(1, f, x);
      setLanes(2, f, y);
      state.mxcsr = mxcsr;
      state.faultVector = NO_FAULT;
      const fault = execute();
      const lanes = Array.from({ length: count }, (_, i) => () => lane(f, x[i] as bigint, y[i] as bigint, mxcsr, i));
      const expected = expect(mxcsr, lanes);
      const changed = expected.fault === undefined ? expected.results.map((v) => BigInt.asUintN(f.bits, v)) : [];
      const after = [...changed, ...x.slice(changed.length)];
      const got = `${text(x.map((_, i) => laneOf(1, f, i)))} ${state.mxcsr.toString(16)} ${fault}`;
      const wanted = `${text(after)} ${expected.mxcsr.toString(16)} ${expected.fault}`;
      assert.equal(got, wanted, `${code}: ${text(x)}, ${text(y)}, MXCSR ${mxcsr.toString(16)}`);
    }
  });
}

const TRUTH = 0x7cde8321;
const predicate =
  (kind: number): Lane =>
  (f, x, y, mxcsr) => {
    const signals = (kind & 3) === 1 || (kind & 3) === 2;
    const relation = Number(call(`${f.name}_compare`, f, x, y, mxcsr, signals ? 1 : 0));
    return (TRUTH >> (kind * 4 + relation)) & 1 ? -1n : 0n;
  };

for (const f of [DOUBLE, SINGLE]) {
  const [scalar, packed] = f.bits === 64 ? ['f2', '66'] : ['f3', ''];
  const [one, many] = f.bits === 64 ? ['sd', 'pd'] : ['ss', 'ps'];
  const operations = { add: '58', mul: '59', sub: '5c', min: '5d', div: '5e', max: '5f' };
  const forms = (name: string, opcode: string, lane: Lane) => {
    compare(`${name}${one}`, `${scalar}0f${opcode}`, f, 1, lane);
    compare(`${name}${many}`, `${packed}0f${opcode}`, f, 128 / f.bits, lane);
  };
  for (const [name, opcode] of Object.entries(operations)) {
    forms(name, `${opcode}ca`, (_, x, y, mxcsr) => call(`${f.name}_${name}`, f, x, y, mxcsr));
  }
  forms('sqrt', '51ca', (_, _x, y, mxcsr) => call(`${f.name}_sqrt`, f, y, mxcsr));
  for (let kind = 0; kind < 8; kind++) forms(`cmp ${kind} `, `c2ca0${kind}`, predicate(kind));
  compare(`addsub${many}`, `${f.bits === 64 ? '66' : 'f2'}0fd0ca`, f, 128 / f.bits, (_, x, y, mxcsr, i) =>
    call(`${f.name}_${i & 1 ? 'add' : 'sub'}`, f, x, y, mxcsr),
  );
  test(`comi${one}, ucomi${one} and conversions of a scalar`, () => {
    const limits = f.bits === 64 ? [1023 + 31, 1023 + 53, 1023 + 63] : [127 + 24, 127 + 31, 127 + 63];
    const near = { ...f, edges: [...f.edges, ...limits, ...limits, ...limits] };
    const other = f.bits === 64 ? SINGLE : DOUBLE;
    const across = { ...f, edges: [0, 1, f.bits === 64 ? 1023 - 126 : 1, f.bits === 64 ? 1023 - 63 : 64, ...f.edges] };
    const check = (
      code: string,
      g: Format,
      run: (mxcsr: number, x: bigint, y: bigint) => Expected,
      got: () => bigint,
    ) => {
      reset();
      const execute = prepare(code);
      for (let n = 0; n < CASES; n++) {
        const mxcsr = control();
        const x = operand(g);
        const y = operand(g, x);
        setLanes(1, f, [x, ...Array.from({ length: 128 / f.bits - 1 }, () => 0n)]);
        setLanes(2, f, [y, ...Array.from({ length: 128 / f.bits - 1 }, () => operand(f))]);
        state.mxcsr = mxcsr;
        state.faultVector = NO_FAULT;
        const fault = execute();
        const expected = run(mxcsr, x, y);
        const value = fault === undefined ? got() : 0n;
        const wanted = expected.fault === undefined ? (expected.results[0] as bigint) : 0n;
        assert.deepEqual(
          [value.toString(16), state.mxcsr, fault],
          [wanted.toString(16), expected.mxcsr, expected.fault],
          `${code}: ${text([x, y])}, MXCSR ${mxcsr.toString(16)}`,
        );
      }
    };
    for (const signal of [0, 1]) {
      const flags = (mxcsr: number, x: bigint, y: bigint) =>
        expect(mxcsr, [
          () => [0x40n, 0x01n, 0x00n, 0x45n][Number(call(`${f.name}_compare`, f, x, y, mxcsr, signal))] as bigint,
        ]);
      check(`${packed}0f2${signal ? 'f' : 'e'}ca`, f, flags, () => BigInt(readFlags(state) & STATUS_FLAGS));
    }
    for (const wide of [0, 1]) {
      for (const truncates of [0, 1]) {
        const size = wide ? 64 : 32;
        const mode = (mxcsr: number) => (truncates ? 3 : (mxcsr >> 13) & 3);
        const convert = (mxcsr: number, _x: bigint, y: bigint) =>
          expect(mxcsr, [() => BigInt.asUintN(size, call(`${f.name}_to_i${size}`, f, y, mode(mxcsr), mxcsr))]);
        check(`${scalar}${wide ? '48' : ''}0f2${truncates ? 'c' : 'd'}c2`, near, convert, () => state.gpr[0] as bigint);
      }
    }
    const name = f.bits === 64 ? 'f64_to_f32' : 'f32_to_f64';
    const between = (mxcsr: number, _x: bigint, y: bigint) =>
      expect(mxcsr, [() => BigInt.asUintN(other.bits, call(name, f, y, mxcsr))]);
    check(`${scalar}0f5aca`, across, between, () => laneOf(1, other, 0));
  });
}
