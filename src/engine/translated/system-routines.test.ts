/**
 * The routines in WebAssembly for system calls, faults, interrupts and their return against the JavaScript that they stand
 * for: two vCPUs get the same random state and code, of which one has no routines. Everything that a guest can see must be
 * equal afterwards, and the key of the mode, which the other computes by `modeKey`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeFlags } from '../../cpu/flags.ts';
import { systemRoutines } from '../../cpu/routines/index.ts';
import { coreHelpers } from '../../isa/helpers.ts';
import { CR0, CR4, EFER, EFLAGS, NO_FAULT, SEGMENT, type VcpuState } from '../../isa/state.ts';
import { systemHelpers } from '../../isa/system/index.ts';
import { SAVED_FIELDS, saveVcpu } from '../../snapshot/vcpu-section.ts';
import { type InstructionSet, x86 } from './instruction-set.ts';
import { createRig, PAGE, PLACE as RIG, type Rig } from './rig.test-helper.ts';

/** `slowSyscall` stands for `syscall`. */
const fullName = (slow: string) => `${slow.charAt(4).toLowerCase()}${slow.slice(5)}`;
const isSlow = (name: string) => name.startsWith('slow');
const REPLACED = new Set(
  systemRoutines
    .map(({ name }) => name)
    .filter(isSlow)
    .map(fullName),
);
const DELIVERY = new Set(['enterException', 'enterInterrupt']);

/** The same instructions with nothing but JavaScript behind those that have both. */
const WITHOUT_ROUTINES: InstructionSet = {
  ...x86,
  delivers: false,
  helpers: [
    ...x86.helpers.filter(({ name }) => !REPLACED.has(name) && !DELIVERY.has(name)),
    ...[...coreHelpers, ...systemHelpers].filter(({ name }) => REPLACED.has(name)),
  ],
  implementation(context) {
    const all = x86.implementation(context);
    const slow = Object.entries(all).filter(([name]) => isSlow(name));
    return { ...all, ...Object.fromEntries(slow.map(([name, call]) => [fullName(name), call])) };
  },
};

const PLACE = {
  kernelCode: 0x1000,
  userCode: 0x2000,
  gdt: 0x6000,
  idt: 0x7000,
  tss: 0x8000,
  kernelStack: 0xa000,
  handler: 0x1_0000,
  userStack: 0x1_4000,
  absent: 0x1_8000,
} as const;

/** In the order of the GDT: what code and stacks of both levels are, and what they are not. */
const DESCRIPTORS = [
  0n,
  0x00af_9b00_0000_ffffn, // 08: 64-bit code, level 0
  0x00cf_9300_0000_ffffn, // 10: data, level 0
  0x00cf_fb00_0000_ffffn, // 18: 32-bit code, level 3
  0x00cf_f300_0000_ffffn, // 20: data, level 3
  0x00af_fb00_0000_ffffn, // 28: 64-bit code, level 3
  0x0020_9a00_0000_0000n, // 30: 64-bit code, level 0, no limit, not accessed
  0x00af_9f00_0000_ffffn, // 38: conforming
  0x00af_1b00_0000_ffffn, // 40: not present
  0x00ef_9b00_0000_ffffn, // 48: L and D
  0x00cf_9200_0000_ffffn, // 50: data, level 0, not accessed
  0x00cf_9100_0000_ffffn, // 58: read-only data
  0x0020_9b12_3456_0000n, // 60: 64-bit code with a base
  0x0020_fb00_0000_0000n, // 68: 64-bit code, level 3, no limit
] as const;

type Random = (below: number) => number;

function randomFrom(seed: number): Random {
  let x = seed >>> 0;
  return (below) => {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((x / 2 ** 32) * below);
  };
}

const pick = <T>(random: Random, ...choices: readonly T[]): T => choices[random(choices.length)]!;
/** `usual` in most cases. */
const mostly = <T>(random: Random, usual: T, ...others: readonly T[]): T =>
  random(24) === 0 ? pick(random, ...others) : usual;

const little = (value: bigint, size: number) =>
  Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));

