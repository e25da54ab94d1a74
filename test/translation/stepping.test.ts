/** Interrupts, shadows, single steps and breakpoints in code that has been translated. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Translation } from '../../src/engine/translated/vcpu-interface.ts';
import { AT, createGuest, ENGINES, type Guest, SELECTOR } from './guest.ts';

const ROUNDS = 1000;

/** A guest whose port 0x80 raises an interrupt; the handler puts RIP of where it came into a list at R15. */
function interruptible(translation: Translation | undefined): Guest {
  let raised = false;
  const guest = createGuest({
    translation,
    environment: {
      ports: {
        read: () => 0,
        write() {
          raised = true;
          guest.vcpu.signal();
        },
      },
      interrupts: {
        pending: () => raised,
        acknowledge() {
          raised = false;
          return 0x40;
        },
      },
    },
  });
  guest.gate64(0x40, AT.handler);
  guest.gate64(1, AT.handler + 0x800);
  guest.load(AT.handler, 'push rax; mov rax, [rsp+8]; mov [r15], rax; add r15, 8; pop rax; iretq');
  // Debug exceptions: RIP and DR6, which is cleared.
  guest.load(
    AT.handler + 0x800,
    'push rax; mov rax, [rsp+8]; mov [r15], rax; mov rax, dr6; mov [r15+8], rax; add r15, 16; mov eax, 0xffff0ff0; mov dr6, rax; pop rax; iretq',
  );
  guest.set({ r15: LIST, rdi: AT.data });
  return guest;
}
const LIST = 0x20_8000;

const list = (guest: Guest) => {
  const count = Number(guest.get('r15') - BigInt(LIST)) / 8;
  return Array.from({ length: count }, (_, i) => guest.readQuad(LIST + 8 * i));
};

