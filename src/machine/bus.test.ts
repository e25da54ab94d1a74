import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../base/errors.ts';
import type { AccessSize, Region } from '../devices/device.ts';
import { type Bus, createMemoryBus, createPortBus } from './bus.ts';

/** A region of bytes that notes every access. Byte n reads as `first` + n. */
function noting(size: number, first = 0): Region & { readonly seen: string[] } {
  const seen: string[] = [];
  return {
    seen,
    size,
    read(offset: number, width: AccessSize) {
      seen.push(`r${width}@${offset}`);
      let value = 0;
      for (let i = width - 1; i >= 0; i--) value = value * 256 + ((first + offset + i) & 0xff);
      return value;
    },
    write(offset, width, value) {
      seen.push(`w${width}@${offset}=${value.toString(16)}`);
    },
  };
}

function rig() {
  const said: string[] = [];
  const log = (message: string) => said.push(message);
  const moves = new Uint32Array(1);
  const movable = (bus: Bus, region: Region) => {
    let place: number | undefined;
    bus.movable(region, () => place);
    return {
      place(base: number | undefined) {
        place = base;
        moves[0]++;
      },
    };
  };
  return { ports: createPortBus(log, moves), memory: createMemoryBus(log, moves), movable, said };
}

test('accesses reach the region with its own offsets', () => {
  const { ports, memory } = rig();
  const region = noting(8, 0x10);
  ports.attach(0x3f8, region);
  memory.attach(0xfec00000, region);
  assert.equal(ports.read(0x3fa, 1), 0x12);
  assert.equal(memory.read(0xfec00004, 4), 0x17161514);
  ports.write(0x3fe, 2, 0xbeef);
  memory.write(0xfec00000, 4, 0xffffffff);
  assert.deepEqual(region.seen, ['r1@2', 'r4@4', 'w2@6=beef', 'w4@0=ffffffff']);
});

test('where nothing answers, ones are read, writes vanish, and it is said once', () => {
  const { ports, memory, said } = rig();
  assert.deepEqual(
    ([1, 2, 4] as const).map((size) => ports.read(0x1234, size)),
    [0xff, 0xffff, 0xffffffff],
  );
  ports.write(0x1234, 2, 1);
  ports.write(0xffff, 4, 1);
  assert.equal(memory.read(0xd0000000, 4), 0xffffffff);
  memory.write(0xd0000ffc, 4, 0);
  assert.deepEqual(said, [
    'port 0x1234: nothing answers a 1-byte read',
    'port 0xffff: nothing answers a 4-byte write',
    'address 0xd0000000: nothing answers a 4-byte read',
  ]);
});

test('what is said of unknown addresses is bounded', () => {
  const { memory, said } = rig();
  for (let page = 0; page < 100_000; page++) memory.read(0x1_0000_0000 + page * 4096, 1);
  assert.equal(said.length, 256);
});

test('an access that leaves its region is split, and each part goes where it belongs', () => {
  const { ports } = rig();
  const [first, second] = [noting(1, 0xa0), noting(1, 0xb0)];
  ports.attach(0x60, first);
  ports.attach(0x62, second);
  assert.equal(ports.read(0x60, 4), 0xffb0ffa0);
  ports.write(0x60, 4, 0x44332211);
  ports.write(0x61, 2, 0x6655);
  assert.deepEqual(first.seen, ['r1@0', 'w1@0=11']);
  assert.deepEqual(second.seen, ['r1@0', 'w1@0=33', 'w1@0=66']);
});

test('an access that is not aligned becomes aligned ones, lowest address first', () => {
  const { memory } = rig();
  const region = noting(16);
  memory.attach(0x1000, region);
  assert.equal(memory.read(0x1001, 4), 0x04030201);
  assert.equal(memory.read(0x1002, 4), 0x05040302);
  memory.write(0x1003, 2, 0xbbaa);
  assert.deepEqual(region.seen, ['r1@1', 'r2@2', 'r1@4', 'r2@2', 'r2@4', 'w1@3=aa', 'w1@4=bb']);
});

