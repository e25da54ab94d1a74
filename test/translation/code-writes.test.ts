/** Code that changes code: what runs next is what stands in memory then. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AT, createGuest, ENGINES, PAGE } from './guest.ts';

const ROUNDS = 1200;
const CHANGE = 500;
/** ADD RBX, 1 has its immediate in the last of four bytes. */
const BEFORE = BigInt(ROUNDS - CHANGE);
const AFTER = BigInt(CHANGE);

const REWRITTEN = 'the next one, in every round';

for (const [engine, translation] of ENGINES) {
  /** Expects that RBX grew by 1 a round until the change and by 16 from it on; `late`: the change counts a round later. */
  const expectPatched = (guest: ReturnType<typeof createGuest>, what: string, late = 0n) => {
    assert.deepEqual(guest.caught, [], what);
    assert.equal(guest.get('rbx'), BEFORE + late + (AFTER - late) * 16n, what);
    // Code that is written in every round need not become hot.
    if (what !== REWRITTEN) assert.equal(guest.hasTranslated(), translation !== undefined, what);
  };
  const PATCH = `cmp ecx, ${CHANGE}; jne same; mov byte [rdi+3], 16; same: nop`;

  test(`a callee that patches its caller behind the call (${engine})`, () => {
    for (const [what, callee] of [
      ['in the same page', AT.code + 0x100],
      ['from another page', 0x5000],
    ] as const) {
      const guest = createGuest({ translation });
      guest.load(callee, `patch: ${PATCH}; ret`);
      guest.load(AT.code, 'again: call patch; site: add rbx, 1; dec ecx; jnz again; hlt');
      guest.set({ rcx: ROUNDS, rdi: guest.labels.site });
      assert.equal(guest.go(AT.code), 'halted');
      expectPatched(guest, what);
    }
  });

  test(`a callee of a callee that patches the first caller, two calls deep (${engine})`, () => {
    const guest = createGuest({ translation });
    guest.load(0x5000, `patch: ${PATCH}; ret`);
    guest.load(0x4000, 'middle: call patch; add rsi, 1; ret');
    guest.load(AT.code, 'again: call middle; site: add rbx, 1; dec ecx; jnz again; hlt');
    guest.set({ rcx: ROUNDS, rdi: guest.labels.site });
    assert.equal(guest.go(AT.code), 'halted');
    expectPatched(guest, 'two deep');
    assert.equal(guest.get('rsi'), BigInt(ROUNDS));
  });

  test(`a loop that patches the next instruction, an earlier one and one in another block (${engine})`, () => {
    for (const [what, code, late] of [
      ['the next instruction', `again: ${PATCH}; site: add rbx, 1; dec ecx; jnz again; hlt`, 0n],
      ['an earlier one', `again: site: add rbx, 1; ${PATCH}; dec ecx; jnz again; hlt`, 1n],
      [
        REWRITTEN,
        `again: cmp ecx, ${CHANGE}; cmove rdx, rsi; mov [rdi+3], dl; site: add rbx, 1; dec ecx; jnz again; hlt`,
        0n,
      ],
      ['another block', `again: ${PATCH}; test esp, esp; jz skip; site: add rbx, 1; skip: dec ecx; jnz again; hlt`, 0n],
    ] as const) {
      const guest = createGuest({ translation });
      guest.load(AT.code, code);
      guest.set({ rcx: ROUNDS, rdi: guest.labels.site, rdx: 1, rsi: 16 });
      assert.equal(guest.go(AT.code), 'halted');
      expectPatched(guest, what, late);
    }
  });

  test(`code that is patched by another linear address, or in other ways than by a plain store (${engine})`, () => {
    for (const [what, patch] of [
      ['an alias', PATCH],
      [
        'a write over two pages that ends there',
        `cmp ecx, ${CHANGE}; jne same; mov rax, 0x10c3834800000000; mov [rdi-4], rax; same: nop`,
      ],
      [
        'a string move',
        `cmp ecx, ${CHANGE}; jne same; push rcx; push rdi; mov al, 16; mov ecx, 1; add rdi, 3; rep stosb; pop rdi; pop rcx; same: nop`,
      ],
      ['a locked operation', `cmp ecx, ${CHANGE}; jne same; mov al, 15; lock xadd [rdi+3], al; same: nop`],
    ] as const) {
      const guest = createGuest({ translation });
      const alias = 0x30_1000n;
      guest.mapPage(alias - 0x1000n, 0x12_0000n | PAGE.all);
      guest.mapPage(alias, 0x5000n | PAGE.all);
      guest.load(0x5000, 'site: add rbx, 1; ret');
      guest.load(AT.code, `again: ${patch}; call site; dec ecx; jnz again; hlt`);
      guest.set({ rcx: ROUNDS, rdi: alias });
      assert.equal(guest.go(AT.code), 'halted');
      expectPatched(guest, what);
    }
  });

  test(`a loop over two and three pages of which only the last is written, or comes to show another frame (${engine})`, () => {
    for (const pages of [2, 3]) {
      for (const [what, change] of [
        ['written', 'mov byte [rdi+3], 16'],
        ['written by an alias', 'mov byte [rsi+3], 16'],
        ['moved', 'mov [rbp], rdx; invlpg [rdi]'],
        ['moved, all forgotten', 'mov [rbp], rdx; mov rax, cr3; mov cr3, rax'],
      ] as const) {
        const guest = createGuest({ translation });
        const last = 0x30_0000 + (pages - 1) * 0x1000;
        for (let page = 0; page < pages; page++)
          guest.mapPage(0x30_0000 + page * 0x1000, (0x12_0000n + BigInt(page * 0x2000)) | PAGE.all);
        const frame = 0x12_0000 + (pages - 1) * 0x2000;
        guest.mapPage(0x31_0000n, BigInt(frame) | PAGE.all);
        const middle = pages === 3 ? 0x30_1000 : last;
        const body = (at: number, text: string, by: number) => {
          // The page's contents, made for its linear address and placed in its frame.
          guest.place(at, by, text, { first: 0x30_0000, middle, last, done: AT.code + 0x800 });
        };
        body(0x30_0000, `cmp ecx, ${CHANGE}; jne same; ${change}; same: jmp middle`, 0x12_0000);
        if (pages === 3) body(0x30_1000, 'inc r8; jmp last', 0x12_2000);
        for (const [to, amount] of [
          [frame, 1],
          [0x12_8000, 16],
        ]) {
          body(last, `add rbx, ${amount}; dec ecx; jnz first; jmp done`, to);
        }
        guest.load(AT.code, 'start: jmp r9');
        guest.load(AT.code + 0x800, 'hlt');
        guest.set({
          rcx: ROUNDS,
          rdi: last,
          rsi: 0x31_0000,
          rbp: guest.entryAddress(BigInt(last)),
          rdx: 0x12_8007,
          r9: 0x30_0000,
        });
        assert.equal(guest.go(AT.code), 'halted', what);
        expectPatched(guest, `${pages} pages, ${what}`);
        assert.equal(guest.get('r8'), pages === 3 ? BigInt(ROUNDS) : 0n);
      }
    }
  });

  test(`an instruction across two pages of which only the second changes (${engine})`, () => {
    for (const [what, change] of [
      ['written', 'mov byte [rdi+1], 16'],
      ['moved', 'mov [rbp], rdx; invlpg [rdi]'],
    ] as const) {
      const guest = createGuest({ translation });
      guest.mapPage(0x30_0000, 0x12_0000n | PAGE.all);
      guest.mapPage(0x30_1000, 0x12_2000n | PAGE.all);
      // ADD RBX, imm8 with two bytes on either side.
      guest.write(0x12_0ffe, [0x48, 0x83]);
      guest.write(0x12_2000, [0xc3, 1, 0xc3]);
      guest.write(0x12_8000, [0xc3, 16, 0xc3]);
      guest.load(AT.code, `again: cmp ecx, ${CHANGE}; jne same; ${change}; same: call r9; dec ecx; jnz again; hlt`);
      guest.set({ rcx: ROUNDS, rdi: 0x30_1000, rbp: guest.entryAddress(0x30_1000n), rdx: 0x12_8007, r9: 0x30_0ffe });
      assert.equal(guest.go(AT.code), 'halted', what);
      expectPatched(guest, what);
    }
  });

  test(`a device that writes over the code that calls it, and over its caller (${engine})`, () => {
    for (const inner of [false, true]) {
      const guest = createGuest({
        translation,
        environment: { ports: { read: () => 0, write: () => guest.write(guest.labels.site + 3, [16]) } },
      });
      const knock = `cmp ecx, ${CHANGE}; jne same; out 0x80, al; same: nop`;
      guest.load(0x5000, `knock: ${knock}; ret`);
      guest.load(AT.code, `again: ${inner ? 'call knock' : knock}; site: add rbx, 1; dec ecx; jnz again; hlt`);
      guest.set({ rcx: ROUNDS });
      assert.equal(guest.go(AT.code), 'halted');
      expectPatched(guest, inner ? 'two deep' : 'direct');
    }
  });

  test(`code that is written again and again stays right (${engine})`, () => {
    const guest = createGuest({ translation });
    guest.load(0x5000, 'site: add rbx, 1; ret');
    guest.load(AT.code, 'again: mov [rdi+3], cl; call site; dec ecx; jnz again; hlt');
    guest.set({ rcx: 2000, rdi: guest.labels.site });
    assert.equal(guest.go(AT.code), 'halted');
    let expected = 0n;
    for (let i = 1; i <= 2000; i++) expected += BigInt.asIntN(8, BigInt(i));
    assert.equal(guest.get('rbx'), BigInt.asUintN(64, expected));
  });
}
