/** Disks on a web server that may lie, fail, change its files, or fall silent. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type ErrorKind, VirtsError } from '../../base/errors.ts';
import { randomNumbers } from '../../devices/conformance.test-helper.ts';
import { openDisk } from '../open-disk.ts';
import { temporaryOverlay } from '../overlay.ts';
import { exercise, qemuImg, qemuIo, readAll, temporaryDirectory } from '../qemu.test-helper.ts';
import { type HttpFileOptions, openHttpFile } from './http-file.ts';

/** Answers one request instead of the server's own way; `false` leaves it to that. */
type Trick = (request: IncomingMessage, response: ServerResponse) => boolean;

interface Served {
  content: Uint8Array;
  etag: string | undefined;
}

const files = new Map<string, Served>();
let tricks: Trick[] = [];
let ranges: string[] = [];

function answer(request: IncomingMessage, response: ServerResponse): void {
  ranges.push(request.headers.range ?? 'all');
  if (tricks.shift()?.(request, response)) return;
  const file = files.get(new URL(request.url!, 'http://host').pathname);
  if (file === undefined) {
    response.writeHead(404).end();
    return;
  }
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')!.map(Number) as [
    number,
    number,
    number,
  ];
  const { length } = file.content;
  const headers = file.etag === undefined ? {} : { etag: file.etag };
  if (first >= length) {
    response.writeHead(416, { 'content-range': `bytes */${length}`, ...headers }).end();
    return;
  }
  const end = Math.min(last + 1, length);
  response.writeHead(206, { 'content-range': `bytes ${first}-${end - 1}/${length}`, ...headers });
  response.end(file.content.subarray(first, end));
}

const server = createServer(answer);
await once(server.listen(0, '127.0.0.1'), 'listening');
after(() => {
  server.closeAllConnections();
  server.close();
});
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

function serve(path: string, content: Uint8Array): Served {
  const file = { content, etag: '"1"' };
  files.set(path, file);
  tricks = [];
  ranges = [];
  return file;
}

function noise(length: number, seed = 1): Uint8Array {
  const random = randomNumbers(seed);
  return Uint8Array.from({ length }, () => random() & 0xff);
}

const open = (path: string, options: Partial<HttpFileOptions> = {}) =>
  openHttpFile({ url: origin + path, fetch, retryMs: 1, blockSize: 4096, ...options });

const fails = (kind: ErrorKind, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof VirtsError, String(error));
  assert.equal(error.kind, kind, error.message);
  assert.match(error.message, message);
  assert.match(error.message, /^[^\n]+\.$/);
  return true;
};

async function bytesOf(file: { read(at: number, into: Uint8Array[]): Promise<void> }, at: number, length: number) {
  const bytes = new Uint8Array(length).fill(0xee);
  const cut = Math.floor(length / 3);
  await file.read(at, [bytes.subarray(0, cut), bytes.subarray(cut)]);
  return Buffer.from(bytes);
}

test('any range is what the file has there, and zeros past its end', async () => {
  const content = noise(100_001);
  serve('/disk', content);
  const file = await open('/disk');
  assert.equal(file.size, 100_001);
  assert.equal(file.name, `${origin}/disk`);
  const random = randomNumbers(5);
  const padded = Buffer.concat([content, Buffer.alloc(50_000)]);
  for (let i = 0; i < 200; i++) {
    const at = random() % 110_000;
    const length = 1 + (random() % 30_000);
    const expected = padded.subarray(at, at + length);
    assert.equal(Buffer.compare(await bytesOf(file, at, expected.length), expected), 0, `${length} bytes at ${at}`);
  }
  await file.close();
  serve('/empty', new Uint8Array());
  const empty = await open('/empty');
  assert.equal(empty.size, 0);
  assert.deepEqual([...(await bytesOf(empty, 0, 4))], [0, 0, 0, 0]);
});

test('blocks are got once, in order ever more at a time, and the least recently used one goes first', async () => {
  serve('/disk', noise(4096 * 200));
  const file = await open('/disk', { cacheSize: 4096 * 64 });
  const got = async (at: number, length: number) => {
    ranges = [];
    await bytesOf(file, at, length);
    return ranges;
  };
  assert.deepEqual(await got(4096 * 50 + 100, 100), ['bytes=204800-208895']);
  assert.deepEqual(await got(4096 * 50, 4096), []);
  assert.deepEqual(await got(4096 * 51, 10), [`bytes=${4096 * 51}-${4096 * 55 - 1}`]);
  const both = await Promise.all([got(0, 100), bytesOf(file, 200, 100)]);
  assert.deepEqual(both[0], ['bytes=0-4095']);
  for (let block = 60; block < 124; block++) await bytesOf(file, 4096 * block, 1);
  assert.deepEqual(await got(0, 1), ['bytes=0-4095']);
});

test('what fails for a while is tried again', async () => {
  const content = noise(9000);
  serve('/disk', content);
  const file = await open('/disk');
  tricks = [
    (_, response) => Boolean(response.writeHead(503).end()),
    (request) => Boolean(request.socket.destroy()),
    (request, response) => {
      response.writeHead(206, { 'content-range': 'bytes 0-4095/9000', etag: '"1"' });
      response.write(content.subarray(0, 1000), () => request.socket.destroy());
      return true;
    },
  ];
  assert.equal(Buffer.compare(await bytesOf(file, 0, 100), content.subarray(0, 100)), 0);
  assert.equal(tricks.length, 0);
});

