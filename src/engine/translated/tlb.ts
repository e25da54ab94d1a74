/** Which of a vCPU's TLB tables is in use, and what to forget when. */

import type { TlbFlush } from '../../cpu/context.ts';
import { MODE } from '../../cpu/mode.ts';
import { CR0, CR4, EFLAGS, type VcpuState } from '../../isa/state.ts';
import {
  EMPTY_TABLE,
  RIGHTS_COUNT,
  TLB_AREA_BYTES,
  TLB_INVALID,
  TLB_MASK,
  TLB_RIGHTS,
  TLB_SPACES,
  tlbTable,
} from '../../memory/tlb.ts';

/** Routines of the runtime module that work on one table. */
export interface TlbRoutines {
  tlbInvalidatePage(cpu: number, table: number, page: bigint): void;
  tlbClear(cpu: number, table: number): void;
  tlbRevokeFrame(cpu: number, table: number, host: number, all: number): void;
}

export interface Tlb {
  /** Puts the table for the present rights and address space to use. */
  select(): void;
  flush(kind: TlbFlush, address?: bigint, pcid?: number): void;
  /** Takes back write grants for the frame at a host address, with `all` every grant. */
  revoke(host: number, all: boolean): void;
}

export function createTlb(
  state: VcpuState,
  cpu: number,
  memory: SharedArrayBuffer,
  routines: TlbRoutines,
  /** Addresses looked up before may now lead elsewhere. */
  forgetJumps: () => void,
): Tlb {
  new Uint8Array(memory, state.tlbArea, TLB_AREA_BYTES).fill(TLB_INVALID);
  /** PCID of each space, -1 where it holds nothing. */
  const spaces = new Array<number>(TLB_SPACES).fill(-1);
  const used = new Set<number>();
  let current = 0;
  let victim = 0;

  function clear(space: number): void {
    for (let rights = 0; rights < RIGHTS_COUNT; rights++) {
      const at = tlbTable(space, rights);
      if (used.delete(at)) routines.tlbClear(cpu, state.tlbArea + at);
    }
    spaces[space] = -1;
  }

  function chooseSpace(): void {
    const pcid = (Number(state.cr4) & CR4.pcide) !== 0 ? Number(state.cr3 & 0xfffn) : 0;
    if (spaces[current] === pcid) return;
    const known = spaces.indexOf(pcid);
    if (known >= 0) current = known;
    else {
      const free = spaces.indexOf(-1);
      if (free >= 0) current = free;
      else {
        victim = (victim + 1) % TLB_SPACES;
        clear(victim);
        current = victim;
      }
      spaces[current] = pcid;
    }
    forgetJumps();
  }

  function rights(): number {
    if (state.cpl === 3) return TLB_RIGHTS.user;
    const smap = (Number(state.cr4) & CR4.smap) !== 0 && (Number(state.cr0) & CR0.pg) !== 0;
    return smap && (state.eflags & EFLAGS.ac) === 0 ? TLB_RIGHTS.supervisorSmap : TLB_RIGHTS.supervisor;
  }

  function invalidate(page: bigint): void {
    for (const table of used) routines.tlbInvalidatePage(cpu, state.tlbArea + table, page);
  }

  return {
    select() {
      chooseSpace();
      if ((state.modeKey & MODE.alignment) !== 0 || (Number(state.dr[7]) & 0xff) !== 0) {
        state.tlbBase = state.tlbArea + EMPTY_TABLE;
        state.tlbMask = 0;
        return;
      }
      const table = tlbTable(current, rights());
      used.add(table);
      state.tlbBase = state.tlbArea + table;
      state.tlbMask = TLB_MASK;
    },
    flush(kind, address = 0n, pcid = 0) {
      forgetJumps();
      switch (kind) {
        case 'page':
        case 'pcid-page':
          // Global translations are not told apart: forgetting more than asked for is allowed.
          invalidate(address & ~0xfffn);
          return;
        case 'pcid': {
          const space = spaces.indexOf(pcid);
          if (space >= 0) clear(space);
          break;
        }
        default:
          for (let space = 0; space < TLB_SPACES; space++) clear(space);
      }
      this.select();
    },
    revoke(host, all) {
      state.epoch = (state.epoch + 1) >>> 0;
      for (const table of used) routines.tlbRevokeFrame(cpu, state.tlbArea + table, host, all ? 1 : 0);
    },
  };
}
