import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRig, DEVICE_VALUE } from './rig.test-helper.ts';

/** Elements that a step of a repeated instruction may do at a time, and those that count as an instruction. */
const PAGE_OF_BYTES = 4096;
const PER_INSTRUCTION = 8;

const [RCX, RDX, RBX, RSI, RDI] = [1, 2, 3, 6, 7];

for (const [what, code] of [
  ['stores', [0xf3, 0xaa, 0xeb, 0xfe]], // rep stosb; jmp $
  ['moves', [0xf3, 0xa4, 0xeb, 0xfe]], // rep movsb; jmp $
] as const) {
  test(`repeated ${what} to a device use up the count of instructions`, () => {
    const rig = createRig();
    rig.write(0x1000, code);
    rig.state.gpr[RCX] = 0x10_0000n;
    [rig.state.gpr[RSI], rig.state.gpr[RDI]] = [0x10_0000n, 0x40_0000n];
    rig.run(0x1000, 200);
    assert.ok(rig.device.length > 0);
    assert.ok(rig.device.length <= PAGE_OF_BYTES + 200 * PER_INSTRUCTION, `${rig.device.length} accesses`);
  });
}

test('repeated moves between places that overlap use up the count of instructions', () => {
  const rig = createRig();
  rig.write(0x1000, [0xf3, 0xa4, 0xeb, 0xfe]); // rep movsb; jmp $
  rig.state.gpr[RCX] = 0x10_0000n;
  [rig.state.gpr[RSI], rig.state.gpr[RDI]] = [0x10_0000n, 0x10_0001n];
  rig.run(0x1000, 1000);
  const done = 0x10_0000n - rig.state.gpr[RCX];
  assert.ok(done > 0n && done <= BigInt(PAGE_OF_BYTES + 1000 * PER_INSTRUCTION), `${done} bytes`);
});

test('repeated stores that end in their first page count too', () => {
  const rig = createRig();
  rig.write(0x1000, [
    ...[0x89, 0xdf], // again: mov edi, ebx
    ...[0x89, 0xd1], // mov ecx, edx
    ...[0xf3, 0xaa], // rep stosb
    ...[0x45], // inc ebp
    ...[0xeb, 0xf7], // jmp again
  ]);
  rig.state.gpr[RBX] = 0x40_0000n;
  rig.state.gpr[RDX] = 4096n;
  rig.run(0x1000, 1000);
  assert.ok(rig.device.length <= PAGE_OF_BYTES + 1000 * PER_INSTRUCTION, `${rig.device.length} accesses`);
});

/** Where a guest of repeated instructions is at the end of each of a run's slices. */
function stops(slice: number): string[] {
  const rig = createRig();
  rig.write(0x1000, [
    ...[0xbe, 0, 0, 0x10, 0], // again: mov esi, 0x100000
    ...[0xbf, 0, 0, 0x20, 0], // mov edi, 0x200000
    ...[0xb9, 0, 0x30, 0, 0], // mov ecx, 0x3000
    ...[0xf3, 0xa4], // rep movsb
    ...[0xb9, 0x64, 0, 0, 0], // mov ecx, 100
    ...[0xf3, 0xab], // rep stosd
    ...[0x45], // inc ebp
    ...[0xeb, 0xe5], // jmp again
  ]);
  rig.state.rip = 0x1000n;
  const seen: string[] = [];
  for (let end = slice; end <= 50_000; end += slice) {
    const left = end - rig.vcpu.retired();
    if (left <= 0) continue;
    rig.vcpu.run(left, true);
    const { gpr, rip } = rig.state;
    seen.push([rig.vcpu.retired(), rip.toString(16), gpr[RCX], gpr[RSI], gpr[RDI], gpr[5]].join(' '));
  }
  return seen;
}

test('a run of an exact count stops at the first boundary behind it, however long a repeated instruction counts', () => {
  const boundaries = stops(1);
  assert.ok(boundaries.length > 200);
  for (const slice of [5000, 700, 48, 3]) {
    const expected = new Set<string>();
    for (let end = slice; end <= 50_000; end += slice) {
      const stop = boundaries.find((boundary) => Number.parseInt(boundary, 10) >= end);
      if (stop !== undefined) expected.add(stop);
    }
    assert.deepEqual(stops(slice).slice(0, expected.size), [...expected], `slices of ${slice}`);
  }
});

test('a repeated instruction stops where it is asked to, and goes on', () => {
  let left = 10;
  const mmio = {
    read: () => DEVICE_VALUE,
    write() {
      if (--left === 0) rig.vcpu.stop();
    },
  };
  const rig = createRig({ environment: { mmio } });
  rig.write(0x1000, [0xf3, 0xab, 0xeb, 0xfe]); // rep stosd; jmp $
  rig.state.gpr[RCX] = 50n;
  rig.state.gpr[RDI] = 0x40_0000n;
  assert.equal(rig.run(0x1000, 1000), 'stopped');
  assert.deepEqual([rig.state.rip, rig.state.gpr[RCX], rig.state.gpr[RDI]], [0x1000n, 40n, 0x40_0028n]);
  assert.equal(rig.vcpu.run(1000), 'count');
  assert.deepEqual([rig.state.rip, rig.state.gpr[RCX], left], [0x1002n, 0n, -40]);
});
