/**
 * A machine for tests: the interpreter's handlers over a flat memory, one instruction at a time, without paging. Guest
 * addresses below `MEMORY` exist; the page at `READ_ONLY` cannot be written.
 */

import { EXIT } from '../../cpu/interpreter/exits.ts';
import { createHandlers } from '../../cpu/interpreter/handlers.ts';
import { RECORD_SIZE } from '../../cpu/interpreter/record.ts';
import { createRecordWriter } from '../../cpu/interpreter/record-writer.ts';
import { buildRuntime } from '../../cpu/interpreter/runtime.ts';
import { shapeOf } from '../../cpu/interpreter/shape.ts';
import { IMPORTS } from '../../ir/wasm/module.ts';
import { MEMORY_ACCESS } from '../access.ts';
import { createDecoder, listEncodings } from '../decoder.ts';
import { coreHelpers, type Helper, helper } from '../helpers.ts';
import { EFLAGS, NO_FAULT, STATUS_FLAGS, VCPU } from '../state.ts';
import { integer, integerHelpers } from './index.ts';

export const MEMORY = 0x1_0000;
export const READ_ONLY = 0x8000;
export const CODE = 0x100;

const CPU = 0x1_0000;
const RECORDS = 0x1_4000;
const TLB = 0x1_8000;
const TLB_ENTRIES = 64;
const GUEST = 0x10_0000;

const NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');

const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
const table = new WebAssembly.Table({ element: 'anyfunc', initial: 1024 });
const state = VCPU.view(memory.buffer, CPU);
const guest = new Uint8Array(memory.buffer, GUEST, MEMORY);

/** Stands in for the page walk: pages are where they are, neighbours lie side by side. */
function translate(_cpu: number, linear: bigint, flags: number): number {
  const write = (flags & MEMORY_ACCESS.write) !== 0;
  const from = Number(BigInt.asUintN(64, linear));
  const last = from + (flags & 0xff) - 1;
  const touches = (page: number) => from < page + 4096 && last >= page;
  if (last >= MEMORY || (write && touches(READ_ONLY))) {
    state.faultVector = 14;
    state.faultError = write ? 2 : 0;
    state.faultHasError = 1;
    return 0;
  }
  const page = last & -4096;
  const slot = TLB + (page >> 12) * 32;
  const entry = new DataView(memory.buffer);
  entry.setBigInt64(slot, BigInt(page), true);
  entry.setBigInt64(slot + 8, page === READ_ONLY ? -1n : BigInt(page), true);
  entry.setInt32(slot + 24, GUEST, true);
  return GUEST + from;
}

function segmentCheck(_cpu: number, segment: number, offset: bigint, bytes: number): bigint {
  if (Number(offset) + (bytes & 0xff) - 1 > state.segmentLimit[segment]) {
    state.faultVector = 13;
    state.faultError = 0;
    state.faultHasError = 1;
  }
  return BigInt.asUintN(32, offset + state.segmentBase[segment]);
}

const helpers: Helper[] = [
  helper('translate', ['i64', 'i32'], 'i32'),
  helper('finishWrite', []),
  ...coreHelpers,
  ...integerHelpers,
];
const engine = {
  translate,
  finishWrite: () => {},
  segmentCheck,
  flagsChanged: () => {},
  random: () => 0x1234_5678_9abc_def0n,
};
const runtime = new WebAssembly.Instance(new WebAssembly.Module(buildRuntime(helpers)), {
  [IMPORTS]: { memory, table, ...engine },
});
const decode = createDecoder(listEncodings(integer));
const handlers = createHandlers({
  memory,
  table,
  functions: { ...engine, ...runtime.exports },
  helpers: new Map(helpers.map((h) => [h.name, h])),
});
const writer = createRecordWriter(new DataView(memory.buffer));

export interface Input {
  /** 8 (default), 4 or 2. */
  readonly bits?: 64 | 32 | 16;
  readonly registers?: Readonly<Record<string, bigint | number>>;
  /** Status flags by their letters; the others are clear. */
  readonly flags?: string;
  /** The rest of RFLAGS. */
  readonly eflags?: number;
  readonly cpl?: number;
  /** Bytes by address. */
  readonly memory?: Readonly<Record<number, readonly number[]>>;
  /** By segment number. */
  readonly bases?: Readonly<Record<number, bigint>>;
  readonly budget?: number;
  readonly protected?: boolean;
  /** Offset limit of all segments. */
  readonly limit?: number;
}

