/** What the engine counts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AT, createGuest, ENGINES, PAGE } from './guest.ts';

for (const [engine, translation] of ENGINES) {
  test(`every instruction was interpreted or translated (${engine})`, () => {
    const guest = createGuest({ translation });
    guest.load(AT.code, 'again: add rbx, 1; imul rax, rbx; dec ecx; jnz again; mov ecx, 100; rep stosb; hlt');
    guest.set({ rcx: 10_000, rdi: AT.data });
    assert.equal(guest.go(AT.code), 'halted');
    const stats = guest.vcpu.stats();
    const interpreted = stats['instructions interpreted'];
    assert.equal(interpreted + stats['instructions in regions'], guest.vcpu.retired());
    if (translation === undefined) assert.equal(interpreted, guest.vcpu.retired());
    // The loop is hot after so many rounds; a little is interpreted on the way to regions.
    else assert.ok(interpreted < 4 * translation.threshold + 200, `${interpreted}`);
  });

  test(`code that never becomes hot is interpreted (${engine})`, () => {
    if (translation?.threshold === 1) return;
    const guest = createGuest({ translation });
    guest.gate64(6, AT.handler);
    guest.load(AT.handler, 'hlt');
    guest.load(AT.code, 'mov ecx, 7; again: dec ecx; jnz again; mov ecx, 50; rep movsb; ud2');
    guest.set({ rdi: AT.data, rsi: AT.data2 });
    assert.equal(guest.go(AT.code), 'halted');
    const stats = guest.vcpu.stats();
    assert.deepEqual([stats['instructions in regions'], stats['instructions interpreted']], [0, guest.vcpu.retired()]);
    assert.equal(stats['exits: fault'], 1);
  });

  test(`misses and flushes of the TLB, and exceptions (${engine})`, () => {
    const guest = createGuest({ translation });
    guest.gate64(14, AT.handler);
    guest.load(AT.handler, 'add rsp, 8; mov qword [rdx], r8; invlpg [rdi]; iretq');
    const entry = guest.entryAddress(BigInt(AT.data));
    const ROUNDS = 2000;
    guest.load(AT.code, 'again: mov rax, [rdi]; mov qword [rdx], 0; invlpg [rdi]; dec ecx; jnz again; hlt');
    guest.set({ rcx: ROUNDS, rdi: AT.data, rdx: entry, r8: BigInt(AT.data) | PAGE.all });
    const before = guest.vcpu.stats();
    assert.equal(guest.go(AT.code), 'halted');
    const stats = guest.vcpu.stats();
    const faults = guest.caught.length;
    assert.equal(faults, ROUNDS - 1);
    assert.equal(stats['exits: fault'] + stats['exits: exception'], faults);
    assert.equal(stats['TLB flushes'] - before['TLB flushes'], ROUNDS + faults);
    // Every round misses twice: once for the fault, once behind it.
    assert.ok(stats['TLB misses'] - before['TLB misses'] >= ROUNDS + faults);
    assert.equal(stats.regions > 0, translation !== undefined);
  });
}
