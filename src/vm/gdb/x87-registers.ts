/** x87 registers as a debugger numbers them: the stack from its top, then the control words at 32 bits each. */
import { FPR_STRIDE, type VcpuState } from '../../isa/state.ts';
import type { Register } from './registers.ts';

const TOP_SHIFT = 11;
const TOP_MASK = 7 << TOP_SHIFT;
/** Control word: reserved bits are 0 but bit 6, which is 1 (SDM vol. 1 8.1.5). */
const CONTROL_BITS = 0x1f3f;
const CONTROL_FIXED = 0x40;

/** Values of a two-bit tag (SDM vol. 1 8.1.7). */
const TAG = { valid: 0, zero: 1, special: 2, empty: 3 } as const;

/** Where ST(`index`) lies in `state.fpr`. */
const place = (state: VcpuState, index: number) => (((state.fpTop + index) & 7) * FPR_STRIDE) / 8;

const stackRegister = (index: number): Register => ({
  name: `st${index}`,
  bits: 80,
  type: 'i387_ext',
  group: 'float',
  read(state) {
    const at = place(state, index);
    return ((state.fpr[at + 1]! & 0xffffn) << 64n) | state.fpr[at]!;
  },
  write(state, value) {
    const at = place(state, index);
    state.fpr[at] = value & 0xffff_ffff_ffff_ffffn;
    state.fpr[at + 1] = value >> 64n;
    return true;
  },
});

/** Tag of physical register `index` by what it holds. */
function tagOf(state: VcpuState, index: number): number {
  if (((state.ftw >> index) & 1) === 0) return TAG.empty;
  const significand = state.fpr[(index * FPR_STRIDE) / 8]!;
  const exponent = Number(state.fpr[(index * FPR_STRIDE) / 8 + 1]! & 0x7fffn);
  if (exponent === 0 && significand === 0n) return TAG.zero;
  const normal = exponent !== 0 && exponent !== 0x7fff && significand >> 63n === 1n;
  return normal ? TAG.valid : TAG.special;
}

function readTags(state: VcpuState): bigint {
  let tags = 0;
  for (let index = 0; index < 8; index++) tags |= tagOf(state, index) << (2 * index);
  return BigInt(tags);
}

function writeTags(state: VcpuState, value: bigint): void {
  let full = 0;
  for (let index = 0; index < 8; index++) {
    if (((Number(value & 0xffffn) >> (2 * index)) & 3) !== TAG.empty) full |= 1 << index;
  }
  state.ftw = full;
}

const control = (
  name: string,
  read: (state: VcpuState) => bigint,
  write: (state: VcpuState, value: bigint) => void,
): Register => ({
  name,
  bits: 32,
  type: 'int',
  group: 'float',
  read,
  write(state, value) {
    write(state, value);
    return true;
  },
});

export const x87Registers: readonly Register[] = [
  ...Array.from({ length: 8 }, (_, index) => stackRegister(index)),
  control(
    'fctrl',
    (state) => BigInt(state.fcw),
    (state, value) => {
      state.fcw = (Number(value) & CONTROL_BITS) | CONTROL_FIXED;
    },
  ),
  control(
    'fstat',
    (state) => BigInt((state.fsw & ~TOP_MASK) | ((state.fpTop & 7) << TOP_SHIFT)),
    (state, value) => {
      state.fsw = Number(value & 0xffffn) & ~TOP_MASK;
      state.fpTop = (Number(value) >> TOP_SHIFT) & 7;
    },
  ),
  control('ftag', readTags, writeTags),
  control(
    'fiseg',
    (state) => BigInt(state.fcs),
    (state, value) => {
      state.fcs = Number(value & 0xffffn);
    },
  ),
  control(
    'fioff',
    (state) => state.fip & 0xffff_ffffn,
    (state, value) => {
      state.fip = value;
    },
  ),
  control(
    'foseg',
    (state) => BigInt(state.fds),
    (state, value) => {
      state.fds = Number(value & 0xffffn);
    },
  ),
  control(
    'fooff',
    (state) => state.fdp & 0xffff_ffffn,
    (state, value) => {
      state.fdp = value;
    },
  ),
  control(
    'fop',
    (state) => BigInt(state.fop),
    (state, value) => {
      state.fop = Number(value & 0x7ffn);
    },
  ),
];
