/** Segment bases and limits that change under hot code. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRig, PLACE } from '../../src/engine/translated/rig.test-helper.ts';
import { assemble } from './assembler.ts';
import { AT, createGuest, ENGINES } from './guest.ts';

const ROUNDS = 1000;
const CHANGE = 400;
const BEFORE = BigInt(ROUNDS - CHANGE + 1);
const AFTER = BigInt(CHANGE - 1);
/** ADD RBX, FS:[RDI]. */
const READ = 'db 0x64; add rbx, [rdi]';

for (const [engine, translation] of ENGINES) {
  for (const [way, code] of [
    ['WRFSBASE', 'db 0xf3, 0x48, 0x0f, 0xae, 0xd2'],
    ['WRMSR', 'push rcx; mov eax, edx; xor edx, edx; mov ecx, 0xc0000100; wrmsr; mov edx, eax; pop rcx'],
  ] as const) {
    for (const called of [true, false]) {
      test(`${way} moves what FS reaches at once, ${called ? 'in a function' : 'in line'} (${engine})`, () => {
        const guest = createGuest({ translation });
        // CR4.FSGSBASE.
        guest.state.cr4 |= 0x1_0000n;
        guest.vcpu.stateReplaced();
        const change = `cmp ecx, ${CHANGE}; jne same; ${code}; same: nop`;
        guest.load(0x5000, `f: ${change}; ret`);
        guest.load(AT.code, `again: ${READ}; ${called ? 'call f' : change}; ${READ}; dec ecx; jnz again; hlt`);
        guest.quad(AT.data + 0x10, 1n);
        guest.quad(AT.data2 + 0x10, 1000n);
        guest.state.segmentBase[4] = BigInt(AT.data);
        guest.set({ rcx: ROUNDS, rdx: AT.data2, rdi: 0x10 });
        assert.equal(guest.go(AT.code), 'halted');
        assert.deepEqual(guest.caught, []);
        assert.equal(guest.get('rbx'), 2n * BEFORE - 1n + (2n * AFTER + 1n) * 1000n);
        assert.equal(guest.hasTranslated(), translation !== undefined);
      });
    }
  }

  test(`a callee that gives DS another base, or a limit, changes what its caller reaches (${engine})`, () => {
    for (const [what, selector, descriptor] of [
      ['base', 0x28, 0x00cf_9300_1000_ffffn],
      ['limit', 0x28, 0x0040_9300_0000_0fffn],
      ['read-only', 0x28, 0x00cf_9100_0000_ffffn],
      ['null', 0, 0n],
    ] as const) {
      const rig = createRig({ translation });
      const descriptors = new Uint8Array(BigUint64Array.of(descriptor).buffer);
      if (selector !== 0) rig.write(PLACE.gdt + selector, [...descriptors]);
      rig.state.gdtrLimit = 0x2f;
      const text = `again: add ebx, [edi]; mov [edi+4], ecx; call f; site: add ebp, [edi]; store: mov [edi+8], ecx; dec ecx; jnz again; end: hlt
        f: cmp ecx, ${CHANGE}; jne same; mov ds, dx; same: ret`;
      const { bytes, labels } = assemble(0x1000, text, 32);
      rig.write(0x1000, bytes);
      rig.write(0x3000, [1]);
      rig.write(0x4000, [100]);
      rig.state.gpr.set([0n, BigInt(ROUNDS), BigInt(selector), 0n, BigInt(PLACE.stack), 0n, 0n, 0x3000n]);
      rig.run(0x1000, 50_000);
      const { gpr } = rig.state;
      const fault = { limit: `13:0 at ${labels.site.toString(16)}`, null: `13:0 at ${labels.site.toString(16)}` }[
        what as 'limit'
      ];
      const expected = what === 'read-only' ? `13:0 at ${labels.store.toString(16)}` : fault;
      assert.deepEqual(rig.exceptions, expected === undefined ? [] : [expected], what);
      if (what === 'base') {
        assert.deepEqual([gpr[3], gpr[5]], [BEFORE + AFTER * 100n, BEFORE - 1n + (AFTER + 1n) * 100n]);
        assert.deepEqual([...rig.read(0x3004, 2), ...rig.read(0x4008, 2)], [CHANGE & 255, CHANGE >> 8, 1, 0]);
      } else {
        assert.equal(gpr[1], BigInt(CHANGE), what);
        assert.equal(gpr[5], BEFORE - 1n + (what === 'read-only' ? 1n : 0n), what);
      }
      assert.equal(rig.hasTranslated(), translation !== undefined);
    }
  });

  test(`a store through CS is refused in 32-bit code, a load is not (${engine})`, () => {
    const rig = createRig({ translation });
    const { bytes, labels } = assemble(
      0x1000,
      'again: db 0x2e; add ebx, [edi]; dec ecx; jnz again; site: db 0x2e; mov [edi], ecx; hlt',
      32,
    );
    rig.write(0x1000, bytes);
    rig.write(0x3000, [1]);
    rig.state.gpr.set([0n, BigInt(ROUNDS), 0n, 0n, BigInt(PLACE.stack), 0n, 0n, 0x3000n]);
    rig.run(0x1000, 50_000);
    assert.deepEqual(rig.exceptions, [`13:0 at ${labels.site.toString(16)}`]);
    assert.equal(rig.state.gpr[3], BigInt(ROUNDS));
    assert.deepEqual(rig.read(0x3000, 1), [1]);
  });

  for (const [name, code] of [
    ['LODSD', 'mov esi, edx; site: db 0x64; lodsd; add ebx, eax'],
    ['MOVSD', 'mov esi, edx; mov edi, 0x5000; site: db 0x64; movsd; add ebx, [edi-4]'],
    ['CMPSD', 'mov esi, edx; mov edi, 0x3010; site: db 0x64; cmpsd; jne end; add ebx, 3'],
  ]) {
    test(`32-bit ${name} keeps to the limit of the segment that a prefix names (${engine})`, () => {
      const rig = createRig({ translation });
      const text = `again: ${code}; cmp ecx, ${CHANGE}; jne same; mov edx, 0x3d; same: dec ecx; jnz again; end: hlt`;
      const { bytes, labels } = assemble(0x1000, text, 32);
      rig.write(0x1000, bytes);
      rig.write(0x3010, [3]);
      rig.state.segmentBase[4] = 0x3000n;
      rig.state.segmentLimit[4] = 0x3f;
      rig.vcpu.stateReplaced();
      rig.state.gpr.set([0n, BigInt(ROUNDS), 0x10n, 0n, BigInt(PLACE.stack)]);
      rig.run(0x1000, 50_000);
      assert.deepEqual(rig.exceptions, [`13:0 at ${labels.site.toString(16)}`]);
      assert.deepEqual([rig.state.gpr[3], rig.state.gpr[1]], [3n * BEFORE, BigInt(CHANGE - 1)]);
      assert.equal(rig.hasTranslated(), translation !== undefined);
    });
  }

  test(`a jump with an operand size of 16 bits stays in the first 64 KiB (${engine})`, () => {
    const rig = createRig({ translation });
    // At 11000h; JMP to itself with the upper half cut off goes to 1000h.
    rig.write(0x1_1000, [0x43, 0x66, 0xeb, 0xfc]); // inc ebx; jmp word 1000
    const { bytes } = assemble(0x1000, 'dec ecx; jz end; mov eax, 0x11000; jmp eax; end: hlt', 32);
    rig.write(0x1000, bytes);
    rig.state.gpr[1] = BigInt(ROUNDS);
    rig.run(0x1000, 50_000);
    assert.deepEqual([rig.state.gpr[3], rig.state.gpr[1], rig.state.activity], [BigInt(ROUNDS - 1), 0n, 1]);
  });
}
