/** Locked operations in hot loops, aligned or not, with their results, their flags and what stays as it was. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AT, createGuest, ENGINES } from './guest.ts';

const ROUNDS = 700;
/** Aligned; not; across a line; across a page whose second half is another frame. */
const PLACES = [0x10_0000, 0x10_0003, 0x10_003e, 0x30_0ffdn] as const;
const WIDE_PLACES = [0x10_0000, 0x10_0040, 0x30_0ff0n] as const;

const VARIANTS = ENGINES.flatMap(
  ([engine, translation]) =>
    [
      [engine, translation, {}],
      [`${engine}, for several threads`, translation, { exclusively: (work: () => void) => work() }],
    ] as const,
);

for (const [engine, translation, environment] of VARIANTS) {
  const build = () => {
    const guest = createGuest({ translation, environment });
    guest.mapPage(0x30_0000n, 0x12_0000n | 7n);
    guest.mapPage(0x30_1000n, 0x12_4000n | 7n);
    return guest;
  };

  test(`locked additions add up wherever they are (${engine})`, () => {
    const guest = build();
    for (const place of PLACES) {
      for (const [code, total, rbx] of [
        ['lock add qword [rdi], 3', 3 * ROUNDS, 0],
        ['lock inc dword [rdi]', ROUNDS, 0],
        ['lock sub dword [rdi], -1', ROUNDS, 0],
        ['mov eax, 2; lock xadd [rdi], eax; add rbx, rax', 2 * ROUNDS, ROUNDS * (ROUNDS - 1)],
        ['lock bts dword [rdi], 5; adc rbx, 0', 32, ROUNDS - 1],
        ['lock xor dword [rdi], 1', 0, 0],
        ['lock dec qword [rdi]; neg qword [rdi]; lock neg qword [rdi]', -ROUNDS, 0],
        ['mov rax, rcx; xchg [rdi], rax; sub rbx, rax', 1, 0],
      ] as const) {
        guest.load(AT.code, `mov qword [rdi], 0; again: ${code}; dec ecx; jnz again; hlt`);
        guest.set({ rdi: place, rcx: ROUNDS, rbx: 0 });
        assert.equal(guest.go(AT.code), 'halted');
        assert.deepEqual(guest.caught, [], code);
        guest.load(AT.code, 'mov rax, [rdi]; hlt');
        guest.go(AT.code);
        const name = `${code} at ${place.toString(16)}`;
        assert.equal(BigInt.asIntN(64, guest.get('rax')), BigInt(total), name);
        const sum = code.includes('xchg') ? -BigInt((ROUNDS * (ROUNDS + 1)) / 2 - 1) : BigInt(rbx);
        assert.equal(BigInt.asIntN(64, guest.get('rbx')), sum, name);
      }
    }
    assert.equal(guest.hasTranslated(), translation !== undefined);
  });

  test(`a comparison and exchange that fails writes what it read, and loads it (${engine})`, () => {
    const guest = build();
    for (const place of PLACES) {
      // Succeeds in every other round.
      guest.load(
        AT.code,
        'mov qword [rdi], 0; again: mov rdx, [rdi]; mov rax, rdx; test ecx, 1; jz equal; inc rax; equal: lea rsi, [rdx+5]; lock cmpxchg [rdi], rsi; setz r8b; movzx r8d, r8b; add rbx, r8; xor rax, rdx; or rbp, rax; dec ecx; jnz again; mov rax, [rdi]; hlt',
      );
      guest.set({ rdi: place, rcx: ROUNDS, rbx: 0, rbp: 0 });
      assert.equal(guest.go(AT.code), 'halted');
      const won = BigInt(ROUNDS / 2);
      assert.deepEqual([guest.get('rbx'), guest.get('rax'), guest.get('rbp')], [won, 5n * won, 0n], place.toString(16));
    }
  });

  test(`eight and sixteen bytes are compared and exchanged (${engine})`, () => {
    const guest = build();
    for (const [code, places] of [
      ['lock cmpxchg8b [rdi]', PLACES],
      ['lock cmpxchg16b [rdi]', WIDE_PLACES],
      ['cmpxchg16b [rdi]', WIDE_PLACES],
    ] as const) {
      for (const place of places) {
        guest.load(
          AT.code,
          `xor eax, eax; mov [rdi], rax; mov [rdi+8], rax; mov edx, 0; mov ebx, 1; mov r9d, 0
          again: lea ecx, [rbx+0x100]; ${code}; jnz failed; inc r9; mov eax, ebx; mov edx, ecx; inc ebx; failed: dec ebp; jnz again; ${code}; hlt`,
        );
        guest.set({ rdi: place, rbp: ROUNDS, rbx: 0 });
        assert.equal(guest.go(AT.code), 'halted');
        assert.deepEqual(guest.caught, []);
        assert.equal(guest.get('r9'), BigInt(ROUNDS), `${code} at ${place.toString(16)}`);
        assert.equal(guest.get('rax'), BigInt(ROUNDS));
      }
    }
  });

  test(`sixteen bytes that are not aligned are refused, with nothing changed (${engine})`, () => {
    const guest = build();
    guest.load(AT.code, 'again: lock cmpxchg16b [rdi]; dec ebp; jnz again; mov rdi, rsi; inc ebp; jmp again');
    guest.set({ rdi: AT.data, rsi: AT.data + 8, rbp: ROUNDS, rax: 1, rdx: 2, rbx: 3, rcx: 4 });
    assert.equal(guest.go(AT.code), 'shut down');
    const [fault] = guest.caught;
    assert.deepEqual([fault.vector, fault.error, fault.rip], [13, 0, BigInt(AT.code)]);
    assert.deepEqual([fault.gpr[0], fault.gpr[2], fault.gpr[3], fault.gpr[1]], [3n, 4n, 3n, 4n]);
    assert.deepEqual(
      [guest.readQuad(AT.data), guest.readQuad(AT.data + 8), guest.readQuad(AT.data + 16)],
      [3n, 4n, 0n],
    );
  });

  test(`a locked operation on a page that cannot be written faults before it reads (${engine})`, () => {
    for (const code of [
      'lock add [rdi], rbx',
      'xchg [rdi], rbx',
      'lock cmpxchg [rdi], rbx',
      'lock xadd [rdi], rbx',
      'lock cmpxchg8b [rdi]',
    ]) {
      const guest = build();
      guest.mapPage(0x30_1000n, 0x12_4000n | 5n);
      guest.load(AT.code, `again: site: ${code}; dec ebp; jnz again; mov rdi, rsi; jmp again`);
      for (const bad of [0x30_1008n, 0x30_0ffcn]) {
        guest.caught.length = 0;
        guest.set({ rdi: AT.data, rsi: bad, rbp: ROUNDS, rbx: 5, rax: 0 });
        assert.equal(guest.go(AT.code), 'shut down', code);
        const [fault] = guest.caught;
        const cr2 = bad < 0x30_1000n ? 0x30_1000n : bad;
        assert.deepEqual(
          [fault.vector, fault.error, fault.cr2, fault.rip],
          [14, 3, cr2, BigInt(guest.labels.site)],
          code,
        );
        assert.deepEqual(guest.read(0x12_0ffc, 4), [0, 0, 0, 0], code);
      }
    }
  });

  test(`LOCK before what cannot be locked is an undefined opcode (${engine})`, () => {
    for (const bytes of [
      [0xf0, 0x01, 0xd8],
      [0xf0, 0x8b, 0x07],
      [0xf0, 0x83, 0x3f, 0],
    ]) {
      const guest = build();
      guest.load(AT.code, 'again: inc rbx; dec ebp; jnz again');
      guest.set({ rdi: AT.data, rbp: ROUNDS });
      const end = AT.code + 11;
      guest.write(end, bytes);
      assert.equal(guest.go(AT.code), 'shut down');
      assert.deepEqual(
        [guest.caught[0].vector, guest.caught[0].rip, guest.get('rbx')],
        [6, BigInt(end), BigInt(ROUNDS)],
      );
    }
  });
}
