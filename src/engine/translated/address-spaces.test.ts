import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CR4, SEGMENT } from '../../isa/state.ts';
import { createRig, DEVICE_VALUE, ENGINES, PAGE, PLACE, type Rig } from './rig.test-helper.ts';

const LARGE = 0x80n;
const SECOND_ROOT = 0x30_0000;
/** Linear address of code that the address spaces disagree about, and of what it ends in. */
const SHARED = 0x1_0000;

const little = (value: bigint | number, size: number) =>
  Array.from({ length: size }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));
const load = (at: number) => [0x8b, 0x04, 0x25, ...little(at, 4)]; // mov eax, [at]
const storeQuad = (at: number) => [0x48, 0x89, 0x0c, 0x25, ...little(at, 4)]; // mov [at], rcx
const invalidate = (at: number) => [0x0f, 0x01, 0x3c, 0x25, ...little(at, 4)]; // invlpg [at]
const HALT = [0xf4];

/** Guest-physical address that an entry of a paging structure points to. */
const pointer = (rig: Rig, at: number) =>
  rig.read(at + 1, 3).reduce((sum, byte, i) => sum + byte * 2 ** (8 * i + 8), 0) & ~0xfff;

/** Where the entries for 2 MiB and 1 GiB from linear address 0 stand. */
function tables(rig: Rig) {
  const pointers = pointer(rig, PLACE.root);
  return { pointers, directory: pointer(rig, pointers) };
}