test('a server that falls silent is asked again', async () => {
  const content = noise(9000);
  serve('/disk', content);
  const file = await open('/disk', { silenceMs: 1000 });
  tricks = [() => true];
  assert.equal(Buffer.compare(await bytesOf(file, 0, 100), content.subarray(0, 100)), 0);
  assert.ok(ranges.length >= 3);
  await file.close();
});

test('a server that does not come back is given up, and what could not be had may be had later', async () => {
  const content = noise(9000);
  serve('/disk', content);
  const file = await open('/disk');
  tricks = Array.from({ length: 5 }, (): Trick => (request) => Boolean(request.socket.destroy()));
  await assert.rejects(bytesOf(file, 0, 100), fails('network', /could not be read \(.+\); check the network/));
  assert.equal(Buffer.compare(await bytesOf(file, 0, 100), content.subarray(0, 100)), 0);
});

test('a file that changes under a machine is not mixed with its former self', async () => {
  const served = serve('/disk', noise(9000));
  const file = await open('/disk');
  served.etag = '"2"';
  await assert.rejects(bytesOf(file, 0, 100), fails('io', /was changed on its server/));
  served.etag = '"1"';
  served.content = noise(10_000);
  await assert.rejects(bytesOf(file, 0, 100), fails('io', /was changed on its server/));
});

test('servers that do something else than they were asked are refused in a sentence', async () => {
  serve('/disk', noise(9000));
  const piece = (response: ServerResponse, status: number, headers: Record<string, string>, length: number) =>
    Boolean(response.writeHead(status, headers).end(Buffer.alloc(length)));
  const range = { 'content-range': 'bytes 0-0/9000' };
  const cases: readonly (readonly [Trick, ErrorKind, RegExp])[] = [
    [(_, r) => piece(r, 200, {}, 9000), 'unsupported', /cannot send parts of a file/],
    [(_, r) => piece(r, 206, {}, 1), 'unsupported', /does not say which part/],
    [(_, r) => piece(r, 206, { ...range, 'content-encoding': 'zstd' }, 1), 'unsupported', /sends it compressed/],
    [(_, r) => piece(r, 206, { 'content-range': 'bytes 5-5/9000' }, 1), 'network', /other parts/],
    [(_, r) => piece(r, 404, {}, 0), 'not-found', /There is no disk image/],
    [(_, r) => piece(r, 403, {}, 0), 'network', /does not let/],
    [(_, r) => piece(r, 418, {}, 0), 'network', /status 418/],
  ];
  for (const [trick, kind, message] of cases) {
    tricks = [trick];
    await assert.rejects(open('/disk'), fails(kind, message));
  }
  tricks = Array.from({ length: 5 }, (): Trick => (_, r) => piece(r, 206, range, 100_000));
  await assert.rejects(open('/disk'), fails('network', /more came than was asked for/));
  await assert.rejects(open('/none'), fails('not-found', /There is no disk image/));
  await assert.rejects(openHttpFile({ url: 'http://a:b@host/disk', fetch }), fails('usage', /user or a password/));
});

test('closing ends what is under way', async () => {
  serve('/disk', noise(9000));
  const file = await open('/disk');
  tricks = [() => true];
  const reading = assert.rejects(bytesOf(file, 0, 100), fails('io', /was closed/));
  await file.close();
  await reading;
});

test('an image on a server is a disk to read, and behind an overlay one to write to', async () => {
  const directory = temporaryDirectory();
  const base = join(directory, 'base.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', base, '3M');
  await qemuIo(base, 'write -P 7 0 1M', 'write -P 9 2M 64k');
  serve('/images/base.qcow2', readFileSync(base));
  const url = `${origin}/images/base.qcow2`;
  await assert.rejects(openDisk({ path: url }), fails('usage', /can only be read; add snapshot/));
  const disk = await openDisk({ path: `${url}?token=secret`, readOnly: true });
  const model = await readAll(disk);
  assert.deepEqual([model[0], model[2 ** 20], model[2 ** 21]], [7, 0, 9]);
  const layered = await temporaryOverlay(disk);
  await exercise({ disk: layered, model, seed: 3, operations: 200 });
  await layered.close();

  const overlay = join(directory, 'overlay.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-u', '-F', 'qcow2', '-b', url, overlay, '3M');
  await assert.rejects(openDisk({ path: overlay }), fails('untrusted', /on a web server; say backing=any/));
  const trusted = await openDisk({ path: overlay, anyBacking: true });
  await exercise({ disk: trusted, model: await readAll(trusted), seed: 4, operations: 200 });
  await trusted.close();
});

test('an image on a server may name others of its directory there, and none of the host', async () => {
  const directory = temporaryDirectory();
  const over = async (backing: string) => {
    const image = join(directory, 'over.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', '-u', '-F', 'raw', '-b', backing, image, '64k');
    serve('/images/over.qcow2', readFileSync(image));
    return { path: `${origin}/images/over.qcow2`, readOnly: true };
  };
  files.set('/images/base.raw', { content: new Uint8Array(65536).fill(5), etag: undefined });
  files.set('/base.raw', { content: new Uint8Array(65536).fill(6), etag: undefined });
  const beside = await openDisk(await over('base.raw'));
  assert.equal((await readAll(beside))[0], 5);
  await beside.close();
  const outside = await over('../base.raw');
  await assert.rejects(openDisk(outside), fails('untrusted', /outside its directory; say backing=any/));
  const trusted = await openDisk({ ...outside, anyBacking: true });
  assert.equal((await readAll(trusted))[0], 6);
  await trusted.close();
  await assert.rejects(
    openDisk({ ...(await over('file:///etc/passwd')), anyBacking: true }),
    fails('untrusted', /no address/),
  );
});
