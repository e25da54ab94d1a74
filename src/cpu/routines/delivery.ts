/**
 * Delivery of exceptions and interrupts through 64-bit gates inside WebAssembly (SDM vol. 3A 6.14): the usual case of
 * `cpu/gate-long.ts`. Where anything is not as it usually is, the routines change nothing and answer 0; JavaScript then
 * does it all, faults on the way included.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../../isa/access.ts';
import { readField, writeField } from '../../isa/fields.ts';
import { type Helper, routine } from '../../isa/helpers.ts';
import { EFLAGS, GPR, NO_FAULT, SEGMENT, VECTOR } from '../../isa/state.ts';
import { FAULTS, HANDLER_CLEARS } from '../event.ts';
import { INTERRUPT_STACKS, LEVEL_STACKS } from '../tss.ts';
import { dplOf, HIGH, isLongCode, setNull, setSegment } from './descriptor.ts';
import { inQuietLongMode, isCanonical } from './long-mode.ts';
import { reached, require } from './outcome.ts';

/** Whether and how an event pushes an error code and RF. */
export const DELIVERY = { interrupt: 0, exception: 1, withError: 2 } as const;

/** Type and P of a present interrupt gate; a trap gate has bit 0 as well. */
const GATE_MASK = 0x9e;
const GATE = 0x8e;

/** The stack pointer that the gate's handler gets: by its IST, by its level, or as it is. */
function stackOf(b: Builder, cpu: Value, ist: Value, level: Value, inner: Value): Value {
  const pointer = b.variable('i64', readField(b, cpu, 'gpr', GPR.rsp));
  const entry = (base: number, index: Value) => b.add(b.i32(base), b.shl(index, b.i32(3)));
  b.if(b.or(ist, inner), () => {
    const offset = b.select(ist, entry(INTERRUPT_STACKS, ist), entry(LEVEL_STACKS, level));
    b.set(pointer, b.loadHost('i64.load', reached(b, b.call('reachTask', cpu, offset))));
  });
  require(b, isCanonical(b, b.get(pointer)));
  return b.and(b.get(pointer), b.i64(-16));
}

/** Flags as the handler finds them on its stack. */
function flagsImage(b: Builder, cpu: Value, vector: Value, kind: Value): Value {
  const restarts = b.and(b.shrU(b.i32(FAULTS), vector), b.ltU(vector, b.i32(32)));
  const rf = b.select(b.and(b.and(restarts, kind), b.i32(1)), b.i32(EFLAGS.rf), b.i32(0));
  return b.or(b.call('readFlags', cpu), rf);
}

/**
 * Delivers `vector`, returning to `rip`; `kind` has bits of `DELIVERY`. The fault fields may change in any case.
 * (cpu, vector, kind, error code) -> 1 where done
 */
