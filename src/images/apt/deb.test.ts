import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { makeAr, makeDeb, makeTar } from '../../../test/images/fake-mirror.ts';
import { type DebEntry, debEntries, readDeb } from './deb.ts';

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'virts-test-'));
});
after(() => rm(directory, { recursive: true }));

async function read(bytes: Uint8Array, limit = 1e6): Promise<Map<string, Buffer>> {
  const path = join(directory, 'x.deb');
  await writeFile(path, bytes);
  return readDeb(path, (name) => name.startsWith('boot/'), limit);
}

const FILES = { 'boot/a': 'alpha', 'boot/b': Buffer.alloc(70_000, 7), 'other/c': 'gamma' };

/** `data.tar` with the one file boot/a ("alpha"), packed by `xz -9e --check=crc32`. */
const XZ = Buffer.from(
  '/Td6WFoAAAFpIt42AgAhARwAAAAQz1jM4Cf/AGldABcLyMfqmSToihaQegL05fmmFmWR2YvEVZMxNJaX2Vw3M8E1wrf5OyB79xxa' +
    'GZLTGtpDQQTuXuj8vqexnkeSyAQQq9u8519Zx4z/KaX6KH543TnhQ2bWtDHd+e6UOBvYeFPD4RVbz1+aAAAAAACnVAE3AAGBAYBQ' +
    'AACbojyqPjANiwIAAAAAAVla',
  'base64',
);

test('the wanted files of a package, packed by xz, gzip, zstd or not at all', async () => {
  const tar = await makeTar(FILES);
  const packed: [string, Uint8Array][] = [
    ['data.tar.gz', gzipSync(tar)],
    ['data.tar.zst', zstdCompressSync(tar)],
    ['data.tar', tar],
  ];
  for (const member of packed) {
    const files = await read(makeAr([['debian-binary', Buffer.from('2.0\n')], ['odd', Buffer.from('x')], member]));
    assert.deepEqual([...files.keys()], ['boot/a', 'boot/b']);
    assert.equal(files.get('boot/a')!.toString(), 'alpha');
    assert.equal(files.get('boot/b')!.length, 70_000);
  }
  const [...files] = await read(makeAr([['data.tar.xz', XZ]]));
  assert.deepEqual(files, [['boot/a', Buffer.from('alpha')]]);
});

test('modes, directories and links', async () => {
  const tar = pack();
  tar.entry({ name: './', type: 'directory', mode: 0o755 });
  tar.entry({ name: './usr/', type: 'directory', mode: 0o755 });
  tar.entry({ name: './usr/bin/', type: 'directory', mode: 0o2755 });
  tar.entry({ name: './usr/bin/gcc-12', mode: 0o755 }, 'program');
  tar.entry({ name: './usr/bin/gcc', type: 'symlink', linkname: 'gcc-12' });
  tar.entry({ name: './usr/bin/cc', type: 'link', linkname: './usr/bin/gcc-12' });
  tar.entry({ name: './usr/bin/fifo', type: 'fifo' });
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar) chunks.push(chunk as Uint8Array);
  const path = join(directory, 'links.deb');
  await writeFile(path, makeAr([['data.tar', Buffer.concat(chunks)]]));
  const entries: DebEntry[] = [];
  for await (const entry of debEntries(path, (name) => name.startsWith('usr/bin'), 100)) entries.push(entry);
  assert.deepEqual(entries, [
    { type: 'directory', path: 'usr/bin', mode: 0o2755 },
    { type: 'file', path: 'usr/bin/gcc-12', mode: 0o755, content: Buffer.from('program') },
    { type: 'symlink', path: 'usr/bin/gcc', target: 'gcc-12' },
    { type: 'link', path: 'usr/bin/cc', target: 'usr/bin/gcc-12' },
  ]);
});

test('damaged packages are bad input', async () => {
  const good = await makeDeb(FILES);
  const bad = { kind: 'bad-input' };
  await assert.rejects(read(Buffer.from('no archive')), bad);
  await assert.rejects(read(Buffer.alloc(0)), bad);
  for (const length of [30, 100, good.length - 40])
    await assert.rejects(read(good.subarray(0, length)), bad, `${length}`);
  await assert.rejects(read(makeAr([['data.tar.gz', Buffer.from('not gzip')]])), bad);
  await assert.rejects(read(makeAr([['data.tar.xz', Buffer.from('not xz at all')]])), bad);
  await assert.rejects(read(makeAr([['data.tar.xz', XZ.subarray(0, 100)]])), bad);
  await assert.rejects(read(makeAr([['data.tar', Buffer.alloc(1024, 0x41)]])), bad);
  await assert.rejects(read(makeAr([['data.tar.lz4', Buffer.alloc(10)]])), { kind: 'unsupported' });
});

test('more than the limit is bad input', async () => {
  await assert.rejects(read(await makeDeb(FILES), 10_000), { kind: 'bad-input' });
});

test('a file that is not there', async () => {
  await assert.rejects(
    readDeb(join(directory, 'none.deb'), () => true, 1),
    { kind: 'not-found' },
  );
});
