/** QEMU's tools as oracles, and disks that are compared with a model. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { promisify } from 'node:util';
import { randomNumbers } from '../devices/conformance.test-helper.ts';
import type { BlockDevice } from './block-device.ts';

const run = promisify(execFile);

/** A directory that goes away after the tests of a file. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'virts-storage-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export async function qemuImg(...args: readonly string[]): Promise<string> {
  return (await run('qemu-img', args)).stdout;
}

/** Runs commands of `qemu-io` on an image. */
export async function qemuIo(path: string, ...commands: readonly string[]): Promise<string> {
  const { stdout, stderr } = await run('qemu-io', [path, ...commands.flatMap((command) => ['-c', command])]);
  assert.doesNotMatch(stdout + stderr, /error|failed/i);
  return stdout;
}

/** What `qemu-img check` counts. */
export async function qemuCheck(path: string): Promise<{ corruptions: number; leaks: number; errors: number }> {
  // It ends with 2 or 3 where it found something.
  const { stdout } = await run('qemu-img', ['check', '--output=json', path]).catch(
    (error) => error as { stdout: string },
  );
  const report = JSON.parse(stdout) as Record<string, number | undefined>;
  return { corruptions: report.corruptions ?? 0, leaks: report.leaks ?? 0, errors: report['check-errors'] ?? 0 };
}

export const CLEAN = { corruptions: 0, leaks: 0, errors: 0 };

/** All bytes of a disk as QEMU reads them. */
export async function qemuBytes(path: string): Promise<Buffer> {
  await qemuImg('convert', '-O', 'raw', path, `${path}.bytes`);
  const bytes = readFileSync(`${path}.bytes`);
  rmSync(`${path}.bytes`);
  return bytes;
}

export async function readAll(disk: BlockDevice): Promise<Buffer> {
  const bytes = Buffer.alloc(disk.size);
  await disk.read(0, [bytes]);
  return bytes;
}

/** Cuts bytes into pieces at random, as a guest's buffers would be. */
function pieces(random: () => number, bytes: Uint8Array): Uint8Array[] {
  const result: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const take = Math.min(bytes.length - at, 512 * (1 + (random() % 16)));
    result.push(bytes.subarray(at, at + take));
    at += take;
  }
  return result;
}

/** Memory as a guest's is, or of this thread alone: files transfer to either in ways of their own. */
function memory(random: () => number, length: number): Uint8Array {
  return new Uint8Array(random() % 2 === 0 ? new SharedArrayBuffer(length) : new ArrayBuffer(length));
}

export interface Exercise {
  readonly disk: BlockDevice;
  /** What the disk holds, kept up to date. Discarded sectors follow the disk. */
  readonly model: Uint8Array;
  readonly seed: number;
  readonly operations: number;
  /** Most sectors of one operation. */
  readonly reach?: number;
}

/** Makes random operations, up to eight of them at a time on different parts of the disk, and checks every read. */
export async function exercise({ disk, model, seed, operations, reach = 64 }: Exercise): Promise<void> {
  const random = randomNumbers(seed);
  const sectors = disk.size / 512;
  const parts = 8;
  const partSectors = Math.floor(sectors / parts);

  async function one(part: number): Promise<void> {
    const start = part * partSectors + (random() % partSectors);
    const count = Math.min(1 + (random() % reach), (part === parts - 1 ? sectors : (part + 1) * partSectors) - start);
    const [position, length] = [start * 512, count * 512];
    const target = model.subarray(position, position + length);
    switch (random() % 8) {
      case 0:
      case 1:
      case 2: {
        const bytes = memory(random, length);
        for (let i = 0; i < length; i += 512) bytes.fill(random() & 0xff, i, i + 512);
        target.set(bytes);
        return disk.write(position, pieces(random, bytes));
      }
      case 3:
        target.fill(0);
        return disk.writeZeroes(position, length, random() % 2 === 0);
      case 4: {
        await disk.discard(position, length);
        return disk.read(position, [target]);
      }
      case 5:
        return random() % 4 === 0 ? disk.flush() : undefined;
      default: {
        const bytes = memory(random, length);
        await disk.read(position, pieces(random, bytes));
        assert.deepEqual(Buffer.compare(bytes, target), 0, `seed ${seed}: ${length} bytes at ${position}`);
      }
    }
  }

  for (let done = 0; done < operations; done += parts) {
    const order = Array.from({ length: parts }, (_, part) => part).filter(() => random() % 4 !== 0);
    await Promise.all(order.map(one));
  }
}
