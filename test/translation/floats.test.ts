/**
 * Floating point in hot loops: each result and MXCSR after each operation are the interpreter's, which the recorded cases
 * check against hardware; some are given here, so that a mistake of both is noticed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  doubleBits,
  FLOAT_CASES,
  type FloatCase,
  INPUT_BYTES,
  inputs,
  type Kind,
  OUTPUT_BYTES,
} from './float-table.ts';
import { AT, createGuest, ENGINES, type Guest } from './guest.ts';

const IN = 0x20_8000;
const OUT = 0x28_0000;
const MXCSR = 0x30_0000;

const CONTROLS = [
  ['as at reset', 0x1f80],
  ['PE set before', 0x1fa0],
  ['all flags set before', 0x1fbf],
  ['down', 0x3f80],
  ['up', 0x5f80],
  ['towards zero', 0x7f80],
  ['flush to zero', 0x9f80],
  ['denormals are zeros', 0x1fc0],
  ['both', 0x9fc0],
] as const;

/** How MXCSR comes to its value: by each round of the loop, before it, or by a function that the loop calls. */
const SETTINGS = {
  'in each round': { before: '', round: 'ldmxcsr [r10]' },
  before: { before: 'ldmxcsr [r10]', round: '' },
  'by a callee': { before: '', round: 'call setter' },
} as const;
type Setting = keyof typeof SETTINGS;

function program(guest: Guest, { code }: FloatCase, setting: Setting): void {
  const { before, round } = SETTINGS[setting];
  guest.load(0x5000, 'setter: ldmxcsr [r10]; ret');
  guest.load(
    AT.code,
    `${before}
    again: movups xmm0, [rsi]; movups xmm1, [rsi+16]; ${round}
    site: ${code}
    movups [rdi], xmm0; mov [rdi+16], rax; stmxcsr [rdi+24]
    add rsi, ${INPUT_BYTES}; add rdi, ${OUTPUT_BYTES}; dec ecx; jnz again; hlt`,
  );
}

/** The results of a case for all operands, as bytes. */
function results(guest: Guest, floats: FloatCase, setting: Setting, control: number, count: number): Buffer {
  program(guest, floats, setting);
  guest.quad(MXCSR, BigInt(control));
  guest.set({ rsi: IN, rdi: OUT, rcx: count, r10: MXCSR, rax: 0, rsp: AT.stack });
  guest.state.mxcsr = 0x1f80;
  assert.equal(guest.go(AT.code), 'halted', floats.name);
  return Buffer.from(guest.bytes(OUT, count * OUTPUT_BYTES));
}

/** The first entry in which two results differ, in words. */
function difference(a: Buffer, b: Buffer): string | undefined {
  if (a.equals(b)) return undefined;
  const at = Math.floor(a.findIndex((byte, i) => byte !== b[i]) / OUTPUT_BYTES) * OUTPUT_BYTES;
  const entry = (from: Buffer) => from.subarray(at, at + OUTPUT_BYTES).toString('hex');
  return `entry ${at / OUTPUT_BYTES}: ${entry(a)} is not ${entry(b)}`;
}

const tables = new Map<Kind, ReturnType<typeof inputs>>();
for (const kind of ['sd', 'ss', 'pd', 'ps'] as const) tables.set(kind, inputs(kind));

for (const [engine, translation] of ENGINES.slice(1)) {
  // All ways where everything is translated; where code must become hot first, the one whose loop is the shortest.
  for (const setting of translation?.threshold === 1 ? (Object.keys(SETTINGS) as Setting[]) : (['before'] as const)) {
    test(`operands, results and flags of every kind: MXCSR set ${setting} (${engine})`, () => {
      const expected = createGuest();
      const actual = createGuest({ translation });
      const differences: string[] = [];
      for (const kind of ['sd', 'ss', 'pd', 'ps'] as const) {
        const { bytes, count } = tables.get(kind)!;
        for (const guest of [expected, actual]) guest.write(IN, bytes);
        for (const floats of FLOAT_CASES) {
          if (floats.kind !== kind) continue;
          for (const [name, control] of CONTROLS) {
            const found = difference(
              results(actual, floats, setting, control, count),
              results(expected, floats, setting, control, count),
            );
            if (found !== undefined) differences.push(`${floats.name}, ${name}, ${found}`);
          }
        }
      }
      assert.deepEqual(differences, []);
      assert.ok(actual.hasTranslated());
    });
  }
}

