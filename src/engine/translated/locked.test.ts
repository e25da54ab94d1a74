/** Locked instructions give the same results whether they are atomic or not, and where they cannot be, run alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRig, ENGINES, PAGE, PLACE, type Rig } from './rig.test-helper.ts';
import type { Translation } from './vcpu-interface.ts';

/** Enough for the loop around the instruction to be translated, at a threshold of 1. */
const ROUNDS = 12;
const START = 0x1000;
/** A byte of flags for SAHF: all of them, or none. */
const FLAGS = [0xd5, 0] as const;

interface Operation {
  readonly name: string;
  /** Opcode for bytes, and for the other sizes; -1 where there is none. */
  readonly byte: number;
  readonly wide: number;
  /** Behind 0F. */
  readonly two?: boolean;
  /** The reg field of ModRM. */
  readonly reg?: number;
  readonly immediate?: number;
}

const RCX = 1;
const OPERATIONS: readonly Operation[] = [
  ...['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor'].flatMap((name, i) => {
    const row = i < 5 ? i : i === 5 ? 5 : 6;
    return [
      { name, byte: row * 8, wide: row * 8 + 1, reg: RCX },
      { name: `${name} immediate`, byte: 0x80, wide: 0x83, reg: row, immediate: 0x9c },
    ];
  }),
  { name: 'inc', byte: 0xfe, wide: 0xff, reg: 0 },
  { name: 'dec', byte: 0xfe, wide: 0xff, reg: 1 },
  { name: 'not', byte: 0xf6, wide: 0xf7, reg: 2 },
  { name: 'neg', byte: 0xf6, wide: 0xf7, reg: 3 },
  { name: 'xchg', byte: 0x86, wide: 0x87, reg: RCX },
  { name: 'xadd', byte: 0xc0, wide: 0xc1, two: true, reg: RCX },
  { name: 'xadd rax', byte: 0xc0, wide: 0xc1, two: true, reg: 0 },
  { name: 'cmpxchg', byte: 0xb0, wide: 0xb1, two: true, reg: RCX },
  { name: 'bts', byte: -1, wide: 0xab, two: true, reg: RCX },
  { name: 'btr', byte: -1, wide: 0xb3, two: true, reg: RCX },
  { name: 'btc', byte: -1, wide: 0xbb, two: true, reg: RCX },
  { name: 'bts immediate', byte: -1, wide: 0xba, two: true, reg: 5, immediate: 3 },
  { name: 'btr immediate', byte: -1, wide: 0xba, two: true, reg: 6, immediate: 7 },
  { name: 'btc immediate', byte: -1, wide: 0xba, two: true, reg: 7, immediate: 0 },
];

interface Case {
  readonly name: string;
  readonly code: readonly number[];
  readonly size: number;
}

/** An instruction on memory at R8. */
function encode(o: Operation, size: number): readonly number[] {
  const rex = size === 8 ? 0x49 : 0x41;
  const opcode = size === 1 ? o.byte : o.wide;
  const prefixes = [...(o.name === 'xchg' ? [] : [0xf0]), ...(size === 2 ? [0x66] : [])];
  const immediate = o.immediate === undefined ? [] : [o.immediate];
  return [...prefixes, rex, ...(o.two ? [0x0f] : []), opcode, (o.reg ?? 0) << 3, ...immediate];
}

const CASES: readonly Case[] = [
  ...OPERATIONS.flatMap((o) =>
    [1, 2, 4, 8]
      .filter((size) => size > 1 || o.byte >= 0)
      .map((size) => ({ name: `${o.name}, ${size} bytes`, code: encode(o, size), size })),
  ),
  { name: 'cmpxchg8b', code: [0xf0, 0x41, 0x0f, 0xc7, 0x08], size: 8 },
  { name: 'cmpxchg16b', code: [0xf0, 0x49, 0x0f, 0xc7, 0x08], size: 16 },
];

interface Values {
  readonly memory: bigint;
  readonly rax: bigint;
  readonly rcx: bigint;
  readonly flags: number;
}

