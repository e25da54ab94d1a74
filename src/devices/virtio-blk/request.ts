/** Requests to a block device (virtio 1.2 5.2.6): what the driver wants, checked, as an operation for the back end. */
import { maxBytes } from '../../memory/io-link.ts';
import { BLOCK_OPERATION, type DiskShape } from '../block-port.ts';
import type { Segment } from '../virtio/descriptor-chain.ts';
import type { VirtqueueRequest } from '../virtio/virtqueue.ts';
import { FEATURE, MAX_RANGE_SECTORS, SECTOR } from './config.ts';

const TYPE = { in: 0, out: 1, flush: 4, getId: 8, discard: 11, writeZeroes: 13 } as const;

/** The status byte, the last that the device writes. */
export const STATUS = { ok: 0, ioError: 1, unsupported: 2 } as const;

const HEADER = 16;
const UNMAP = 1;

/** An operation for the back end. */
export interface Transfer {
  readonly operation: number;
  readonly position: number;
  readonly count: number;
  readonly segments: readonly Segment[];
  readonly access: 'read' | 'write';
}

/** What becomes of a request: a transfer, the disk's name, a status at once, or nothing because the device needs a reset. */
export type Parsed = Transfer | 'identify' | { readonly status: number } | undefined;

export interface RequestRules {
  readonly disk: DiskShape;
  negotiated(bit: number): boolean;
  /** Whether a write is to be answered only when it is on stable storage. */
  writesThrough(): boolean;
}

const IO_ERROR = { status: STATUS.ioError } as const;
const UNSUPPORTED = { status: STATUS.unsupported } as const;

/** Whether `length` bytes at `sector` lie on the disk, whole sectors. */
function isOnDisk({ size }: DiskShape, sector: number, length: number): boolean {
  return length % SECTOR === 0 && sector * SECTOR + length <= size;
}

/** Data from or to the disk; `part` is which part of the request it is in. */
function transfer(
  request: VirtqueueRequest,
  part: 'read' | 'write',
  offset: number,
  length: number,
  what: Pick<Transfer, 'operation' | 'position'>,
): Parsed {
  const segments = request.segments(part, offset, length);
  if (segments === undefined) return undefined;
  if (length > maxBytes(segments.length)) return IO_ERROR;
  return { ...what, count: length, segments, access: part };
}

/** A discard or write-zeroes request, of one segment (5.2.6): sector, count and flags. */
function range(request: VirtqueueRequest, { disk, negotiated }: RequestRules, discard: boolean): Parsed {
  if (!negotiated(discard ? FEATURE.discard : FEATURE.writeZeroes)) return UNSUPPORTED;
  if (disk.readOnly) return IO_ERROR;
  if (request.readableBytes !== HEADER + 16) return UNSUPPORTED;
  const bytes = request.read(HEADER, 16);
  if (bytes === undefined) return undefined;
  const view = new DataView(bytes.buffer);
  const sector = Number(view.getBigUint64(0, true));
  const count = view.getUint32(8, true);
  const flags = view.getUint32(12, true);
  if ((flags & ~(discard ? 0 : UNMAP)) !== 0) return UNSUPPORTED;
  if (count > MAX_RANGE_SECTORS || !isOnDisk(disk, sector, count * SECTOR)) return IO_ERROR;
  const zero = flags === UNMAP && disk.discards ? BLOCK_OPERATION.zeroAndUnmap : BLOCK_OPERATION.zeroInPlace;
  return {
    operation: discard ? BLOCK_OPERATION.discard : zero,
    position: sector * SECTOR,
    count: count * SECTOR,
    segments: [],
    access: 'read',
  };
}

/** Reads a request that has room for a header and a status byte. */
export function parseRequest(request: VirtqueueRequest, rules: RequestRules): Parsed {
  const header = request.read(0, HEADER);
  if (header === undefined) return undefined;
  const view = new DataView(header.buffer);
  const { disk } = rules;
  const sector = Number(view.getBigUint64(8, true));
  const position = sector * SECTOR;
  switch (view.getUint32(0, true)) {
    case TYPE.in: {
      const length = request.writableBytes - 1;
      if (!isOnDisk(disk, sector, length)) return IO_ERROR;
      return transfer(request, 'write', 0, length, { operation: BLOCK_OPERATION.read, position });
    }
    case TYPE.out: {
      const length = request.readableBytes - HEADER;
      if (disk.readOnly || !isOnDisk(disk, sector, length)) return IO_ERROR;
      const operation = rules.writesThrough() ? BLOCK_OPERATION.writeThrough : BLOCK_OPERATION.write;
      return transfer(request, 'read', HEADER, length, { operation, position });
    }
    case TYPE.flush:
      return { operation: BLOCK_OPERATION.flush, position: 0, count: 0, segments: [], access: 'read' };
    case TYPE.getId:
      return 'identify';
    case TYPE.discard:
      return range(request, rules, true);
    case TYPE.writeZeroes:
      return range(request, rules, false);
    default:
      return UNSUPPORTED;
  }
}

/** Whether a chain has a header and a status byte at all. */
export function isComplete({ readableBytes, writableBytes }: VirtqueueRequest): boolean {
  return readableBytes >= HEADER && writableBytes >= 1;
}