for (const [engine, translation] of ENGINES) {
  test(`INVLPG forgets all of a large page (${engine})`, () => {
    const rig = createRig({ translation });
    rig.paging(64);
    const { pointers, directory } = tables(rig);
    rig.write(0x3000, [1]);
    rig.write(0x5000, [2]);
    rig.write(0x20_8000, [7]);
    const cases = [
      // A page of 2 MiB at 8 MiB moves by 2 MiB.
      { entry: directory + 4 * 8, before: LARGE, after: 0x20_0000n | LARGE, base: 0x80_0000 },
      // A page of 1 GiB moves to where there is no RAM.
      { entry: pointers + 1 * 8, before: LARGE, after: 0x4000_0000n | LARGE, base: 0x4000_0000 },
    ];
    for (const { entry, before, after, base } of cases) {
      rig.write(entry, little(before | PAGE.all, 8));
      rig.write(0x1000, [
        ...load(base + 0x3000),
        ...load(base + 0x5000),
        ...load(base + 0x8000),
        ...storeQuad(entry),
        ...invalidate(base + 0x1234),
        ...load(base + 0x8000),
        ...HALT,
      ]);
      rig.vcpu.stateReplaced();
      rig.state.gpr[1] = after | PAGE.all;
      rig.run(0x1000, 100);
      assert.equal(rig.state.activity, 1);
      assert.equal(rig.state.gpr[0], base === 0x80_0000 ? 7n : BigInt(DEVICE_VALUE));
    }
  });

  for (const tagged of [false, true]) {
    test(`code of two address spaces at one address, ${tagged ? 'with' : 'without'} PCIDs (${engine})`, () => {
      const rig = createRig({ translation });
      rig.paging(64);
      if (tagged) rig.state.cr4 |= BigInt(CR4.pcide);
      const second = copyTables(rig);
      // In one space it adds 1, in the other 2; the last instruction continues in the page after it.
      for (const [frame, amount] of [
        [0x1_2000, 1],
        [0x1_4000, 2],
      ] as const) {
        const add = [0x48, 0x83, 0xc3, amount]; // add rbx, amount
        rig.write(frame + 0xff0, [...add, ...[0x90, 0x90, 0x90, 0x90, 0x90, 0x90], ...add, 0x48, 0x05]);
        rig.write(frame + 0x1000, [...little(amount * 1000, 4), 0xc3]); // add rax, amount * 1000; ret
      }
      const map = (first: number, other: number) => {
        for (const page of [0, 0x1000]) {
          rig.mapPage(SHARED + page, BigInt(first + page) | PAGE.all);
          rig.write(second(SHARED + page), little(BigInt(other + page) | PAGE.all, 8));
        }
      };
      map(0x1_2000, 0x1_4000);
      const keep = tagged ? 1n << 63n : 0n;
      rig.state.gpr[8] = BigInt(PLACE.root) | keep;
      rig.state.gpr[9] = BigInt(SECOND_ROOT) | keep | (tagged ? 5n : 0n);
      rig.state.gpr[10] = BigInt(SHARED + 0xff0);
      rig.write(0x1000, [
        ...[0x41, 0xff, 0xd2], // again: call r10
        ...[0x41, 0x0f, 0x22, 0xd9], // mov cr3, r9
        ...[0x41, 0xff, 0xd2], // call r10
        ...[0x41, 0x0f, 0x22, 0xd8], // mov cr3, r8
        ...[0xff, 0xc9], // dec ecx
        ...[0x75, 0xee], // jnz again
        ...HALT,
      ]);
      rig.state.gpr[0] = 0n;
      rig.state.gpr[1] = 300n;
      rig.state.gpr[3] = 0n;
      // Generations of the jump cache begin anew on the way.
      rig.state.jumpGeneration = 0xffff_ff00;
      rig.vcpu.stateReplaced();
      rig.run(0x1000, 100_000);
      assert.deepEqual([rig.state.activity, rig.state.gpr[3], rig.state.gpr[0]], [1, 1800n, 900_000n]);
      // The page that the last instruction ends in moves alone.
      rig.write(second(SHARED + 0x1000), little(BigInt(0x1_3000) | PAGE.all, 8));
      rig.vcpu.stateReplaced();
      rig.state.gpr[0] = 0n;
      rig.state.gpr[1] = 10n;
      rig.run(0x1000, 100_000);
      assert.equal(rig.state.gpr[0], 20_000n);
    });
  }

  test(`whatever empties the TLB raises the epoch (${engine})`, () => {
    const rig = createRig({ translation });
    rig.paging(64);
    const raised = (what: string, code: readonly number[]) => {
      rig.write(0x1000, [...code, ...HALT]);
      const before = rig.state.epoch;
      rig.run(0x1000, 20);
      assert.ok(rig.state.epoch > before, what);
    };
    rig.run(0x1000, 0);
    raised('INVLPG', invalidate(0x3000));
    raised('MOV CR3', [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8]);
    rig.state.cr4 |= BigInt(CR4.smap);
    rig.vcpu.stateReplaced();
    raised('STAC', [0x0f, 0x01, 0xcb]);
    raised('CLAC', [0x0f, 0x01, 0xca]);
    const before = rig.state.epoch;
    rig.map.holdCode(0x55, 0);
    assert.ok(rig.state.epoch > before, 'code in a page');
  });
}

/** A second root with tables of its own for the first 2 MiB; gives the address of the entry for a page there. */
function copyTables(rig: Rig): (linear: number) => number {
  const { pointers, directory } = tables(rig);
  const table = pointer(rig, directory);
  const copies = [PLACE.root, pointers, directory, table].map((from, level) => {
    const to = SECOND_ROOT + level * 0x1000;
    rig.write(to, rig.read(from, 0x1000));
    return to;
  });
  copies.slice(1).forEach((to, level) => {
    rig.write(copies[level]!, little(BigInt(to) | PAGE.all, 8));
  });
  return (linear) => copies[3]! + (linear >> 12) * 8;
}

test('address 0 of real mode, in an entry of the jump cache that was never written', () => {
  const rig = createRig();
  rig.state.cr0 = 0x10n;
  for (let segment = 0; segment < 6; segment++) {
    rig.state.segmentLimit[segment] = 0xffff;
    rig.state.segmentAttributes[segment] = 0x93;
  }
  // Code where there is no RAM.
  rig.state.segmentBase[SEGMENT.cs] = BigInt(PLACE.device);
  rig.vcpu.stateReplaced();
  assert.equal(rig.state.modeKey, 0);
  rig.run(0, 1);
  assert.deepEqual(rig.exceptions, ['6 at 0']);
});
