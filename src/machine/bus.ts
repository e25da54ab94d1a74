/** The two buses of a PC: I/O ports, and guest-physical addresses that no RAM is behind. */
import type { AccessSize, GuestLog, Region } from '../devices/device.ts';
import { allOnes } from '../devices/pci/config-space.ts';
import { type AttachOptions, createAddressSpace, type Moves, type Segment, type Whereabouts } from './address-space.ts';
import { firstTime } from './guest-log.ts';

/**
 * Accesses by address. What nothing answers reads as ones and takes no writes. An access that is not aligned to its size,
 * or that leaves the region in which it starts, becomes several aligned ones, lowest address first. A region that decodes
 * the first byte gets an aligned access whole, although another may shadow a later byte: 0xCF9 lies inside 0xCF8.
 */
export interface BusAccess {
  /** Unsigned. `address` is a whole number from 0 to 2^53. */
  read(address: number, size: AccessSize): number;
  /** `value` is unsigned and fits `size` bytes. */
  write(address: number, size: AccessSize, value: number): void;
}

export interface Bus extends BusAccess {
  /** Gives `region` its place. Throws VirtsError 'internal' if that overlaps another; see `AttachOptions`. */
  attach(base: number, region: Region, options?: AttachOptions): void;
  /** A region that the guest moves; what lies over it, or came first, wins. `where` is asked after each of the moves. */
  movable(region: Region, where: Whereabouts): void;
}

export interface MemoryBus extends Bus {
  /** Two accesses of 32 bits, low half first, as a PCI bus does it. */
  read64(address: number): bigint;
  /** `value` is unsigned. */
  write64(address: number, value: bigint): void;
}

/** What the splitting of accesses works on. */
export interface Decoder {
  find(address: number): Segment | undefined;
  isEmpty(address: number, size: number): boolean;
  /** Nothing answered. */
  floated(address: number, size: AccessSize, write: boolean): void;
}

const PORTS = 0x1_0000;
const PAGE_SIZE = 4096;
/** The most unknown pages that are named; a guest can reach 2^40 bytes. */
const MAX_LOGGED_PAGES = 256;

/** The largest aligned piece of at most `limit` bytes at `address`. */
function pieceAt(address: number, limit: number): AccessSize {
  if (limit >= 4 && (address & 3) === 0) return 4;
  return limit >= 2 && (address & 1) === 0 ? 2 : 1;
}

/** Accesses through a decoder. */
export function busAccess(decoder: Decoder): BusAccess {
  /** The region that takes an access whole. */
  function takes(address: number, size: AccessSize): Segment | undefined {
    const segment = decoder.find(address);
    if (segment === undefined || (address & (size - 1)) !== 0) return undefined;
    return address + size <= segment.base + segment.region.size ? segment : undefined;
  }

  /** An aligned access that no region takes whole is halved. */
  const largest = (address: number, size: AccessSize) => ((address & (size - 1)) === 0 ? size >> 1 : size);

  function readPieces(address: number, size: AccessSize): number {
    const limit = largest(address, size);
    let value = 0;
    for (let offset = 0; offset < size; ) {
      const piece = pieceAt(address + offset, Math.min(limit, size - offset));
      value |= read(address + offset, piece) << (8 * offset);
      offset += piece;
    }
    return value >>> 0;
  }

  function read(address: number, size: AccessSize): number {
    const segment = takes(address, size);
    if (segment !== undefined) return segment.region.read(address - segment.base, size);
    if (!decoder.isEmpty(address, size)) return readPieces(address, size);
    decoder.floated(address, size, false);
    return allOnes(size);
  }

  function writePieces(address: number, size: AccessSize, value: number): void {
    const limit = largest(address, size);
    for (let offset = 0; offset < size; ) {
      const piece = pieceAt(address + offset, Math.min(limit, size - offset));
      write(address + offset, piece, ((value >>> (8 * offset)) & allOnes(piece)) >>> 0);
      offset += piece;
    }
  }

  function write(address: number, size: AccessSize, value: number): void {
    const segment = takes(address, size);
    if (segment !== undefined) segment.region.write(address - segment.base, size, value);
    else if (!decoder.isEmpty(address, size)) writePieces(address, size, value);
    else decoder.floated(address, size, true);
  }

  return { read, write };
}

function describe(size: AccessSize, write: boolean): string {
  return `${size}-byte ${write ? 'write' : 'read'}`;
}

/** The 65,536 I/O ports. Says once for each port that nothing answers there. */
export function createPortBus(log: GuestLog, moves: Moves): Bus {
  const space = createAddressSpace(moves);
  const isNew = firstTime<number>(PORTS);
  /** For each port, 1 + the index of its segment, or 0. */
  const index = new Uint16Array(PORTS);
  let indexed = space.segments();

  function find(port: number): Segment | undefined {
    const segments = space.segments();
    if (segments !== indexed) {
      indexed = segments;
      index.fill(0);
      for (const [i, { start, end }] of segments.entries()) index.fill(i + 1, start, end);
    }
    return indexed[index[port] - 1];
  }

  function floated(port: number, size: AccessSize, write: boolean): void {
    if (isNew(port)) log(`port 0x${port.toString(16)}: nothing answers a ${describe(size, write)}`);
  }

  const { attach, movable, isEmpty } = space;
  return { attach, movable, ...busAccess({ find, isEmpty, floated }) };
}

/** Guest-physical addresses. Says once for each page that nothing answers there, for the first 256 such pages. */
export function createMemoryBus(log: GuestLog, moves: Moves): MemoryBus & Decoder {
  const space = createAddressSpace(moves);
  const isNew = firstTime<number>(MAX_LOGGED_PAGES);

  function floated(address: number, size: AccessSize, write: boolean): void {
    if (isNew(Math.floor(address / PAGE_SIZE))) {
      log(`address 0x${address.toString(16)}: nothing answers a ${describe(size, write)}`);
    }
  }

  const { attach, movable, find, isEmpty } = space;
  return { attach, movable, find, isEmpty, floated, ...memoryAccess({ find, isEmpty, floated }) };
}

/** Accesses of up to 64 bits through a decoder. */
export function memoryAccess(decoder: Decoder): Pick<MemoryBus, 'read' | 'write' | 'read64' | 'write64'> {
  const { read, write } = busAccess(decoder);
  return {
    read,
    write,
    read64(address) {
      const low = BigInt(read(address, 4));
      return low | (BigInt(read(address + 4, 4)) << 32n);
    },
    write64(address, value) {
      write(address, 4, Number(value & 0xffff_ffffn));
      write(address + 4, 4, Number(value >> 32n));
    },
  };
}
