/**
 * The test that every device passes: nothing a guest does makes it throw or answer out of range, its struct holds all
 * of its state, and a damaged struct is either rejected or harmless.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../base/errors.ts';
import { type FakeTimers, fakeTimers } from '../base/fake-timers.ts';
import { type ArrayType, allocate, type ScalarType } from '../base/struct.ts';
import { createStructMemory } from '../machine/struct-memory.ts';
import { smallArena } from '../memory/arena.test-helper.ts';
import type { AccessSize, Device, Place } from './device.ts';

export interface ConformanceOptions {
  /** Fields that a reset keeps, because a battery does (CMOS). */
  readonly retained?: readonly string[];
  /** Accesses per round, 2000 unless told; fewer for a device whose accesses cost much. */
  readonly accesses?: number;
}

/** A small seeded generator (mulberry32): unsigned 32-bit numbers. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

/** A device, or a part of one, as it is after power-on. */
export function powerOn<D extends { reset(): void }>(device: D): D {
  device.reset();
  return device;
}

type Saved = Record<string, number | bigint | number[] | bigint[]>;

interface Rig {
  readonly device: Device;
  readonly timers: FakeTimers;
  /** The thread's device that serves the next access; `device` if absent. */
  readonly turn?: () => Device;
}

type Make = (timers: FakeTimers, place: Place) => Device;

/** A copy of all fields. */
export function saveState(device: Device): Saved {
  const state = device.state as Record<string, number | bigint | ArrayLike<number>>;
  return Object.fromEntries(
    Object.keys(device.schema.fields).map((key) => {
      const value = state[key];
      return [key, typeof value === 'object' ? Array.from(value) : value];
    }),
  );
}

/** Writes a copy of all fields back and tells the device. */
export function restoreState(device: Device, saved: Saved): void {
  const state = device.state as Record<string, unknown>;
  for (const [key, value] of Object.entries(saved)) {
    if (Array.isArray(value)) (state[key] as { set(values: readonly unknown[]): void }).set(value);
    else state[key] = value;
  }
  device.restored();
}

/** Small numbers, single bits and noise: what registers react to. */
function interestingValue(random: () => number, size: AccessSize): number {
  const value = [random(), random() % 16, 2 ** (random() % 32), 0, 0xffffffff][random() % 5];
  return size === 4 ? value >>> 0 : value & (size === 2 ? 0xffff : 0xff);
}

/** Makes `count` random accesses, time passing in between where asked, and returns all that was read. */
function access(
  { device, timers, turn = () => device }: Rig,
  seed: number,
  count: number,
  timePasses: boolean,
): number[] {
  const random = randomNumbers(seed);
  const regions = Object.keys(device.regions).filter((name) => device.regions[name].size > 0);
  const reads: number[] = [];
  for (let i = 0; i < count && regions.length > 0; i++) {
    const name = regions[random() % regions.length];
    const region = turn().regions[name];
    const sizes = ([1, 2, 4] as const).filter((size) => size <= region.size);
    const size = sizes[random() % sizes.length];
    const reach = random() % 4 === 0 ? region.size : Math.min(region.size, 256);
    const offset = random() % Math.max(1, reach - size + 1);
    const value = interestingValue(random, size);
    if (random() % 2 === 0) {
      region.write(offset, size, value);
    } else {
      const read = region.read(offset, size);
      const inRange = Number.isInteger(read) && read >= 0 && read < 2 ** (8 * size);
      assert.ok(inRange, `${name}+${offset}, ${size} bytes, read ${read}`);
      reads.push(read);
    }
    if (random() % 16 === 0) {
      const ns = random() % [1_000, 1_000_000, 20_000_000][random() % 3];
      if (timePasses) timers.advance(ns);
    }
  }
  return reads;
}

/** Noise for one field, of the kinds a damaged snapshot would hold. */
function damage(random: () => number, type: ScalarType | ArrayType): number | bigint | number[] | bigint[] {
  if (typeof type !== 'string') {
    return Array.from({ length: type[1] }, () => damage(random, type[0])) as number[] | bigint[];
  }
  if (type === 'u64') return (BigInt(random()) << 32n) | BigInt(random());
  if (type === 'f64')
    return [Number.NaN, Number.POSITIVE_INFINITY, -1e300, 1e300, -1, 0.5, random() * 1e6][random() % 7];
  return random() % 2 === 0 ? random() : random() % 32;
}

