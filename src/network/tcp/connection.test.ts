import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createRig, pattern, type Rig, type WireOptions } from './peer.test-helper.ts';
import { BASE_BUFFER, MOST_BUFFER } from './tcb.ts';

function opened(options: WireOptions = {}): Rig {
  const rig = createRig(options);
  rig.peer.connect();
  assert.ok(rig.run(() => rig.events.includes('opened')));
  return rig;
}

/** Sends as much as there is room for, again and again. */
function feed(rig: Rig, data: Uint8Array): () => void {
  let at = 0;
  return () => {
    while (at < data.length && rig.tcp.room() > 0) {
      const part = data.subarray(at, at + Math.min(16_384, rig.tcp.room()));
      at += part.length;
      rig.tcp.send(part);
    }
    if (at === data.length) rig.tcp.finish();
  };
}

test('a connection opens, carries data both ways and closes', () => {
  const rig = opened();
  rig.peer.send(pattern(5000));
  rig.tcp.send(pattern(3000, 8));
  assert.ok(rig.run(() => rig.got.length === 5000 && rig.peer.received.length === 3000));
  assert.deepEqual(rig.got, [...pattern(5000)]);
  assert.deepEqual(rig.peer.received, [...pattern(3000, 8)]);
  rig.peer.finish();
  assert.ok(rig.run(() => rig.events.includes('ended')));
  rig.tcp.finish();
  assert.ok(rig.run(() => rig.closed === 'done' && rig.peer.ended, 10));
});

test('either side may close first and still receive', () => {
  const rig = opened();
  rig.tcp.finish();
  assert.ok(rig.run(() => rig.peer.ended));
  rig.peer.send(pattern(20_000));
  rig.peer.finish();
  assert.ok(rig.run(() => rig.events.includes('ended')));
  assert.deepEqual(rig.got, [...pattern(20_000)]);
  assert.equal(rig.closed, undefined, 'late segments are answered for a while');
  assert.ok(rig.tcp.over);
  assert.ok(rig.run(() => rig.closed === 'done', 10));

  const other = opened();
  other.peer.finish();
  assert.ok(other.run(() => other.events.includes('ended')));
  const pump = feed(other, pattern(200_000));
  assert.ok(
    other.run(() => {
      pump();
      return other.peer.ended;
    }),
  );
  assert.deepEqual(other.peer.received, [...pattern(200_000)]);
});

test('a connection towards the guest', () => {
  const rig = createRig();
  rig.tcp.connect();
  assert.ok(rig.run(() => rig.events.includes('opened')));
  rig.tcp.send(pattern(100));
  assert.ok(rig.run(() => rig.peer.received.length === 100));
});

describe('under loss, doubling and reordering everything arrives once, in order, both ways', () => {
  const wires: readonly WireOptions[] = [
    { loss: 20 },
    { loss: 100, delay: 5 },
    { doubled: 200, delay: 20 },
    { loss: 50, doubled: 50, delay: 10, longest: 14_600 },
    { loss: 150, delay: 2, mss: 536, scale: undefined },
    { loss: 30, delay: 3, mss: 1400, longest: 64_400, scale: 7 },
  ];
  for (const [index, options] of wires.entries()) {
    test(JSON.stringify(options), () => {
      for (let seed = 1; seed <= 4; seed++) {
        const rig = createRig({ ...options, seed: 100 * index + seed });
        const [up, down] = [pattern(30_000, seed), pattern(120_000, seed + 50)];
        rig.peer.connect();
        rig.run(() => rig.events.includes('opened'), 20);
        rig.peer.send(up);
        rig.peer.finish();
        const pump = feed(rig, down);
        const done = () => {
          pump();
          return rig.peer.ended && rig.got.length === up.length && rig.events.includes('ended');
        };
        assert.ok(rig.run(done, 1500), `seed ${seed}: ${rig.got.length} up, ${rig.peer.received.length} down`);
        assert.deepEqual(Uint8Array.from(rig.got), up);
        assert.deepEqual(Uint8Array.from(rig.peer.received), down);
        assert.ok(rig.run(() => rig.closed !== undefined, 60) && rig.closed === 'done');
        assert.equal(rig.budget.left, 1 << 24, 'what was borrowed was given back');
      }
    });
  }
});

test('a guest that does not take data stops the sender, and is probed until it does', () => {
  const rig = opened();
  rig.peer.setWindow(0);
  rig.run(() => false, 0.1);
  rig.sent.length = 0;
  rig.tcp.send(pattern(10_000));
  rig.run(() => false, 30);
  assert.ok(
    rig.sent.every(({ length }) => length === 0),
    'no data go into a shut window',
  );
  assert.ok(rig.sent.length >= 4 && rig.sent.length <= 12, `${rig.sent.length} probes, further and further apart`);
  rig.peer.setWindow(65_536);
  assert.ok(rig.run(() => rig.peer.received.length === 10_000, 1));
});

