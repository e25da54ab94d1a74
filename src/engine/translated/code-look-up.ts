/** Finds the code at an instruction pointer: for the run loop, for regions, and for what forms them. */
import type { Block, BlockCache } from '../../cpu/interpreter/blocks.ts';
import { indexCode } from '../../cpu/interpreter/code-index.ts';
import { enterJump } from '../../cpu/interpreter/jump-cache.ts';
import { keyCodeSize, MODE } from '../../cpu/mode.ts';
import type { RegionTable } from '../../cpu/translator/region-table.ts';
import { NO_FAULT, SEGMENT, VCPU, type VcpuState, VECTOR } from '../../isa/state.ts';
import { PAGE_SIZE } from '../../memory/layout.ts';
import type { PhysicalMap } from '../../memory/physical-map.ts';
import type { Breakpoints } from './breakpoints.ts';
import type { GuestAccess } from './guest-access.ts';

/** Limit of a code segment that has none. */
const FLAT_LIMIT = Number.MAX_SAFE_INTEGER;

export interface CodeLookUpParts {
  readonly state: VcpuState;
  /** Address of the state block. */
  readonly cpu: number;
  readonly data: DataView;
  readonly map: PhysicalMap;
  readonly access: GuestAccess;
  readonly blocks: BlockCache;
  readonly regions: RegionTable;
  readonly breakpoints: Breakpoints;
}

/** Where the interpreter begins. */
export interface Start {
  readonly handler: number;
  readonly record: number;
}

export interface CodeLookUp {
  /** `hit`: the run came to a breakpoint. `stepping`: a debugger steps, and breakpoints do not count. */
  readonly stops: { hit: boolean; stepping: boolean };
  /** Linear address of the next instruction. */
  linearIp(): bigint;
  /** The block at `rip`, entered in the jump cache; `undefined` with the fault fields set, or `stops.hit`. */
  findBlock(): Block | undefined;
  /** Guest-physical page that lies `distance` linear pages from the one at `base`, if it can be executed; or -1. */
  pageNear(base: bigint, distance: number): number;
  /** Whether the pages of the region with a cell are still where they were when it was formed. */
  regionStands(cell: number): boolean;
  /** Where the interpreter begins at the instruction at `rip`, even if a region begins there too. */
  interpretNext(): Start | undefined;
}

export function createCodeLookUp(parts: CodeLookUpParts): CodeLookUp {
  const { state, cpu, data, map, access, blocks, regions, breakpoints } = parts;
  const stops = { hit: false, stepping: false };

  function position(linear: bigint, physical: number) {
    const ip = Number(state.rip & 0xffff_ffffn);
    const flat = keyCodeSize(state.modeKey) === 8 || (state.modeKey & (1 << (MODE.flatShift + SEGMENT.cs))) !== 0;
    return {
      page: Math.floor(physical / PAGE_SIZE),
      offset: physical % PAGE_SIZE,
      modeKey: state.modeKey,
      ip,
      limit: flat ? FLAT_LIMIT : state.segmentLimit[SEGMENT.cs],
      nextPage() {
        const next = access.fetchAddress((linear | 4095n) + 1n);
        return next < 0 ? -1 : Math.floor(next / PAGE_SIZE);
      },
    };
  }

  /** Linear address of an instruction pointer. */
  function linearAt(ip: bigint): bigint {
    if (keyCodeSize(state.modeKey) === 8) return BigInt.asUintN(64, ip);
    return (ip + state.segmentBase[SEGMENT.cs]) & 0xffff_ffffn;
  }
  const linearIp = (): bigint => linearAt(state.rip);

  function findBlock(): Block | undefined {
    const linear = linearIp();
    stops.hit = !stops.stepping && breakpoints.at(linear);
    if (stops.hit) return undefined;
    const physical = access.fetchAddress(linear);
    if (physical < 0) return undefined;
    const at = position(linear, physical);
    if (at.page >= map.pages) {
      // Nothing executable is outside RAM.
      state.faultVector = VECTOR.ud;
      state.faultHasError = 0;
      return undefined;
    }
    const block = blocks.find(at);
    if (block === undefined) return undefined;
    const page = map.readable(at.page);
    // A page without a frame has an address that no page has.
    const nextPage = block.nextPage < 0 ? 0 : map.readable(block.nextPage) || 1;
    const { modeKey } = state;
    const { record } = block;
    enterJump(data, state.jumpCache, {
      address: state.rip,
      modeKey,
      generation: state.jumpGeneration,
      record,
      host: page + at.offset,
      nextPage,
    });
    if (block.translatable && at.limit === FLAT_LIMIT && nextPage !== 1)
      indexCode(data, state.codeIndex, { host: page + at.offset, nextPage, modeKey, record });
    return block;
  }

  function pageNear(base: bigint, distance: number): number {
    const linear = linearAt(base + BigInt(distance * PAGE_SIZE));
    const physical = access.fetchAddress(linear);
    state.faultVector = NO_FAULT;
    return physical < 0 || physical >= map.pages * PAGE_SIZE ? -1 : Math.floor(physical / PAGE_SIZE);
  }
  function regionStands(cell: number): boolean {
    const { ipBase } = state;
    const key = data.getBigUint64(cpu + VCPU.offsets.modeKey, true);
    return regions.valid(cell, { pageAt: (distance) => pageNear(ipBase, distance), hostOf: map.readable, key, ipBase });
  }

  function interpretNext(): Start | undefined {
    const found = findBlock();
    if (found === undefined) return undefined;
    state.ipBase = BigInt.asUintN(64, state.rip - BigInt(found.start));
    return { handler: blocks.interpreterOf(found), record: found.record };
  }

  return { stops, linearIp, findBlock, pageNear, regionStands, interpretNext };
}
