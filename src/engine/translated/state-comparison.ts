/** Copies of a vCPU's state block, and what two of them differ in that a guest could see. */
import { readFlags } from '../../cpu/flags.ts';
import { ENGINE_FIELDS, VCPU, type VcpuField, type VcpuState } from '../../isa/state.ts';

/**
 * Status flags are compared as RFLAGS: their stored forms may differ. Of the others, one tells what the run loop did last,
 * and the rest only pass between the parts of one instruction.
 */
const OTHERS: readonly VcpuField[] = [
  'flagResult',
  'flagAux',
  'eflags',
  'fpExceptions',
  'fpResultExponent',
  'instructions',
];
const HIDDEN: ReadonlySet<VcpuField> = new Set<VcpuField>([...ENGINE_FIELDS, ...OTHERS]);
const VISIBLE = (Object.keys(VCPU.fields) as VcpuField[]).filter((field) => !HIDDEN.has(field));

/** What stays as it is when an earlier state comes back: it goes with tables that do not, or others write it. */
const KEPT: readonly VcpuField[] = [
  'poll',
  'eventsWait',
  'epoch',
  'jumpGeneration',
  'jumpFloor',
  'tlbBase',
  'tlbMask',
  'tlbSpace',
  'tlbPcids',
  'tlbUsed',
];

const SIZES = { u8: 1, u16: 2, u32: 4, i32: 4, u64: 8, f64: 8 } as const;
const NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');

/** All ones where a word of the state block belongs to one of the fields. */
function maskOf(fields: readonly VcpuField[]): Int32Array {
  const bytes = new Uint8Array(VCPU.size);
  for (const field of fields) {
    const type = VCPU.fields[field];
    const [scalar, count] = typeof type === 'string' ? [type, 1] : type;
    bytes.fill(0xff, VCPU.offsets[field], VCPU.offsets[field] + SIZES[scalar] * count);
  }
  return new Int32Array(bytes.buffer);
}
const VISIBLE_MASK = maskOf(VISIBLE);
const KEPT_MASK = maskOf(KEPT);

export interface StateCopy {
  readonly words: Int32Array;
  readonly view: VcpuState;
}

export function createStateCopy(): StateCopy {
  const buffer = new ArrayBuffer(VCPU.size);
  return { words: new Int32Array(buffer), view: VCPU.view(buffer, 0) };
}

/** Brings a copy back into the state block. */
export function restoreState(words: Int32Array, copy: StateCopy): void {
  for (let i = 0; i < words.length; i++) {
    const kept = KEPT_MASK[i];
    if (kept === 0) words[i] = copy.words[i];
    else if (kept !== -1) words[i] = (words[i] & kept) | (copy.words[i] & ~kept);
  }
}

export function sameState(words: Int32Array, state: VcpuState, copy: StateCopy): boolean {
  let differing = 0;
  for (let i = 0; i < words.length; i++) differing |= (words[i] ^ copy.words[i]) & VISIBLE_MASK[i];
  return differing === 0 && readFlags(state) === readFlags(copy.view);
}

function nameOf(field: VcpuField, index: number): string {
  if (field === 'gpr') return NAMES[index];
  if (field === 'xmm') return `xmm${index >> 2}[${index & 3}]`;
  return typeof VCPU.fields[field] === 'string' ? field : `${field}[${index}]`;
}

const elements = (state: VcpuState, field: VcpuField): (bigint | number)[] => {
  const value: unknown = state[field];
  return typeof value === 'object' ? [...(value as Iterable<bigint | number>)] : [value as bigint | number];
};

/** What differs, in words: the copy's value, then the state's. */
export function stateDifferences(state: VcpuState, copy: StateCopy): string[] {
  const found: string[] = [];
  for (const field of VISIBLE) {
    const mine = elements(state, field);
    elements(copy.view, field).forEach((value, i) => {
      if (value !== mine[i]) found.push(`${nameOf(field, i)} = ${value.toString(16)}, not ${mine[i].toString(16)}`);
    });
  }
  const flags = [copy.view, state].map(readFlags);
  if (flags[0] !== flags[1]) found.push(`rflags = ${flags.map((value) => value.toString(16)).join(', not ')}`);
  return found;
}
