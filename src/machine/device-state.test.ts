import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../base/errors.ts';
import { type BoardRig, boardRig, PORTS } from './board.test-helper.ts';

const isBadInput = (error: unknown) => error instanceof VirtsError && error.kind === 'bad-input';

/** A seeded generator of numbers below a bound. */
function generator(seed: number) {
  let state = seed;
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const PAGES = [0xfec00000, 0xfed00000, 0xfed00100, 0xfee00000, 0xe0000000, 0xe0004000] as const;

/** Random guest accesses with time in between; returns all that the guest could see. */
function exercise(rig: BoardRig, seed: number, rounds: number): (number | boolean)[] {
  const random = generator(seed);
  const { board, pass } = rig;
  const seen: (number | boolean)[] = [];
  const sizes = [1, 2, 4] as const;
  for (let i = 0; i < rounds; i++) {
    const [size, write, onPort] = [sizes[random(3)], random(2) === 0, random(2) === 0];
    const [base, length] = onPort ? PORTS[random(PORTS.length)] : [PAGES[random(PAGES.length)], 0x400];
    const address = base + random(length);
    const value = random(3) === 0 ? random(2 ** (8 * size)) : random(256);
    const bus = onPort ? board.ports : board.mmio;
    if (write) bus.write(address, size, value);
    else seen.push(bus.read(address, size));
    if (random(4) === 0) pass(random(3_000_000));
    if (random(16) === 0) board.serial[0].receive(Uint8Array.of(random(256)));
    const [vcpu] = board.interrupts;
    seen.push(vcpu.pending());
    if (random(2) === 0) seen.push(vcpu.acknowledge());
  }
  seen.push(...rig.output, rig.asked.length, rig.timers.next());
  return seen;
}

test('a restored board goes on exactly as the saved one does', () => {
  for (let seed = 1; seed <= 12; seed++) {
    const original = boardRig();
    exercise(original, seed, 400);
    const saved = original.board.save();
    const time = original.clock.exact();
    const copy = boardRig();
    exercise(copy, seed + 1000, 100);
    copy.memory.bytes.set(original.memory.bytes);
    copy.clock.set(time);
    copy.board.restore(saved);
    assert.deepEqual(copy.board.save(), saved, `seed ${seed}: restoring changes nothing`);
    for (const rig of [original, copy]) {
      rig.output.length = 0;
      rig.asked.length = 0;
    }
    assert.deepEqual(exercise(copy, seed + 2000, 400), exercise(original, seed + 2000, 400), `seed ${seed}`);
    assert.deepEqual(copy.board.save(), original.board.save());
  }
});

test('device names are unique and every struct is saved whole', () => {
  const { board } = boardRig();
  const saved = board.save();
  assert.equal(new Set(saved.map(({ name }) => name)).size, saved.length);
  assert.deepEqual(
    saved.map(({ name, version, bytes }) => [name, version, bytes.length]),
    board.devices.map(({ name, schema }) => [name, schema.version, schema.size]),
  );
});

test('what was saved does not change afterwards, and order does not matter to a restore', () => {
  const { board, out, inb } = boardRig();
  out(0x3ff, 0x11);
  const saved = board.save();
  out(0x3ff, 0x22);
  board.restore(saved.toReversed());
  assert.equal(inb(0x3ff), 0x11);
});

test('a snapshot of another kind of machine is refused before anything changes', () => {
  const { board, out, inb } = boardRig();
  const saved = board.save();
  out(0x3ff, 0x77);
  const change = (name: string, patch: object) => saved.map((one) => (one.name === name ? { ...one, ...patch } : one));
  const wrong = [
    saved.slice(1),
    [...saved, { name: 'vga', version: 1, bytes: new Uint8Array(16) }],
    [...saved, saved[0]],
    change('pit', { version: 99 }),
    change('hpet', { bytes: new Uint8Array(16) }),
    change('rtc', { name: 'clock' }),
    boardRig({ console: { ports: [{ name: 'agent', backend: { write() {} } }] } }).board.save(),
  ];
  for (const snapshot of wrong) {
    assert.throws(() => board.restore(snapshot), isBadInput);
    assert.equal(inb(0x3ff), 0x77);
  }
});

test('a damaged snapshot is refused or harmless', () => {
  const random = generator(5);
  for (const { name } of boardRig().board.devices) {
    for (let round = 0; round < 12; round++) {
      const rig = boardRig();
      exercise(rig, round, 60);
      const saved = rig.board.save();
      const bytes = saved.find((one) => one.name === name)?.bytes;
      assert.ok(bytes);
      for (let i = 0; i < 1 + round; i++) bytes[random(bytes.length)] = random(256);
      try {
        rig.board.restore(saved);
      } catch (error) {
        assert.ok(isBadInput(error), `${name}: ${error}`);
        continue;
      }
      exercise(rig, round + 100, 100);
    }
  }
});