const MEMORY = 0x8899_aabb_ccdd_ee80n;
/** That compares equal, and that does not, with and without flags. */
const VALUES: readonly Values[] = [
  { memory: MEMORY, rax: MEMORY, rcx: 0x7766_5544_3322_1105n, flags: FLAGS[0] },
  { memory: MEMORY, rax: 0x1234_5678_9abc_def0n, rcx: 0xffff_ffff_ffff_ff25n & 0xffn, flags: FLAGS[1] },
  { memory: 0n, rax: 1n, rcx: 1n, flags: FLAGS[0] },
];

/** A loop of the instruction, which begins each round with the memory, registers and flags that R10 to R13 say. */
function program({ code }: Case): number[] {
  const body = [
    ...[0x4d, 0x89, 0x10, 0x4d, 0x89, 0x50, 8], // mov [r8], r10; mov [r8+8], r10
    ...[0x4c, 0x89, 0xe8, 0x9e], // mov rax, r13; sahf
    ...[0x4c, 0x89, 0xd8, 0x4c, 0x89, 0xe1], // mov rax, r11; mov rcx, r12
    ...[0x48, 0x89, 0xc2, 0x48, 0x89, 0xcb], // mov rdx, rax; mov rbx, rcx
    ...code,
    ...[0x9c, 0x41, 0x59], // pushfq; pop r9
  ];
  return [...body, 0xff, 0xcd, 0x75, -(body.length + 4) & 0xff, 0xeb, 0xfe]; // dec ebp; jnz; jmp $
}

function createLocked(translation: Translation | undefined, shared: boolean) {
  let alone = 0;
  const exclusively = (work: () => void) => {
    alone++;
    work();
  };
  const rig = createRig({ translation, environment: shared ? { exclusively } : {} });
  rig.paging(64);
  return {
    rig,
    /** Times that an instruction ran alone since this was asked last. */
    alone(): number {
      const count = alone;
      alone = 0;
      return count;
    },
  };
}

function outcome(rig: Rig, which: Case, { memory, rax, rcx, flags }: Values, address: number): string {
  const { state } = rig;
  state.gpr[5] = BigInt(ROUNDS);
  state.gpr[8] = BigInt(address);
  // As the number of a bit it may lead elsewhere.
  state.gpr.set([memory, rax, which.name.startsWith('bt') ? rcx & 0x3fn : rcx, BigInt(flags << 8)], 10);
  rig.run(START, ROUNDS * 16);
  assert.deepEqual([state.gpr[5], rig.exceptions], [0n, []], which.name);
  return [...state.gpr.subarray(0, 3), state.gpr[9], ...rig.read(address, 16)]
    .map((value) => value.toString(16))
    .join(' ');
}

/** Crossing pages, and inside a page: aligned to all sizes, to 4 bytes, not at all. */
const ADDRESSES = [0x3000, 0x3ff4, 0x3ffd, 0x2ff3, 0x2004];
const isAtomic = (address: number, size: number) => size <= 8 && address % size === 0;

