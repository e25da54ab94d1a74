/**
 * Walks a descriptor chain of a split virtqueue (virtio 1.2 2.7.5) that a hostile driver may have written: the walk is
 * bounded, and whatever the standard forbids is a fault.
 */
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { MAX_CHAIN } from './constants.ts';
import { openBytes } from './ring-access.ts';

const DESCRIPTOR_SIZE = 16;
const FLAGS = { next: 1, write: 2, indirect: 4 } as const;

/** A piece of a buffer in guest-physical memory. Not checked to be RAM until it is used. */
export interface Segment {
  readonly address: number;
  /** Bytes, at least 1. */
  readonly length: number;
}

export interface DescriptorChain {
  /** What the device may read, then what it may write. */
  readonly readable: readonly Segment[];
  readonly writable: readonly Segment[];
  readonly readableBytes: number;
  readonly writableBytes: number;
}

export interface DescriptorTable {
  /** Guest-physical address and number of entries. */
  readonly address: number;
  readonly entries: number;
  /** Whether the driver may use indirect tables. */
  readonly indirect: boolean;
  /** The most bytes a chain may describe. */
  readonly maxBytes: number;
}

interface Descriptor {
  readonly address: number;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}

type OpenTable = NonNullable<ReturnType<typeof openBytes>>;

/** `undefined` where some of the table is no RAM. */
const openTable = (memory: GuestMemory, { address, entries }: Pick<DescriptorTable, 'address' | 'entries'>) =>
  openBytes(memory, address, entries * DESCRIPTOR_SIZE);

/** Each field is read once: another vCPU may be changing them. */
function readDescriptor({ view, at: start }: OpenTable, index: number): Descriptor {
  const at = start + index * DESCRIPTOR_SIZE;
  return {
    address: view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true),
    length: view.getUint32(at + 8, true),
    flags: view.getUint16(at + 12, true),
    next: view.getUint16(at + 14, true),
  };
}

/** The table an indirect descriptor points to, or what is wrong with it (2.7.5.3). */
function indirectTable(
  descriptor: Descriptor,
  allowed: boolean,
  nested: boolean,
): Pick<DescriptorTable, 'address' | 'entries'> | string {
  if (!allowed) return 'an indirect descriptor was used without being negotiated';
  if (nested) return 'an indirect table points to another';
  if ((descriptor.flags & FLAGS.next) !== 0) return 'an indirect descriptor has a successor';
  const entries = descriptor.length / DESCRIPTOR_SIZE;
  if (!Number.isInteger(entries) || entries === 0 || entries > MAX_CHAIN) return 'an indirect table has a wrong length';
  return { address: descriptor.address, entries };
}

/** The chain that starts at descriptor `head`, or a sentence that says what is malformed about it. */
export function walkChain(memory: GuestMemory, table: DescriptorTable, head: number): DescriptorChain | string {
  const readable: Segment[] = [];
  const writable: Segment[] = [];
  const bytes = { readable: 0, writable: 0 };
  let { entries } = table;
  let descriptors = openTable(memory, table);
  let nested = false;
  for (let index = head, walked = 0; ; ) {
    if (index >= entries) return 'a descriptor index is past the end of its table';
    if (walked++ >= (nested ? MAX_CHAIN : table.entries)) return 'a descriptor chain is too long or has a loop';
    if (descriptors === undefined) return 'a descriptor table is not in RAM';
    const descriptor = readDescriptor(descriptors, index);
    if ((descriptor.flags & FLAGS.indirect) !== 0) {
      const found = indirectTable(descriptor, table.indirect, nested);
      if (typeof found === 'string') return found;
      ({ entries } = found);
      descriptors = openTable(memory, found);
      nested = true;
      index = 0;
      continue;
    }
    const { address, length } = descriptor;
    if (length === 0) return 'a descriptor has no length';
    if (!Number.isSafeInteger(address + length)) return 'a buffer is not in RAM';
    if ((descriptor.flags & FLAGS.write) !== 0) {
      writable.push({ address, length });
      bytes.writable += length;
    } else {
      if (writable.length > 0) return 'a readable descriptor follows a writable one';
      readable.push({ address, length });
      bytes.readable += length;
    }
    if (bytes.readable + bytes.writable > table.maxBytes) return 'a descriptor chain describes too many bytes';
    if ((descriptor.flags & FLAGS.next) === 0) break;
    index = descriptor.next;
  }
  return { readable, writable, readableBytes: bytes.readable, writableBytes: bytes.writable };
}
