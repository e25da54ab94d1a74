/** What may happen between the request for a region and the reply of another thread, whose part the tests play. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CELL_SIZE, cellsFor } from '../../src/cpu/translator/cell.ts';
import { DEFAULT_CODE_LIMITS } from '../../src/cpu/translator/code-cache.ts';
import type { CompilerPort, RegionReply, RegionRequest } from '../../src/cpu/translator/compiler.ts';
import { MOST_UNDER_WAY } from '../../src/cpu/translator/under-way.ts';
import { createThreadCompiler } from '../../src/engine/translated/helpers.ts';
import { x86 } from '../../src/engine/translated/instruction-set.ts';
import type { Translation } from '../../src/engine/translated/vcpu-interface.ts';
import { AT, createGuest } from './guest.ts';

const compile = createThreadCompiler(x86, { now: () => 0 });
const THRESHOLD = 50;

/** A guest whose requests wait in `requests`; what is in `replies` is there for it. */
function rig(translation: Partial<Translation> = {}) {
  const requests: RegionRequest[] = [];
  const replies: RegionReply[] = [];
  const compiler: CompilerPort = {
    // Another thread gets a copy.
    post: (request) => void requests.push(structuredClone(request)),
    take: () => replies.shift(),
  };
  const guest = createGuest({ translation: { threshold: THRESHOLD, ...translation }, compiler });
  return {
    guest,
    requests,
    replies,
    stat: (name: string) => guest.vcpu.stats()[name],
    /** Replies to the request that waits longest, or to another one. */
    answer(which = 0): void {
      const [request] = requests.splice(which, 1);
      replies.push(compile(request));
    },
    refuse(): void {
      const [{ id }] = requests.splice(0, 1);
      replies.push({ id, times: { building: 0, encoding: 0, WebAssembly: 0 } });
    },
    /** Loads a loop that counts RBX up, RCX times. */
    loop(at: number = AT.code, step = 1): void {
      guest.load(at, `again: add rbx, ${step}; dec ecx; jnz again; hlt`);
    },
    /** Runs it, and checks that it went round as often as it should. */
    run(at: number = AT.code, rounds = 1000, step = 1): void {
      guest.set({ rbx: 0, rcx: rounds });
      assert.equal(guest.go(at), 'halted');
      assert.equal(guest.get('rbx'), BigInt(step * rounds));
    },
    /** Instructions that the next run of the loop executes in regions. */
    translated(at?: number, rounds = 1000, step = 1): number {
      const before = guest.vcpu.stats()['instructions in regions'];
      this.run(at, rounds, step);
      return guest.vcpu.stats()['instructions in regions'] - before;
    },
  };
}

test('code is interpreted until the reply is there', () => {
  const { loop, requests, answer, stat, ...r } = rig();
  loop();
  assert.equal(r.translated(), 0);
  assert.equal(requests.length, 1);
  assert.equal(stat('translations under way'), 1);
  answer();
  assert.ok(r.translated() > 2900);
  assert.deepEqual([stat('regions'), stat('translations under way'), stat('translations too late')], [1, 0, 0]);
});

test('what waits for a reply is not asked for again', () => {
  const { loop, run, requests } = rig();
  loop();
  run();
  run();
  assert.equal(requests.length, 1);
});

test('code that will be part of a region is not asked for before that one is there', () => {
  const { guest, requests, answer, stat } = rig();
  const run = (rounds: number, at: number = AT.code) => {
    guest.set({ rcx: rounds, rdx: rounds });
    assert.equal(guest.go(at), 'halted');
  };
  guest.load(AT.code, 'one: dec ecx; jnz one; two: dec edx; jnz two; hlt');
  run(2);
  run(THRESHOLD + 20);
  assert.deepEqual([requests.length, stat('translations put off')], [1, 1]);
  answer();
  run(200);
  assert.equal(requests.length, 0);
  // It is hot by itself.
  run(200, guest.labels.two);
  assert.equal(requests.length, 1);
});

for (const [what, change] of [
  ['its code was overwritten', ({ loop }) => loop(AT.code, 2)],
  ['all blocks were dropped', ({ guest }) => guest.vcpu.setBreakpoints(new Set())],
  ['the memory was replaced', ({ guest }) => guest.vcpu.memoryReplaced()],
] as const satisfies readonly (readonly [string, (r: ReturnType<typeof rig>) => void])[]) {
  test(`a reply after ${what} comes too late`, () => {
    const r = rig();
    const step = what === 'its code was overwritten' ? 2 : 1;
    r.loop();
    r.run();
    change(r);
    r.answer();
    assert.equal(r.translated(AT.code, 40, step), 0);
    assert.deepEqual([r.stat('regions'), r.stat('translations too late'), r.stat('translations under way')], [0, 1, 0]);
    assert.equal(r.requests.length, 0);
    // It can become hot again.
    r.run(AT.code, 1000, step);
    assert.equal(r.requests.length, 1);
    r.answer();
    assert.ok(r.translated(AT.code, 1000, step) > 2900);
    assert.equal(r.stat('regions live'), 1);
  });
}

