/**
 * Guest memory as a debugger sees it: linear addresses through the page tables of a vCPU, without the checks and the
 * traces of an access by the guest (SDM vol. 3A chapter 4).
 */
import { isCanonical } from '../../cpu/address.ts';
import { PHYSICAL_ADDRESS_BITS } from '../../cpu/physical-address.ts';
import { CR0, CR4, EFER, type VcpuState } from '../../isa/state.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { PAGE_SIZE } from '../../memory/layout.ts';
import type { DebugVcpu } from './target.ts';

const PRESENT = 1n;
const LARGE = 1n << 7n;
const ADDRESS = (1n << BigInt(PHYSICAL_ADDRESS_BITS)) - 4096n;
const OFFSET_MASK = BigInt(PAGE_SIZE - 1);

/** Shift of the index that each level takes from a linear address. */
const LONG_LEVELS = [39n, 30n, 21n, 12n];
const PAE_LEVELS = [21n, 12n];

type PhysicalMemory = Pick<GuestMemory, 'spans'>;

/** An entry of a paging structure; one that is not in RAM reads as not present. */
function readEntry(memory: PhysicalMemory, address: bigint, bytes: 4 | 8): bigint {
  const span = memory.spans(Number(address), bytes, 'read')?.[0];
  if (span === undefined) return 0n;
  const data = new DataView(span.buffer, span.byteOffset, span.byteLength);
  return bytes === 8 ? data.getBigUint64(0, true) : BigInt(data.getUint32(0, true));
}

/** Walks tables of 512 eight-byte entries. */
function walk(memory: PhysicalMemory, root: bigint, levels: readonly bigint[], linear: bigint): bigint | undefined {
  let table = root & ADDRESS;
  for (const shift of levels) {
    const entry = readEntry(memory, table + ((linear >> shift) & 511n) * 8n, 8);
    if ((entry & PRESENT) === 0n) return undefined;
    // Bit 7 of an entry for 4 KiB is PAT; of one in the top table it is reserved.
    if (shift === 12n || ((entry & LARGE) !== 0n && shift !== 39n)) {
      const offset = (1n << shift) - 1n;
      return (entry & ADDRESS & ~offset) | (linear & offset);
    }
    table = entry & ADDRESS;
  }
  return undefined;
}

function walk32(memory: PhysicalMemory, state: VcpuState, linear: bigint): bigint | undefined {
  const directory = state.cr3 & 0xffff_f000n;
  const entry = readEntry(memory, directory + (linear >> 22n) * 4n, 4);
  if ((entry & PRESENT) === 0n) return undefined;
  if ((entry & LARGE) !== 0n && (Number(state.cr4) & CR4.pse) !== 0) {
    // PSE-36: bits 13–20 are bits 32–39 of the address.
    return (((entry >> 13n) & 0xffn) << 32n) | (entry & 0xffc0_0000n) | (linear & 0x3f_ffffn);
  }
  const page = readEntry(memory, (entry & 0xffff_f000n) + ((linear >> 12n) & 1023n) * 4n, 4);
  return (page & PRESENT) === 0n ? undefined : (page & 0xffff_f000n) | (linear & OFFSET_MASK);
}

/** Guest-physical address of a linear one, or `undefined` if the page tables map nothing there. */
export function translateLinear(state: VcpuState, memory: PhysicalMemory, linear: bigint): number | undefined {
  const long = (Number(state.efer) & EFER.lma) !== 0;
  const address = BigInt.asUintN(long ? 64 : 32, linear);
  if (long && !isCanonical(address)) return undefined;
  if ((Number(state.cr0) & CR0.pg) === 0) return Number(address);
  let physical: bigint | undefined;
  if (long) physical = walk(memory, state.cr3, LONG_LEVELS, address);
  else if ((Number(state.cr4) & CR4.pae) === 0) physical = walk32(memory, state, address);
  else {
    const pointer = state.pdpte[Number(address >> 30n)]!;
    if ((pointer & PRESENT) !== 0n) physical = walk(memory, pointer, PAE_LEVELS, address);
  }
  return physical === undefined ? undefined : Number(physical);
}

/** The memory part of a `DebugVcpu`, over its registers and the machine's RAM. Devices are not touched. */
export function createDebugMemory(
  state: VcpuState,
  memory: PhysicalMemory,
): Pick<DebugVcpu, 'translate' | 'readMemory' | 'writeMemory'> {
  /** RAM behind `[linear, linear + length)` page by page, up to the first page that is none. */
  function* pieces(linear: bigint, length: number, access: 'read' | 'write'): Generator<Uint8Array> {
    for (let done = 0; done < length; ) {
      const at = BigInt.asUintN(64, linear + BigInt(done));
      const size = Math.min(length - done, PAGE_SIZE - Number(at & OFFSET_MASK));
      const physical = translateLinear(state, memory, at);
      const spans = physical === undefined ? undefined : memory.spans(physical, size, access);
      if (spans === undefined) return;
      yield* spans;
      done += size;
    }
  }
  return {
    translate: (linear) => translateLinear(state, memory, linear),
    readMemory(linear, length) {
      const bytes = new Uint8Array(length);
      let done = 0;
      for (const piece of pieces(linear, length, 'read')) {
        bytes.set(piece, done);
        done += piece.length;
      }
      return bytes.subarray(0, done);
    },
    writeMemory(linear, bytes) {
      let there = 0;
      for (const piece of pieces(linear, bytes.length, 'read')) there += piece.length;
      if (there !== bytes.length) return false;
      let done = 0;
      for (const piece of pieces(linear, bytes.length, 'write')) {
        piece.set(bytes.subarray(done, done + piece.length));
        done += piece.length;
      }
      return done === bytes.length;
    },
  };
}
