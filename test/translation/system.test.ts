/** Instructions of the system level in hot code: rights, interrupts and modes change in the middle of a region. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Translation } from '../../src/engine/translated/vcpu-interface.ts';
import { CR4, EFLAGS } from '../../src/isa/state.ts';
import { AT, createGuest, ENGINES, type Guest, PAGE, SELECTOR } from './guest.ts';

const VERIFIED = ['translated at once and verified', { threshold: 1, verify: { first: 0, every: 1 } }] as const;
const USER_PAGE = 0x18_0000;
/** So many rounds make code hot under all engines. */
const ROUNDS = 2000;

for (const [engine, translation] of [...ENGINES, VERIFIED]) {
  test(`what STAC allows, CLAC takes back from the page last used (${engine})`, () => {
    const guest = createGuest({ translation });
    guest.state.cr4 |= BigInt(CR4.smap);
    for (const page of [AT.data, AT.data2]) guest.mapPage(page, BigInt(page) | PAGE.present | PAGE.writable);
    guest.vcpu.stateReplaced();
    guest.load(
      AT.code,
      `again: stac; mov [rbx], rcx; add rax, [rbx]
      last: clac
      refused: mov [rbx+8], rcx; dec ecx; jnz again
      hlt`,
    );
    guest.set({ rbx: AT.data, rcx: ROUNDS });
    assert.equal(guest.go(AT.code), 'halted');
    assert.equal(guest.get('rax'), BigInt((ROUNDS * (ROUNDS + 1)) / 2));
    guest.set({ rbx: USER_PAGE, rcx: 5, rax: 1 });
    guest.go(AT.code);
    const [{ vector, error, rip, cr2, gpr }] = guest.caught;
    assert.deepEqual([vector, error, rip, cr2], [14, 3, BigInt(guest.labels.refused), BigInt(USER_PAGE + 8)]);
    assert.deepEqual([guest.readQuad(USER_PAGE), gpr[0]], [5n, 6n], 'what came before is done');
  });

  test(`a control register that there is not faults with the flags of the path that led to it (${engine})`, () => {
    const guest = createGuest({ translation });
    guest.load(AT.handler, 'add qword [rsp], 12; iretq');
    guest.gate64(6, AT.handler);
    // MOV RAX, CR1; what follows overwrites all flags.
    const fault = 'db 0x0f, 0x20, 0xc8; add rdx, 1; jmp next; next: dec ecx; jnz again; hlt';
    guest.load(AT.code, `again: test ecx, r8d; jz even; lea rbx, [rbx+1]; even: ${fault}`);
    guest.set({ rcx: ROUNDS, r8: 3 });
    assert.equal(guest.go(AT.code), 'halted');
    const zero = EFLAGS.zf | EFLAGS.pf;
    const odd = (value: number) => (value === 3 ? EFLAGS.pf : 0);
    assert.deepEqual(
      guest.caught.map(({ flags }) => flags & (EFLAGS.zf | EFLAGS.pf | EFLAGS.sf | EFLAGS.cf | EFLAGS.of)),
      Array.from({ length: ROUNDS }, (_, i) => (ROUNDS - i) & 3).map((value) => (value === 0 ? zero : odd(value))),
    );
  });

  test(`an interrupt that waits comes behind the instruction after STI (${engine})`, () => {
    let writes = 0;
    let taken = false;
    const guest: Guest = createGuest({
      translation,
      environment: {
        ports: {
          read: () => 0,
          write() {
            if (++writes === ROUNDS) guest.vcpu.signal();
          },
        },
        interrupts: {
          pending: () => !taken && writes >= ROUNDS,
          acknowledge() {
            taken = true;
            return 0x20;
          },
        },
      },
    });
    guest.load(AT.handler, 'hlt');
    guest.gate64(0x20, AT.handler);
    guest.load(AT.code, 'again: cli; out 0x80, al; inc eax; sti; inc ebx; inc edx; inc ecx; jmp again');
    assert.equal(guest.go(AT.code), 'halted');
    const counts = (['rax', 'rbx', 'rdx', 'rcx'] as const).map(guest.get);
    assert.deepEqual(counts, [ROUNDS, ROUNDS, ROUNDS - 1, ROUNDS - 1].map(BigInt));
  });

  test(`a program and the kernel that it calls get each other's registers and flags (${engine})`, () => {
    const guest = systemCalls(translation);
    assert.equal(guest.go(AT.code), 'halted');
    assert.deepEqual(guest.caught, []);
    const reference = systemCalls(undefined);
    reference.go(AT.code);
    assert.deepEqual(guest.architecture(), reference.architecture());
    assert.equal(guest.get('rbx'), BigInt(ROUNDS));
    assert.equal(guest.vcpu.retired(), reference.vcpu.retired());
  });

  test(`SYSRET to an address that is none faults with what came before it done (${engine})`, () => {
    const guest = systemCalls(translation, `cmp rbx, ${ROUNDS - 1}; cmove rcx, rbp; sub edx, edx; add r8, r9`);
    guest.set({ rbp: 1n << 60n, r8: 0, r9: -1n });
    guest.go(AT.code);
    const [{ vector, error, rip, flags, gpr }] = guest.caught;
    assert.deepEqual([vector, error, rip], [13, 0, BigInt(guest.labels.leave)]);
    assert.deepEqual([gpr[1], gpr[2], gpr[8]], [1n << 60n, 0n, BigInt.asUintN(64, BigInt(1 - ROUNDS))]);
    assert.equal(flags & (EFLAGS.sf | EFLAGS.zf | EFLAGS.cf), EFLAGS.sf | EFLAGS.cf);
  });
}

/**
 * A program at level 3 that calls the kernel in a loop, which counts in RBX and ends it all after `ROUNDS` calls. `last`: what
 * the kernel does before it returns.
 */
function systemCalls(translation: Translation | undefined, last = ''): Guest {
  const guest = createGuest({ translation });
  guest.load(
    AT.code,
    `lea rcx, [user]; mov r11d, ${0x202}; mov [${AT.data2}], rsp; sysretq
    kernel: swapgs; db 0x65; mov [8], rsp; mov rsp, [${AT.data2}]; push r11; push rcx; inc rbx
      rdtsc; xor eax, eax; mov r12, cr3
      cmp rbx, ${ROUNDS}; jb stay; pop rcx; pop r11; hlt
      stay: call work; pop rcx; pop r11; db 0x65; mov rsp, [8]; swapgs; ${last}
    leave: sysretq
    work: sti; add rdi, 7; cli; ret
    org ${AT.data3 + 0x1000}
    user: add rax, 5; adc r13, -1; syscall
      pushfq; pop r14; adc r15, r13; jmp user`,
  );
  guest.mapPage(AT.data3 + 0x1000, BigInt(AT.data3 + 0x1000) | PAGE.all);
  const { state } = guest;
  state.star = (BigInt(SELECTOR.userData - 8) << 48n) | (BigInt(SELECTOR.code) << 32n);
  state.lstar = BigInt(guest.labels.kernel);
  state.sfmask = BigInt(EFLAGS.if | EFLAGS.df | EFLAGS.ac);
  state.kernelGsBase = BigInt(AT.data);
  guest.set({ rsp: AT.stack });
  return guest;
}