const CODE = {
  syscall: [0x0f, 0x05],
  sysretq: [0x48, 0x0f, 0x07],
  sysret: [0x0f, 0x07],
  iretq: [0x48, 0xcf],
  iretd: [0xcf],
  sti: [0xfb],
  cli: [0xfa],
  stac: [0x0f, 0x01, 0xcb],
  clac: [0x0f, 0x01, 0xca],
  swapgs: [0x0f, 0x01, 0xf8],
  moveRoot: [0x41, 0x0f, 0x22, 0xd8], // mov cr3, r8
  moveOtherRoot: [0x41, 0x0f, 0x22, 0xd9], // mov cr3, r9
  invalidate: [0x0f, 0x01, 0x38], // invlpg [rax]
  pushfq: [0x9c],
  popfq: [0x9d],
  popf: [0x66, 0x9d],
  ud2: [0x0f, 0x0b],
  load: [0x8b, 0x04, 0x25, ...little(BigInt(PLACE.absent), 4)],
  store: [0x89, 0x04, 0x25, ...little(BigInt(PLACE.absent), 4)],
  kernelLoad: [0x8b, 0x04, 0x25, ...little(BigInt(PLACE.tss), 4)],
  divide: [0x31, 0xc9, 0xf7, 0xf1],
  int3: [0xcc],
  int: [0xcd, 0x21],
  halt: [0xf4],
  nop: [0x90],
  add: [0x48, 0x83, 0xc0, 0x01],
} as const;
const USUAL = {
  kernel: ['sysretq', 'iretq', 'iretq', 'popfq', 'sti', 'load', 'ud2', 'stac', 'moveRoot', 'moveOtherRoot'],
  user: ['syscall', 'syscall', 'load', 'store', 'ud2', 'popfq', 'kernelLoad'],
} as const;

const NON_CANONICAL = 0x8000_0000_0000n;

function gate(random: Random): bigint[] {
  const type = mostly(random, pick(random, 0x8en, 0x8fn, 0xeen), 0x0en, 0x85n, 0x8cn, 0x9en);
  const ist = mostly(random, 0n, 1n, 2n);
  const selector = mostly(random, 8n, 0x30n, 0x38n, 0x40n, 0x48n, 0x28n, 0n, 0x0cn, 0x60n, 0x200n, 9n);
  const offset = mostly(random, BigInt(PLACE.handler + random(4)), NON_CANONICAL, BigInt(PLACE.absent));
  const low = (offset & 0xffffn) | (selector << 16n) | (ist << 32n) | (type << 40n) | ((offset & 0xffff_0000n) << 32n);
  return [low, offset >> 32n];
}

function stackPointer(random: Random): bigint {
  const usual = BigInt(PLACE.kernelStack + 0x800 + random(64));
  const others = [PLACE.kernelStack + 16, PLACE.kernelStack + 40, PLACE.absent + 0x100, PLACE.userStack + 0x100, 8];
  return mostly(random, usual, NON_CANONICAL, ...others.map(BigInt));
}

/** Tables, stacks and code, as bytes at addresses. */
function memory(random: Random): readonly (readonly [number, readonly number[]])[] {
  const words = (values: readonly bigint[]) => values.flatMap((value) => little(value, 8));
  const gates = Array.from({ length: 48 }, () => gate(random));
  const stacks = Array.from({ length: 10 }, () => stackPointer(random));
  const instructions = (level: keyof typeof USUAL) => {
    const names = Array.from({ length: 3 }, () => {
      const all = Object.keys(CODE) as (keyof typeof CODE)[];
      return random(4) > 0 ? pick(random, ...USUAL[level]) : pick(random, ...all);
    });
    return [...names.flatMap((name) => [...CODE[name]]), ...new Array<number>(16).fill(0x90), 0xf4];
  };
  const frame = () => {
    const user = random(3) > 0;
    const cs = mostly(random, user ? 0x2bn : 8n, 0x1bn, 0x6bn, 0x60n, 0x30n, 0x3bn, 0n, 0x2fn, 0x43n, 0x2000n);
    const ss = mostly(random, user ? 0x23n : 0x10n, 0n, 3n, 0x50n, 0x58n, 0x27n, 0x10n);
    const flags = BigInt(random(0x40_0000)) & ~mostly(random, 0x2_0100n, 0x2_0000n, 0n);
    const ip = mostly(random, BigInt(PLACE.userCode + 0x80), NON_CANONICAL, BigInt(PLACE.kernelCode + 0x80));
    return words([ip, cs, flags, BigInt(PLACE.userStack + 0x200 + random(16)), ss]);
  };
  return [
    [PLACE.gdt, words(DESCRIPTORS)],
    [PLACE.idt, words(gates.flat())],
    [PLACE.tss, [0, 0, 0, 0, ...words(stacks)]],
    [PLACE.kernelStack + 0x400, frame()],
    [PLACE.kernelStack + 0xfe0, frame().slice(0, 32)],
    [PLACE.userStack + 0x400, frame()],
    [PLACE.kernelCode, instructions('kernel')],
    [PLACE.userCode, instructions('user')],
    [PLACE.kernelCode + 0x80, [...CODE.add, ...CODE.add, ...CODE.nop, ...CODE.halt]],
    [PLACE.userCode + 0x80, [...CODE.add, ...CODE.add, ...CODE.nop, ...CODE.syscall]],
    [PLACE.handler, [...new Array<number>(4).fill(0x90), ...CODE.add, ...CODE.iretq]],
  ];
}