const QUIET = 0x7ff8_0000_0000_1234n;
const SIGNAL = 0xfff0_0000_0000_5678n;
const QUIETED = 0xfff8_0000_0000_5678n;
const INDEFINITE = 0xfff8_0000_0000_0000n;
const INFINITE = 0x7ff0_0000_0000_0000n;
const one = doubleBits(1);
const [IE, DE, ZE, OE, UE, PE] = [1, 2, 4, 8, 16, 32];

/** Instruction, operands, result, flags (SDM vol. 1 4.8.3.5, table 4-7; 4.9.1; vol. 2 MINSD, MAXSD, CVTSD2SI). */
const KNOWN: readonly (readonly [string, bigint, bigint, bigint, number])[] = [
  ['addsd', QUIET, one, QUIET, 0],
  ['addsd', one, QUIET, QUIET, 0],
  ['addsd', QUIET, 0xfff8_0000_0000_0abcn, QUIET, 0],
  ['addsd', 0xfff8_0000_0000_0abcn, QUIET, 0xfff8_0000_0000_0abcn, 0],
  ['addsd', QUIET, SIGNAL, QUIET, IE],
  ['addsd', SIGNAL, QUIET, QUIETED, IE],
  ['addsd', one, SIGNAL, QUIETED, IE],
  ['subsd', INFINITE, INFINITE, INDEFINITE, IE],
  ['mulsd', 0n, INFINITE, INDEFINITE, IE],
  ['divsd', 0n, 0n, INDEFINITE, IE],
  ['divsd', one, 0n, INFINITE, ZE],
  ['divsd', one, doubleBits(3), doubleBits(1 / 3), PE],
  ['divsd', one, doubleBits(4), doubleBits(0.25), 0],
  ['addsd', one, doubleBits(2 ** -60), one, PE],
  ['addsd', one, 1n, one, DE | PE],
  ['mulsd', doubleBits(2 ** 600), doubleBits(2 ** 600), INFINITE, OE | PE],
  ['mulsd', doubleBits(2 ** -600), doubleBits(2 ** -600), 0n, UE | PE],
  // A denormal result that is exact does not count as an underflow.
  ['mulsd', doubleBits(2 ** -600), doubleBits(2 ** -474), 1n, 0],
  ['mulsd', doubleBits(0.1), doubleBits(0.1), doubleBits(0.1 * 0.1), PE],
  ['sqrtsd', 0n, doubleBits(-1), INDEFINITE, IE],
  ['sqrtsd', 0n, 1n << 63n, 1n << 63n, 0],
  ['sqrtsd', 0n, doubleBits(2), doubleBits(Math.SQRT2), PE],
  ['sqrtsd', 0n, doubleBits(9), doubleBits(3), 0],
  // The second operand wins where the two are equal or one is no number.
  ['minsd', 0n, 1n << 63n, 1n << 63n, 0],
  ['minsd', 1n << 63n, 0n, 0n, 0],
  ['maxsd', 0n, 1n << 63n, 1n << 63n, 0],
  ['minsd', QUIET, one, one, IE],
  ['minsd', one, QUIET, QUIET, IE],
  ['maxsd', one, SIGNAL, SIGNAL, IE],
  ['maxsd', doubleBits(-3), one, one, 0],
];

