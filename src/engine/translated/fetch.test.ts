import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRig, ENGINES, PAGE, PLACE } from './rig.test-helper.ts';
import type { Translation } from './vcpu-interface.ts';

/** A guest whose last canonical page of the lower half and first of the upper half are code. */
function atTheEdge(translation: Translation | undefined) {
  const rig = createRig({ translation });
  rig.paging(64);
  rig.mapPage(0x7fff_ffff_f000n, 0x1_0000n | PAGE.all);
  rig.mapPage(0xffff_8000_0000_0000n, 0x1_1000n | PAGE.all);
  rig.write(0x1_0000, new Array<number>(0x1000).fill(0x90));
  rig.write(0x1_1000, [0xb8, 0x99, 0, 0, 0, 0xeb, 0xfe]); // mov eax, 0x99; jmp $
  return rig;
}

for (const [engine, translation] of ENGINES) {
  test(`code does not go on past the canonical addresses (${engine})`, () => {
    const rig = atTheEdge(translation);
    rig.run(0x7fff_ffff_fff0n, 100);
    assert.deepEqual(rig.exceptions, ['13:0 at 800000000000']);
    assert.equal(rig.state.gpr[0], 0n);
  });

  test(`an instruction does not reach past the canonical addresses (${engine})`, () => {
    const rig = atTheEdge(translation);
    rig.write(0x1_0ffd, [0xb8, 1, 2]); // mov eax, ...
    rig.run(0x7fff_ffff_fff0n, 100);
    assert.deepEqual(rig.exceptions, ['13:0 at 7ffffffffffd']);
    assert.equal(rig.state.gpr[0], 0n);
  });

  test(`a loop that ends with the last canonical address works (${engine})`, () => {
    const rig = atTheEdge(translation);
    rig.write(0x1_0ffb, [0xff, 0xc1, 0x90, 0xeb, 0xfb]); // inc ecx; nop; jmp back
    rig.run(0x7fff_ffff_fffbn, 3000, true);
    assert.deepEqual([rig.state.gpr[1], rig.exceptions], [1000n, []]);
    assert.equal(rig.hasTranslated(), translation !== undefined);
  });

  test(`code that is known is bound to the limit and the base of its segment (${engine})`, () => {
    // A page's worth of code; a limit behind the first instruction; another base.
    const descriptors = [0x0040_9b00_0000_1fffn, 0x0040_9b00_0000_1100n, 0x0040_9b00_1000_1fffn];
    for (const [selector, exceptions, ebx, esi] of [
      [0x30, ['13:0 at 1101'], 2n, 0n],
      [0x38, [], 1n, 1n],
    ] as const) {
      const rig = createRig({ translation });
      descriptors.forEach((descriptor, i) => {
        rig.write(PLACE.gdt + 0x28 + 8 * i, [...new Uint8Array(BigUint64Array.of(descriptor).buffer)]);
      });
      rig.state.gdtrLimit = 0x3f;
      rig.write(0x1000, [0xea, 0, 0x11, 0, 0, 0x28, 0]); // jmp 28:1100
      rig.write(0x1100, [0x43, 0xff, 0x2d, 0, 0x30, 0, 0]); // inc ebx; jmp far [3000]
      rig.write(0x2100, [0x46, 0xeb, 0xfe]); // inc esi; jmp $
      rig.write(0x3000, [0, 0x11, 0, 0, selector, 0]);
      rig.run(0x1000, 20);
      assert.deepEqual([rig.exceptions, rig.state.gpr[3], rig.state.gpr[6]], [exceptions, ebx, esi]);
    }
  });

  test(`POP through RSP adds to a displacement that has no room (${engine})`, () => {
    const rig = createRig({ translation });
    rig.paging(64);
    rig.mapPage(0x8010_0000n, 0x1_0000n | PAGE.all);
    rig.write(0x1000, [
      ...[0x48, 0x89, 0xfc], // again: mov rsp, rdi
      ...[0x8f, 0x84, 0x24, 0xf8, 0xff, 0xff, 0x7f], // pop qword [rsp + 0x7ffffff8]
      ...[0xff, 0xc9], // dec ecx
      ...[0x75, 0xf2], // jnz again
      ...[0xeb, 0xfe], // jmp $
    ]);
    rig.write(0x10_0000, [0x67, 0x45, 0x23, 1]);
    rig.state.gpr[1] = 1000n;
    rig.state.gpr[7] = 0x10_0000n;
    rig.run(0x1000, 4 * 1000);
    assert.deepEqual([rig.exceptions, rig.state.gpr[4]], [[], 0x10_0008n]);
    assert.deepEqual(rig.read(0x1_0000, 4), [0x67, 0x45, 0x23, 1]);
    assert.equal(rig.hasTranslated(), translation !== undefined);
    rig.mapPage(0x8010_0000n, 0);
    rig.state.gpr[4] = 0x10_0000n;
    rig.vcpu.stateReplaced();
    rig.run(0x1003, 1);
    assert.deepEqual([rig.exceptions, rig.state.faultAddress], [['14:2 at 1003'], 0x8010_0000n]);
  });
}