/** Registers, all of them the same for both. */
function registers(random: Random): (state: VcpuState) => void {
  const user = random(2) === 0;
  const compatible = user && random(6) === 0;
  const flags = random(0x40_0000) & ~mostly(random, EFLAGS.tf | EFLAGS.rf | EFLAGS.vm, EFLAGS.vm);
  const nested = mostly(random, 0, EFLAGS.nt);
  const cr4 = pick(random, 0, CR4.smap, CR4.smap | CR4.smep, CR4.smep) | CR4.pae | CR4.osfxsr;
  const pcids = random(2) === 0;
  const keep = () => pick(random, 0n, 1n << 63n);
  const root = () => (pcids ? BigInt(random(12)) | keep() : mostly(random, 0n, 0x18n, 1n << 63n));
  const roots = [root(), root()];
  const cr0 = CR0.pe | CR0.et | CR0.pg | pick(random, 0, CR0.am) | mostly(random, CR0.wp, 0);
  const stack = user ? PLACE.userStack : PLACE.kernelStack;
  const rsp = BigInt(stack + mostly(random, 0x400, 0xfe0, 0x403, 8));
  const efer = EFER.lme | EFER.lma | mostly(random, EFER.sce, 0);
  const star = mostly(random, 0x1b_0008n, 0x18_0030n, 0xffff_ffffn) << 32n;
  const lstar = BigInt(PLACE.kernelCode + 0x80);
  const rcx = mostly(random, BigInt(PLACE.userCode + 0x80), NON_CANONICAL);
  const r11 = BigInt(random(0x40_0000)) & ~mostly(random, 0x100n, 0n);
  const sfmask = BigInt(random(0x40_0000));
  const idtrLimit = mostly(random, 48 * 16 - 1, 13 * 16, 0);
  const gdtrLimit = mostly(random, DESCRIPTORS.length * 8 - 1, 0x17, 0);
  const trLimit = mostly(random, 0x67, 3, 0x20);
  const dr7 = mostly(random, 0x400n, 0x401n);
  const shadow = mostly(random, 0, 1, 2);
  const nmi = mostly(random, 0, 1, 2, 3);
  const segments = pick(random, 0x1_0000, 0x1_0000, 0xc0f3, 0xc093, 0x9f);
  return (state) => {
    state.cr0 = BigInt(cr0 >>> 0);
    state.cr4 = BigInt(cr4 | (pcids ? CR4.pcide : 0));
    state.cr3 = BigInt(RIG.root);
    state.efer = BigInt(efer);
    state.cpl = user ? 3 : 0;
    const set = (segment: number, selector: number, limit: number, attributes: number) => {
      state.segmentSelector[segment] = selector;
      state.segmentBase[segment] = 0n;
      state.segmentLimit[segment] = limit;
      state.segmentAttributes[segment] = attributes;
    };
    for (let s = 0; s < 6; s++) set(s, 0, 0, segments);
    const code = compatible ? 0xc0fb : user ? 0xa0fb : 0xa09b;
    set(SEGMENT.cs, compatible ? 0x1b : user ? 0x2b : 8, 0xffff_ffff, code);
    set(SEGMENT.ss, user ? 0x23 : 0x10, 0xffff_ffff, user ? 0xc0f3 : 0xc093);
    set(SEGMENT.tr, 0x70, trLimit, 0x8b);
    state.segmentBase[SEGMENT.tr] = BigInt(PLACE.tss);
    state.gdtrBase = BigInt(PLACE.gdt);
    state.gdtrLimit = gdtrLimit;
    state.idtrBase = BigInt(PLACE.idt);
    state.idtrLimit = idtrLimit;
    state.gpr.fill(0x1234n);
    state.gpr[1] = rcx;
    state.gpr[4] = rsp;
    state.gpr[8] = BigInt(RIG.root) | roots[0]!;
    state.gpr[9] = BigInt(RIG.root) | roots[1]!;
    state.gpr[11] = r11;
    state.rip = BigInt(user ? PLACE.userCode : PLACE.kernelCode);
    state.star = star;
    state.lstar = lstar;
    state.sfmask = sfmask;
    state.kernelGsBase = 0x5678n;
    state.dr[6] = 0xffff_0ff0n;
    state.dr[7] = dr7;
    state.cr2 = 0n;
    state.interruptShadow = shadow;
    state.nmiBlocked = nmi & 1;
    state.nmiPending = nmi >> 1;
    state.debugPending = 0;
    state.activity = 0;
    state.faultVector = NO_FAULT;
    writeFlags(state, flags | nested);
  };
}

