/**
 * An image is cut off at any write, as a kill of the monitor does, or loses any part of what was not yet made stable, as a
 * host without power does. QEMU must find it sound, and all that was flushed must be there.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { randomNumbers } from '../../devices/conformance.test-helper.ts';
import { type ByteFile, memoryFile } from '../byte-file.ts';
import { qemuCheck, qemuImg, readAll, temporaryDirectory } from '../qemu.test-helper.ts';
import { createQcow2 } from './create.ts';
import { openQcow2Disk } from './disk.ts';
import { readHeader } from './header.ts';

const SECTOR = 512;
/** Pages of the host's cache: a write that is cut off ends between two. */
const PAGE = 4096;

type Step =
  | { readonly kind: 'sync' }
  | { readonly kind: 'write'; readonly position: number; readonly bytes: Uint8Array };

/** A file in memory that keeps a list of what was done to it. */
function recordingFile(content: Uint8Array<ArrayBuffer>): { file: ByteFile; steps: Step[] } {
  const inner = memoryFile('image', content);
  const steps: Step[] = [];
  const file: ByteFile = {
    ...inner,
    get size() {
      return inner.size;
    },
    async write(position, from) {
      steps.push({ kind: 'write', position, bytes: Buffer.concat(from) });
      await inner.write(position, from);
      // Others get a turn in between, as with a real file.
      await new Promise<void>((resolve) => setImmediate(resolve));
    },
    async zero(position, length, unmap) {
      const inside = Math.min(length, inner.size - position);
      if (inside > 0) steps.push({ kind: 'write', position, bytes: new Uint8Array(inside) });
      await inner.zero(position, length, unmap);
    },
    async sync() {
      await new Promise<void>((resolve) => setImmediate(resolve));
      steps.push({ kind: 'sync' });
    },
  };
  return { file, steps };
}

/** An image that grows by what is written to it. */
function replay(start: Uint8Array, steps: readonly Step[]) {
  const ends = steps.map((step) => (step.kind === 'write' ? step.position + step.bytes.length : 0));
  const bytes = new Uint8Array(Math.max(start.length, ...ends));
  bytes.set(start);
  let end = start.length;
  return {
    apply(position: number, part: Uint8Array): void {
      bytes.set(part, position);
      if (part.length > 0) end = Math.max(end, position + part.length);
    },
    image: () => bytes.subarray(0, end),
  };
}

/** The file after `count` steps and a part of the next. */
function killedAfter(start: Uint8Array, steps: readonly Step[], count: number, random: () => number) {
  const { apply, image } = replay(start, steps);
  for (const step of steps.slice(0, count)) if (step.kind === 'write') apply(step.position, step.bytes);
  const next = steps[count];
  if (next?.kind === 'write') {
    const pages = Math.ceil(next.bytes.length / PAGE);
    apply(next.position, next.bytes.subarray(0, (random() % (pages + 1)) * PAGE));
  }
  return image();
}

/** The file after `count` steps, where of those after the last sync any sector may be missing. */
function withoutPowerAfter(start: Uint8Array, steps: readonly Step[], count: number, random: () => number) {
  const { apply, image } = replay(start, steps);
  const done = steps.slice(0, count);
  const stable = done.findLastIndex(({ kind }) => kind === 'sync') + 1;
  for (const [i, step] of done.entries()) {
    if (step.kind !== 'write') continue;
    const fate = i < stable ? 0 : random() % 3;
    if (fate === 0) apply(step.position, step.bytes);
    for (let at = 0; fate === 1 && at < step.bytes.length; at += SECTOR) {
      if (random() % 2 === 0) apply(step.position + at, step.bytes.subarray(at, at + SECTOR));
    }
  }
  return image();
}

/** What each sector may hold: values of its bytes, or anything. */
type Allowed = (Set<number> | 'any')[];

interface Round {
  /** Steps that were done when the flush of the round before had resolved. */
  readonly from: number;
  readonly allowed: Allowed;
}

/** Rounds of operations, each followed by a flush; what may be found after a cut in each of them. */
async function record(
  start: Uint8Array<ArrayBuffer>,
  rounds: number,
  seed: number,
): Promise<{ steps: Step[]; story: Round[] }> {
  const { file, steps } = recordingFile(start);
  const disk = await openQcow2Disk(file, await readHeader(file), undefined);
  const random = randomNumbers(seed);
  const sectors = disk.size / SECTOR;
  const before = await readAll(disk);
  let stable: Allowed = Array.from({ length: sectors }, (_, i) => new Set([before[i * SECTOR]!]));
  const story: Round[] = [];

  for (let round = 0; round < rounds; round++) {
    const allowed: Allowed = stable.map((values) => (values === 'any' ? values : new Set(values)));
    const after: Allowed = stable.slice();
    story.push({ from: steps.length, allowed });
    const parts = 6;
    await Promise.all(
      Array.from({ length: parts }, async (_, part) => {
        for (let i = 0; i < 4; i++) {
          // While others write.
          if (random() % 4 === 0) await disk.flush();
          const first = Math.floor((part * sectors) / parts) + (random() % Math.floor(sectors / parts));
          const count = Math.min(1 + (random() % 200), Math.floor(((part + 1) * sectors) / parts) - first);
          const kind = random() % 6;
          const value = kind === 0 ? 0 : 1 + (random() % 255);
          for (let sector = first; sector < first + count; sector++) {
            const values = allowed[sector]!;
            if (kind === 1) allowed[sector] = 'any';
            else if (values !== 'any') values.add(value);
            after[sector] = kind === 1 ? 'any' : new Set([value]);
          }
          const [position, length] = [first * SECTOR, count * SECTOR];
          if (kind === 0) await disk.writeZeroes(position, length, random() % 2 === 0);
          else if (kind === 1) await disk.discard(position, length);
          else await disk.write(position, [new Uint8Array(length).fill(value)]);
        }
      }),
    );
    await disk.flush();
    stable = after;
  }
  story.push({ from: steps.length, allowed: stable });
  await disk.close();
  return { steps, story };
}

