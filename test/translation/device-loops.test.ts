/** Device memory inside hot loops: each access once, in order, whole where the bus takes it whole. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AT, createGuest, ENGINES } from './guest.ts';

const ROUNDS = 600;
/** The device at a linear address of its own, behind a page of RAM. */
const EDGE = 0x30_0000n;
const RAM = 0x12_0000;

/** What the device answers: each byte of its memory is known by its address. */
const answer = (address: number, size: number): number => {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = value * 256 + ((address + i + 0x11) & 0xff);
  return value;
};

/** A loop over one instruction that reaches the device, what the device sees of it each round, and RAX. */
const CASES: readonly (readonly [code: string, accesses: string, rax?: bigint])[] = [
  ['movzx eax, byte [rdi+5]', 'r 5 1', 0x16n],
  ['movzx eax, word [rdi+6]', 'r 6 2', 0x1817n],
  ['mov eax, [rdi+8]', 'r 8 4', 0x1c1b1a19n],
  ['mov rax, [rdi+8]', 'r 8 4, r c 4', 0x201f1e1d1c1b1a19n],
  ['movups xmm0, [rdi+16]; movq rax, xmm0', 'r 10 4, r 14 4, r 18 4, r 1c 4', 0x2827262524232221n],
  ['mov byte [rdi+1], 7', 'w 1 1 7'],
  ['mov word [rdi+2], 0x1234', 'w 2 2 1234'],
  ['mov dword [rdi+4], 0x12345678', 'w 4 4 12345678'],
  ['mov [rdi+8], rbx', 'w 8 4 89abcdef, w c 4 1234567'],
  ['movups [rdi+16], xmm1', 'w 10 4 89abcdef, w 14 4 1234567, w 18 4 76543210, w 1c 4 fedcba98'],
  ['add dword [rdi+4], 1', 'r 4 4, w 4 4 18171616'],
  ['add [rdi+8], rbx', 'r 8 4, r c 4, w 8 4 a5c6e808, w c 4 21426384'],
  ['inc byte [rdi+3]', 'r 3 1, w 3 1 15'],
  ['lock or dword [rdi+4], 0x100', 'r 4 4, w 4 4 18171715'],
  ['xchg [rdi+4], ebx; mov eax, ebx; mov rbx, r8', 'r 4 4, w 4 4 89abcdef', 0x18171615n],
  ['mov eax, [rsi-2]', 'r 0 2', 0x12115544n],
  ['mov [rsi-1], ebx', 'w 0 2 abcd, w 2 1 89'],
  ['add dword [rsi-2], 0', 'r 0 2, w 0 2 1211'],
  ['movups xmm0, [rsi-12]; psrldq xmm0, 8; movq rax, xmm0', 'r 0 4', 0x1413_1211_5544_0000n],
  ['push qword [rdi+8]; pop rax', 'r 8 4, r c 4', 0x201f1e1d1c1b1a19n],
  ['addsd xmm2, [rdi+8]', 'r 8 4, r c 4'],
  ['cmp dword [rdi], 5', 'r 0 4'],
  ['test byte [rdi+7], 1', 'r 7 1'],
  ['mov eax, [rdi]; mov [rdi+4], eax; mov eax, [rdi+8]', 'r 0 4, w 4 4 14131211, r 8 4', 0x1c1b1a19n],
];

