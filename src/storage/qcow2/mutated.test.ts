/**
 * Damaged and hostile images: whatever the bytes say, operations end with a result or a VirtsError, after a bounded amount of work,
 * and touch nothing but the file. `VIRTS_MUTATIONS=10000` makes more of them.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { env } from 'node:process';
import { test } from 'node:test';
import { VirtsError } from '../../base/errors.ts';
import { randomNumbers } from '../../devices/conformance.test-helper.ts';
import { type ByteFile, byteLength, memoryFile } from '../byte-file.ts';
import { qemuImg, qemuIo, temporaryDirectory } from '../qemu.test-helper.ts';
import { memoryDisk } from '../raw.ts';
import { openQcow2Disk } from './disk.ts';
import { AT, readHeader } from './header.ts';

const MUTATIONS = Number(env.VIRTS_MUTATIONS ?? 1500);
/** More calls than any of the images takes. */
const MOST_CALLS = 20_000;

const directory = temporaryDirectory();

async function images(): Promise<Buffer<ArrayBuffer>[]> {
  const made: string[] = [];
  const make = async (name: string, options: string) => {
    const path = join(directory, `${name}.qcow2`);
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', options, path, '256k');
    await qemuIo(path, 'write -P 1 0 64k', 'write -z 100k 20k', 'write -P 2 200k 30k');
    made.push(path);
    return path;
  };
  await make('small', 'cluster_size=512');
  await make('narrow', 'cluster_size=512,refcount_bits=1');
  await make('old', 'compat=0.10,cluster_size=1k');
  await make('lazy', 'lazy_refcounts=on,cluster_size=512');
  await qemuIo(made.at(-1)!, 'write -P 3 0 4k', 'flush', 'abort').catch(() => {});
  await qemuImg('snapshot', '-c', 'one', await make('snapshot', 'cluster_size=512'));
  const raw = join(directory, 'raw');
  writeFileSync(raw, Buffer.alloc(256 * 1024, 'compressible '));
  for (const compression of ['zlib', 'zstd']) {
    const path = join(directory, `${compression}.qcow2`);
    await qemuImg('convert', '-c', '-O', 'qcow2', '-o', `compression_type=${compression},cluster_size=4k`, raw, path);
    made.push(path);
  }
  return made.map((path) => readFileSync(path));
}

/** Changes a few bytes where it matters: header, tables, or anywhere; or the length. */
function mutate(image: Buffer<ArrayBuffer>, random: () => number): Buffer<ArrayBuffer> {
  const bytes = Buffer.from(image);
  const cluster = 2 ** image.readUInt32BE(AT.clusterBits);
  const l1 = Number(image.readBigUInt64BE(AT.l1Offset));
  const refcounts = Number(image.readBigUInt64BE(AT.refcountOffset));
  const l2 = Number(image.readBigUInt64BE(l1) & 0xff_ffff_ffff_fe00n);
  const places = [0, 0, l1, l2, l2, refcounts, Number(image.readBigUInt64BE(refcounts))];
  for (let i = random() % 4; i >= 0; i--) {
    const base = places[random() % places.length]!;
    const within = base === 0 ? 112 : Math.min(cluster, 256);
    const at = random() % 8 === 0 ? random() % bytes.length : Math.min(base + (random() % within), bytes.length - 8);
    const aligned = Math.min(at - (at % 8), bytes.length - 8);
    const kind = random() % 6;
    if (kind === 0) bytes[at] = random();
    else if (kind === 1) bytes[at] = bytes[at]! ^ (1 << (random() % 8));
    else if (kind === 2)
      bytes.writeUInt32BE([0, 1, 0x7fff_ffff, 0xffff_ffff, random()][random() % 5]!, aligned + 4 * (random() % 2));
    else if (kind === 3)
      bytes.writeBigUInt64BE(
        BigInt(cluster * (random() % (2 * (bytes.length / cluster)))) | BigInt(random() % 2 ? 2 ** 63 : 0),
        aligned,
      );
    else if (kind === 4)
      bytes.copy(bytes, aligned, places[random() % places.length]!, places[random() % places.length]! + 8);
    else bytes.writeBigUInt64BE((BigInt(random()) << 32n) | BigInt(random()), aligned);
  }
  return random() % 16 === 0 ? bytes.subarray(0, random() % bytes.length) : bytes;
}

/** A file that counts calls and checks that they make sense. */
function guarded(content: Uint8Array<ArrayBuffer>): ByteFile {
  const inner = memoryFile('mutated', content);
  let calls = 0;
  const check = (position: number, length: number) => {
    assert.ok(++calls < MOST_CALLS, 'it goes on and on');
    assert.ok(Number.isSafeInteger(position) && position >= 0 && Number.isSafeInteger(position + length));
    assert.ok(length <= 64 * 2 ** 20, `${length} bytes at once`);
  };
  return {
    ...inner,
    get size() {
      return inner.size;
    },
    read(position, into) {
      check(position, byteLength(into));
      return inner.read(position, into);
    },
    write(position, from) {
      check(position, byteLength(from));
      return inner.write(position, from);
    },
    zero(position, length, unmap) {
      check(position, 0);
      return inner.zero(position, length, unmap);
    },
  };
}

/** Uses an image as a guest would. Returns whether it could be opened. */
async function use(content: Uint8Array<ArrayBuffer>, random: () => number): Promise<boolean> {
  const file = guarded(content);
  const header = await readHeader(file);
  const disk = await openQcow2Disk(file, header, random() % 4 === 0 ? memoryDisk(64 * 1024) : undefined);
  for (let i = 0; i < 12; i++) {
    const room = Math.min(disk.size, 2 ** 40);
    if (room === 0) break;
    const position = 512 * (random() % Math.ceil(room / 512));
    const length = Math.min(512 * (1 + (random() % 64)), disk.size - position);
    const operations = [
      () => disk.read(position, [new Uint8Array(length)]),
      () => disk.write(position, [new Uint8Array(length).fill(random())]),
      () => disk.writeZeroes(position, length, random() % 2 === 0),
      () => disk.discard(position, length),
      () => disk.flush(),
    ];
    await operations[random() % operations.length]!().catch(expected);
  }
  await disk.close().catch(expected);
  return true;
}

function expected(error: unknown): false {
  if (error instanceof VirtsError && error.kind !== 'internal') return false;
  throw error;
}

test(`${MUTATIONS} mutated images end in nothing worse than a sentence`, async () => {
  const originals = await images();
  let opened = 0;
  for (let i = 0; i < MUTATIONS; i++) {
    const random = randomNumbers(1000 + i);
    const image = mutate(originals[i % originals.length]!, random);
    try {
      if (await use(image, random).catch(expected)) opened++;
    } catch (error) {
      throw new Error(`image ${i} of ${originals.length} kinds`, { cause: error });
    }
  }
  // Most are still good enough to get past the header.
  assert.ok(opened > MUTATIONS / 4 && opened < MUTATIONS, `${opened} were opened`);
});
