/** Pages that come, go and move under code that has just used them: nothing of them may be remembered. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AT, createGuest, ENGINES, type Guest, PAGE } from './guest.ts';

/** A page that the guest moves about, and the two frames that it shows. */
const WINDOW = 0x30_0000n;
const FRAME = { first: 0x11_0000, second: 0x11_1000 } as const;
const ROUNDS = 1000;
/** The round, counting down, in which things change. */
const MOVE = 400;

function windowed(translation: Parameters<typeof createGuest>[0]): { guest: Guest; entry: number } {
  const guest = createGuest(translation);
  guest.mapPage(WINDOW, BigInt(FRAME.first) | PAGE.all);
  guest.quad(FRAME.first, 1n);
  guest.quad(FRAME.second, 1000n);
  return { guest, entry: guest.entryAddress(WINDOW) };
}

/** What a guest may do about its own page table; RDX holds the entry's address. */
const POINT = `mov rax, ${FRAME.second + 7}; mov [rdx], rax`;
const WAYS: readonly (readonly [string, string])[] = [
  ['INVLPG', `${POINT}; invlpg [rdi]`],
  ['a load of CR3', `${POINT}; mov rax, cr3; mov cr3, rax`],
  ['a change of CR4.PGE', `${POINT}; mov rax, cr4; xor eax, 0x80; mov cr4, rax`],
];

/** The loop reads and writes through one base register. */
const loop = (middle: string) => `
  again: add rbx, [rdi]
  inc qword [rdi+8]
  ${middle}
  add rbp, [rdi]
  inc qword [rdi+16]
  dec ecx
  jnz again
  hlt`;

function expectMoved(guest: Guest, what: string): void {
  const rounds = BigInt(ROUNDS - MOVE);
  assert.deepEqual(guest.caught, [], what);
  assert.equal(guest.get('rbx'), rounds + 1n + BigInt(MOVE - 1) * 1000n, `${what}: reads before`);
  assert.equal(guest.get('rbp'), rounds + BigInt(MOVE) * 1000n, `${what}: reads behind`);
  const words = [FRAME.first, FRAME.second].map((frame) => [guest.readQuad(frame + 8), guest.readQuad(frame + 16)]);
  assert.deepEqual(
    words,
    [
      [rounds + 1n, rounds],
      [BigInt(MOVE - 1), BigInt(MOVE)],
    ],
    `${what}: writes`,
  );
}

