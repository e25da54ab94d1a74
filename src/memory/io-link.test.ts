import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createArena } from './arena.ts';
import { createFramePool } from './frame-pool.ts';
import { flatMemory, readGuest, writeGuest } from './guest-memory.ts';
import {
  createIoLink,
  directIoPort,
  type IoPost,
  type IoRequest,
  MAX_SPANS,
  openIoPort,
  serveIoLink,
} from './io-link.ts';
import { createSharedMemory, PAGE_SIZE } from './layout.ts';
import { createPhysicalMap } from './physical-map.ts';

const post = (tag: number, segments: IoPost['segments'] = [], access: IoPost['access'] = 'read'): IoPost => {
  return { operation: 3, tag, id: 7 + tag, position: 2 ** 40 + 0.5, count: 0xffff_fff0, segments, access };
};

/** A link over flat memory, a back end that answers when told to, and what it was asked. */
function rig() {
  const memory = flatMemory(0x1_0000);
  const link = createIoLink();
  const asked: IoRequest[] = [];
  let wakes = 0;
  const service = serveIoLink(
    link,
    memory.bytes.buffer,
    (request) => asked.push(request),
    () => wakes++,
  );
  return { memory, link, asked, service, port: openIoPort(link, memory), wakes: () => wakes };
}

/** Index of the flag that the back end sleeps. */
const ASLEEP = 5;

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Event-loop turns until `done`. */
async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 10_000 && !done(); i++) await turn();
  assert.ok(done());
}

test('a request arrives with its numbers and live memory, and its answer comes back', async () => {
  const { memory, port, asked, service, wakes } = rig();
  memory.bytes.set([1, 2, 3], 0x100);
  const segments = [
    { address: 0x100, length: 2 },
    { address: 0x2000, length: 1 },
  ];
  assert.equal(port.post(post(0xffff_fff0, segments, 'write')), 'posted');
  assert.equal(memory.held, 2);
  assert.equal(port.idle(), false);
  await until(() => asked.length === 1);
  const [request] = asked;
  assert.deepEqual([request!.operation, request!.position, request!.count], [3, 2 ** 40 + 0.5, 0xffff_fff0]);
  assert.deepEqual(
    request!.spans.map((span) => [...span]),
    [[1, 2], [0]],
  );
  request!.spans[1]![0] = 9;
  assert.equal(port.ready(), false);
  request!.answer(0x8000_0001);
  assert.ok(port.ready());
  await turn();
  assert.equal(wakes(), 1);
  assert.deepEqual(port.collect(), { operation: 3, tag: 0xffff_fff0, id: 0xffff_fff7, result: 0x8000_0001 });
  assert.equal(memory.bytes[0x2000], 9);
  assert.deepEqual([memory.held, port.idle(), port.collect()], [0, true, undefined]);
  await service.close();
});

test('answers come in any order; any port over the link may collect them', async () => {
  const { memory, link, port, asked, service, wakes } = rig();
  for (let tag = 0; tag < 3; tag++) port.post(post(tag, [{ address: 0x1000 * tag, length: 16 }]));
  await until(() => asked.length === 3);
  for (const i of [2, 0, 1]) asked[i]!.answer(i);
  await turn();
  assert.equal(wakes(), 1, 'answers together wake once');
  const other = openIoPort(link, memory);
  assert.deepEqual([other.collect()?.tag, port.collect()?.tag, other.collect()?.tag], [2, 0, 1]);
  assert.equal(memory.held, 0);
  await service.close();
});

test('a full link refuses until answers were collected, for ever so many rounds', async () => {
  const { memory, port, asked, service } = rig();
  const segments = Array.from({ length: 500 }, (_, i) => ({ address: i * 64, length: 1 + (i % 64) }));
  let posted = 0;
  let collected = 0;
  for (let round = 0; round < 30; round++) {
    while (port.post(post(posted, segments, 'write')) === 'posted') posted++;
    assert.equal(port.post(post(posted)), 'full');
    await until(() => asked.length === posted - collected);
    for (const request of asked.splice(0)) request.answer(request.spans.length);
    for (let answer = port.collect(); answer !== undefined; answer = port.collect()) {
      assert.deepEqual(answer, { operation: 3, tag: collected, id: 7 + collected, result: 500 });
      collected++;
    }
  }
  assert.ok(posted > 800);
  assert.deepEqual([collected, memory.held, port.idle()], [posted, 0, true]);
  await service.close();
});

