/** What a PC's firmware keeps in CMOS memory (IBM PC/AT Technical Reference, "Real-time clock/CMOS RAM information"). */
import type { BoardDescription } from '../firmware/board-description.ts';

const ADDRESS = {
  equipment: 0x14,
  baseMemory: 0x15,
  extendedMemory: 0x17,
  checksum: 0x2e,
  extendedMemoryFound: 0x30,
  /** In 64 KiB above 16 MiB. */
  highMemory: 0x34,
} as const;

/** The bytes from 0x10 to 0x2d are summed. */
const SUMMED = { from: 0x10, to: 0x2d } as const;

const EQUIPMENT = { coprocessor: 1 << 1, pointingDevice: 1 << 2 } as const;

const KIB = 1024;
const MIB = 1024 * KIB;

/** Address and value of every byte that is not 0, for `memory` bytes of RAM. */
export function cmosPresets(board: BoardDescription, memory: number): Map<number, number> {
  const bytes = new Map<number, number>();
  const put16 = (at: number, value: number) => bytes.set(at, value & 0xff).set(at + 1, value >> 8);
  const extended = Math.min(0xffff, Math.max(0, Math.floor((memory - MIB) / KIB)));
  const high = Math.min(0xffff, Math.max(0, Math.floor((memory - 16 * MIB) / (64 * KIB))));
  bytes.set(ADDRESS.equipment, EQUIPMENT.coprocessor | (board.ps2 ? EQUIPMENT.pointingDevice : 0));
  put16(ADDRESS.baseMemory, 640);
  put16(ADDRESS.extendedMemory, extended);
  put16(ADDRESS.extendedMemoryFound, extended);
  put16(ADDRESS.highMemory, high);
  let sum = 0;
  for (let at: number = SUMMED.from; at <= SUMMED.to; at++) sum += bytes.get(at) ?? 0;
  // The checksum's high byte comes first.
  bytes.set(ADDRESS.checksum, sum >> 8).set(ADDRESS.checksum + 1, sum & 0xff);
  return bytes;
}
