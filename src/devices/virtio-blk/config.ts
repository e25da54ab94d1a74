/** The block device's configuration structure (virtio 1.2 5.2.4) and feature bits (5.2.3). */
import type { DiskShape } from '../block-port.ts';

export const SECTOR = 512;

export const FEATURE = {
  sizeMax: 1,
  segMax: 2,
  readOnly: 5,
  blockSize: 6,
  flush: 9,
  topology: 10,
  configWriteback: 11,
  multiQueue: 12,
  discard: 13,
  writeZeroes: 14,
} as const;

/** Offsets in the structure. */
export const CONFIG = {
  capacity: 0,
  sizeMax: 8,
  segMax: 12,
  blockSize: 20,
  physicalBlockExponent: 24,
  minIoSize: 26,
  optIoSize: 28,
  writeback: 32,
  queues: 34,
  maxDiscardSectors: 36,
  maxDiscardSegments: 40,
  discardAlignment: 44,
  maxZeroesSectors: 48,
  maxZeroesSegments: 52,
  zeroesMayUnmap: 56,
  size: 60,
} as const;

/** Most buffers of a request, and most bytes of each; together within what a port takes. */
const SEG_MAX = 254;
const SIZE_MAX = 65_536;

/** Most sectors of one discard or write-zeroes request: 4 GiB, less a bit so that a count of bytes has 32 bits. */
export const MAX_RANGE_SECTORS = 0x7f_ff00;

/** Guests partition and cache by 4 KiB. */
const PHYSICAL_BLOCK = 4096;

export function offeredFeatures(disk: DiskShape, queues: number): bigint {
  const bits: number[] = [FEATURE.sizeMax, FEATURE.segMax, FEATURE.blockSize, FEATURE.topology];
  if (disk.readOnly) bits.push(FEATURE.readOnly);
  else bits.push(FEATURE.flush, FEATURE.configWriteback, FEATURE.writeZeroes);
  if (disk.discards && !disk.readOnly) bits.push(FEATURE.discard);
  if (queues > 1) bits.push(FEATURE.multiQueue);
  return bits.reduce((all, bit) => all | (1n << BigInt(bit)), 0n);
}

/** The structure of a device that was just reset. */
export function initialConfig(disk: DiskShape, queues: number): Uint8Array {
  const bytes = new Uint8Array(CONFIG.size);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(CONFIG.capacity, BigInt(Math.floor(disk.size / SECTOR)), true);
  view.setUint32(CONFIG.sizeMax, SIZE_MAX, true);
  view.setUint32(CONFIG.segMax, SEG_MAX, true);
  view.setUint32(CONFIG.blockSize, SECTOR, true);
  bytes[CONFIG.physicalBlockExponent] = Math.log2(PHYSICAL_BLOCK / SECTOR);
  view.setUint16(CONFIG.minIoSize, PHYSICAL_BLOCK / SECTOR, true);
  bytes[CONFIG.writeback] = disk.readOnly ? 0 : 1;
  view.setUint16(CONFIG.queues, queues, true);
  if (disk.readOnly) return bytes;
  if (disk.discards) {
    view.setUint32(CONFIG.maxDiscardSectors, MAX_RANGE_SECTORS, true);
    view.setUint32(CONFIG.maxDiscardSegments, 1, true);
    view.setUint32(CONFIG.discardAlignment, disk.granularity / SECTOR, true);
  }
  view.setUint32(CONFIG.maxZeroesSectors, MAX_RANGE_SECTORS, true);
  view.setUint32(CONFIG.maxZeroesSegments, 1, true);
  bytes[CONFIG.zeroesMayUnmap] = disk.discards ? 1 : 0;
  return bytes;
}

/** Whether a saved structure is one that this device could have had: all is fixed but the cache mode. */
export function soundConfig(saved: Uint8Array, disk: DiskShape, queues: number): boolean {
  return initialConfig(disk, queues).every((byte, at) =>
    at === CONFIG.writeback ? saved[at]! <= 1 : saved[at] === byte,
  );
}
