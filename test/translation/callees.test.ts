/** Small callees are part of the regions that call them: they go when their code does, and return where they are sent. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AT, createGuest, ENGINES, PAGE } from './guest.ts';

const VERIFIED = ['translated at once and verified', { threshold: 1, verify: { first: 0, every: 1 } }] as const;
const ROUNDS = 2000;
/** The round, counted down, in which something changes. */
const CHANGE = 700;
const FAR = 0x18_0000;
const OTHER = 0x19_0000;
const FUNCTION = 'callee: add rax, 1; jc never; ret; never: sub rax, 5; ret';

for (const [engine, translation] of [...ENGINES, VERIFIED]) {
  const guestWith = (body: string, callees: Readonly<Record<number, string>>) => {
    const guest = createGuest({ translation });
    for (const [at, text] of Object.entries(callees)) guest.load(Number(at), text);
    guest.load(AT.code, `again: ${body}; after: dec ecx; jnz again; hlt`);
    guest.set({ rcx: ROUNDS });
    return guest;
  };

  test(`a callee that is written over does what is new (${engine})`, () => {
    const change = `cmp ecx, ${CHANGE}; jne same; mov byte [callee+3], 3; same: nop`;
    const guest = guestWith(`call callee; ${change}`, { [FAR]: FUNCTION });
    assert.equal(guest.go(AT.code), 'halted');
    assert.equal(guest.get('rax'), BigInt(ROUNDS - CHANGE + 1 + 3 * (CHANGE - 1)));
  });

  for (const [how, flush] of [
    ['INVLPG', 'invlpg [callee]'],
    ['a load of CR3', 'mov rdi, cr3; mov cr3, rdi'],
  ]) {
    test(`a callee whose page is another by ${how} is another (${engine})`, () => {
      const change = `cmp ecx, ${CHANGE}; jne same; mov [rdx], rbx; ${flush}; same: nop`;
      const guest = guestWith(`call callee; ${change}`, { [FAR]: FUNCTION });
      guest.place(FAR, OTHER, 'add rax, 7; ret');
      guest.set({ rdx: guest.entryAddress(BigInt(FAR)), rbx: BigInt(OTHER) | PAGE.all });
      assert.equal(guest.go(AT.code), 'halted');
      assert.equal(guest.get('rax'), BigInt(ROUNDS - CHANGE + 1 + 7 * (CHANGE - 1)));
    });
  }

  test(`one callee called from several places, and from others and itself, returns to each (${engine})`, () => {
    const guest = guestWith('call callee; add rbx, 1; call callee; add rbx, 2; call outer; call deep', {
      [FAR]: FUNCTION,
      [FAR + 0x1000]: 'outer: call callee; add rbx, 4; call callee; add rbx, 8; ret',
      [FAR + 0x2000]: 'deep: mov r8d, 5; down: call deeper; ret; deeper: dec r8; jz out; call deeper; out: inc r9; ret',
    });
    assert.equal(guest.go(AT.code), 'halted');
    const [rax, rbx, r9] = (['rax', 'rbx', 'r9'] as const).map((name) => guest.get(name) / BigInt(ROUNDS));
    assert.deepEqual([rax, rbx, r9], [4n, 15n, 5n]);
    assert.equal(guest.get('rsp'), BigInt(AT.stack));
  });

  test(`callees in more pages than a region may have (${engine})`, () => {
    const pages = Array.from({ length: 8 }, (_, i) => FAR + 0x1000 * i);
    const callees = Object.fromEntries(pages.map((at, i) => [at, `f${i}: add rax, ${1 << i}; ret`]));
    const guest = guestWith(pages.map((_, i) => `call f${i}`).join('; '), callees);
    assert.equal(guest.go(AT.code), 'halted');
    assert.equal(guest.get('rax'), BigInt(255 * ROUNDS));
  });

  test(`a fault in a callee shows the state there (${engine})`, () => {
    const guest = guestWith(`xor esi, esi; cmp ecx, ${CHANGE}; cmove rsi, rbp; call callee`, {
      [FAR]: 'callee: add rax, 1; add rbx, rax; refused: mov rdx, [rsi+data]; ret',
    });
    guest.set({ rbp: 1n << 60n });
    guest.go(AT.code);
    const [{ vector, rip, gpr, flags }] = guest.caught;
    const done = BigInt(ROUNDS - CHANGE + 1);
    assert.deepEqual([vector, rip], [13, BigInt(guest.labels.refused)]);
    assert.deepEqual([gpr[0], gpr[3], gpr[4]], [done, (done * (done + 1n)) / 2n, BigInt(AT.stack - 8)]);
    assert.equal(flags & 0x41, 0, 'CF and ZF of the addition');
    assert.equal(guest.readQuad(AT.stack - 8), BigInt(guest.labels.after));
  });

  test(`a callee that jumps to another, as stubs of shared libraries do, returns where that does (${engine})`, () => {
    const guest = guestWith(
      `cmp ecx, ${CHANGE}; mov rsi, r9; cmove rsi, r10; mov [data], rsi; call stub; add rbx, 1; jmp after; elsewhere: add rbx, 9`,
      {
        [FAR]: 'stub: endbr64; jmp qword [data]',
        [OTHER]: 'most: add rax, 1; ret',
        [OTHER + 0x1000]: 'once: mov [rsp], r11; add rax, 3; ret',
      },
    );
    guest.set({ r9: BigInt(guest.labels.most), r10: BigInt(guest.labels.once), r11: BigInt(guest.labels.elsewhere) });
    assert.equal(guest.go(AT.code), 'halted');
    assert.deepEqual([guest.get('rax'), guest.get('rbx')], [BigInt(ROUNDS + 2), BigInt(ROUNDS + 8)]);
    assert.equal(guest.get('rsp'), BigInt(AT.stack));
  });

  test(`a callee that returns elsewhere is followed (${engine})`, () => {
    const guest = guestWith(
      `mov rdx, after; cmp ecx, ${CHANGE}; mov rsi, elsewhere; cmove rdx, rsi; call callee; jmp after; elsewhere: add rbx, 9`,
      {
        [FAR]: 'callee: mov [rsp], rdx; add rax, 1; ret',
      },
    );
    assert.equal(guest.go(AT.code), 'halted');
    assert.deepEqual([guest.get('rax'), guest.get('rbx')], [BigInt(ROUNDS), 9n]);
  });
}
