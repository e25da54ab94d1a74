/**
 * Changes of mode inside WebAssembly: what `modeChanged` of the engine does, for changes that end in 64-bit code and touch
 * no debug condition. `cpu/mode.ts` says what a mode key is, `engine/translated/tlb.ts` which table of the TLB belongs to
 * it; tests compare. Base and limit of CS mean nothing to 64-bit code, so that no jump that was looked up is in doubt.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { readField, writeField } from '../../isa/fields.ts';
import { type Helper, helper, routine } from '../../isa/helpers.ts';
import { CR0, CR4, EFER, EFLAGS } from '../../isa/state.ts';
import { EMPTY_TABLE, noteTableUsed, TLB_BYTES, TLB_MASK, TLB_RIGHTS } from '../../memory/tlb.ts';
import { RECORD } from '../interpreter/record.ts';
import { MODE } from '../mode.ts';

const CODE_SIZE = 3 << MODE.codeShift;
const CODE_64 = 2 << MODE.codeShift;
/** Code and stack of 64 bits, all segments flat. */
const LONG = CODE_64 | (2 << MODE.stackShift) | (0x3f << MODE.flatShift);
/** Parts of a key that such a change does not touch. */
const KEPT = ~(
  CODE_SIZE |
  (3 << MODE.stackShift) |
  (3 << MODE.cplShift) |
  (0x3f << MODE.flatShift) |
  MODE.debug |
  MODE.alignment
);

/** Flags whose change is more than a routine handles. */
export const UNUSUAL_FLAGS = EFLAGS.tf | EFLAGS.rf | EFLAGS.vm;

/** Value of `interruptShadow` after STI. */
const STI = 1;

/** Not 0 (i32) where the processor runs 64-bit code without debug conditions. */
export function inPlainLongMode(b: Builder, cpu: Value): Value {
  return b.eq(b.and(readField(b, cpu, 'modeKey'), b.i32(CODE_SIZE | MODE.debug)), b.i32(CODE_64));
}

/** Not 0 (i32) in IA-32e mode, compatibility mode included, without debug conditions. */
export function inQuietLongMode(b: Builder, cpu: Value): Value {
  const quiet = b.eqz(b.and(readField(b, cpu, 'modeKey'), b.i32(MODE.debug)));
  return b.and(b.ne(b.and(b.wrap(readField(b, cpu, 'efer')), b.i32(EFER.lma)), b.i32(0)), quiet);
}

export const isCanonical = (b: Builder, address: Value): Value =>
  b.eq(b.shrS(b.shl(address, b.i64(16)), b.i64(16)), address);

/** Bytes from one table of an address space to that for the rights in force. */
function rightsOffset(b: Builder, cpu: Value): Value {
  const smap = b.ne(b.and(b.wrap(readField(b, cpu, 'cr4')), b.i32(CR4.smap)), b.i32(0));
  const inForce = b.and(smap, b.eqz(b.and(readField(b, cpu, 'eflags'), b.i32(EFLAGS.ac))));
  const supervisor = b.select(
    inForce,
    b.i32(TLB_RIGHTS.supervisorSmap * TLB_BYTES),
    b.i32(TLB_RIGHTS.supervisor * TLB_BYTES),
  );
  const user = b.eq(readField(b, cpu, 'cpl'), b.i32(3));
  return b.select(user, b.i32(TLB_RIGHTS.user * TLB_BYTES), supervisor);
}

/** The shadow of STI ends where IF falls. */
function endShadow(b: Builder, cpu: Value): void {
  const masked = b.eqz(b.and(readField(b, cpu, 'eflags'), b.i32(EFLAGS.if)));
  const shadowed = b.and(b.eq(readField(b, cpu, 'interruptShadow'), b.i32(STI)), masked);
  b.if(shadowed, () => writeField(b, cpu, 'interruptShadow', b.i32(0)));
}