test('a probe finds out when the news of the open window was lost', () => {
  const rig = opened();
  rig.peer.setWindow(0);
  rig.run(() => false, 0.1);
  rig.tcp.send(pattern(100));
  rig.run(() => false, 0.1);
  rig.deaf = true;
  rig.peer.setWindow(1000);
  rig.deaf = false;
  assert.equal(rig.peer.received.length, 0);
  assert.ok(rig.run(() => rig.peer.received.length === 100, 5));
});

test('what the host does not take shuts the window, and nothing beyond it is held', () => {
  const rig = opened();
  rig.hold = true;
  rig.peer.send(pattern(300_000));
  rig.run(() => false, 20);
  assert.ok(rig.got.length >= BASE_BUFFER - 1000 && rig.got.length <= BASE_BUFFER + 32, `${rig.got.length} bytes held`);
  rig.hold = false;
  const { held } = rig;
  rig.held = 0;
  rig.tcp.consumed(held);
  assert.ok(rig.run(() => rig.got.length === 300_000, 200));
  assert.deepEqual(Uint8Array.from(rig.got), pattern(300_000));
});

test('buffers grow for who uses them, as far as the budget allows', () => {
  const rig = opened();
  const pump = feed(rig, pattern(3_000_000));
  assert.ok(
    rig.run(() => {
      pump();
      return rig.peer.ended;
    }, 300),
  );
  assert.ok(rig.budget.left < 1 << 24);
  assert.ok(rig.budget.left >= (1 << 24) - 2 * MOST_BUFFER);
  rig.tcp.abort();
  assert.equal(rig.budget.left, 1 << 24);
});

test('a wire without room holds the data back, and nothing is lost', () => {
  const rig = opened();
  rig.full = true;
  rig.tcp.send(pattern(5000));
  assert.ok(rig.tcp.blocked);
  rig.run(() => false, 1);
  assert.equal(rig.peer.received.length, 0);
  rig.full = false;
  rig.tcp.pump();
  assert.ok(rig.run(() => rig.peer.received.length === 5000, 0.1));
});

test('RST ends a connection from exactly where it should come, on both sides', () => {
  const rig = opened();
  rig.peer.send(pattern(100));
  assert.ok(rig.run(() => rig.got.length === 100));
  const wild = {
    ...{ sourcePort: 1000, destinationPort: 80, acknowledgement: 0, flags: 4, window: 0 },
    ...{ mss: undefined, windowScale: undefined, data: new Uint8Array(0) },
  };
  for (const sequence of [0, 12_345, 0xffff_ffff]) rig.tcp.arrive({ ...wild, sequence });
  assert.equal(rig.closed, undefined);
  rig.peer.abort();
  assert.ok(rig.run(() => rig.closed === 'reset', 1));

  const other = opened();
  other.tcp.abort();
  assert.ok(other.run(() => other.peer.reset, 1));
  assert.equal(other.closed, undefined, 'who aborts is not told');
});

test('a guest that is gone is given up, during data, probes, silence and opening', () => {
  const data = opened();
  data.peer.vanish();
  data.tcp.send(pattern(10));
  assert.ok(data.run(() => data.closed === 'timeout', 1200));

  const probes = opened();
  probes.peer.setWindow(0);
  probes.run(() => false, 0.1);
  probes.peer.vanish();
  probes.tcp.send(pattern(10));
  assert.ok(probes.run(() => probes.closed === 'timeout', 1200));

  const silence = opened();
  silence.peer.vanish();
  silence.run(() => silence.closed !== undefined, 600);
  assert.equal(silence.closed, undefined);
  assert.ok(silence.run(() => silence.closed === 'timeout', 2000));

  const opening = createRig();
  opening.peer.vanish();
  opening.tcp.connect();
  assert.ok(opening.run(() => opening.closed === 'timeout', 120));
});

test('a quiet connection whose guest is there stays', () => {
  const rig = opened();
  rig.run(() => rig.closed !== undefined, 5000);
  assert.equal(rig.closed, undefined);
});

test('data beyond the window, overlapping data and a FIN in the middle change nothing', () => {
  const rig = opened({ seed: 3 });
  rig.peer.send(pattern(10));
  assert.ok(rig.run(() => rig.got.length === 10));
  const last = rig.sent.at(-1)!;
  const segment = (offset: number, data: Uint8Array, flags = 16) =>
    rig.tcp.arrive({
      ...{ sourcePort: 1000, destinationPort: 80, acknowledgement: last.sequence, flags, window: 1000 },
      ...{ mss: undefined, windowScale: undefined, data, sequence: (last.acknowledgement + offset) >>> 0 },
    });
  segment(2_000_000, Uint8Array.of(1, 2, 3));
  segment(-5, Uint8Array.of(1, 2, 3));
  segment(4, Uint8Array.of(5, 6, 7));
  segment(2, Uint8Array.of(3, 4, 9, 9));
  assert.equal(rig.got.length, 10);
  segment(-1, Uint8Array.of(99, 1, 2, 3));
  assert.deepEqual(rig.got.slice(10), [1, 2, 3, 4, 5, 6, 7]);
});
