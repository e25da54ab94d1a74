/**
 * A process that writes to an image and says what it has flushed, until it is killed: `node kill.test-helper.ts IMAGE SEED`. Round
 * N writes N to sectors that follow from the seed, all over the disk, flushes, and prints N.
 */
import { argv, stdout } from 'node:process';
import { randomNumbers } from '../devices/conformance.test-helper.ts';
import { openDisk } from './open-disk.ts';

const SECTOR = 512;
export const PER_ROUND = 12;

/** Sectors that a round writes; each is written by that round only. */
export function sectorsOf(seed: number, round: number, sectors: number): number[] {
  const random = randomNumbers(seed * 1000 + round);
  const stride = Math.floor(sectors / PER_ROUND);
  // Round N owns the sectors N, N + 1000, ... of each part of the disk.
  return Array.from({ length: PER_ROUND }, (_, part) => {
    const slots = Math.floor((stride - round - 1) / 1000) + 1;
    return part * stride + round + 1000 * (random() % slots);
  });
}

/** What a sector holds that round N wrote. */
export function contentOf(round: number, sector: number): Uint8Array {
  const bytes = new Uint8Array(SECTOR);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < SECTOR; at += 8) {
    view.setUint32(at, round);
    view.setUint32(at + 4, sector);
  }
  return bytes;
}

async function main(path: string, seed: number): Promise<void> {
  const disk = await openDisk({ path });
  for (let round = 1; round < 1000; round++) {
    const sectors = sectorsOf(seed, round, disk.size / SECTOR);
    await Promise.all(sectors.map((sector) => disk.write(sector * SECTOR, [contentOf(round, sector)])));
    await disk.flush();
    stdout.write(`${round}\n`);
  }
}

if (import.meta.main) await main(argv[2]!, Number(argv[3]));
