/**
 * A guest in 64-bit mode with everything that exceptions and system calls need, on the rig of the engine's tests.
 * RAM is 4 MiB, mapped to itself; the device follows it. Programs end with HLT.
 */

import { readFlags, writeFlags } from '../../src/cpu/flags.ts';
import { setSegment } from '../../src/cpu/segmentation.ts';
import {
  createRig,
  PAGE,
  ENGINES as RIG_ENGINES,
  type RigOptions,
} from '../../src/engine/translated/rig.test-helper.ts';
import type { Translation } from '../../src/engine/translated/vcpu-interface.ts';
import { CR4, ENGINE_FIELDS, SEGMENT, VCPU, type VcpuField } from '../../src/isa/state.ts';
import { ACTIVITY } from '../../src/machine/vcpu-reset.ts';
import { readGuest } from '../../src/memory/guest-memory.ts';
import { assemble, type Symbols } from './assembler.ts';

export { PAGE };
export const ENGINES: readonly (readonly [string, Translation | undefined])[] = RIG_ENGINES;

/** Selectors; `idle` data and code at level 3 follow the order that SYSRET wants. */
export const SELECTOR = { code: 0x28, data: 0x10, user32: 0x33, userData: 0x3b, userCode: 0x43, task: 0x48 } as const;

/** Guest-physical and linear addresses that programs may use. */
export const AT = {
  code: 0x1000,
  /** 64-bit interrupt table. */
  idt: 0x7000,
  task: 0x8000,
  gdt: 0x6000,
  /** Where exceptions go; one page of code. */
  handler: 0xa000,
  /** Grows down from here at level 0: 1.7 MiB. */
  stack: 0x3e_0000,
  /** Ordinary pages for data. */
  data: 0x10_0000,
  data2: 0x10_1000,
  data3: 0x10_2000,
  device: 0x40_0000,
} as const;

const DESCRIPTORS: Readonly<Record<number, bigint>> = {
  [SELECTOR.code]: 0x00af_9b00_0000_ffffn,
  [SELECTOR.user32 & ~3]: 0x00cf_fb00_0000_ffffn,
  [SELECTOR.userData & ~3]: 0x00cf_f300_0000_ffffn,
  [SELECTOR.userCode & ~3]: 0x00af_fb00_0000_ffffn,
};

const NAMES = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  ...[8, 9, 10, 11, 12, 13, 14, 15].map((n) => `r${n}`),
];
export type RegisterName = 'rax' | 'rcx' | 'rdx' | 'rbx' | 'rsp' | 'rbp' | 'rsi' | 'rdi' | `r${number}`;

/** What an exception handler that is not the guest's own sees. */
export interface Caught {
  readonly vector: number;
  readonly error: number | undefined;
  readonly rip: bigint;
  readonly cr2: bigint;
  readonly flags: number;
  readonly gpr: readonly bigint[];
}

export type Guest = ReturnType<typeof createGuest>;

const HIDDEN: ReadonlySet<VcpuField> = new Set<VcpuField>([
  ...ENGINE_FIELDS,
  'flagResult',
  'flagAux',
  'eflags',
  'fpExceptions',
  'fpResultExponent',
  'debugPending',
]);

export function createGuest(options: RigOptions = {}) {
  const rig = createRig({
    ...options,
    environment: {
      ...options.environment,
      onException(vector, error) {
        const { state } = rig;
        // The state at the fault, before the exception is delivered.
        caught.push({
          vector,
          error,
          rip: state.rip,
          cr2: vector === 14 ? state.faultAddress : 0n,
          flags: readFlags(state),
          gpr: [...state.gpr],
        });
      },
    },
  });
  /** Exceptions so far, with the state before each. */
  const caught: Caught[] = [];
  const { state, vcpu } = rig;
  rig.paging(64);
  const quad = (at: number, value: bigint) => rig.write(at, [...new Uint8Array(BigUint64Array.of(value).buffer)]);
  for (const [selector, descriptor] of Object.entries(DESCRIPTORS)) quad(AT.gdt + Number(selector), descriptor);
  state.gdtrLimit = 0x5f;
  state.segmentSelector[SEGMENT.cs] = SELECTOR.code;
  state.cr4 |= BigInt(CR4.osxmmexcpt);
  setSegment(state, SEGMENT.tr, SELECTOR.task, BigInt(AT.task), 0x67, 0x8b);
  quad(AT.task + 4, BigInt(AT.stack));
  state.mxcsr = 0x1f80;
  state.gpr[4] = BigInt(AT.stack);
  writeFlags(state, 2);
  vcpu.stateReplaced();

  const labels: Record<string, number> = {};
  const guest = {
    ...rig,
    caught,
    labels,
    /** Assembles `text` at an address that maps to itself. */
    load(at: number, text: string, bits: 32 | 64 = 64, symbols: Symbols = {}): void {
      const assembled = assemble(at, text, bits, { ...AT, ...SELECTOR, ...labels, ...symbols });
      Object.assign(labels, assembled.labels);
      rig.write(at, assembled.bytes);
    },
    /** Assembles `text` for address `at` and puts it at the physical address `physical`. */
    place(at: number, physical: number, text: string, symbols: Symbols = {}): void {
      rig.write(physical, assemble(at, text, 64, { ...AT, ...labels, ...symbols }).bytes);
    },
    /** Guest memory, copied. */
    bytes: (at: number, length: number): Uint8Array => readGuest(rig.map, at, length) ?? new Uint8Array(),
    quad,
    readQuad: (at: number): bigint => new DataView(Uint8Array.from(rig.read(at, 8)).buffer).getBigUint64(0, true),
    /** A 64-bit interrupt gate for level `dpl`. */
    gate64(vector: number, offset: number, dpl = 0): void {
      quad(
        AT.idt + 16 * vector,
        BigInt(offset & 0xffff) |
          (BigInt(SELECTOR.code) << 16n) |
          (BigInt(0x8e00 | (dpl << 13)) << 32n) |
          (BigInt(offset >>> 16) << 48n),
      );
      quad(AT.idt + 16 * vector + 8, 0n);
      state.idtrBase = BigInt(AT.idt);
      state.idtrLimit = 0xfff;
    },
    set(values: Readonly<Record<string, bigint | number>>): void {
      for (const [name, value] of Object.entries(values))
        state.gpr[NAMES.indexOf(name)] = BigInt.asUintN(64, BigInt(value));
    },
    get: (name: RegisterName): bigint => state.gpr[NAMES.indexOf(name)],
    /** Runs from `rip` to HLT or the end of the vCPU, or `limit` instructions; says which. */
    go(rip: number | bigint, limit = 1_000_000): 'halted' | 'shut down' | 'count' | 'stopped' | 'breakpoint' {
      const result = rig.run(rip, limit);
      if (result !== 'inactive') return result;
      return state.activity === ACTIVITY.halted ? 'halted' : 'shut down';
    },
    /** Everything that the guest's programs can see of the vCPU, by field. */
    architecture(): Record<string, unknown> {
      const fields = (Object.keys(VCPU.fields) as VcpuField[]).filter((field) => !HIDDEN.has(field));
      const values = fields.map((field): [string, unknown] => {
        const value: unknown = state[field];
        return [field, typeof value === 'object' ? [...(value as Iterable<unknown>)].join(' ') : value];
      });
      return Object.fromEntries([...values, ['rflags', readFlags(state)]]);
    },
  };
  return guest;
}

/** One test for each engine. */
export const onEngines = (run: (name: string, translation: Translation | undefined) => void): void => {
  for (const [engine, translation] of ENGINES) run(engine, translation);
};