const oracle = createLocked(undefined, false);
const engines = [
  ...ENGINES.filter(([, translation]) => translation === undefined || translation.threshold === 1),
  ['verified', { threshold: 1, verify: { first: 0, every: 1 } }],
] as const;
for (const [engine, translation] of engines) {
  test(`locked instructions do what plain ones do (${engine})`, () => {
    for (const shared of [false, true]) {
      const { rig, alone } = createLocked(translation, shared);
      for (const which of CASES) {
        for (const each of [rig, oracle.rig]) each.write(START, program(which));
        for (const values of VALUES) {
          for (const address of ADDRESSES) {
            if (which.size === 16 && address % 16 !== 0) continue;
            const about = `${which.name} at ${address.toString(16)}, ${shared ? 'shared' : 'not shared'}`;
            const expected = outcome(oracle.rig, which, values, address);
            assert.equal(outcome(rig, which, values, address), expected, about);
            assert.equal(alone(), shared && !isAtomic(address, which.size) ? ROUNDS : 0, about);
          }
        }
      }
      assert.equal(rig.hasTranslated(), translation !== undefined);
    }
  });

  test(`a failing CMPXCHG needs a page that can be written, and makes it dirty (${engine})`, () => {
    for (const shared of [false, true]) {
      const { rig } = createLocked(translation, shared);
      const [protectedPage, cleanPage] = [0x10_0000, 0x10_1000];
      rig.mapPage(protectedPage, 0x3000n | PAGE.present | PAGE.user);
      rig.mapPage(cleanPage, 0x3000n | PAGE.all);
      rig.write(0x3000, [1]);
      const code = [
        ...[0xb8, 7, 0, 0, 0], // mov eax, 7
        ...[0xf0, 0x41, 0x0f, 0xb1, 0x08], // lock cmpxchg [r8], ecx
        ...[0xff, 0xcd, 0x75, 0xf2, 0xeb, 0xfe], // dec ebp; jnz; jmp $
      ];
      rig.write(START, code);
      rig.state.gpr[5] = BigInt(ROUNDS);
      rig.state.gpr[8] = BigInt(cleanPage);
      rig.run(START, ROUNDS * 4);
      assert.equal(rig.read(rig.entryAddress(BigInt(cleanPage)), 1)[0] & 0x60, 0x60, 'accessed and dirty');
      assert.deepEqual([rig.state.gpr[0], rig.state.gpr[5], rig.exceptions], [1n, 0n, []]);

      rig.state.gpr[5] = 1n;
      rig.state.gpr[8] = BigInt(protectedPage);
      rig.run(START, 3);
      assert.deepEqual(rig.exceptions, [`14:3 at ${(START + 5).toString(16)}`]);
      assert.equal(rig.state.cr2, BigInt(protectedPage));
      assert.deepEqual([rig.state.gpr[0], rig.state.gpr[5], rig.read(0x3000, 1)], [7n, 1n, [1]]);
    }
  });

  test(`what runs alone faults as it does otherwise, and counts as one instruction (${engine})`, () => {
    for (const shared of [false, true]) {
      const { rig, alone } = createLocked(translation, shared);
      // Across the end of a page, with nothing behind it.
      rig.mapPage(0x50_0000, 0x3000n | PAGE.all);
      rig.write(START, [
        ...[0xff, 0xc6], // inc esi
        ...[0xf0, 0x41, 0xff, 0], // lock inc dword [r8]
        ...[0xff, 0xcd, 0x75, 0xf6, 0xeb, 0xfe], // dec ebp; jnz; jmp $
      ]);
      const before = rig.vcpu.retired();
      rig.state.gpr[5] = BigInt(ROUNDS);
      rig.state.gpr[8] = 0x2ffdn;
      rig.run(START, ROUNDS * 4, true);
      assert.equal(rig.vcpu.retired() - before, ROUNDS * 4);
      assert.deepEqual([rig.state.gpr[5], rig.state.gpr[6]], [0n, BigInt(ROUNDS)]);
      assert.deepEqual(rig.read(0x2ffd, 4), [ROUNDS, 0, 0, 0]);
      assert.equal(alone(), shared ? ROUNDS : 0);

      rig.state.gpr[8] = 0x50_0ffdn;
      rig.run(START, 2);
      assert.deepEqual(rig.exceptions, [`14:2 at ${(START + 2).toString(16)}`]);
      assert.equal(rig.state.cr2, 0x50_1000n);
      assert.deepEqual(rig.read(0x3ffd, 3), [0, 0, 0]);
    }
  });

  test(`a device is read and written once, and only while others wait (${engine})`, () => {
    const { rig, alone } = createLocked(translation, true);
    rig.mapPage(PLACE.device, BigInt(PLACE.device) | PAGE.all);
    rig.write(START, [0xf0, 0x41, 0xff, 0, 0xff, 0xcd, 0x75, 0xf8, 0xeb, 0xfe]); // lock inc dword [r8]; dec ebp; jnz; jmp $
    rig.state.gpr[5] = BigInt(ROUNDS);
    rig.state.gpr[8] = BigInt(PLACE.device);
    rig.run(START, ROUNDS * 3);
    const once = ['r 400000 4', 'w 400000 4 11223345'];
    assert.deepEqual(rig.device, Array.from({ length: ROUNDS }, () => once).flat());
    assert.equal(alone(), ROUNDS);
  });
}