test('64 bits are two accesses, low half first', () => {
  const { memory } = rig();
  const region = noting(16);
  memory.attach(0xfed00000, region);
  assert.equal(memory.read64(0xfed00008), 0x0f0e0d0c0b0a0908n);
  memory.write64(0xfed00000, 0xfedcba9876543210n);
  assert.deepEqual(region.seen, ['r4@8', 'r4@12', 'w4@0=76543210', 'w4@4=fedcba98']);
});

test('a fixed region cannot lie over another', () => {
  const { ports } = rig();
  ports.attach(0xcf8, noting(4));
  for (const base of [0xcf5, 0xcf8, 0xcfb]) {
    assert.throws(
      () => ports.attach(base, noting(4)),
      (error) => error instanceof VirtsError && error.kind === 'internal',
    );
  }
  ports.attach(0xcfc, noting(4));
});

test('a shadow takes the accesses that begin at it, and leaves the wider ones that begin before', () => {
  const { ports } = rig();
  const [address, reset] = [noting(4), noting(1, 0x77)];
  ports.attach(0xcf8, address);
  ports.attach(0xcf9, reset, { shadow: true });
  ports.write(0xcf8, 4, 0x80000000);
  ports.write(0xcf9, 1, 6);
  assert.equal(ports.read(0xcf9, 1), 0x77);
  assert.equal(ports.read(0xcfa, 2), 0x0302);
  assert.deepEqual(address.seen, ['w4@0=80000000', 'r2@2']);
  assert.deepEqual(reset.seen, ['w1@0=6', 'r1@0']);
  assert.throws(() => ports.attach(0xcf9, noting(1), { shadow: true }), VirtsError);
  assert.throws(() => ports.attach(0xcfb, noting(2), { shadow: true }), VirtsError);
  assert.throws(() => ports.attach(0x1000, noting(1), { shadow: true }), VirtsError);
});

test('regions that the guest moves give way to fixed ones and to those made first', () => {
  const { memory, movable } = rig();
  memory.attach(0x2000, noting(0x1000, 1));
  const [first, second] = [movable(memory, noting(0x1000, 2)), movable(memory, noting(0x4000, 3))];
  const look = () => [0x1000, 0x2000, 0x3000, 0x4000].map((address) => memory.read(address, 1));
  second.place(0x1000);
  assert.deepEqual(look(), [3, 1, 3, 3]);
  first.place(0x3000);
  assert.deepEqual(look(), [3, 1, 2, 3]);
  second.place(undefined);
  assert.deepEqual(look(), [0xff, 1, 2, 0xff]);
  second.place(0x1000);
  first.place(0x2800);
  assert.deepEqual(look(), [3, 1, 2, 3]);
  assert.equal(memory.read(0x3800, 1), 3);
  assert.equal(memory.read(0x2ffc, 4), 0x00ff_fefd);
  first.place(undefined);
  first.place(undefined);
  assert.deepEqual(look(), [3, 1, 3, 3]);
});

test('random maps and accesses: each byte is answered by the winner of its address', () => {
  const { ports, movable } = rig();
  let seed = 12345;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  const constant = (size: number, byte: number): Region => ({
    size,
    read: (_offset, width) => (byte * 0x01010101) % 2 ** (8 * width),
    write: () => {},
  });
  const sizes = [4, 8, 16];
  const movables = sizes.map((size, i) => movable(ports, constant(size, 3 + i)));
  const places: (number | undefined)[] = [undefined, undefined, undefined];
  ports.attach(8, constant(4, 1));
  ports.attach(20, constant(3, 2));
  const fixed = (at: number) => (at >= 8 && at < 12 ? 1 : at >= 20 && at < 23 ? 2 : undefined);
  const expected = (at: number) => {
    const i = places.findIndex((base, n) => base !== undefined && at >= base && at < base + sizes[n]);
    return fixed(at) ?? (i >= 0 ? 3 + i : 0xff);
  };
  for (let round = 0; round < 500; round++) {
    const which = random(3);
    places[which] = random(4) === 0 ? undefined : random(40);
    movables[which].place(places[which]);
    for (let at = 0; at < 64; at++) assert.equal(ports.read(at, 1), expected(at), `round ${round}, port ${at}`);
  }
});