for (const [engine, translation] of ENGINES) {
  test(`results and flags that the manual gives, in a hot loop (${engine})`, () => {
    const guest = createGuest({ translation });
    for (const [op, a, b, result, flags] of KNOWN) {
      guest.load(
        AT.code,
        `ldmxcsr [r10]; again: movsd xmm0, [rsi]; movsd xmm1, [rsi+8]; ${op} xmm0, xmm1; dec ecx; jnz again; hlt`,
      );
      guest.quad(AT.data, a);
      guest.quad(AT.data + 8, b);
      guest.quad(MXCSR, 0x1f80n);
      guest.set({ rsi: AT.data, r10: MXCSR, rcx: 700 });
      assert.equal(guest.go(AT.code), 'halted');
      const name = `${op} ${a.toString(16)}, ${b.toString(16)}`;
      assert.equal(guest.state.xmm[0].toString(16), result.toString(16), name);
      assert.equal(guest.state.mxcsr, 0x1f80 | flags, name);
    }
  });

  test(`an integer that does not fit becomes the indefinite one (${engine})`, () => {
    const guest = createGuest({ translation });
    for (const [op, register, value, result, flags] of [
      ['cvttsd2si', 'eax', 2 ** 31, 0x8000_0000n, IE],
      ['cvttsd2si', 'eax', -(2 ** 31) - 0.5, 0x8000_0000n, PE],
      ['cvttsd2si', 'eax', -(2 ** 31) - 1, 0x8000_0000n, IE],
      ['cvttsd2si', 'eax', 2 ** 31 - 0.5, 0x7fff_ffffn, PE],
      ['cvtsd2si', 'eax', 2 ** 31 - 0.5, 0x8000_0000n, IE],
      ['cvtsd2si', 'eax', 2.5, 2n, PE],
      ['cvtsd2si', 'eax', 3.5, 4n, PE],
      ['cvttsd2si', 'rax', 2 ** 63, 1n << 63n, IE],
      ['cvttsd2si', 'rax', -(2 ** 63), 1n << 63n, 0],
      ['cvttsd2si', 'rax', Number.NaN, 1n << 63n, IE],
      ['cvttsd2si', 'rax', 5e-324, 0n, PE],
    ] as const) {
      guest.load(AT.code, `ldmxcsr [r10]; again: movsd xmm0, [rsi]; ${op} ${register}, xmm0; dec ecx; jnz again; hlt`);
      guest.quad(AT.data, doubleBits(value));
      guest.quad(MXCSR, 0x1f80n);
      guest.set({ rsi: AT.data, r10: MXCSR, rcx: 700 });
      assert.equal(guest.go(AT.code), 'halted');
      assert.deepEqual([guest.get('rax'), guest.state.mxcsr], [result, 0x1f80 | flags], `${op} ${value}`);
    }
  });

  test(`an unmasked exception comes at its instruction, which has changed nothing but MXCSR (${engine})`, () => {
    for (const [name, unmasked, op, a, b, flags] of [
      ['invalid', IE, 'addsd', SIGNAL, one, IE],
      ['denormal', DE, 'mulsd', one, 1n, DE],
      ['divide by zero', ZE, 'divsd', one, 0n, ZE],
      ['overflow', OE, 'mulsd', doubleBits(2 ** 600), doubleBits(2 ** 600), OE],
      ['underflow, though exact', UE, 'mulsd', doubleBits(2 ** -600), doubleBits(2 ** -474), UE],
      ['inexact', PE, 'divsd', one, doubleBits(3), PE],
      ['invalid comparison', IE, 'comisd', QUIET, one, IE],
      ['inexact conversion', PE, 'cvtsd2si', 0n, 0n, PE],
      ['inexact in one element', PE, 'divpd', one, one, PE],
    ] as const) {
      const guest = createGuest({ translation });
      const last = name === 'inexact conversion' ? doubleBits(0.5) : undefined;
      const instruction = op === 'cvtsd2si' ? 'cvtsd2si rax, xmm1' : `${op} xmm0, xmm1`;
      guest.load(
        AT.code,
        `ldmxcsr [r10]
        again: movups xmm0, [rsi]; movups xmm1, [rsi+16]; mov eax, 0x7fffffff; add eax, 1
        site: ${instruction}; dec ecx; jnz again; mov rsi, rdi; mov ecx, 3; jmp again`,
      );
      for (const at of [AT.data, AT.data2]) {
        const bad = at === AT.data2;
        guest.quad(at, bad ? a : one);
        guest.quad(at + 8, one);
        guest.quad(at + 16, bad ? (last ?? b) : one);
        guest.quad(at + 24, bad && op === 'divpd' ? doubleBits(3) : one);
      }
      guest.quad(MXCSR, BigInt(0x1f80 & ~(unmasked << 7)));
      guest.set({ rsi: AT.data, rdi: AT.data2, r10: MXCSR, rcx: 700 });
      assert.equal(guest.go(AT.code), 'shut down', name);
      const [fault] = guest.caught;
      assert.deepEqual([fault.vector, fault.error, fault.rip], [19, undefined, BigInt(guest.labels.site)], name);
      assert.deepEqual([fault.gpr[0], fault.gpr[1]], [0x8000_0000n, 3n], name);
      assert.equal(fault.flags & 0x8d5, 0x800 | 0x80 | 0x10 | 4, name);
      assert.equal(guest.state.xmm[0], a, name);
      assert.equal(guest.state.mxcsr & 0x3f, flags, name);
    }
  });

  test(`without CR4.OSXMMEXCPT an unmasked exception is an undefined opcode (${engine})`, () => {
    const guest = createGuest({ translation });
    guest.state.cr4 &= ~0x400n;
    guest.vcpu.stateReplaced();
    guest.load(
      AT.code,
      'ldmxcsr [r10]; again: movsd xmm0, [rsi]; site: divsd xmm0, [rsi+8]; dec ecx; jnz again; mov rsi, rdi; jmp again',
    );
    for (const at of [AT.data, AT.data + 8, AT.data2]) guest.quad(at, one);
    guest.quad(MXCSR, 0x1d80n);
    guest.set({ rsi: AT.data, rdi: AT.data2, r10: MXCSR, rcx: 700 });
    assert.equal(guest.go(AT.code), 'shut down');
    assert.deepEqual([guest.caught[0].vector, guest.caught[0].rip], [6, BigInt(guest.labels.site)]);
  });

  test(`PE stays as it is while results are exact, and once set stays set (${engine})`, () => {
    const guest = createGuest({ translation });
    // Sums of whole numbers are exact; in round 300 from the end a third is added.
    guest.load(
      AT.code,
      `again: addsd xmm0, xmm1; mulsd xmm2, xmm1; stmxcsr [rdi]; mov eax, [rdi]; test eax, 0x20; jz exact; inc rbx
      exact: cmp ecx, 300; jne same; movsd xmm1, [rsi+8]; same: dec ecx; jnz again; hlt`,
    );
    guest.quad(AT.data + 8, doubleBits(1 / 3));
    guest.state.xmm.set([doubleBits(0), 0n], 0);
    guest.state.xmm.set([one, 0n], 4);
    guest.state.xmm.set([one, 0n], 8);
    guest.set({ rsi: AT.data, rdi: AT.data2, rcx: 1000 });
    assert.equal(guest.go(AT.code), 'halted');
    assert.equal(guest.get('rbx'), 299n);
  });

  test(`with CR0.TS or CR0.EM set in between, the loop's next SSE instruction faults (${engine})`, () => {
    for (const [bit, vector] of [
      [8, 7],
      [4, 6],
    ]) {
      const guest = createGuest({ translation });
      guest.load(0x5000, `set: cmp ecx, 5; jne same; mov rax, cr0; or eax, ${bit}; mov cr0, rax; same: ret`);
      guest.load(AT.code, 'again: addsd xmm0, xmm1; call set; site: mulsd xmm0, xmm1; dec ecx; jnz again; hlt');
      guest.set({ rcx: 1000 });
      assert.equal(guest.go(AT.code), 'shut down');
      const [fault] = guest.caught;
      assert.deepEqual([fault.vector, fault.rip, fault.gpr[1]], [vector, BigInt(guest.labels.site), 5n]);
    }
  });
}