for (const [engine, translation] of ENGINES) {
  for (const [way, code] of WAYS) {
    test(`${way} in a function called by a loop moves the loop's page at once (${engine})`, () => {
      const { guest, entry } = windowed({ translation });
      guest.load(0x5000, `move: cmp ecx, ${MOVE}; jne same; ${code}; same: ret`);
      guest.load(AT.code, loop('call move'));
      guest.set({ rdi: WINDOW, rdx: entry, rcx: ROUNDS });
      assert.equal(guest.go(AT.code), 'halted');
      expectMoved(guest, 'called');
    });

    test(`${way} in the loop itself moves its page at once (${engine})`, () => {
      const { guest, entry } = windowed({ translation });
      guest.load(AT.code, loop(`cmp ecx, ${MOVE}; jne same; ${code}; same: nop`));
      guest.set({ rdi: WINDOW, rdx: entry, rcx: ROUNDS });
      assert.equal(guest.go(AT.code), 'halted');
      expectMoved(guest, 'in line');
    });

    test(`${way} in an exception's handler moves the page of the code that it interrupts (${engine})`, () => {
      const { guest, entry } = windowed({ translation });
      guest.load(AT.handler, `push rax; cmp ecx, ${MOVE}; jne same; ${code}; same: pop rax; iretq`);
      guest.gate64(3, AT.handler);
      guest.load(AT.code, loop('int3'));
      guest.set({ rdi: WINDOW, rdx: entry, rcx: ROUNDS });
      assert.equal(guest.go(AT.code), 'halted');
      assert.deepEqual(
        guest.caught.filter((c) => c.vector !== 3),
        [],
      );
      guest.caught.length = 0;
      expectMoved(guest, 'interrupted');
    });
  }

  test(`a device's interrupt whose handler moves a page is as good as a call (${engine})`, () => {
    let raised = false;
    const { guest, entry } = windowed({
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
    guest.load(AT.handler, `push rax; ${POINT}; invlpg [rdi]; pop rax; iretq`);
    guest.gate64(0x40, AT.handler);
    guest.load(AT.code, `sti; nop; ${loop(`cmp ecx, ${MOVE}; jne same; out 0x80, al; same: nop`)}`);
    guest.set({ rdi: WINDOW, rdx: entry, rcx: ROUNDS });
    guest.state.rip = BigInt(AT.code);
    guest.vcpu.run(ROUNDS * 20);
    expectMoved(guest, 'by a device');
  });

  for (const [what, bits, error] of [
    ['write-protects', 5n, 3],
    ['unmaps', 0n, 2],
  ] as const) {
    test(`a callee that ${what} a page makes the next write of its caller fault (${engine})`, () => {
      const { guest, entry } = windowed({ translation });
      guest.load(
        0x5000,
        `move: cmp ecx, ${MOVE}; jne same; mov rax, ${BigInt(FRAME.first) | bits}; and rax, ${bits === 0n ? 0 : -1}
        mov [rdx], rax; invlpg [rdi]; same: ret`,
      );
      guest.load(AT.code, 'again: mov [rdi+0x20], rcx; call move; site: mov [rdi+0x28], rcx; dec ecx; jnz again; hlt');
      guest.set({ rdi: WINDOW, rdx: entry, rcx: ROUNDS });
      assert.equal(guest.go(AT.code), 'shut down');
      const [first] = guest.caught;
      assert.deepEqual(
        [first.vector, first.error, first.cr2, first.rip, first.gpr[1], first.gpr[4]],
        [14, error, WINDOW + 0x28n, BigInt(guest.labels.site), BigInt(MOVE), BigInt(AT.stack)],
      );
      assert.equal(guest.readQuad(FRAME.first + 0x28), BigInt(MOVE + 1));
    });
  }

  test(`a page of zeros that is written by another register is not zero any more (${engine})`, () => {
    for (const [name, other] of [
      ['the same address', WINDOW],
      ['another address', WINDOW + 0x1000n],
    ] as const) {
      const guest = createGuest({ translation });
      // Two linear addresses of a frame that was never written.
      guest.mapPage(WINDOW, 0x12_0000n | PAGE.all);
      guest.mapPage(WINDOW + 0x1000n, 0x12_0000n | PAGE.all);
      guest.load(
        AT.code,
        `
        again: add rbx, [rdi]
        cmp ecx, ${MOVE}
        jne same
        mov [rsi], rcx
        same: add rbp, [rdi]
        dec ecx
        jnz again
        hlt`,
      );
      guest.set({ rdi: WINDOW, rsi: other, rcx: ROUNDS, rbx: 0, rbp: 0 });
      assert.equal(guest.go(AT.code), 'halted');
      assert.deepEqual([guest.get('rbx'), guest.get('rbp')], [BigInt(MOVE * (MOVE - 1)), BigInt(MOVE * MOVE)], name);
    }
  });

  test(`a device that writes to RAM while the guest calls it is seen at once (${engine})`, () => {
    for (const frame of [0x12_0000, FRAME.first]) {
      const { guest } = windowed({
        translation,
        environment: { ports: { read: () => 0, write: () => guest.write(frame + 0x40, [5]) } },
      });
      // One frame holds data, the other was never written: the device gives it memory of its own.
      guest.mapPage(WINDOW, BigInt(frame) | PAGE.all);
      guest.load(
        AT.code,
        `
        again: add rbx, [rdi+0x40]
        cmp ecx, ${MOVE}
        jne same
        out 0x80, al
        same: add rbp, [rdi+0x40]
        dec ecx
        jnz again
        hlt`,
      );
      guest.set({ rdi: WINDOW, rcx: ROUNDS });
      assert.equal(guest.go(AT.code), 'halted');
      assert.deepEqual([guest.get('rbx'), guest.get('rbp')], [BigInt((MOVE - 1) * 5), BigInt(MOVE * 5)]);
    }
  });
}
