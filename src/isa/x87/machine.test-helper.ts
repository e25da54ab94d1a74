/** Runs single x87 instructions for tests: the interpreter's handlers over a flat memory without paging. */
import { EXIT } from '../../cpu/interpreter/exits.ts';
import { createHandlers } from '../../cpu/interpreter/handlers.ts';
import { RECORD_SIZE } from '../../cpu/interpreter/record.ts';
import { createRecordWriter } from '../../cpu/interpreter/record-writer.ts';
import { buildRuntime } from '../../cpu/interpreter/runtime.ts';
import { shapeOf } from '../../cpu/interpreter/shape.ts';
import { x87Function } from '../../cpu/x87-transcendental.ts';
import { IMPORTS } from '../../ir/wasm/module.ts';
import { VCPU_BYTES } from '../counters.ts';
import { createDecoder, listEncodings } from '../decoder.ts';
import { floatHelpers } from '../float/routines.ts';
import { type Helper, helper } from '../helpers.ts';
import { CR0, NO_FAULT, VCPU, type VcpuState } from '../state.ts';
import { x87, x87Helpers } from './index.ts';

const CPU = 0x1_0000;
const RECORDS = 0x1_4000;
const GUEST = 0x10_0000;
const CODE = 0x100;

const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
const table = new WebAssembly.Table({ element: 'anyfunc', initial: 1024 });

/** The state block; tests set it up and look at it. */
export const state: VcpuState = VCPU.view(memory.buffer, CPU);
/** Guest memory from linear address 0; accesses from `READ_ONLY` on fault when they write. */
export const guest = new Uint8Array(memory.buffer, GUEST, 0x1_0000);
export const READ_ONLY = 0x8000;

/** What the engine does when FERR# is asserted. */
export const lines = { ferr: 0, ignored: false };

const helpers: readonly Helper[] = [
  helper('translate', ['i64', 'i32'], 'i32'),
  helper('finishWrite', []),
  helper('segmentCheck', ['i32', 'i64', 'i32'], 'i64', true),
  ...floatHelpers,
  ...x87Helpers,
];
const engine = {
  translate: (_cpu: number, linear: bigint, flags: number) => {
    if ((flags & 0x100) === 0 || Number(linear) + (flags & 0xff) <= READ_ONLY) return GUEST + Number(linear);
    state.faultVector = 14;
    return 0;
  },
  finishWrite: () => {},
  segmentCheck: (_cpu: number, _segment: number, offset: bigint) => offset,
  ferr: () => {
    lines.ferr++;
    return lines.ignored ? 1 : 0;
  },
  x87_function: (_cpu: number, operation: number, as: bigint, ae: number, bs: bigint, be: number) =>
    x87Function(state, operation, as, ae, bs, be),
};
const runtime = new WebAssembly.Instance(new WebAssembly.Module(buildRuntime(helpers)), {
  [IMPORTS]: { memory, table, ...engine },
});
const encodings = listEncodings(x87);
const decode = createDecoder(encodings);
const handlers = createHandlers({
  memory,
  table,
  functions: { ...engine, ...runtime.exports },
  helpers: new Map(helpers.map((h) => [h.name, h])),
});
const writer = createRecordWriter(new DataView(memory.buffer));

/** FNINIT's state, CR0.NE set, all else zero. */
export function reset(): void {
  new Uint8Array(memory.buffer, CPU, VCPU.size).fill(0);
  state.faultVector = NO_FAULT;
  state.budget = 1000;
  state.cr0 = BigInt(CR0.pe | CR0.ne);
  state.fcw = 0x37f;
  // A TLB entry that matches nothing.
  state.tlbBase = CPU + VCPU_BYTES;
  new Uint8Array(memory.buffer, CPU + VCPU_BYTES, 32).fill(0xff);
}

export interface Options {
  /** Bits of the code segment; default 64. */
  readonly bits?: 64 | 32 | 16;
  /** Default true. */
  readonly protected?: boolean;
}

/**
 * Runs one instruction. Returns the vector of the fault, `undefined` where there is none, `'wait'` where the instruction
 * is to be tried again.
 */
export function execute(code: Uint8Array, options: Options = {}): number | 'wait' | undefined {
  const codeSize = ((options.bits ?? 64) / 8) as 8 | 4 | 2;
  const mode = { codeSize, stackSize: codeSize, protected: options.protected ?? true };
  const instruction = decode(code, 0, mode);
  if (typeof instruction === 'string') return 6;
  const shape = shapeOf(instruction, { ...mode, flatSegments: Array(6).fill(true) as boolean[] });
  const handler = handlers.index(shape);
  handlers.publish();
  writer.instruction(RECORDS, handler, instruction, shape, CODE, 1);
  const end = CODE + instruction.length;
  writer.special(RECORDS + RECORD_SIZE, handlers.special.end, end, end, 2);
  const exit = (table.get(handler) as (cpu: number, record: number) => number)(CPU, RECORDS);
  if (exit === EXIT.fault) return state.faultVector;
  return exit === EXIT.dispatch && state.rip === BigInt(CODE) ? 'wait' : undefined;
}

/** Runs one instruction given in hexadecimal. */
export function run(code: string, options: Options = {}): number | 'wait' | undefined {
  const bytes = code.replaceAll(' ', '').match(/../g) ?? [];
  return execute(
    Uint8Array.from(bytes, (byte) => Number.parseInt(byte, 16)),
    options,
  );
}
