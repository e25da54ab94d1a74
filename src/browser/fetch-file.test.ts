import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { VirtsError } from '../base/errors.ts';
import { fetchBootFile } from './fetch-file.ts';

const CONTENT = Uint8Array.from({ length: 100_000 }, (_, i) => i);

/** Answers as `listener` says, for as long as `use` takes. */
async function withServer(listener: RequestListener, use: (address: string) => Promise<void>): Promise<void> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/kernel`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const fails = (kind: string, sentence: RegExp) => (error: unknown) =>
  error instanceof VirtsError && error.kind === kind && sentence.test(error.message);

test('a file comes whole, and its progress is told', async () => {
  await withServer(
    (_request, response) => response.writeHead(200, { 'content-length': CONTENT.length }).end(CONTENT),
    async (address) => {
      const told: (readonly [number, number | undefined])[] = [];
      const file = await fetchBootFile(address, { progress: (...progress) => void told.push(progress) });
      assert.equal(file.name, address);
      assert.deepEqual(file.bytes, CONTENT);
      assert.deepEqual(
        [told[0], told.at(-1)],
        [
          [0, CONTENT.length],
          [CONTENT.length, CONTENT.length],
        ],
      );
    },
  );
});

test('a length that is not that of the file is not believed', async () => {
  const packed = gzipSync(CONTENT);
  await withServer(
    (_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.length }).end(packed),
    async (address) => {
      const totals = new Set<number | undefined>();
      const { bytes } = await fetchBootFile(address, { progress: (_done, total) => void totals.add(total) });
      assert.deepEqual(bytes, CONTENT);
      assert.deepEqual([...totals], [undefined]);
    },
  );
});

test('a file without a length is read to its end', async () => {
  await withServer(
    (_request, response) => {
      response.write(CONTENT.subarray(0, 10));
      response.end(CONTENT.subarray(10));
    },
    async (address) => assert.deepEqual((await fetchBootFile(address)).bytes, CONTENT),
  );
});

test('a transfer that breaks off is a failure of the network', async () => {
  await withServer(
    (_request, response) => {
      response.writeHead(200, { 'content-length': CONTENT.length });
      response.write(CONTENT.subarray(0, 10), () => response.destroy());
    },
    async (address) => assert.rejects(fetchBootFile(address), fails('network', /broke off after \d+ bytes/)),
  );
});

test('what no guest has room for is not fetched', async () => {
  await withServer(
    (_request, response) => {
      response.writeHead(200, { 'content-length': 2 ** 32 });
      response.write('x');
    },
    async (address) => assert.rejects(fetchBootFile(address), fails('no-space', /larger than any guest's memory/)),
  );
});

test('a fetch can be given up', async () => {
  await withServer(
    (_request, response) => {
      response.writeHead(200, { 'content-length': CONTENT.length });
      response.write('x');
    },
    async (address) => {
      const controller = new AbortController();
      const progress = (done: number) => {
        if (done > 0) controller.abort(new Error('enough'));
      };
      await assert.rejects(fetchBootFile(address, { signal: controller.signal, progress }), /^Error: enough$/);
    },
  );
});

test('a server that is not there is told of', async () => {
  let gone = '';
  await withServer(
    () => {},
    async (address) => {
      gone = address;
    },
  );
  await assert.rejects(fetchBootFile(gone), fails('network', /could not be fetched/));
});
