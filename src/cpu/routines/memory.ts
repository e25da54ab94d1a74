/**
 * Memory as transfers of control see it inside WebAssembly: descriptor tables and the TSS with a supervisor's rights,
 * stacks with the rights of their level. Only what lies in one page of RAM is reached; for everything else, faults too,
 * the answer is 0, and the fault fields are as the walk left them.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../../isa/access.ts';
import { readField } from '../../isa/fields.ts';
import { type Helper, routine } from '../../isa/helpers.ts';
import { SEGMENT } from '../../isa/state.ts';
import { systemTable, TLB_ENTRY, TLB_MASK } from '../../memory/tlb.ts';
import { isCanonical } from './long-mode.ts';

/** Host address of the bytes at `linear` by an entry of a table, or by a walk. */
function reach(b: Builder, cpu: Value, linear: Value, flags: Value, base: Value, mask: Value): void {
  const write = b.and(flags, b.i32(MEMORY_ACCESS.write));
  const entry = b.variable('i32', b.add(b.and(b.wrap(b.shrU(linear, b.i64(7))), mask), base));
  const readTag = b.loadHost('i64.load', b.get(entry), TLB_ENTRY.read);
  const tag = b.select(write, b.loadHost('i64.load', b.get(entry), TLB_ENTRY.write), readTag);
  b.if(b.eq(tag, b.and(linear, b.i64(-4096))), () => {
    b.return(b.add(b.wrap(linear), b.loadHost('i32.load', b.get(entry), TLB_ENTRY.addend)));
  });
  const host = b.variable('i32', b.call('translatePage', cpu, linear, flags));
  // 1 stands for a device.
  b.return(b.select(b.eq(b.get(host), b.i32(1)), b.i32(0), b.get(host)));
}

/** (cpu, linear, size | `MEMORY_ACCESS`) -> host address, or 0 */
const reachBytes = routine('reachBytes', ['i64', 'i32'], 'i32', (b, cpu, linear, flags) => {
  const end = b.add(b.and(b.wrap(linear), b.i32(4095)), b.and(flags, b.i32(0xff)));
  const system = b.and(flags, b.i32(MEMORY_ACCESS.system));
  b.if(b.or(b.gtU(end, b.i32(4096)), b.eqz(isCanonical(b, linear))), () => b.return(b.i32(0)));
  b.if(system, () => reach(b, cpu, linear, flags, systemTable(b, cpu), b.i32(TLB_MASK)));
  reach(b, cpu, linear, flags, readField(b, cpu, 'tlbBase'), readField(b, cpu, 'tlbMask'));
});

const LOCAL = 4;

/**
 * Host address of the descriptor of a selector in the GDT; 0 for the null selector, one in the LDT, or one beyond the
 * limit. (cpu, selector) -> i32
 */
const reachDescriptor = routine('reachDescriptor', ['i32'], 'i32', (b, cpu, selector) => {
  const beyond = b.gtU(b.or(selector, b.i32(7)), readField(b, cpu, 'gdtrLimit'));
  const other = b.or(b.eqz(b.and(selector, b.i32(0xfffc))), b.and(selector, b.i32(LOCAL)));
  b.if(b.or(beyond, other), () => b.return(b.i32(0)));
  const index = b.extendU(b.and(selector, b.i32(0xfff8)));
  const address = b.add(readField(b, cpu, 'gdtrBase'), index);
  b.return(b.call('reachBytes', cpu, address, b.i32(8 | MEMORY_ACCESS.system)));
});

/** Host address of eight bytes of the TSS; 0 beyond its limit. (cpu, offset) -> i32 */
const reachTask = routine('reachTask', ['i32'], 'i32', (b, cpu, offset) => {
  b.if(b.gtU(b.add(offset, b.i32(7)), readField(b, cpu, 'segmentLimit', SEGMENT.tr)), () => b.return(b.i32(0)));
  const address = b.add(readField(b, cpu, 'segmentBase', SEGMENT.tr), b.extendU(offset));
  b.return(b.call('reachBytes', cpu, address, b.i32(8 | MEMORY_ACCESS.system)));
});

export const memoryRoutines: readonly Helper[] = [reachBytes, reachDescriptor, reachTask];
