/** Where the parts of a vCPU lie in shared memory: every thread of a machine knows those of all. */
import { CODE_INDEX_BYTES } from '../../cpu/interpreter/code-index.ts';
import { JUMP_CACHE_BYTES } from '../../cpu/interpreter/jump-cache.ts';
import { VCPU_BYTES } from '../../isa/counters.ts';
import type { Arena } from '../../memory/arena.ts';
import { LARGE_PAGE, PAGE_SIZE } from '../../memory/layout.ts';
import { TLB_AREA_BYTES } from '../../memory/tlb.ts';
import { CHANGED_CODE_BYTES } from './changed-code.ts';

/** Addresses, and areas with sizes in bytes. */
export interface VcpuPlace {
  /** Its state block. */
  readonly cpu: number;
  readonly tlbs: number;
  readonly jumpCache: number;
  readonly codeIndex: number;
  /** What others changed of the code that it has decoded. */
  readonly changedCode: number;
  readonly records: Area;
  readonly cells: Area;
}

interface Area {
  readonly base: number;
  readonly size: number;
}

/** Finds room for a vCPU with so many bytes for records of decoded code and for cells of regions. */
export function placeVcpu(arena: Arena, recordBytes: number, cellBytes: number): VcpuPlace {
  const take = (size: number) => arena.allocate(size, PAGE_SIZE);
  const reserve = (size: number) => ({ base: arena.reserve(size, PAGE_SIZE), size });
  const records = reserve(recordBytes);
  const cells = reserve(cellBytes);
  // Records are filled from the beginning on, and some from the end; they follow the cells.
  const most = Math.min(recordBytes, LARGE_PAGE);
  arena.sparse(records.base + recordBytes - most, most);
  arena.sparse(cells.base, cellBytes - LARGE_PAGE);
  return {
    cpu: take(VCPU_BYTES),
    tlbs: take(TLB_AREA_BYTES),
    jumpCache: take(JUMP_CACHE_BYTES),
    codeIndex: take(CODE_INDEX_BYTES),
    changedCode: take(CHANGED_CODE_BYTES),
    records,
    cells,
  };
}