const enterGate = routine('enterGate', ['i32', 'i32', 'i32'], 'i32', (b, cpu, vector, kind, error) => {
  const at = b.shl(vector, b.i32(4));
  require(b, b.and(inQuietLongMode(b, cpu), b.leU(b.or(at, b.i32(15)), readField(b, cpu, 'idtrLimit'))));
  const address = b.add(readField(b, cpu, 'idtrBase'), b.extendU(at));
  const gate = reached(b, b.call('reachBytes', cpu, address, b.i32(16 | MEMORY_ACCESS.system)));
  const low = b.variable('i32', b.loadHost('i32.load', gate, 0));
  const high = b.variable('i32', b.loadHost('i32.load', gate, 4));
  const top = b.loadHost('i64.load32_u', gate, 8);
  const target = b.or(b.and(b.get(low), b.i32(0xffff)), b.and(b.get(high), b.i32(0xffff_0000)));
  const offset = b.variable('i64', b.or(b.extendU(target), b.shl(top, b.i64(32))));
  const right = b.eq(b.and(b.shrU(b.get(high), b.i32(8)), b.i32(GATE_MASK)), b.i32(GATE));
  require(b, b.and(right, isCanonical(b, b.get(offset))));

  const selector = b.variable('i32', b.shrU(b.get(low), b.i32(16)));
  const descriptor = reached(b, b.call('reachDescriptor', cpu, b.get(selector)));
  const codeLow = b.variable('i32', b.loadHost('i32.load', descriptor, 0));
  const code = b.variable('i32', b.loadHost('i32.load', descriptor, 4));
  const cpl = b.variable('i32', readField(b, cpu, 'cpl'));
  require(b, b.and(isLongCode(b, b.get(code)), b.leU(dplOf(b, b.get(code)), b.get(cpl))));
  const conforms = b.and(b.get(code), b.i32(HIGH.conforming));
  const level = b.variable('i32', b.select(conforms, b.get(cpl), dplOf(b, b.get(code))));
  const inner = b.variable('i32', b.ltU(b.get(level), b.get(cpl)));

  const ist = b.variable('i32', b.and(b.get(high), b.i32(7)));
  const withError = b.variable('i32', b.and(b.shrU(kind, b.i32(1)), b.i32(1)));
  const bytes = b.variable('i32', b.add(b.i32(40), b.shl(b.get(withError), b.i32(3))));
  const stack = stackOf(b, cpu, b.get(ist), b.get(level), b.get(inner));
  const pointer = b.variable('i64', b.sub(stack, b.extendU(b.get(bytes))));
  const rights = b.select(b.get(inner), b.i32(MEMORY_ACCESS.system), b.i32(0));
  const access = b.or(b.get(bytes), b.or(rights, b.i32(MEMORY_ACCESS.stack | MEMORY_ACCESS.write)));
  const frame = b.variable('i32', reached(b, b.call('reachBytes', cpu, b.get(pointer), access)));

  b.if(b.get(withError), () => {
    b.storeHost('i64.store', b.get(frame), b.extendU(error));
    b.set(frame, b.add(b.get(frame), b.i32(8)));
  });
  const put = (slot: number, value: Value) => b.storeHost('i64.store', b.get(frame), value, slot * 8);
  put(0, readField(b, cpu, 'rip'));
  put(1, b.extendU(readField(b, cpu, 'segmentSelector', SEGMENT.cs)));
  put(2, b.extendU(flagsImage(b, cpu, vector, kind)));
  put(3, readField(b, cpu, 'gpr', GPR.rsp));
  put(4, b.extendU(readField(b, cpu, 'segmentSelector', SEGMENT.ss)));

  b.if(b.get(inner), () => setNull(b, cpu, SEGMENT.ss, b.get(level)));
  const cs = b.or(b.and(b.get(selector), b.i32(0xfffc)), b.get(level));
  setSegment(b, cpu, SEGMENT.cs, cs, b.get(codeLow), b.get(code));
  writeField(b, cpu, 'cpl', b.get(level));
  writeField(b, cpu, 'gpr', b.get(pointer), GPR.rsp);
  writeField(b, cpu, 'rip', b.get(offset));
  const trap = b.and(b.get(high), b.i32(0x100));
  const cleared = b.select(trap, b.i32(HANDLER_CLEARS), b.i32(HANDLER_CLEARS | EFLAGS.if));
  writeField(b, cpu, 'eflags', b.and(readField(b, cpu, 'eflags'), b.not(cleared)));
  writeField(b, cpu, 'activity', b.i32(0));
  writeField(b, cpu, 'interruptShadow', b.i32(0));
  b.call('longModeChanged', cpu);
  b.return(b.i32(1));
});

/** Delivers a hardware interrupt. (cpu, vector) -> 1 where done */
const enterInterrupt = routine('enterInterrupt', ['i32'], 'i32', (b, cpu, vector) => {
  const done = b.variable('i32', b.call('enterGate', cpu, vector, b.i32(DELIVERY.interrupt), b.i32(0)));
  writeField(b, cpu, 'faultVector', b.i32(NO_FAULT));
  b.return(b.get(done));
});

/**
 * Delivers the exception in the fault fields and clears them; `rip` is at the instruction that met it. Where it is not
 * done the fault fields are as before. (cpu) -> 1 where done
 */
const enterException = routine('enterException', [], 'i32', (b, cpu) => {
  const vector = b.variable('i32', readField(b, cpu, 'faultVector'));
  // #DB has conditions of its own; a vector above is none of an exception.
  b.if(b.or(b.eq(b.get(vector), b.i32(VECTOR.db)), b.gtU(b.get(vector), b.i32(31))), () => b.return(b.i32(0)));
  const hasError = b.variable('i32', readField(b, cpu, 'faultHasError'));
  const error = b.variable('i32', readField(b, cpu, 'faultError'));
  const address = b.variable('i64', readField(b, cpu, 'faultAddress'));
  const kind = b.or(b.i32(DELIVERY.exception), b.shl(b.ne(b.get(hasError), b.i32(0)), b.i32(1)));
  b.if(
    b.call('enterGate', cpu, b.get(vector), kind, b.get(error)),
    () => {
      b.if(b.eq(b.get(vector), b.i32(VECTOR.pf)), () => writeField(b, cpu, 'cr2', b.get(address)));
      writeField(b, cpu, 'faultVector', b.i32(NO_FAULT));
      b.return(b.i32(1));
    },
    () => {
      writeField(b, cpu, 'faultVector', b.get(vector));
      writeField(b, cpu, 'faultHasError', b.get(hasError));
      writeField(b, cpu, 'faultError', b.get(error));
      writeField(b, cpu, 'faultAddress', b.get(address));
    },
  );
  b.return(b.i32(0));
});

export const deliveryRoutines: readonly Helper[] = [enterGate, enterInterrupt, enterException];
