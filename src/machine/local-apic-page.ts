/** Guest-physical addresses as one vCPU sees them: its own local APIC lies where its IA32_APIC_BASE says. */
import type { LocalApic } from '../devices/local-apic/local-apic.ts';
import type { Segment } from './address-space.ts';
import { type Decoder, type MemoryBus, memoryAccess } from './bus.ts';

/** Accesses that no RAM answers. */
export type VcpuMemory = Pick<MemoryBus, 'read' | 'write' | 'read64' | 'write64'>;

/** The page wins over everything else on the bus. A guest that puts it over RAM gets the RAM. */
export function withLocalApic(bus: Decoder, apic: LocalApic): VcpuMemory {
  const region = apic.regions.registers;
  let msr = -1n;
  let page: Segment | undefined;

  /** Where the page is follows from the MSR, which changes by writes, resets and restores. */
  function apicPage(): Segment | undefined {
    const { base } = apic.state;
    if (base !== msr) {
      msr = base;
      const start = apic.baseAddress();
      page = start === undefined ? undefined : { start, end: start + region.size, base: start, region };
    }
    return page;
  }

  return memoryAccess({
    find(address) {
      const own = apicPage();
      return own !== undefined && address >= own.start && address < own.end ? own : bus.find(address);
    },
    isEmpty(address, size) {
      const own = apicPage();
      return (own === undefined || address + size <= own.start || address >= own.end) && bus.isEmpty(address, size);
    },
    floated: bus.floated,
  });
}