test('what is not RAM or has too many pieces is refused, with nothing held', () => {
  const { memory, port } = rig();
  const good = { address: 0, length: 1 };
  assert.equal(port.post(post(0, [good, { address: 0xffff, length: 2 }])), 'unfit');
  assert.equal(port.post(post(0, [good, { address: 2 ** 60, length: 2 }])), 'unfit');
  assert.equal(port.post(post(0, Array(Math.floor(MAX_SPANS) + 1).fill(good))), 'unfit');
  assert.deepEqual([memory.held, port.idle()], [0, true]);
});

test('a flood of requests leaves the event loop its turns', async () => {
  const memory = flatMemory(0x1_0000);
  const link = createIoLink();
  const port = openIoPort(link, memory);
  let handled = 0;
  let turns = 0;
  const service = serveIoLink(
    link,
    memory.bytes.buffer,
    (request) => {
      request.answer(0);
      // Whoever posts does it as quickly as answers come.
      if (++handled > 2000) return;
      while (port.collect() !== undefined);
      port.post(post(handled));
    },
    () => {},
  );
  const count = () => {
    turns++;
    if (handled < 2000) setImmediate(count);
  };
  port.post(post(0));
  setImmediate(count);
  await until(() => handled > 2000);
  assert.ok(turns > 3, `${turns} turns`);
  await service.close();
});

test('closing waits for the answers to what was taken', async () => {
  const { port, asked, service } = rig();
  port.post(post(0));
  await until(() => asked.length === 1);
  let closed = false;
  const closing = service.close().then(() => {
    closed = true;
  });
  port.post(post(1));
  for (let i = 0; i < 10; i++) await turn();
  assert.deepEqual([closed, asked.length], [false, 1]);
  asked[0]!.answer(0);
  await closing;
});

test('a direct port calls its back end within the post', () => {
  const memory = flatMemory(4096);
  const port = directIoPort(memory, ({ spans, answer }) => {
    spans[0]!.fill(7);
    answer(1);
  });
  port.post(post(4, [{ address: 10, length: 2 }], 'write'));
  assert.deepEqual(port.collect(), { operation: 3, tag: 4, id: 11, result: 1 });
  assert.deepEqual([...memory.bytes.subarray(9, 13)], [0, 7, 7, 0]);
});

/** A physical map of 16 pages, and the code writes that it reported. */
function mapRig() {
  const arena = createArena(createSharedMemory().buffer, { end: 2 ** 25, thread: 0 });
  const pool = createFramePool(arena);
  const code: [page: number, from: number, to: number][] = [];
  const map = createPhysicalMap(arena, pool, 16 * PAGE_SIZE, {
    codeWritten(holder, page, from, to) {
      code.push([page, from, to]);
      map.releaseCode(page, holder);
    },
    revoked() {},
  });
  return { map, pool, code };
}

test('held pages are writable, neighbours are one span, and nothing stays held', () => {
  const { map, pool } = mapRig();
  const spans = map.hold(0x800, 3 * PAGE_SIZE, 'write')!;
  assert.deepEqual(
    spans.map(({ length, page }) => [length, page]),
    [[3 * PAGE_SIZE, 0]],
  );
  const frame = Math.floor(spans[0]!.host / PAGE_SIZE);
  assert.deepEqual([pool.references(frame), pool.references(frame + 3)], [2, 2]);
  for (const span of spans) map.release(span, 'write');
  assert.deepEqual([pool.references(frame), pool.references(frame + 3), pool.used], [1, 1, 4]);
});

test('zero pages can be read from without costing a frame', () => {
  const { map, pool } = mapRig();
  const spans = map.hold(0, 2 * PAGE_SIZE, 'read')!;
  assert.equal(spans.length, 2);
  for (const span of spans) map.release(span, 'read');
  assert.equal(pool.used, 0);
  assert.equal(map.hold(15 * PAGE_SIZE, PAGE_SIZE + 1, 'read'), undefined);
});