export interface Output {
  readonly registers: Readonly<Record<string, bigint>>;
  readonly flags: string;
  readonly eflags: number;
  /** The address that execution goes on at. */
  readonly ip: bigint;
  /** Vector of a fault, or `undefined`. */
  readonly fault: number | undefined;
  /** `length` bytes of memory, as a number. */
  at(address: number, length: number): bigint;
}

const FLAG_BITS = [
  ['o', EFLAGS.of],
  ['s', EFLAGS.sf],
  ['z', EFLAGS.zf],
  ['a', EFLAGS.af],
  ['p', EFLAGS.pf],
  ['c', EFLAGS.cf],
] as const;

/** Status flags in their stored form, and back (`isa/state.ts`). */
function storeFlags(letters: string): void {
  const has = (letter: string) => (letters.includes(letter) ? 1n : 0n);
  state.flagResult = has('z') ? 0n : 0x100n;
  const carries = (has('c') << 63n) | ((has('c') ^ has('o')) << 62n);
  state.flagAux = carries | (has('a') << 3n) | has('s') | ((1n - has('p')) << 8n);
}

function loadFlags(): string {
  const { flagResult: result, flagAux: aux } = state;
  let low = (result ^ (aux >> 8n)) & 0xffn;
  let parity = 1;
  for (; low !== 0n; low &= low - 1n) parity ^= 1;
  const set: Record<string, boolean> = {
    o: ((aux >> 63n) ^ (aux >> 62n)) % 2n === 1n,
    s: ((result >> 63n) ^ aux) % 2n === 1n,
    z: result === 0n,
    a: (aux >> 3n) % 2n === 1n,
    p: parity === 1,
    c: aux >> 63n === 1n,
  };
  return FLAG_BITS.map(([letter]) => (set[letter] ? letter : '')).join('');
}

function prepare(input: Input): void {
  new Uint8Array(memory.buffer, CPU, VCPU.size).fill(0);
  new Uint8Array(memory.buffer, TLB, TLB_ENTRIES * 32).fill(0xff);
  guest.fill(0);
  for (const [name, value] of Object.entries(input.registers ?? {})) {
    state.gpr[NAMES.indexOf(name)] = BigInt.asUintN(64, BigInt(value));
  }
  storeFlags(input.flags ?? '');
  state.eflags = input.eflags ?? 0;
  state.cpl = input.cpl ?? 0;
  state.tlbBase = TLB;
  state.tlbMask = (TLB_ENTRIES - 1) * 32;
  state.faultVector = NO_FAULT;
  state.budget = input.budget ?? 1000;
  for (let segment = 0; segment < 6; segment++) {
    state.segmentLimit[segment] = input.limit ?? 0xffff_ffff;
    state.segmentBase[segment] = input.bases?.[segment] ?? 0n;
  }
  for (const [address, bytes] of Object.entries(input.memory ?? {})) guest.set(bytes, Number(address));
}

/** Runs one instruction, given in hexadecimal, at address `CODE`. */
export function run(code: string, input: Input = {}): Output {
  const bytes = Uint8Array.from(code.replaceAll(' ', '').match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
  const codeSize = ((input.bits ?? 64) / 8) as 8 | 4 | 2;
  const mode = { codeSize, stackSize: codeSize, protected: input.protected ?? true };
  const instruction = decode(bytes, 0, mode);
  prepare(input);
  if (typeof instruction === 'string') return output(instruction === 'undefined' ? 6 : 13, 0n);
  if (instruction.length !== bytes.length) throw new Error(`${code} is ${instruction.length} bytes long`);
  const flat = input.limit === undefined;
  const shape = shapeOf(instruction, { ...mode, flatSegments: Array(6).fill(flat) as boolean[] });
  const handler = handlers.index(shape);
  handlers.publish();
  writer.instruction(RECORDS, handler, instruction, shape, CODE, 1);
  const end = CODE + bytes.length;
  writer.special(RECORDS + RECORD_SIZE, handlers.special.end, end, end, 2);
  const exit = (table.get(handler) as (cpu: number, record: number) => number)(CPU, RECORDS);
  return output(exit === EXIT.fault ? state.faultVector : undefined, state.rip);
}

function output(fault: number | undefined, ip: bigint): Output {
  const kept = new Uint8Array(guest);
  return {
    registers: Object.fromEntries(NAMES.map((name, i) => [name, state.gpr[i] as bigint])),
    flags: loadFlags(),
    eflags: state.eflags & ~STATUS_FLAGS,
    ip,
    fault,
    at(address, length) {
      let value = 0n;
      for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(kept[address + i] as number);
      return value;
    },
  };
}
