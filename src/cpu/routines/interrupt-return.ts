/**
 * IRETQ from 64-bit code to 64-bit code inside WebAssembly (SDM vol. 2A IRET): the usual case of `cpu/far-return.ts`, which
 * does the rest, every fault among it.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../../isa/access.ts';
import { readField, writeField } from '../../isa/fields.ts';
import { type Helper, helper, routine } from '../../isa/helpers.ts';
import { EFLAGS, GPR, NO_FAULT, SEGMENT } from '../../isa/state.ts';
import { returnFlags } from '../far-return.ts';
import { ATTRIBUTE } from '../mode.ts';
import { dplOf, HIGH, isLongCode, isStack, setNull, setSegment } from './descriptor.ts';
import { inPlainLongMode, isCanonical } from './long-mode.ts';
import { reached, require } from './outcome.ts';

const isUnusable = (b: Builder, attributes: Value): Value =>
  b.ne(b.and(attributes, b.i32(ATTRIBUTE.unusable)), b.i32(0));

/** Whether a return to `level` leaves the data segments alone: each is null, or may be used there. */
function keepsSegments(b: Builder, cpu: Value, level: Value): Value {
  const kept = [SEGMENT.es, SEGMENT.ds, SEGMENT.fs, SEGMENT.gs].map((segment) => {
    const attributes = readField(b, cpu, 'segmentAttributes', segment);
    const dpl = b.and(b.shrU(attributes, b.i32(ATTRIBUTE.dplShift)), b.i32(3));
    return b.or(isUnusable(b, attributes), b.geU(dpl, level));
  });
  return kept.reduce((all, one) => b.and(all, one));
}

/** Flags that may change, by privilege level and IOPL before the return. */
function changeableFlags(b: Builder, cpu: Value): Value {
  const cpl = readField(b, cpu, 'cpl');
  const iopl = b.and(b.shrU(readField(b, cpu, 'eflags'), b.i32(12)), b.i32(3));
  const inner = b.select(b.eqz(cpl), b.i32(returnFlags.privileged), b.i32(0));
  const interrupts = b.select(b.leU(cpl, iopl), b.i32(EFLAGS.if), b.i32(0));
  return b.or(b.i32(returnFlags.always), b.or(inner, interrupts));
}

/** Loads SS from its descriptor, or makes it null; the checks come first, `commit` between. */
function stackSegment(b: Builder, cpu: Value, selector: Value, level: Value, commit: () => void): void {
  const load = (set: () => void) => {
    commit();
    set();
  };
  b.if(
    b.and(selector, b.i32(0xfffc)),
    () => {
      const descriptor = reached(b, b.call('reachDescriptor', cpu, selector));
      const low = b.variable('i32', b.loadHost('i32.load', descriptor, 0));
      const high = b.variable('i32', b.loadHost('i32.load', descriptor, 4));
      const levels = b.and(b.eq(b.and(selector, b.i32(3)), level), b.eq(dplOf(b, b.get(high)), level));
      require(b, b.and(isStack(b, b.get(high)), levels));
      load(() => setSegment(b, cpu, SEGMENT.ss, selector, b.get(low), b.get(high)));
    },
    () => {
      require(b, b.and(b.ne(level, b.i32(3)), b.eq(selector, level)));
      load(() => setNull(b, cpu, SEGMENT.ss, selector));
    },
  );
}

/** (cpu) -> 1 where done; if not nothing changed but the fault fields. */
const returnToLongMode = routine('returnToLongMode', [], 'i32', (b, cpu) => {
  const nested = b.and(readField(b, cpu, 'eflags'), b.i32(EFLAGS.nt));
  require(b, b.and(inPlainLongMode(b, cpu), b.eqz(nested)));
  const pointer = readField(b, cpu, 'gpr', GPR.rsp);
  const frame = reached(b, b.call('reachBytes', cpu, pointer, b.i32(40 | MEMORY_ACCESS.stack)));
  const slot = (number: number, load = 'i64.load') => b.loadHost(load, frame, number * 8);
  const ip = b.variable('i64', slot(0));
  const cs = b.variable('i32', slot(1, 'i32.load16_u'));
  const image = b.variable('i32', slot(2, 'i32.load'));
  const sp = b.variable('i64', slot(3));
  const ss = b.variable('i32', slot(4, 'i32.load16_u'));
  const level = b.variable('i32', b.and(b.get(cs), b.i32(3)));
  const noTrap = b.eqz(b.and(b.get(image), b.i32(EFLAGS.tf)));
  require(b, b.and(b.and(noTrap, isCanonical(b, b.get(ip))), b.geU(b.get(level), readField(b, cpu, 'cpl'))));

  const descriptor = reached(b, b.call('reachDescriptor', cpu, b.get(cs)));
  const low = b.variable('i32', b.loadHost('i32.load', descriptor, 0));
  const high = b.variable('i32', b.loadHost('i32.load', descriptor, 4));
  const dpl = dplOf(b, b.get(high));
  const conforms = b.and(b.get(high), b.i32(HIGH.conforming));
  const allowed = b.select(conforms, b.leU(dpl, b.get(level)), b.eq(dpl, b.get(level)));
  require(b, b.and(isLongCode(b, b.get(high)), allowed));
  const same = b.eq(b.get(level), readField(b, cpu, 'cpl'));
  require(b, b.or(same, keepsSegments(b, cpu, b.get(level))));

  stackSegment(b, cpu, b.get(ss), b.get(level), () => {
    const mask = b.variable('i32', changeableFlags(b, cpu));
    const kept = b.and(b.call('readFlags', cpu), b.not(b.get(mask)));
    // Without instruction breakpoints RF means nothing.
    const flags = b.and(b.or(kept, b.and(b.get(image), b.get(mask))), b.i32(~EFLAGS.rf));
    b.call('writeFlags', cpu, flags);
    setSegment(b, cpu, SEGMENT.cs, b.get(cs), b.get(low), b.get(high));
    writeField(b, cpu, 'cpl', b.get(level));
    writeField(b, cpu, 'rip', b.get(ip));
    writeField(b, cpu, 'gpr', b.get(sp), GPR.rsp);
  });
  b.return(b.i32(1));
});

/** (cpu, operand size, address after the instruction) */
const interruptReturn = routine(
  'interruptReturn',
  ['i32', 'i64'],
  undefined,
  (b, cpu, size, next) => {
    const before = b.variable('i32', readField(b, cpu, 'eflags'));
    b.if(b.eq(size, b.i32(8)), () => {
      b.if(b.call('returnToLongMode', cpu), () => {
        const waits = b.and(readField(b, cpu, 'nmiBlocked'), readField(b, cpu, 'nmiPending'));
        b.if(waits, () => writeField(b, cpu, 'poll', b.i32(1)));
        writeField(b, cpu, 'nmiBlocked', b.i32(0));
        b.call('longModeChanged', cpu);
        b.call('interruptsMayFollow', cpu, b.get(before));
        b.return();
      });
      writeField(b, cpu, 'faultVector', b.i32(NO_FAULT));
    });
    b.call('slowInterruptReturn', cpu, size, next);
  },
  true,
);

export const interruptReturnRoutines: readonly Helper[] = [
  helper('slowInterruptReturn', ['i32', 'i64'], undefined, true),
  returnToLongMode,
  interruptReturn,
];