test('a part of the code is overwritten, but not where it begins', () => {
  const { guest, requests, answer, stat } = rig();
  const load = (step: number) =>
    guest.load(AT.code, `again: test ecx, 1; jz even; add rbx, 1; even: add rbx, ${step}; dec ecx; jnz again; hlt`);
  const run = (rounds: number) => {
    guest.set({ rbx: 0, rcx: rounds });
    assert.equal(guest.go(AT.code), 'halted');
  };
  load(1);
  run(1000);
  load(2);
  answer();
  run(10);
  assert.deepEqual([guest.get('rbx'), stat('translations too late'), stat('regions')], [25n, 1, 0]);
  run(1000);
  assert.ok(requests.length > 0);
  answer();
  run(1000);
  assert.equal(guest.get('rbx'), 2500n);
  assert.ok(stat('regions') > 0);
});

test('a request from before code was dropped and one from after it', () => {
  const r = rig();
  r.loop();
  r.run();
  r.guest.vcpu.memoryReplaced();
  r.run();
  assert.equal(r.requests.length, 2);
  r.answer(1);
  r.answer(0);
  assert.ok(r.translated() > 2900);
  assert.deepEqual([r.stat('regions'), r.stat('translations too late'), r.stat('regions live')], [1, 1, 1]);
});

test('replies in another order than their requests', () => {
  const r = rig();
  const places = [0, 1, 2, 3].map((i) => AT.code + 0x1000 * i);
  places.forEach((at, i) => {
    r.loop(at, i + 1);
    r.run(at, 200, i + 1);
  });
  assert.equal(r.requests.length, 4);
  for (const which of [2, 0, 1, 0]) r.answer(which);
  places.forEach((at, i) => {
    assert.ok(r.translated(at, 1000, i + 1) > 2900);
  });
  assert.equal(r.stat('regions live'), 4);
});

test('what was refused is not asked for again, and what was reserved for it is free', () => {
  const r = rig({ limits: { ...DEFAULT_CODE_LIMITS, cellBytes: 3 * cellsFor(1) * CELL_SIZE } });
  for (let i = 0; i < 10; i++) {
    const at = AT.code + 0x400 * i;
    r.loop(at);
    r.run(at);
    assert.equal(r.requests.length, 1, `loop ${i}`);
    r.refuse();
    assert.equal(r.translated(at), 0);
    assert.equal(r.requests.length, 0);
  }
});

test('code that finds no room for its cells asks again when others have gone', () => {
  // Room for two regions, each of one block.
  const r = rig({ limits: { ...DEFAULT_CODE_LIMITS, cellBytes: 2 * cellsFor(1) * CELL_SIZE } });
  const places = [0, 1, 2].map((i) => AT.code + 0x400 * i);
  for (const at of places) {
    r.loop(at);
    r.run(at);
  }
  assert.equal(r.requests.length, 2);
  r.refuse();
  r.run(places[2]);
  r.run(places[2]);
  assert.equal(r.requests.length, 2);
});

test('more code is hot than may be under way', () => {
  const r = rig();
  const extra = 3;
  const places = Array.from({ length: MOST_UNDER_WAY + extra }, (_, i) => 0x4_0000 + 0x100 * i);
  for (const at of places) {
    r.loop(at);
    r.run(at, 100);
  }
  assert.equal(r.requests.length, MOST_UNDER_WAY);
  while (r.requests.length > 0) r.answer();
  for (const at of places) r.run(at, 100);
  assert.equal(r.stat('regions'), MOST_UNDER_WAY);
  assert.equal(r.requests.length, extra);
});

test('all code is hot at once, and no reply comes', () => {
  const { guest, requests, stat } = rig({ threshold: 1 });
  guest.load(
    AT.code,
    `again: call one; call two; dec ecx; jnz again; hlt
    one: test ecx, 1; jz even; inc rbx; even: ret
    two: add rbx, 2; jmp over; nop; over: ret`,
  );
  guest.set({ rcx: 1000 });
  assert.equal(guest.go(AT.code), 'halted');
  assert.equal(guest.get('rbx'), 2500n);
  assert.ok(requests.length > 1);
  assert.ok(stat('translations put off') > 100);
});

test('regions are evicted while others are under way', () => {
  const r = rig({ limits: { ...DEFAULT_CODE_LIMITS, regions: 2 } });
  const places = Array.from({ length: 8 }, (_, i) => 0x4_0000 + 0x1000 * i);
  for (let round = 0; round < 4; round++) {
    for (const at of places) {
      r.loop(at);
      r.run(at);
      if (r.requests.length > 2) r.answer(1);
    }
  }
  while (r.requests.length > 0) r.answer();
  for (const at of places) r.run(at);
  assert.ok(r.stat('regions evicted') > 10);
  assert.equal(r.stat('regions live'), r.stat('regions') - r.stat('regions dropped'));
});

test('a vCPU that verifies what it translates does that itself', () => {
  const { loop, run, requests, stat } = rig({ verify: { first: 0, every: 1 } });
  loop();
  run();
  assert.equal(requests.length, 0);
  assert.equal(stat('regions'), 1);
});