/** What a guest can see of the registers; as fields by name where that has to be shown. */
function visible(rig: Rig): Record<string, unknown> {
  const state = rig.state as unknown as Record<string, unknown>;
  return Object.fromEntries(SAVED_FIELDS.map((name) => [name, state[name]]));
}

const COMPARED = [
  [0, 0x2_0000],
  [0x20_0000, 0x8000],
] as const;

function sameBytes(one: readonly Uint8Array[], other: readonly Uint8Array[]): boolean {
  return one.length === other.length && one.every((bytes, i) => Buffer.compare(bytes, other[i]!) === 0);
}

function createSide(instructionSet: InstructionSet) {
  let waiting = -1;
  const rig = createRig({
    instructionSet,
    environment: {
      onException: undefined,
      interrupts: {
        pending: () => waiting >= 0,
        acknowledge() {
          const vector = waiting;
          waiting = -1;
          return vector;
        },
      },
    },
  });
  rig.paging(64);
  const supervisor = [PLACE.gdt, PLACE.idt, PLACE.tss, PLACE.kernelStack, PLACE.kernelCode, PLACE.handler];
  return {
    rig,
    prepare(bytes: ReturnType<typeof memory>, set: (state: VcpuState) => void, stackEntry: bigint, vector: number) {
      for (const at of supervisor) rig.mapPage(at, BigInt(at) | PAGE.present | PAGE.writable);
      rig.mapPage(PLACE.kernelStack, BigInt(PLACE.kernelStack) | stackEntry);
      for (const at of [PLACE.userCode, PLACE.userStack]) rig.mapPage(at, BigInt(at) | PAGE.all);
      rig.mapPage(PLACE.absent, 0);
      for (const [at, content] of bytes) rig.write(at, content);
      set(rig.state);
      waiting = vector;
      rig.vcpu.stateReplaced();
    },
  };
}

/** 3000 have been run. */
const SEEDS = 1000;

test('routines do what the JavaScript does that they stand for', () => {
  const sides = [createSide(x86), createSide(WITHOUT_ROUTINES)] as const;
  const [fast, slow] = sides.map(({ rig }) => rig) as [Rig, Rig];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = randomFrom(seed);
    const bytes = memory(random);
    const set = registers(random);
    const stackEntry = mostly(random, PAGE.present | PAGE.writable, PAGE.present, 0n, PAGE.all);
    const vector = random(4) === 0 ? 0x20 + random(20) : -1;
    for (const side of sides) side.prepare(bytes, set, stackEntry, vector);
    const steps = Array.from({ length: 4 }, () => 1 + random(5));
    for (const count of steps) {
      const results = [fast, slow].map((rig) => rig.vcpu.run(count, true));
      const where = `seed ${seed}`;
      assert.equal(results[0], results[1], where);
      assert.equal(fast.vcpu.retired(), slow.vcpu.retired(), where);
      if (!sameBytes([saveVcpu(fast.state)], [saveVcpu(slow.state)])) {
        assert.deepEqual(visible(fast), visible(slow), where);
      }
      assert.equal(fast.state.modeKey, slow.state.modeKey, where);
      assert.deepEqual([fast.state.tlbBase, fast.state.tlbMask], [slow.state.tlbBase, slow.state.tlbMask], where);
      for (const [at, length] of COMPARED) {
        const [one, other] = [fast, slow].map((rig) => rig.map.spans(at, length, 'read') ?? []);
        assert.ok(sameBytes(one, other), `memory, ${where}`);
      }
    }
  }
});
