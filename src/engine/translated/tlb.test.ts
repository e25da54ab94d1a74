import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRig, ENGINES, PAGE, PLACE, SELECTOR } from './rig.test-helper.ts';

/** An address that shares its place in the TLB with address 0. */
const NEIGHBOUR = 0x80_0000;
const MAPPED = 0x5000;

const READ = [0xa1, 0, 0, 0x80, 0]; // mov eax, [NEIGHBOUR]
const WRITE = [0xa3, 0, 0, 0x80, 0]; // mov [NEIGHBOUR], eax
const INVALIDATE = [0x0f, 1, 0x3d, 0, 0, 0x80, 0]; // invlpg [NEIGHBOUR]
const INVALIDATE_NULL = [0x0f, 1, 0x3d, 0, 0, 0, 0]; // invlpg [0]
const CALL = [0xb9, 0, 0x50, 0, 0, 0xff, 0xd1]; // mov ecx, MAPPED; call ecx: now there is code in it

/** What an entry of the TLB went through before the null pointer is used, as instructions. */
const PASTS: readonly (readonly [string, readonly number[]])[] = [
  ['nothing', []],
  ['a read of another page', READ],
  ['a write to another page', WRITE],
  ['a write to another page that was flushed', [...WRITE, ...INVALIDATE]],
  ['a flush of page 0', [...WRITE, ...INVALIDATE_NULL]],
  ['a write to another page that became code', [...WRITE, ...CALL]],
];
const USES: readonly (readonly [string, readonly number[], string])[] = [
  ['read', [0x8b, 0x1d, 0, 0, 0, 0], '14:0'], // mov ebx, [0]
  ['written', [0x89, 0x1d, 0, 0, 0, 0], '14:2'], // mov [0], ebx
  ['called', [0x31, 0xff, 0xff, 0xd7], '14:0'], // xor edi, edi; call edi
];

test('a null pointer faults, whatever its place in the TLB held before', () => {
  const rig = createRig();
  rig.paging(32);
  rig.mapPage(0, 0);
  rig.mapPage(NEIGHBOUR, BigInt(MAPPED) | PAGE.all);
  for (const [past, before] of PASTS) {
    for (const [what, use, fault] of USES) {
      rig.exceptions.length = 0;
      rig.write(MAPPED, [0xc3]); // ret
      rig.write(0x1000, [...before, ...use]);
      rig.vcpu.stateReplaced();
      rig.run(0x1000, 20);
      const at = what === 'called' ? 0 : 0x1000 + before.length;
      assert.deepEqual(
        [rig.exceptions, rig.state.faultAddress],
        [[`${fault} at ${at.toString(16)}`], 0n],
        `${what} after ${past}`,
      );
    }
  }
});

for (const [engine, translation] of ENGINES) {
  test(`level 3 may not use what level 0 has in the TLB (${engine})`, () => {
    for (const [what, use, fault] of [
      ['read', [0x8b, 0x1d, 0, 0x30, 0, 0], '14:5 at 1100'], // mov ebx, [0x3000]
      ['write', [0x89, 0x1d, 0, 0x30, 0, 0], '14:7 at 1100'], // mov [0x3000], ebx
      ['call', [0xba, 0, 0x30, 0, 0, 0xff, 0xe2], '14:5 at 3000'], // mov edx, 0x3000; jmp edx
    ] as const) {
      const rig = createRig({ translation });
      rig.paging(32);
      rig.mapPage(0x3000, 0x3000n | PAGE.present | PAGE.writable);
      rig.write(0x3000, [0xc3]); // ret
      rig.write(0x1000, [
        ...[0xff, 5, 4, 0x30, 0, 0], // again: inc dword [0x3004]
        ...[0xbf, 0, 0x30, 0, 0], // mov edi, 0x3000
        ...[0xff, 0xd7], // call edi
        ...[0x49], // dec ecx
        ...[0x75, 0xf0], // jnz again
        ...[0xb8, SELECTOR.userData, 0, 0, 0, 0x8e, 0xd8], // mov eax, SELECTOR.userData; mov ds, eax
        ...[0x50], // push eax
        ...[0x68, 0, 0x90, 0, 0], // push 0x9000
        ...[0x6a, 2], // push 2
        ...[0x6a, SELECTOR.userCode], // push SELECTOR.userCode
        ...[0x68, 0, 0x11, 0, 0], // push 0x1100
        ...[0xcf], // iretd
      ]);
      rig.write(0x1100, use);
      rig.state.gpr[1] = 1000n;
      rig.state.gpr[4] = BigInt(PLACE.stack);
      rig.run(0x1000, 10_000);
      assert.deepEqual(rig.exceptions, [fault], what);
      assert.deepEqual([rig.state.cpl, rig.state.gpr[3]], [3, 0n], what);
      assert.deepEqual(rig.read(0x3004, 2), [0xe8, 3], what);
    }
  });

  test(`a page that comes to another address under a hot loop (${engine})`, () => {
    const rig = createRig({ translation });
    rig.paging(32);
    const entry = rig.entryAddress(0x3000n);
    rig.write(0x3000, [1]);
    rig.write(0x4000, [100]);
    rig.write(0x1000, [
      ...[3, 0x1d, 0, 0x30, 0, 0], // again: add ebx, [0x3000]
      ...[0xff, 5, 4, 0x30, 0, 0], // inc dword [0x3004]
      ...[0x81, 0xf9, 0xf4, 1, 0, 0], // cmp ecx, 500
      ...[0x75, 0x11], // jne same
      ...[0xc7, 5, entry & 0xff, (entry >> 8) & 0xff, entry >> 16, 0, 0x67, 0x40, 0, 0], // mov dword [entry], 0x4067
      ...[0x0f, 1, 0x3d, 0, 0x30, 0, 0], // invlpg [0x3000]
      ...[0x49], // same: dec ecx
      ...[0x75, 0xd8], // jnz again
      ...[0xeb, 0xfe], // jmp $
    ]);
    rig.state.gpr[1] = 2000n;
    rig.run(0x1000, 20_000);
    assert.equal(rig.state.gpr[3], 1501n + 499n * 100n);
    assert.deepEqual([...rig.read(0x3004, 2), ...rig.read(0x4004, 2)], [0xdd, 5, 0xf3, 1]);
    assert.equal(rig.hasTranslated(), translation !== undefined);
  });
}
