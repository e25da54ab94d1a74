/** Rights that the TLB must not take for granted where a guest changes page tables and flushes nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRig, ENGINES, PAGE } from '../../src/engine/translated/rig.test-helper.ts';

const little = (value: bigint, size: number) =>
  Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));

for (const [engine, translation] of ENGINES) {
  test(`a page that comes read-only to an address is not written by the right to the last (${engine})`, () => {
    const rig = createRig({ translation });
    rig.paging(64);
    const at = 0x10_0000;
    const [first, second] = [0x12_0000, 0x1a_0000];
    const jump = (from: number, to: number) => [0xe9, ...little(BigInt(to - (from + 5)), 4)];
    rig.mapPage(at, BigInt(first) | PAGE.all);
    rig.mapPage(at + 0x1000, 0x13_0000n | PAGE.all);
    // A page of zeros runs as `add [rax], al`; the pages behind it come back.
    rig.write(second + 0x1000, jump(second + 0x1000, 0x2000));
    rig.write(0x13_0000, jump(at + 0x1000, 0x2020));
    rig.state.gpr[0] = 0x14_0000n;
    rig.state.gpr[1] = 0x5555_aaaan;
    rig.state.gpr[2] = BigInt(rig.entryAddress(BigInt(at)));
    rig.state.gpr[3] = BigInt(second) | PAGE.present | PAGE.accessed;
    rig.write(0x2000, [
      ...[0x89, 0x0c, 0x25, ...little(BigInt(at), 4)], // mov [at], ecx
      ...[0x48, 0x89, 0x1a], // mov [rdx], rbx: read-only, no INVLPG
      ...jump(0x200a, at),
    ]);
    rig.write(0x2020, [0x89, 0x0c, 0x25, ...little(BigInt(at + 8), 4), 0xeb, 0xfe]); // mov [at + 8], ecx; jmp $
    rig.run(second, 9000);
    assert.ok(rig.exceptions[0]?.startsWith('14:3 at 2020'), rig.exceptions.join());
    assert.deepEqual(rig.read(0x1c_0000, 4096), new Array(4096).fill(0), 'pages that nobody wrote show zeros');
  });
}