test('code is dropped when a transfer into its page begins, and again when it ends', () => {
  const { map, code } = mapRig();
  writeGuest(map, PAGE_SIZE, Uint8Array.of(1));
  map.holdCode(1, 0);
  const spans = map.hold(PAGE_SIZE - 4, 16, 'write')!;
  assert.deepEqual(code, [[1, 0, 12]]);
  map.holdCode(1, 0);
  for (const span of spans) map.release(span, 'write');
  assert.deepEqual(code.slice(1), [[1, 0, 12]]);
});

test('a frame that its page left during a transfer is freed when that ends', () => {
  const { map, pool, code } = mapRig();
  const [span] = map.hold(0, 8, 'write')!;
  const frame = span!.host / PAGE_SIZE;
  // As a balloon would take it.
  pool.release(frame);
  assert.equal(pool.references(frame), 1);
  map.release(span!, 'write');
  assert.deepEqual([pool.references(frame), code], [0, []]);
  assert.equal(readGuest(map, 0, 1)?.length, 1);
});

test('a request may have memory to read and memory for its reply', () => {
  const { map, pool } = mapRig();
  map.spans(0, 4, 'write')![0]!.set([1, 2, 3, 4]);
  const seen: number[][] = [];
  const port = directIoPort(map, ({ spans, reply, answer }) => {
    seen.push(
      spans.flatMap((span) => [...span]),
      [reply.length],
    );
    for (const span of reply) span.fill(9);
    answer(1);
  });
  const both = { ...post(1, [{ address: 0, length: 4 }], 'read'), reply: [{ address: 4094, length: 4 }] };
  assert.equal(port.post(both), 'posted');
  assert.equal(port.post({ ...both, reply: [] }), 'posted');
  assert.equal(port.post({ ...both, reply: [{ address: 16 * PAGE_SIZE, length: 1 }] }), 'unfit');
  while (port.collect() !== undefined) {}
  assert.deepEqual(
    seen.filter((_, i) => i % 2 === 0),
    [
      [1, 2, 3, 4],
      [1, 2, 3, 4],
    ],
  );
  assert.equal(seen[3]![0], 0);
  assert.deepEqual([...map.spans(4094, 2, 'read')![0]!], [9, 9]);
  assert.equal(pool.used, 2, 'nothing is held that is not RAM of the guest');
  for (const page of [0, 1]) assert.equal(pool.references(map.entry(page) >>> 12), 1);
});

test('a request is heard where one before it, taken already, clears the flag as the back end falls asleep', async (t) => {
  const link = createIoLink();
  const words = new Int32Array(link);
  const { waitAsync } = Atomics;
  let late = false;
  t.mock.method(Atomics, 'waitAsync', (array: Int32Array, index: number, value: number) => {
    if (late) {
      late = false;
      if (Atomics.exchange(words, ASLEEP, 0) !== 0) Atomics.notify(words, ASLEEP);
    }
    return waitAsync(array, index, value);
  });
  const asked: number[] = [];
  const service = serveIoLink(
    link,
    new SharedArrayBuffer(PAGE_SIZE),
    ({ count, answer }) => {
      asked.push(count);
      answer(0);
    },
    () => {},
  );
  const port = openIoPort(link, flatMemory(0));
  late = true;
  port.post({ ...post(1), count: 1 });
  while (late) await turn();
  port.post({ ...post(2), count: 2 });
  for (let turns = 0; asked.length < 2 && turns < 1000; turns++) await turn();
  assert.deepEqual(asked, [1, 2]);
  await service.close();
});

test('no request of another thread is missed, whenever the back end falls asleep', { timeout: 60_000 }, async () => {
  const memory = new SharedArrayBuffer(PAGE_SIZE);
  const link = createIoLink();
  const service = serveIoLink(
    link,
    memory,
    ({ answer }) => answer(1),
    () => {},
  );
  // It is so quick that the back end is about to sleep again and again.
  const worker = new Worker(new URL('./io-link-worker.test-helper.ts', import.meta.url), {
    workerData: { link, requests: 30_000 },
  });
  const [answered] = await once(worker, 'message');
  assert.equal(answered, 30_000);
  await service.close();
});