async function checkContent(image: Uint8Array<ArrayBuffer>, allowed: Allowed, what: string): Promise<void> {
  const file = memoryFile('cut', image);
  const disk = await openQcow2Disk(file, await readHeader(file), undefined);
  const bytes = await readAll(disk);
  for (const [sector, values] of allowed.entries()) {
    const content = bytes.subarray(sector * SECTOR, (sector + 1) * SECTOR);
    const uniform = content.every((byte) => byte === content[0]);
    assert.ok(uniform, `${what}: sector ${sector} is torn`);
    assert.ok(values === 'any' || values.has(content[0]!), `${what}: sector ${sector} holds ${content[0]}`);
  }
  // And it goes on from there.
  await disk.write(0, [new Uint8Array(64 * 1024).fill(1)]);
  await disk.close();
}

const directory = temporaryDirectory();
const IMAGES: readonly (readonly [name: string, options: string])[] = [
  ['clusters of 512 bytes', 'cluster_size=512'],
  ['clusters of 4 KiB', 'cluster_size=4k'],
  ['an internal snapshot', 'cluster_size=4k'],
];

for (const [name, options] of IMAGES) {
  test(`cut off anywhere, nothing that was flushed is lost: ${name}`, async () => {
    const path = join(directory, `${name.replaceAll(' ', '-')}.qcow2`);
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', options, path, '3M');
    if (name.includes('snapshot')) {
      const file = memoryFile('image', readFileSync(path));
      const disk = await openQcow2Disk(file, await readHeader(file), undefined);
      await disk.write(0, [new Uint8Array(2 ** 20).fill(0x77)]);
      await disk.close();
      const bytes = new Uint8Array(file.size);
      await file.read(0, [bytes]);
      writeFileSync(path, bytes);
      await qemuImg('snapshot', '-c', 'kept', path);
    }
    const start = readFileSync(path);
    const { steps, story } = await record(start, 8, 31);
    const random = randomNumbers(77);
    for (let sample = 0; sample < 20; sample++) {
      const count = random() % (steps.length + 1);
      const cut = sample % 2 === 0 ? killedAfter : withoutPowerAfter;
      const image = cut(start, steps, count, random);
      const what = `${cut.name} ${count} of ${steps.length}`;
      const cutPath = join(directory, 'cut.qcow2');
      writeFileSync(cutPath, image);
      const { corruptions, errors } = await qemuCheck(cutPath);
      assert.deepEqual([corruptions, errors], [0, 0], what);
      await checkContent(image, story.findLast(({ from }) => from <= count)!.allowed, what);
    }
  });
}

test('a cluster is used for something else only when nothing stable refers to it, and nothing that is under way', async () => {
  const { file, steps } = recordingFile(new Uint8Array());
  await createQcow2(file, 2 ** 30);
  const disk = await openQcow2Disk(file, await readHeader(file), undefined);
  const cluster = 65_536;
  const turns = async () => {
    for (let i = 0; i < 50; i++) await new Promise<void>((resolve) => setImmediate(resolve));
  };
  /** Where the data of a write went. */
  async function write(index: number): Promise<number> {
    const before = steps.length;
    await disk.write(index * cluster, [new Uint8Array(cluster).fill(index)]);
    const step = steps.slice(before).find(({ kind }) => kind === 'write');
    assert.ok(step?.kind === 'write');
    return step.position;
  }
  const place = await write(1);
  await disk.flush();
  await disk.writeZeroes(cluster, cluster, true);
  await turns();
  assert.notEqual(await write(2), place, 'nothing is stable yet');
  // A flush that takes its time.
  const stable = Promise.withResolvers<void>();
  const { sync } = file;
  file.sync = () => stable.promise.then(sync);
  const flushing = disk.flush();
  await turns();
  assert.notEqual(await write(5), place, 'the flush is under way');
  // A read that begins before its end and ends after it.
  const { promise, resolve } = Promise.withResolvers<void>();
  const { read } = file;
  file.read = (position, into) => promise.then(() => read(position, into));
  const reading = disk.read(2 * cluster, [new Uint8Array(512)]);
  stable.resolve();
  await flushing;
  await turns();
  assert.notEqual(await write(3), place, 'a read is under way');
  resolve();
  await reading;
  await turns();
  assert.equal(await write(4), place);
  await disk.close();
});

test('an image is none before its header is there', async () => {
  const { file, steps } = recordingFile(new Uint8Array());
  await createQcow2(file, 2 ** 30);
  assert.ok(steps.length >= 3);
  const image = killedAfter(new Uint8Array(), steps, steps.length - 2, () => 0);
  await assert.rejects(readHeader(memoryFile('cut', image)), /does not begin as one/);
});
