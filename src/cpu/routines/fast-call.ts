/**
 * SYSCALL, and SYSRET to 64-bit code, inside WebAssembly (SDM vol. 3A 5.8.8). What is unusual, every fault among it, is left
 * to `cpu/fast-call.ts`.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { readField, writeField } from '../../isa/fields.ts';
import { type Helper, helper, routine } from '../../isa/helpers.ts';
import { EFER, EFLAGS, GPR, SEGMENT } from '../../isa/state.ts';
import { FLAT_CODE_64, FLAT_DATA } from '../fast-call.ts';
import { FLAGS_MASK } from '../flags.ts';
import { ATTRIBUTE } from '../mode.ts';
import { inPlainLongMode, isCanonical } from './long-mode.ts';

const R11 = 11;

/** Sets a segment register to 4 GiB from 0. */
export function setFlatSegment(b: Builder, cpu: Value, segment: number, selector: Value, attributes: Value): void {
  writeField(b, cpu, 'segmentSelector', selector, segment);
  writeField(b, cpu, 'segmentBase', b.i64(0), segment);
  writeField(b, cpu, 'segmentLimit', b.i32(-1), segment);
  writeField(b, cpu, 'segmentAttributes', attributes, segment);
}

/** Loads CS and SS with flat segments whose descriptors are not read, and the privilege level. */
function setFlat(b: Builder, cpu: Value, cs: Value, ss: Value, level: 0 | 3): void {
  const selector = (value: Value) => b.or(b.and(value, b.i32(0xfffc)), b.i32(level));
  const dpl = level << ATTRIBUTE.dplShift;
  setFlatSegment(b, cpu, SEGMENT.cs, selector(cs), b.i32(FLAT_CODE_64 | dpl));
  setFlatSegment(b, cpu, SEGMENT.ss, selector(ss), b.i32(FLAT_DATA | dpl));
  writeField(b, cpu, 'cpl', b.i32(level));
}

const enabled = (b: Builder, cpu: Value): Value =>
  b.ne(b.and(b.wrap(readField(b, cpu, 'efer')), b.i32(EFER.sce)), b.i32(0));

/** (cpu, address after the instruction) */
const syscall = routine(
  'syscall',
  ['i64'],
  undefined,
  (b, cpu, next) => {
    b.if(b.eqz(b.and(inPlainLongMode(b, cpu), enabled(b, cpu))), () => {
      b.call('slowSyscall', cpu, next);
      b.return();
    });
    const flags = b.variable('i32', b.and(b.call('readFlags', cpu), b.i32(~EFLAGS.rf)));
    writeField(b, cpu, 'gpr', next, GPR.rcx);
    writeField(b, cpu, 'gpr', b.extendU(b.get(flags)), R11);
    const selector = b.variable('i32', b.wrap(b.shrU(readField(b, cpu, 'star'), b.i64(32))));
    setFlat(b, cpu, b.get(selector), b.add(b.and(b.get(selector), b.i32(0xfffc)), b.i32(8)), 0);
    b.call('writeFlags', cpu, b.and(b.get(flags), b.not(b.wrap(readField(b, cpu, 'sfmask')))));
    writeField(b, cpu, 'rip', readField(b, cpu, 'lstar'));
    b.call('longModeChanged', cpu);
  },
  true,
);

/** (cpu, 1: back to 64-bit mode) */
const sysret = routine(
  'sysret',
  ['i32'],
  undefined,
  (b, cpu, wide) => {
    const target = b.variable('i64', readField(b, cpu, 'gpr', GPR.rcx));
    const image = b.variable('i32', b.wrap(readField(b, cpu, 'gpr', R11)));
    const plain = b.and(b.and(inPlainLongMode(b, cpu), enabled(b, cpu)), b.ne(wide, b.i32(0)));
    const allowed = b.and(b.eqz(readField(b, cpu, 'cpl')), isCanonical(b, b.get(target)));
    const noTrap = b.eqz(b.and(b.get(image), b.i32(EFLAGS.tf)));
    b.if(b.eqz(b.and(b.and(plain, allowed), noTrap)), () => {
      b.call('slowSysret', cpu, wide);
      b.return();
    });
    const before = b.variable('i32', readField(b, cpu, 'eflags'));
    const selector = b.variable('i32', b.wrap(b.shrU(readField(b, cpu, 'star'), b.i64(48))));
    setFlat(b, cpu, b.add(b.get(selector), b.i32(16)), b.add(b.get(selector), b.i32(8)), 3);
    b.call('writeFlags', cpu, b.and(b.get(image), b.i32(FLAGS_MASK & ~(EFLAGS.rf | EFLAGS.vm))));
    writeField(b, cpu, 'rip', b.get(target));
    b.call('longModeChanged', cpu);
    b.call('interruptsMayFollow', cpu, b.get(before));
  },
  true,
);

export const fastCallRoutines: readonly Helper[] = [
  helper('slowSyscall', ['i64'], undefined, true),
  helper('slowSysret', ['i32'], undefined, true),
  syscall,
  sysret,
];
