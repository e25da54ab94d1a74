/**
 * Fills a small file system through a disk: `node full.test-helper.ts DIRECTORY`. When the guest has to wait it makes room, and in the
 * end looks for all that was written.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { argv, stdout } from 'node:process';
import { BLOCK_OPERATION } from '../devices/block-port.ts';
import { diskHandler } from './disk-service.ts';
import { openHostFile } from './host-file.ts';
import { openDisk } from './open-disk.ts';
import { createQcow2 } from './qcow2/create.ts';

const PIECE = 256 * 1024;
/** More than fits while the ballast is there, and less than fits without it. */
const PIECES = 16;

const directory = argv[2]!;
const ballast = join(directory, 'ballast');
const path = join(directory, 'disk.qcow2');
writeFileSync(ballast, new Uint8Array(3 * 2 ** 20));
const file = await openHostFile(path, { readOnly: false, create: true });
await createQcow2(file, 64 * 2 ** 20);
await file.close();

const disk = await openDisk({ path });
const handle = diskHandler(disk, {
  report(message) {
    stdout.write(`${message}\n`);
    rmSync(ballast, { force: true });
  },
  signal: new AbortController().signal,
  retryMs: 1,
});
const ask = (operation: number, position: number, spans: Uint8Array[]) =>
  new Promise<number>((answer) => handle({ operation, position, count: PIECE, spans, reply: [], answer }));

const memory = new Uint8Array(new SharedArrayBuffer(PIECE));
for (let i = 0; i < PIECES; i++) {
  const results = [
    await ask(BLOCK_OPERATION.write, i * 3 * PIECE, [memory.fill(i + 1)]),
    await ask(BLOCK_OPERATION.flush, 0, []),
  ];
  if (results.some((result) => result !== 0)) throw new Error(`piece ${i}: ${results}`);
}
await disk.close();

const again = await openDisk({ path, readOnly: true });
for (let i = 0; i < PIECES; i++) {
  await again.read(i * 3 * PIECE, [memory.fill(0)]);
  if (memory.some((byte) => byte !== i + 1)) throw new Error(`piece ${i} is lost`);
}
await again.close();
stdout.write(`all ${PIECES} pieces are there\n`);