/** To be called after CPL or EFLAGS changed, or 64-bit code was entered. (cpu) */
const longModeChanged = routine('longModeChanged', [], undefined, (b, cpu) => {
  const cpl = readField(b, cpu, 'cpl');
  const flags = readField(b, cpu, 'eflags');
  const checked = b.and(b.ne(b.and(flags, b.i32(EFLAGS.ac)), b.i32(0)), b.eq(cpl, b.i32(3)));
  const enabled = b.ne(b.and(b.wrap(readField(b, cpu, 'cr0')), b.i32(CR0.am)), b.i32(0));
  const aligned = b.variable('i32', b.and(checked, enabled));
  const kept = b.and(readField(b, cpu, 'modeKey'), b.i32(KEPT));
  const alignment = b.select(b.get(aligned), b.i32(MODE.alignment), b.i32(0));
  const key = b.or(b.or(kept, b.i32(LONG)), b.or(b.shl(cpl, b.i32(MODE.cplShift)), alignment));
  const level = b.and(b.shrU(readField(b, cpu, 'modeKey'), b.i32(MODE.cplShift)), b.i32(3));
  const sameLevel = b.variable('i32', b.eq(level, cpl));
  const before = b.variable('i32', readField(b, cpu, 'tlbBase'));
  writeField(b, cpu, 'modeKey', key);
  b.if(
    b.get(aligned),
    () => {
      writeField(b, cpu, 'tlbBase', b.add(readField(b, cpu, 'tlbArea'), b.i32(EMPTY_TABLE)));
      writeField(b, cpu, 'tlbMask', b.i32(0));
    },
    () => {
      const table = b.variable('i32', b.add(readField(b, cpu, 'tlbSpace'), rightsOffset(b, cpu)));
      writeField(b, cpu, 'tlbBase', b.get(table));
      writeField(b, cpu, 'tlbMask', b.i32(TLB_MASK));
      noteTableUsed(b, cpu, b.get(table));
    },
  );
  // What is known of pages holds for a level; only within it is another table news.
  const moved = b.and(b.ne(readField(b, cpu, 'tlbBase'), b.get(before)), b.get(sameLevel));
  writeField(b, cpu, 'epoch', b.add(readField(b, cpu, 'epoch'), moved));
  endShadow(b, cpu);
});

/** What `cpu/interrupt-window.ts` does; `before` is EFLAGS as it was. (cpu, before) */
const interruptsMayFollow = routine('interruptsMayFollow', ['i32'], undefined, (b, cpu, before) => {
  const rises = b.and(b.and(b.not(before), readField(b, cpu, 'eflags')), b.i32(EFLAGS.if));
  b.if(rises, () => {
    b.if(b.eq(readField(b, cpu, 'interruptShadow'), b.i32(STI)), () => {
      // A region, which is no record, has taken what came before this instruction off the budget.
      const record = b.variable('i32', readField(b, cpu, 'current'));
      const count = b.loadHost('i32.load16_u', b.get(record), RECORD.count);
      const done = b.select(b.get(record), count, b.i32(1));
      writeField(b, cpu, 'shadowBudget', b.sub(readField(b, cpu, 'budget'), done));
    });
    b.if(readField(b, cpu, 'eventsWait'), () => writeField(b, cpu, 'poll', b.i32(1)));
  });
});

/** TF, IF, RF, VM or AC changed; `before` is EFLAGS as it was. (cpu, before) */
const flagsChanged = routine('flagsChanged', ['i32'], undefined, (b, cpu, before) => {
  const changed = b.xor(before, readField(b, cpu, 'eflags'));
  const plain = b.eqz(b.and(changed, b.i32(UNUSUAL_FLAGS)));
  b.if(b.eqz(b.and(inPlainLongMode(b, cpu), plain)), () => {
    b.call('slowFlagsChanged', cpu, before);
    b.return();
  });
  b.if(
    b.and(changed, b.i32(EFLAGS.ac)),
    () => b.call('longModeChanged', cpu),
    () => endShadow(b, cpu),
  );
  b.call('interruptsMayFollow', cpu, before);
});

export const longModeRoutines: readonly Helper[] = [
  helper('slowFlagsChanged', ['i32']),
  longModeChanged,
  interruptsMayFollow,
  flagsChanged,
];
