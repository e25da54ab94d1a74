/** Which of a vCPU's TLB tables is in use, and what to forget when. */

import type { TlbFlush } from '../../cpu/context.ts';
import { MODE } from '../../cpu/mode.ts';
import { CR0, CR4, EFLAGS, VCPU, type VcpuState } from '../../isa/state.ts';
import {
  EMPTY_TABLE,
  RIGHTS_COUNT,
  TLB_AREA_BYTES,
  TLB_INVALID,
  TLB_MASK,
  TLB_RIGHTS,
  TLB_SPACES,
  TLB_TABLES_BYTES,
  tlbTable,
} from '../../memory/tlb.ts';

/** Routines of the runtime module. */
export interface TlbRoutines {
  tlbInvalidatePage(cpu: number, page: bigint): void;
  tlbClearSpace(cpu: number, table: number): void;
  tlbForgetLarge(cpu: number): void;
  tlbRevokeFrame(cpu: number, host: number, all: number): void;
  tlbRevokeAll(cpu: number): void;
  forgetJumps(cpu: number, forGood: number): void;
}

export interface Tlb {
  /** Puts the table for the present rights and address space to use. */
  select(): void;
  flush(kind: TlbFlush, address?: bigint, pcid?: number): void;
}

/**
 * Takes back write grants that a vCPU, maybe of another thread that does not run, has for the frame at a host address; with
 * `all` every grant.
 */
export function revokeGrants(routines: TlbRoutines, state: VcpuState, cpu: number, host: number, all: boolean): void {
  // A frame that is no longer what it was tells nothing by its address.
  if (all) routines.forgetJumps(cpu, 1);
  else state.epoch = (state.epoch + 1) >>> 0;
  routines.tlbRevokeFrame(cpu, host, all ? 1 : 0);
}

/** Takes back every grant that a vCPU, maybe of another thread that does not run, has for any frame. */
export function revokeAllGrants(routines: TlbRoutines, cpu: number): void {
  routines.forgetJumps(cpu, 1);
  routines.tlbRevokeAll(cpu);
}

export function createTlb(
  state: VcpuState,
  cpu: number,
  memory: ArrayBufferLike,
  routines: TlbRoutines,
  /** Code that was looked up before may now stand elsewhere. */
  mappingsChanged: () => void,
): Tlb {
  new Uint8Array(memory, state.tlbArea, TLB_AREA_BYTES).fill(0).fill(TLB_INVALID, 0, TLB_TABLES_BYTES);
  const spaces = state.tlbPcids.fill(-1);
  let victim = 0;
  state.tlbSpace = state.tlbArea;

  /** Number of the space in use. */
  const chosen = () => (state.tlbSpace - state.tlbArea) / tlbTable(1, 0);

  function clear(space: number): void {
    routines.tlbClearSpace(cpu, state.tlbArea + tlbTable(space, 0));
    spaces[space] = -1;
  }

  function chooseSpace(): void {
    const pcid = (Number(state.cr4) & CR4.pcide) !== 0 ? Number(state.cr3 & 0xfffn) : 0;
    if (spaces[chosen()] === pcid) return;
    let space = spaces.indexOf(pcid);
    if (space < 0) {
      space = spaces.indexOf(-1);
      if (space < 0) {
        victim = (victim + 1) % TLB_SPACES;
        clear(victim);
        space = victim;
      }
      spaces[space] = pcid;
    }
    state.tlbSpace = state.tlbArea + tlbTable(space, 0);
    mappingsChanged();
  }

  function rights(): number {
    if (state.cpl === 3) return TLB_RIGHTS.user;
    const smap = (Number(state.cr4) & CR4.smap) !== 0 && (Number(state.cr0) & CR0.pg) !== 0;
    return smap && (state.eflags & EFLAGS.ac) === 0 ? TLB_RIGHTS.supervisorSmap : TLB_RIGHTS.supervisor;
  }

  function use(base: number, mask: number): void {
    if (state.tlbBase !== base) state.epoch++;
    state.tlbBase = base;
    state.tlbMask = mask;
  }

  return {
    select() {
      chooseSpace();
      if ((state.modeKey & MODE.alignment) !== 0 || (Number(state.dr[7]) & 0xff) !== 0) {
        use(state.tlbArea + EMPTY_TABLE, 0);
        return;
      }
      const granted = rights();
      const space = chosen();
      state.tlbUsed |= 1 << (space * RIGHTS_COUNT + granted);
      use(state.tlbArea + tlbTable(space, granted), TLB_MASK);
    },
    flush(kind, address = 0n, pcid = 0) {
      mappingsChanged();
      switch (kind) {
        case 'page':
        case 'pcid-page':
          // Global translations are not told apart: forgetting more than asked for is allowed.
          routines.tlbInvalidatePage(cpu, BigInt.asIntN(64, address & ~0xfffn));
          return;
        case 'pcid': {
          const space = spaces.indexOf(pcid);
          if (space >= 0) clear(space);
          break;
        }
        default:
          for (let space = 0; space < TLB_SPACES; space++) clear(space);
          routines.tlbForgetLarge(cpu);
      }
      this.select();
    },
  };
}

if (VCPU.fields.tlbPcids[1] !== TLB_SPACES) throw new RangeError('the state block has no PCID for every space');
