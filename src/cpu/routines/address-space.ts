/**
 * MOV to CR3 in 64-bit mode inside WebAssembly (SDM vol. 3A 4.10.4.1), for address spaces that have tables of the TLB
 * already. `cpu/control-registers.ts` does the rest, faults among it.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { count } from '../../isa/counters.ts';
import { readField, writeField } from '../../isa/fields.ts';
import { type Helper, helper, routine } from '../../isa/helpers.ts';
import { CR4 } from '../../isa/state.ts';
import { TLB_SPACES, tlbTable } from '../../memory/tlb.ts';
import { CR3_KEEP, CR3_RESERVED } from '../control-registers.ts';
import { inPlainLongMode } from './long-mode.ts';

/** First table of the space that belongs to a PCID, or 0. (cpu, PCID) -> i32 */
const spaceOf = routine('spaceOf', ['i32'], 'i32', (b, cpu, pcid) => {
  for (let space = 0; space < TLB_SPACES; space++) {
    b.if(b.eq(readField(b, cpu, 'tlbPcids', space), pcid), () => {
      b.return(b.add(readField(b, cpu, 'tlbArea'), b.i32(tlbTable(space, 0))));
    });
  }
  b.return(b.i32(0));
});

/** Loads CR3; 0 where nothing was done. (cpu, value) -> i32 */
const loadRoot = routine('loadRoot', ['i64'], 'i32', (b, cpu, value) => {
  const tagged = b.variable('i32', b.and(b.wrap(readField(b, cpu, 'cr4')), b.i32(CR4.pcide)));
  const root = b.variable('i64', b.select(b.get(tagged), b.and(value, b.i64(~CR3_KEEP)), value));
  const reserved = b.ne(b.and(b.get(root), b.i64(CR3_RESERVED)), b.i64(0));
  b.if(b.or(reserved, b.eqz(inPlainLongMode(b, cpu))), () => b.return(b.i32(0)));
  const pcid = b.select(b.get(tagged), b.and(b.wrap(b.get(root)), b.i32(0xfff)), b.i32(0));
  const space = b.variable('i32', b.call('spaceOf', cpu, pcid));
  b.if(b.eqz(b.get(space)), () => b.return(b.i32(0)));
  switchTo(b, cpu, b.get(space), b.and(b.ne(b.get(tagged), b.i32(0)), b.ltS(value, b.i64(0))));
  writeField(b, cpu, 'cr3', b.get(root));
  b.call('longModeChanged', cpu);
  b.return(b.i32(1));
});

/** Puts the tables of an address space to use; they are emptied unless `keep`. */
function switchTo(b: Builder, cpu: Value, space: Value, keep: Value): void {
  const other = b.ne(readField(b, cpu, 'tlbSpace'), space);
  b.if(b.or(other, b.eqz(keep)), () => b.call('forgetJumps', cpu, b.i32(0)));
  b.if(b.eqz(keep), () => {
    count(b, cpu, 'tlbFlushes');
    b.call('tlbClearSpace', cpu, space);
  });
  writeField(b, cpu, 'tlbSpace', space);
}

/** MOV to CRn, CPL already checked. (cpu, number, value) */
const writeControlRegister = routine(
  'writeControlRegister',
  ['i32', 'i64'],
  undefined,
  (b, cpu, index, value) => {
    b.if(b.eq(index, b.i32(3)), () => b.if(b.call('loadRoot', cpu, value), () => b.return()));
    b.call('slowWriteControlRegister', cpu, index, value);
  },
  true,
);

export const addressSpaceRoutines: readonly Helper[] = [
  helper('slowWriteControlRegister', ['i32', 'i64'], undefined, true),
  spaceOf,
  loadRoot,
  writeControlRegister,
];
