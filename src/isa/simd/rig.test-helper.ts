/** Runs single SIMD instructions for tests: the interpreter's handlers over a flat memory without paging. */
import { EXIT } from '../../cpu/interpreter/exits.ts';
import { createHandlers } from '../../cpu/interpreter/handlers.ts';
import { RECORD_SIZE } from '../../cpu/interpreter/record.ts';
import { createRecordWriter } from '../../cpu/interpreter/record-writer.ts';
import { buildRuntime } from '../../cpu/interpreter/runtime.ts';
import { type Shape, shapeOf } from '../../cpu/interpreter/shape.ts';
import { IMPORTS } from '../../ir/wasm/module.ts';
import { VCPU_BYTES } from '../counters.ts';
import { createDecoder, listEncodings } from '../decoder.ts';
import { floatHelpers } from '../float/routines.ts';
import { type Helper, helper } from '../helpers.ts';
import type { Instruction } from '../instruction.ts';
import { CR0, CR4, NO_FAULT, VCPU, type VcpuState, VECTOR } from '../state.ts';
import { simd, simdHelpers } from './index.ts';

const CPU = 0x1_0000;
const RECORDS = 0x1_4000;
const GUEST = 0x10_0000;
const CODE = 0x100;

/** Bytes of guest memory from linear address 0; whatever reaches further faults. */
export const GUEST_SIZE = 0x1000;

const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
const table = new WebAssembly.Table({ element: 'anyfunc', initial: 1024 });

/** The state block; tests set it up and look at it. */
export const state: VcpuState = VCPU.view(memory.buffer, CPU);
export const guest = new Uint8Array(memory.buffer, GUEST, GUEST_SIZE);

const helpers: readonly Helper[] = [
  helper('translate', ['i64', 'i32'], 'i32'),
  helper('finishWrite', []),
  helper('segmentCheck', ['i32', 'i64', 'i32'], 'i64', true),
  helper('ferr', [], 'i32'),
  ...floatHelpers,
  ...simdHelpers,
];
const engine = {
  translate: (_cpu: number, linear: bigint, flags: number) => {
    if (Number(linear) + (flags & 0xff) <= GUEST_SIZE) return GUEST + Number(linear);
    state.faultVector = VECTOR.pf;
    return 0;
  },
  finishWrite: () => {},
  segmentCheck: (_cpu: number, _segment: number, offset: bigint) => offset,
  ferr: () => 0,
  x87_function: () => 0n,
};
const runtime = new WebAssembly.Instance(new WebAssembly.Module(buildRuntime(helpers)), {
  [IMPORTS]: { memory, table, ...engine },
});
const decode = createDecoder(listEncodings(simd));
const handlers = createHandlers({
  memory,
  table,
  functions: { ...engine, ...runtime.exports },
  helpers: new Map(helpers.map((h) => [h.name, h])),
});
const writer = createRecordWriter(new DataView(memory.buffer));
const mode = { codeSize: 8, stackSize: 8, protected: true } as const;

/** All registers zero, all status flags clear, MXCSR 0x1f80, SSE and its exceptions enabled by the system. */
export function reset(): void {
  new Uint8Array(memory.buffer, CPU, VCPU.size).fill(0);
  state.faultVector = NO_FAULT;
  state.budget = 1000;
  state.cr0 = BigInt(CR0.pe | CR0.ne);
  state.cr4 = BigInt(CR4.osfxsr | CR4.osxmmexcpt);
  state.flagResult = 1n;
  state.fcw = 0x37f;
  state.mxcsr = 0x1f80;
  // A TLB entry that matches nothing.
  state.tlbBase = CPU + VCPU_BYTES;
  new Uint8Array(memory.buffer, CPU + VCPU_BYTES, 32).fill(0xff);
}

/** The instruction with its immediates known when its handler is built, as the translator has them. */
function withConstants(shape: Shape, instruction: Instruction): Shape {
  const operands = shape.operands.map((o, i) => {
    const decoded = instruction.operands[i];
    return decoded?.kind === 'immediate' ? { ...o, constant: decoded.value } : o;
  });
  return { ...shape, key: `${shape.key} ${operands.map((o) => o.constant).join()}`, operands };
}

/** As `run`, to be called again and again until another instruction is prepared. */
export function prepare(code: string, constants = false): () => number | undefined {
  const bytes = Uint8Array.from(Buffer.from(code.replaceAll(' ', ''), 'hex'));
  const instruction = decode(bytes, 0, mode);
  if (typeof instruction === 'string') return () => VECTOR.ud;
  const plain = shapeOf(instruction, { ...mode, flatSegments: Array(6).fill(true) as boolean[] });
  const shape = constants ? withConstants(plain, instruction) : plain;
  const handler = handlers.index(shape);
  handlers.publish();
  writer.instruction(RECORDS, handler, instruction, shape, CODE, 1);
  const end = CODE + instruction.length;
  writer.special(RECORDS + RECORD_SIZE, handlers.special.end, end, end, 2);
  const execute = table.get(handler) as (cpu: number, record: number) => number;
  return () => (execute(CPU, RECORDS) === EXIT.fault ? state.faultVector : undefined);
}

/** Runs one instruction given in hexadecimal. Returns the vector of the fault, `undefined` where there is none. */
export const run = (code: string, constants = false): number | undefined => prepare(code, constants)();

/** An XMM register as 32 hexadecimal digits, most significant first. */
export function xmm(index: number): string {
  const digits = (i: number) => (state.xmm[i] as bigint).toString(16).padStart(16, '0');
  return digits(4 * index + 1) + digits(4 * index);
}

export function setXmm(index: number, value: string): void {
  const whole = BigInt(`0x${value}`);
  state.xmm[4 * index] = BigInt.asUintN(64, whole);
  state.xmm[4 * index + 1] = whole >> 64n;
}
