import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRig, ENGINES } from './rig.test-helper.ts';
import type { Translation } from './vcpu-interface.ts';

const VECTOR = 0x20;
const HANDLER = 0x8000;

/** A guest that an interrupt stops; `at` tells when it comes, by what the guest's port has seen or by time. */
function interrupted(
  translation: Translation | undefined,
  code: readonly number[],
  at: { writes?: number; retired?: number },
) {
  let writes = 0;
  let taken = false;
  const due = () => writes === at.writes || rig.vcpu.retired() >= (at.retired ?? Number.POSITIVE_INFINITY);
  const rig = createRig({
    translation,
    environment: {
      ports: {
        read: () => 0,
        write() {
          if (++writes === at.writes) rig.vcpu.signal();
        },
      },
      interrupts: {
        pending: () => !taken && due(),
        acknowledge() {
          taken = true;
          return VECTOR;
        },
      },
    },
  });
  rig.gate(VECTOR, HANDLER);
  rig.write(HANDLER, [0xeb, 0xfe]); // jmp $
  rig.write(0x1000, code);
  rig.state.rip = 0x1000n;
  return rig;
}

for (const [engine, translation] of ENGINES) {
  test(`a device's interrupt comes before the next instruction, however a run is cut (${engine})`, () => {
    const code = [
      ...[0xfb, 0x90], // sti; nop
      ...[0x41], // again: inc ecx
      ...[0xe6, 0x80], // out 0x80, al
      ...[0x43], // inc ebx
      ...[0xeb, 0xfa], // jmp again
    ];
    for (const [slice, exact] of [
      [100_000, false],
      [100_000, true],
      [1000, true],
      [7, true],
      [1, true],
    ] as const) {
      const rig = interrupted(translation, code, { writes: 1234 });
      for (let done = 0; done < 6000; done += slice) rig.vcpu.run(slice, exact);
      assert.equal(rig.state.rip, BigInt(HANDLER));
      assert.deepEqual([rig.state.gpr[1], rig.state.gpr[3]], [1234n, 1233n], `slices of ${slice}`);
    }
  });

  test(`the shadow of an STI long ago delays no interrupt (${engine})`, () => {
    const code = [0xfb, 0x90, 0x40, 0xeb, 0xfd]; // sti; nop; again: inc eax; jmp again
    for (const cuts of [[3000], [2000, 3000], [2999, 3000], [2, 3000], [1, 3000]]) {
      const rig = interrupted(translation, code, { retired: 3000 });
      for (const end of [...cuts, 3100]) rig.vcpu.run(end - rig.vcpu.retired(), true);
      assert.deepEqual([rig.state.gpr[0], rig.state.rip], [1499n, BigInt(HANDLER)], String(cuts));
    }
  });

  test(`a run of an exact count ends there, in hot code too (${engine})`, () => {
    const rig = createRig({ translation });
    const block = [0x40, 0x41, 0x42, 0x43, 0x85, 0xe4, 0x74, 0]; // inc eax, ecx, edx, ebx; test esp, esp; jz next
    const loop = Array.from({ length: 40 }, () => block).flat();
    const back = -(loop.length + 5);
    rig.write(0x1000, [...loop, 0xe9, back & 0xff, (back >> 8) & 0xff, 0xff, 0xff]);
    rig.run(0x1000, 500_000);
    assert.equal(rig.hasTranslated(), translation !== undefined);
    for (let count = 1; count < 3000; count += 97) {
      const before = rig.vcpu.retired();
      rig.vcpu.run(count, true);
      assert.equal(rig.vcpu.retired() - before, count);
    }
  });
}