/** A device as two threads have it, over the same memory, of which either serves an access or fires a timer. */
function twoThreads(make: Make, seed: number): Rig {
  const random = randomNumbers(seed);
  const timers = fakeTimers((threads) => random() % threads);
  const { buffer } = smallArena();
  const structs = [0, 1].map((thread) => createStructMemory(smallArena(buffer, thread)));
  const first = powerOn(make(timers, structs[0].place));
  // Throws if it is elsewhere: `make` must use the place that it is given.
  structs[0].bytesOf(first.state);
  const before = new Uint8Array(buffer).slice();
  const second = make(timers.further(), structs[1].place);
  assert.deepEqual(new Uint8Array(buffer), before, 'making a device that is there changes nothing');
  return { device: first, timers, turn: () => (random() % 2 === 0 ? first : second) };
}

/**
 * Registers the tests for one kind of device. `make` gets timers and a place of its own for every instance, which must keep
 * its state there.
 */
export function checkDevice(name: string, make: Make, options: ConformanceOptions = {}): void {
  const accesses = options.accesses ?? 2000;
  const rig = (now = 0): Rig => {
    const timers = fakeTimers();
    timers.advance(now);
    return { device: powerOn(make(timers, allocate)), timers };
  };

  test(`${name}: random accesses neither throw nor read out of range`, () => {
    for (let seed = 1; seed <= 5; seed++) access(rig(), seed, accesses, true);
  });

  test(`${name}: a saved struct is the whole state`, () => {
    for (let seed = 1; seed <= 10; seed++) {
      const [changed, twin] = [rig(), rig()];
      assert.deepEqual(access(changed, seed, accesses, true), access(twin, seed, accesses, true), 'is deterministic');
      const saved = saveState(changed.device);
      access(changed, seed + 100, accesses, false);
      restoreState(changed.device, saved);
      const fresh = rig(twin.timers.now());
      restoreState(fresh.device, saved);
      assert.deepEqual(saveState(changed.device), saved, 'restoring changes nothing');

      const expected = access(twin, seed + 200, accesses, true);
      assert.deepEqual(access(changed, seed + 200, accesses, true), expected, `restored in place, seed ${seed}`);
      assert.deepEqual(access(fresh, seed + 200, accesses, true), expected, `restored elsewhere, seed ${seed}`);
      assert.deepEqual(saveState(changed.device), saveState(twin.device));
      assert.deepEqual(saveState(fresh.device), saveState(twin.device));
    }
  });

  test(`${name}: two threads that take turns serve as one does`, () => {
    for (let seed = 1; seed <= 5; seed++) {
      const [alone, both] = [rig(), twoThreads(make, seed)];
      for (const part of [seed, seed + 100]) {
        assert.deepEqual(access(both, part, accesses, true), access(alone, part, accesses, true), `seed ${part}`);
        assert.deepEqual(saveState(both.device), saveState(alone.device));
        const saved = saveState(alone.device);
        // One thread restores, both go on.
        restoreState(both.turn?.() ?? both.device, saved);
        restoreState(alone.device, saved);
      }
    }
  });

  test(`${name}: a reset gives the state of a new device`, () => {
    const used = rig();
    access(used, 7, accesses, true);
    used.device.reset();
    const [after, expected] = [saveState(used.device), saveState(rig(used.timers.now()).device)];
    for (const field of options.retained ?? []) {
      assert.ok(field in after, `${field} is a field`);
      delete after[field];
      delete expected[field];
    }
    assert.deepEqual(after, expected);
  });

  test(`${name}: a damaged struct is rejected or harmless`, () => {
    const random = randomNumbers(11);
    for (const [field, type] of Object.entries(make(fakeTimers(), allocate).schema.fields)) {
      for (let round = 0; round < 8; round++) {
        const damaged = rig();
        access(damaged, round, 200, true);
        const saved = { ...saveState(damaged.device), [field]: damage(random, type) };
        try {
          restoreState(damaged.device, saved);
        } catch (error) {
          assert.ok(error instanceof VirtsError && error.kind === 'bad-input', `${field}: ${error}`);
          continue;
        }
        access(damaged, round + 50, 300, true);
      }
    }
  });
}