for (const [engine, translation] of ENGINES) {
  const build = () => {
    const log: string[] = [];
    const guest = createGuest({
      translation,
      environment: {
        mmio: {
          read(address, size) {
            log.push(`r ${(address - AT.device).toString(16)} ${size}`);
            return answer(address - AT.device, size);
          },
          write(address, size, value) {
            log.push(`w ${(address - AT.device).toString(16)} ${size} ${(value >>> 0).toString(16)}`);
          },
        },
      },
    });
    guest.mapPage(EDGE - 0x1000n, BigInt(RAM) | 7n);
    guest.mapPage(EDGE, BigInt(AT.device) | 7n);
    return { guest, log };
  };

  test(`an access to a device happens once a round, and in order (${engine})`, () => {
    const { guest, log } = build();
    for (const [code, accesses, rax] of CASES) {
      log.length = 0;
      guest.write(RAM + 0xff0, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x44, 0x55]);
      guest.load(AT.code, `again: ${code}; dec ecx; jnz again; hlt`);
      guest.set({ rdi: EDGE, rsi: EDGE, rcx: ROUNDS, rbx: 0x0123_4567_89ab_cdefn, r8: 0x0123_4567_89ab_cdefn });
      guest.state.xmm.set([0x0123_4567_89ab_cdefn, 0xfedc_ba98_7654_3210n], 4);
      assert.equal(guest.go(AT.code), 'halted', code);
      assert.deepEqual(guest.caught, [], code);
      const round = accesses.split(', ');
      assert.deepEqual(log.slice(0, round.length), round, code);
      assert.equal(log.length, ROUNDS * round.length, code);
      assert.ok(
        log.every((entry, i) => entry === round[i % round.length]),
        code,
      );
      if (rax !== undefined) assert.equal(guest.get('rax'), rax, code);
    }
    assert.equal(guest.hasTranslated(), translation !== undefined);
  });

  test(`a loop that goes from RAM to a device by the same register and back (${engine})`, () => {
    const { guest, log } = build();
    guest.load(
      AT.code,
      'again: mov eax, [rdi]; add rbx, rax; mov [rdi+4], ecx; xchg rdi, rsi; dec ecx; jnz again; hlt',
    );
    guest.set({ rdi: EDGE - 0x800n, rsi: EDGE, rcx: ROUNDS });
    guest.write(RAM + 0x800, [3]);
    assert.equal(guest.go(AT.code), 'halted');
    assert.equal(guest.get('rbx'), BigInt(ROUNDS / 2) * (3n + 0x14131211n));
    const expected = Array.from({ length: ROUNDS / 2 }, (_, i) => [
      'r 0 4',
      `w 4 4 ${(ROUNDS - 1 - 2 * i).toString(16)}`,
    ]);
    assert.deepEqual(log, expected.flat());
    assert.deepEqual(guest.read(RAM + 0x804, 2), [2, 0]);
  });

  test(`a page of RAM that becomes a device, and a device's that becomes RAM (${engine})`, () => {
    for (const first of [RAM, AT.device]) {
      const { guest, log } = build();
      const second = first === RAM ? AT.device : RAM;
      guest.write(RAM, [3]);
      guest.mapPage(EDGE, BigInt(first) | 7n);
      guest.load(0x5000, 'move: cmp ecx, 100; jne same; mov [rdx], rbp; invlpg [rdi]; same: ret');
      guest.load(AT.code, 'again: mov eax, [rdi]; call move; add rbx, rax; mov [rdi+8], ecx; dec ecx; jnz again; hlt');
      guest.set({ rdi: EDGE, rcx: ROUNDS, rdx: guest.entryAddress(EDGE), rbp: second | 7 });
      assert.equal(guest.go(AT.code), 'halted');
      const before = BigInt(ROUNDS - 99);
      const [inRam, inDevice] = first === RAM ? [before, 99n] : [99n, before];
      assert.equal(guest.get('rbx'), inRam * 3n + inDevice * 0x14131211n);
      // The read of the round in which it moved goes to the first, the write to the second.
      const writes = log.filter((entry) => entry.startsWith('w'));
      assert.equal(writes.length, first === RAM ? 100 : ROUNDS - 100);
      assert.equal(log.length - writes.length, Number(inDevice));
    }
  });

  test(`a device's callback that moves a page is obeyed by the next access (${engine})`, () => {
    const guest = createGuest({
      translation,
      environment: {
        mmio: {
          read: () => 0,
          // A bus master changes the page table; the guest then flushes.
          write: () => guest.quad(guest.entryAddress(EDGE + 0x1000n), BigInt(RAM + 0x1000) | 7n),
        },
      },
    });
    guest.mapPage(EDGE, BigInt(AT.device) | 7n);
    guest.mapPage(EDGE + 0x1000n, BigInt(RAM) | 7n);
    guest.quad(RAM, 1n);
    guest.quad(RAM + 0x1000, 1000n);
    guest.load(
      AT.code,
      'again: add rbx, [rsi]; cmp ecx, 100; jne same; mov [rdi], eax; invlpg [rsi]; same: add rbp, [rsi]; dec ecx; jnz again; hlt',
    );
    guest.set({ rdi: EDGE, rsi: EDGE + 0x1000n, rcx: ROUNDS });
    assert.equal(guest.go(AT.code), 'halted');
    assert.deepEqual([guest.get('rbx'), guest.get('rbp')], [501n + 99n * 1000n, 500n + 100n * 1000n]);
  });
}
