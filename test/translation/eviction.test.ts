/** More code than the cache of translated code may hold. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CELL_SIZE, cellsFor } from '../../src/cpu/translator/cell.ts';
import { type CodeLimits, DEFAULT_CODE_LIMITS } from '../../src/cpu/translator/code-cache.ts';
import { AT, createGuest } from './guest.ts';

const THRESHOLDS = [1, 20];
/** Functions, each in a page of its own or eight to a page. */
const FUNCTIONS = 24;
const PLACE = 0x4_0000;

const limited = (limits: Partial<CodeLimits>) => ({ ...DEFAULT_CODE_LIMITS, ...limits });
const LIMITS = {
  regions: limited({ regions: 8 }),
  bytes: limited({ codeBytes: 6000 }),
  cells: limited({ cellBytes: 8 * cellsFor(1) * CELL_SIZE }),
};

/** Adds three times a number to RBX. Without a loop, only calls make it hot. */
const BODIES = {
  'with a loop': (n: number) => `mov edx, 3; again: add rbx, ${n}; dec edx; jnz again; ret`,
  'without a loop': (n: number) => `add rbx, ${3 * n}; ret`,
};
type Body = keyof typeof BODIES;

/** Functions for the numbers from 1, and a table of them at RDI. */
function loadFunctions(guest: ReturnType<typeof createGuest>, step: number, body: Body): void {
  for (let i = 0; i < FUNCTIONS; i++) {
    const at = PLACE + i * step;
    guest.load(at, BODIES[body](i + 1));
    guest.quad(AT.data + 8 * i, BigInt(at));
  }
  guest.set({ rdi: AT.data });
}
const SUM = BigInt((3 * FUNCTIONS * (FUNCTIONS + 1)) / 2);

for (const threshold of THRESHOLDS) {
  for (const [what, limits] of Object.entries(LIMITS)) {
    for (const [body, step] of [
      ['with a loop', 512],
      ['without a loop', 4096],
    ] as const) {
      test(`functions that do not fit go and come back: ${what}, ${body}, threshold ${threshold}`, () => {
        const guest = createGuest({ translation: { threshold, limits } });
        loadFunctions(guest, step, body);
        guest.load(
          AT.code,
          `again: xor esi, esi; mov r8d, 30; same: call qword [rdi+rsi*8]; dec r8d; jnz same
          mov r8d, 30; inc esi; cmp esi, ${FUNCTIONS}; jne same; dec ecx; jnz again; hlt`,
        );
        guest.set({ rcx: 4 });
        assert.equal(guest.go(AT.code), 'halted');
        assert.deepEqual(guest.caught, []);
        assert.equal(guest.get('rbx'), 4n * 30n * SUM);
        const stats = guest.vcpu.stats();
        // Every function was hot four times, and most were evicted in between.
        assert.ok(stats.regions > 3 * FUNCTIONS, `${stats.regions} regions`);
        assert.ok(stats['regions evicted'] > 2 * FUNCTIONS);
        assert.equal(stats.regions - stats['regions dropped'], stats['regions live']);
        if (what === 'regions') assert.ok(stats['regions live'] <= 8);
      });
    }
  }

  test(`regions are evicted while their frames are on the stack, threshold ${threshold}`, () => {
    const guest = createGuest({ translation: { threshold, limits: limited({ regions: 4 }) } });
    loadFunctions(guest, 4096, 'with a loop');
    // Each activation calls itself, then another function in the same frame; the deepest calls all of the functions.
    guest.load(
      0x5000,
      `down: test esi, esi; jz deepest; dec esi; call down; call leaf; call down2; add r9, 1; ret
      deepest: mov r10d, ${FUNCTIONS - 1}; next: mov r8d, 30; same: call qword [rdi+r10*8]; dec r8d; jnz same
      dec r10d; jns next; ret
      leaf: add r11, 1; ret`,
      64,
      { down2: 0x6800 },
    );
    guest.load(0x6800, 'add r12, 1; ret');
    guest.load(AT.code, 'again: mov esi, 100; call down; dec ecx; jnz again; hlt', 64, { down: 0x5000 });
    guest.set({ rcx: 30 });
    assert.equal(guest.go(AT.code), 'halted');
    assert.deepEqual(guest.caught, []);
    const counts = (['rbx', 'r9', 'r11', 'r12', 'rsp'] as const).map(guest.get);
    assert.deepEqual(counts, [30n * 30n * SUM, 3000n, 3000n, 3000n, BigInt(AT.stack)]);
    const stats = guest.vcpu.stats();
    assert.ok(stats['regions evicted'] > 30 * FUNCTIONS, `${stats['regions evicted']}`);
    assert.ok(stats['regions live'] <= 4);
  });

  test(`when all blocks are forgotten their regions go as well, threshold ${threshold}`, () => {
    const guest = createGuest({ translation: { threshold } });
    guest.load(AT.code, 'again: add rbx, 1; dec ecx; jnz again; hlt');
    for (let round = 1; round <= 3; round++) {
      guest.set({ rcx: 100 });
      assert.equal(guest.go(AT.code), 'halted');
      const stats = guest.vcpu.stats();
      assert.equal(stats['regions live'] > 0, true);
      assert.equal(stats['regions dropped'], stats.regions - stats['regions live']);
      guest.vcpu.memoryReplaced();
      const after = guest.vcpu.stats();
      assert.deepEqual([after['regions live'], after['live code bytes']], [0, 0]);
    }
    assert.equal(guest.get('rbx'), 300n);
  });
}