for (const [engine, translation] of ENGINES) {
  test(`an interrupt comes behind the instruction that raised it, with IF set (${engine})`, () => {
    const guest = interruptible(translation);
    guest.load(AT.code, 'sti; nop; again: inc rbx; out 0x80, al; site: inc rbp; dec ecx; jnz again; hlt');
    guest.set({ rcx: ROUNDS });
    guest.go(AT.code);
    assert.deepEqual(list(guest), new Array(ROUNDS).fill(BigInt(guest.labels.site)));
    assert.deepEqual([guest.get('rbx'), guest.get('rbp')], [BigInt(ROUNDS), BigInt(ROUNDS)]);
  });

  test(`STI and a load of SS let one more instruction through (${engine})`, () => {
    for (const [what, shadow] of [
      ['STI', 'sti'],
      ['POPF: no shadow', 'push 0x202; popfq'],
      ['MOV SS', 'push 0x202; popfq; mov ss, dx'],
    ] as const) {
      const guest = interruptible(translation);
      // The interrupt waits while IF is clear. MOV SS itself comes after POPF has already let it through.
      const code = what === 'MOV SS' ? 'sti; mov ss, dx; first: inc rbx' : `${shadow}; first: inc rbx`;
      guest.load(AT.code, `again: cli; out 0x80, al; ${code}; second: inc rbp; dec ecx; jnz again; hlt`);
      guest.set({ rcx: ROUNDS, rdx: SELECTOR.data });
      assert.equal(guest.go(AT.code), 'halted', what);
      const site = { STI: guest.labels.second, 'POPF: no shadow': guest.labels.first, 'MOV SS': guest.labels.second }[
        what
      ];
      assert.deepEqual(new Set(list(guest)), new Set([BigInt(site)]), what);
      assert.equal(list(guest).length, ROUNDS, what);
      assert.deepEqual([guest.get('rbx'), guest.get('rbp')], [BigInt(ROUNDS), BigInt(ROUNDS)]);
    }
  });

  test(`STI right before HLT does not lose the interrupt, nor CLI right behind it take one (${engine})`, () => {
    const guest = interruptible(translation);
    guest.load(AT.code, 'again: cli; out 0x80, al; sti; cli; inc rbx; sti; inc rbp; site: dec ecx; jnz again; hlt');
    guest.set({ rcx: ROUNDS });
    assert.equal(guest.go(AT.code), 'halted');
    assert.deepEqual(list(guest), new Array(ROUNDS).fill(BigInt(guest.labels.site)));
  });

  test(`TF traps behind every instruction of code that was translated before (${engine})`, () => {
    const guest = interruptible(translation);
    guest.load(0x5000, 'f: add rbx, 1; ret');
    guest.load(
      AT.code,
      'again: call f; cmp rbx, rcx; jne other; other: inc rbp; dec ecx; jnz again; end: push 2; popfq; hlt; step: push 0x102; popfq; jmp again',
    );
    guest.set({ rcx: ROUNDS });
    assert.equal(guest.go(AT.code), 'halted');
    assert.equal(guest.hasTranslated(), translation !== undefined);
    guest.set({ rcx: 2, r15: LIST });
    assert.equal(guest.go(guest.labels.step), 'halted');
    const { f, other, again, end } = guest.labels;
    const round = [f, f + 4, again + 5, again + 8, other, other + 3, other + 5];
    const visited = [again, ...round, again, ...round, end, end + 2, end + 3].map(BigInt);
    const found = list(guest);
    assert.deepEqual(
      found.filter((_, i) => i % 2 === 0),
      visited,
    );
    assert.ok(found.filter((_, i) => i % 2 === 1).every((dr6) => dr6 === 0xffff_4ff0n));
  });

  test(`TF that a callee sets traps in its caller, and IRET goes on without it (${engine})`, () => {
    const guest = interruptible(translation);
    // Behind the first trap the handler clears TF in the flags that it returns to.
    guest.load(
      AT.handler + 0x800,
      'push rax; mov rax, [rsp+8]; mov [r15], rax; add r15, 8; pop rax; and qword [rsp+16], -257; iretq',
    );
    guest.load(0x5000, 'f: cmp ecx, 10; jne same; push 0x102; popfq; last: ret; same: ret');
    guest.load(AT.code, 'again: inc rbx; call f; site: inc rbp; dec ecx; jnz again; hlt');
    guest.set({ rcx: ROUNDS });
    assert.equal(guest.go(AT.code), 'halted');
    assert.deepEqual(list(guest), [BigInt(guest.labels.site)]);
    assert.deepEqual([guest.get('rbx'), guest.get('rbp')], [BigInt(ROUNDS), BigInt(ROUNDS)]);
  });

  test(`breakpoints of the debug registers work in code that was translated before (${engine})`, () => {
    for (const [what, dr7, address, hits] of [
      ['execution', 1n, 'site', 'site'],
      ['write of four bytes', 0xd0001n, 'data', 'behind'],
      ['write of one byte elsewhere', 0x10001n, 'data3', undefined],
      ['read or write', 0xf0001n, 'data', 'behind'],
    ] as const) {
      const guest = interruptible(translation);
      guest.load(
        AT.code,
        'again: inc rbx; site: mov [rdi], ecx; behind: inc rbp; dec ecx; jnz again; hlt; arm: mov dr0, rsi; mov dr7, rdx; jmp again',
      );
      guest.set({ rcx: ROUNDS });
      assert.equal(guest.go(AT.code), 'halted');
      const at = address === 'data' ? AT.data : address === 'data3' ? AT.data3 : guest.labels.site;
      // RF in the flags that it returns to: an execution breakpoint would come again.
      guest.load(
        AT.handler + 0x800,
        'push rax; mov rax, [rsp+8]; mov [r15], rax; add r15, 8; pop rax; or qword [rsp+16], 0x10000; iretq',
      );
      guest.set({ rcx: 50, rsi: at, rdx: dr7, rbx: 0, rbp: 0, r15: LIST });
      assert.equal(guest.go(guest.labels.arm), 'halted', what);
      const expected = hits === undefined ? [] : new Array(50).fill(BigInt(guest.labels[hits]));
      assert.deepEqual(list(guest), expected, what);
      assert.deepEqual([guest.get('rbx'), guest.get('rbp')], [50n, 50n], what);
    }
  });

  test(`a breakpoint that a callee sets counts for its caller at once (${engine})`, () => {
    const guest = interruptible(translation);
    guest.load(0x5000, 'f: cmp ecx, 10; jne same; mov dr0, rsi; mov dr7, rdx; same: ret');
    guest.load(AT.code, 'again: call f; site: inc rbx; dec ecx; jnz again; hlt');
    guest.load(
      AT.handler + 0x800,
      'push rax; mov rax, [rsp+8]; mov [r15], rax; add r15, 8; pop rax; or qword [rsp+16], 0x10000; iretq',
    );
    guest.set({ rcx: ROUNDS, rsi: guest.labels.site, rdx: 1 });
    assert.equal(guest.go(AT.code), 'halted');
    assert.deepEqual(list(guest), new Array(10).fill(BigInt(guest.labels.site)));
    assert.equal(guest.get('rbx'), BigInt(ROUNDS));
  });

  test(`a debugger's breakpoint stops hot code, in a function too, and step() goes on (${engine})`, () => {
    const guest = createGuest({ translation });
    guest.load(0x5000, 'f: add rbx, 1; inner: ret');
    guest.load(AT.code, 'again: call f; behind: dec ecx; jnz again; hlt');
    guest.set({ rcx: ROUNDS });
    guest.state.rip = BigInt(AT.code);
    guest.vcpu.run(3000);
    assert.equal(guest.hasTranslated(), translation !== undefined);
    for (const at of [guest.labels.inner, guest.labels.behind, guest.labels.f, AT.code]) {
      guest.vcpu.setBreakpoints(new Set([BigInt(at)]));
      for (let i = 0; i < 3; i++) {
        const before = guest.get('rbx');
        assert.equal(guest.vcpu.run(100_000), 'breakpoint');
        assert.equal(guest.state.rip, BigInt(at));
        if (i > 0) assert.equal(guest.get('rbx') - before, at === guest.labels.f ? 0n : 1n);
        guest.vcpu.step(false);
      }
    }
    guest.vcpu.setBreakpoints(new Set());
    assert.equal(guest.vcpu.run(100_000), 'inactive');
    assert.equal(guest.get('rbx'), BigInt(ROUNDS));
  });
}
