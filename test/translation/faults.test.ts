/** Faults in hot code: the state that their handlers find is the one before the instruction. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AT, createGuest, ENGINES, PAGE } from './guest.ts';

const ROUNDS = 700;
const AF = 0x10;
const CF = 1;
const ZF = 0x40;
const PF = 4;

const NULLS = [0n, 8n, 0xff8n, 0x1000n - 8n];
/** Where a canonical address would need other upper bits, and addresses that need special care. */
const NON_CANONICAL = [
  0x4000_0000_0000_0000n,
  0x8000_0000_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0008n,
  0x8000_0000_0000n,
  0x7fff_ffff_fff9n,
  0x7fff_ffff_ffffn,
  0xffff_7fff_ffff_fff8n,
  0x1_0000_0010_0000n << 8n,
];
/** Canonical, and not mapped: -1 (which goes on to address 0), -4096, -8. */
const TOP = [0xffff_ffff_ffff_ffffn, 0xffff_ffff_ffff_f000n, 0xffff_ffff_ffff_fff8n];

/** A loop that reaches good memory through RDI (or RBP) `ROUNDS` times, and then `bad`. */
function poisoned(access: string, register: 'rdi' | 'rbp') {
  return `again: ${access}; dec ecx; jnz again; mov ${register}, rsi; mov ecx, 7; jmp again`;
}

for (const [engine, translation] of ENGINES) {
  test(`an address without memory faults in a loop that has just used another page (${engine})`, () => {
    for (const [what, access, register, write] of [
      ['load', 'site: mov rax, [rdi]', 'rdi', 0],
      ['store', 'site: mov [rdi], rbx', 'rdi', 2],
      ['modify', 'site: add [rdi], rbx', 'rdi', 2],
      ['load by RBP', 'site: mov rax, [rbp+0]', 'rbp', 0],
      ['store by RBP', 'site: mov [rbp+0], rbx', 'rbp', 2],
      ['vector load', 'site: movups xmm0, [rdi]', 'rdi', 0],
    ] as const) {
      const guest = createGuest({ translation });
      guest.mapPage(0, 0);
      guest.load(AT.code, poisoned(access, register));
      for (const bad of [...NULLS, ...NON_CANONICAL, ...TOP]) {
        guest.caught.length = 0;
        guest.set({ [register]: AT.data, rcx: ROUNDS, rsi: bad, rbx: 3, rax: 0 });
        const result = guest.go(AT.code, ROUNDS * 10);
        const name = `${what} ${bad.toString(16)}`;
        assert.equal(result, 'shut down', name);
        const [fault] = guest.caught;
        const size = what === 'vector load' ? 16n : 8n;
        const ends = BigInt.asUintN(64, bad + size - 1n);
        const canonical = (a: bigint) => BigInt.asUintN(64, BigInt.asIntN(48, a)) === a;
        const stack = register === 'rbp';
        // An access that begins at a canonical address and leaves it is as wrong as one outside.
        if (canonical(bad) && canonical(ends)) {
          assert.deepEqual([fault.vector, fault.error], [14, write], name);
          assert.equal(fault.cr2, bad, name);
        } else assert.deepEqual([fault.vector, fault.error], [stack ? 12 : 13, 0], name);
        assert.equal(fault.rip, BigInt(guest.labels.site), name);
        assert.deepEqual([fault.gpr[1], fault.gpr[3]], [7n, 3n], name);
      }
      assert.equal(guest.hasTranslated(), translation !== undefined);
    }
  });

  test(`a call or jump to where no code is faults there (${engine})`, () => {
    for (const how of ['call rdi', 'jmp rdi', 'push rdi; ret']) {
      const guest = createGuest({ translation });
      guest.mapPage(0, 0);
      guest.load(0x5000, how.startsWith('call') ? 'fine: ret' : 'fine: jmp back', 64, { back: 0x1800 });
      guest.load(0x1800, 'back: dec ecx; jnz again; mov rdi, rsi; mov ecx, 7; jmp again', 64, { again: AT.code });
      guest.load(AT.code, `again: ${how.includes('ret') ? `push rdi; site: ret` : `site: ${how}`}; jmp back`, 64);
      for (const bad of [0n, 8n, 0xffff_ffff_ffff_f000n]) {
        guest.caught.length = 0;
        guest.set({ rdi: 0x5000, rcx: ROUNDS, rsi: bad, rsp: AT.stack });
        assert.equal(guest.go(AT.code, ROUNDS * 10), 'shut down');
        const [fault] = guest.caught;
        assert.deepEqual([fault.vector, fault.error, fault.cr2, fault.rip, fault.gpr[1]], [14, 0, bad, bad, 7n], how);
        const pushed = how.startsWith('call') ? 8n : 0n;
        assert.equal(fault.gpr[4], BigInt(AT.stack) - pushed, how);
      }
      for (const bad of [0x4000_0000_0000_0000n, 0x8000_0000_0000n, 0x8000_0000_0000_0000n]) {
        guest.caught.length = 0;
        guest.set({ rdi: 0x5000, rcx: ROUNDS, rsi: bad, rsp: AT.stack });
        assert.equal(guest.go(AT.code, ROUNDS * 10), 'shut down');
        const [fault] = guest.caught;
        // The transfer itself is refused: nothing was pushed or popped.
        const left = how.includes('ret') ? 8n : 0n;
        assert.deepEqual(
          [fault.vector, fault.error, fault.rip, fault.gpr[4]],
          [13, 0, BigInt(guest.labels.site), BigInt(AT.stack) - left],
          `${how} ${bad.toString(16)}`,
        );
      }
    }
  });

  test(`an access over the end of the last page leaves nothing half done (${engine})`, () => {
    const edge = 0x30_0000n;
    for (const [what, access, address, write] of [
      ['load', 'mov rax, [rdi+4]', edge + 0x1000n, 0],
      ['store', 'mov [rdi+4], rbx', edge + 0x1000n, 2],
      ['modify', 'add [rdi+4], rbx', edge + 0x1000n, 2],
      ['exchange', 'xchg [rdi+4], rbx', edge + 0x1000n, 2],
      ['locked add', 'lock xadd [rdi+4], rbx', edge + 0x1000n, 2],
      ['vector store', 'movups [rdi+4], xmm1', edge + 0x1000n, 2],
      ['shift', 'shl qword [rdi+4], 3', edge + 0x1000n, 2],
    ] as const) {
      const guest = createGuest({ translation });
      guest.mapPage(edge, 0x12_0000n | PAGE.all);
      guest.mapPage(edge + 0x1000n, 0);
      guest.load(
        AT.code,
        `again: site: ${access}; dec ecx; jnz again; mov rdi, rsi; mov eax, 5; add eax, -5; jmp again`,
      );
      guest.set({ rdi: edge, rcx: ROUNDS, rsi: edge + 0xff8n, rbx: 0x1234 });
      assert.equal(guest.go(AT.code, ROUNDS * 10), 'shut down', what);
      const [fault] = guest.caught;
      assert.deepEqual(
        [fault.vector, fault.error, fault.cr2, fault.rip],
        [14, write, address, BigInt(guest.labels.site)],
        what,
      );
      assert.deepEqual(guest.read(0x12_0ff8, 8), [0, 0, 0, 0, 0, 0, 0, 0], what);
      // 5 - 5: carry, zero, parity and auxiliary carry.
      assert.equal(fault.flags & 0xffff, 2 | CF | ZF | PF | AF, what);
      assert.equal(fault.gpr[0], 0n, what);
    }
  });

  test(`a fault shows flags that nothing else would ever have read (${engine})`, () => {
    // Each sets flags that the next writer overwrites; the faulting load stands between them.
    for (const [name, setter, flags] of [
      ['add', 'mov eax, 0xffffffff; add eax, 1', CF | ZF | PF | AF],
      ['sub', 'mov eax, 0; sub eax, 1', CF | 0x80 | PF | AF],
      ['cmp', 'mov eax, 5; cmp eax, 5', ZF | PF],
      ['and', 'mov eax, 0x80000000; and eax, -1', 0x80 | PF],
      ['inc', 'mov eax, 0x7fffffff; inc eax', 0x80 | 0x800 | PF | AF],
      ['inc keeps CF', 'stc; mov eax, 1; inc eax', CF],
      ['dec', 'mov eax, 0x80000000; dec eax', 0x800 | PF | AF],
      ['neg', 'mov eax, 1; neg eax', CF | 0x80 | PF | AF],
      ['adc', 'stc; mov eax, 0; adc eax, 0', 0],
      ['shl', 'mov eax, 0xc0000000; shl eax, 1', CF | 0x80 | PF],
      ['bt', 'xor eax, eax; mov eax, 4; bt eax, 2', CF | ZF | PF],
      ['imul', 'mov eax, 0x10000; imul eax, eax', CF | 0x800],
      ['stc', 'xor eax, eax; stc', CF | ZF | PF],
    ] as const) {
      const guest = createGuest({ translation });
      guest.mapPage(0, 0);
      guest.load(
        AT.code,
        `again: ${setter}; site: mov rbx, [rdi]; test esp, esp; dec ecx; jnz again; mov rdi, rsi; jmp again`,
      );
      guest.set({ rdi: AT.data, rcx: ROUNDS, rsi: 0x10 });
      assert.equal(guest.go(AT.code, ROUNDS * 12), 'shut down', name);
      const [fault] = guest.caught;
      // SHL, BT and IMUL leave flags undefined, which no processor need agree about.
      const defined = { shl: ~AF, bt: CF | ZF, imul: CF | 0x800 }[name as 'shl'] ?? ~0;
      assert.equal(fault.flags & 0x8d5 & defined, flags & 0x8d5 & defined, name);
      assert.equal(fault.rip, BigInt(guest.labels.site), name);
    }
  });

  test(`stack operations that fault move nothing (${engine})`, () => {
    const hole = 0x30_0000n;
    for (const [what, code, rsp, cr2, error] of [
      ['push', 'push rbx', hole, hole - 8n, 2],
      ['push of memory', 'push qword [rdi]', hole, hole - 8n, 2],
      ['pop', 'pop rbx', hole - 8n, hole - 8n, 0],
      ['pop to memory', 'pop qword [rdi]', hole - 8n, hole - 8n, 0],
      ['call', 'call AFTER', hole, hole - 8n, 2],
      ['ret', 'ret', hole - 16n, hole - 16n, 0],
      ['pushf', 'pushfq', hole, hole - 8n, 2],
      ['popf', 'popfq', hole - 8n, hole - 8n, 0],
      ['pop that stores to a hole', 'pop qword [rbp+0]', BigInt(AT.data), hole - 0x20n, 2],
      ['enter', 'enter 16, 0', hole, hole - 8n, 2],
    ] as const) {
      const guest = createGuest({ translation });
      guest.mapPage(hole - 0x1000n, 0);
      guest.mapPage(hole, BigInt(0x12_0000) | PAGE.all);
      // Round and round on the good stack; then once on the other.
      guest.load(
        AT.code,
        `again: add rax, 3; nop; dec ecx; jnz again; mov rsp, rsi; or rax, rax; site: ${code}; AFTER: hlt`,
      );
      guest.set({ rdi: AT.data2, rbp: hole - 0x20n, rcx: ROUNDS, rsi: rsp, rax: 0, rbx: 0x55 });
      assert.equal(guest.go(AT.code, ROUNDS * 12), 'shut down', what);
      const [fault] = guest.caught;
      assert.deepEqual([fault.vector, fault.error, fault.cr2], [14, error, cr2], what);
      assert.deepEqual(
        [fault.rip, fault.gpr[4], fault.gpr[3], fault.gpr[0], fault.gpr[5]],
        [BigInt(guest.labels.site), rsp, 0x55n, BigInt(3 * ROUNDS), hole - 0x20n],
        what,
      );
    }
  });

  test(`a hot function's LEAVE, RET and POP fault when the stack below them goes (${engine})`, () => {
    const page = 0x30_0000n;
    for (const [what, tail] of [
      ['leave', 'site: leave; ret'],
      ['pop', 'mov rsp, rbp; site: pop rbp; ret'],
      ['ret', 'mov rsp, rbp; pop rax; mov rsp, rbp; add rsp, 8; site: ret'],
    ] as const) {
      const guest = createGuest({ translation });
      guest.mapPage(page, 0x12_0000n | PAGE.all);
      guest.load(
        0x5000,
        `callee: push rbp; mov rbp, rsp; cmp ecx, 3; jne same; mov qword [rdx], 0; mov eax, [rsi]; invlpg [rdi]; same: ${tail.replace('pop rax;', '')}`,
      );
      guest.load(AT.code, 'again: call callee; dec ecx; jnz again; hlt');
      guest.set({ rsp: page + 0x800n, rcx: ROUNDS, rdx: guest.entryAddress(page), rsi: AT.data, rdi: page, rbp: 0x77 });
      assert.equal(guest.go(AT.code, ROUNDS * 20), 'shut down', what);
      const [fault] = guest.caught;
      const frame = page + 0x800n - 16n;
      const rsp = { leave: frame, pop: frame, ret: frame + 8n }[what];
      assert.deepEqual(
        [fault.vector, fault.error, fault.rip, fault.gpr[4]],
        [14, 0, BigInt(guest.labels.site), rsp],
        what,
      );
      assert.deepEqual([fault.gpr[5], fault.cr2, fault.gpr[1]], [frame, rsp, 3n], what);
    }
  });

  test(`a division that fails in a hot loop leaves its registers (${engine})`, () => {
    for (const [name, division, dividend, divisor] of [
      ['div by 0', 'div rsi', 5n, 0n],
      ['div of too much', 'div esi', 0x1_0000_0000n, 1n],
      ['idiv of the least number', 'idiv rsi', -(1n << 63n), -1n],
      ['div of a byte', 'div sil', 0x1000n, 1n],
    ] as const) {
      const guest = createGuest({ translation });
      const high = name.startsWith('idiv') ? 'cqo' : name.includes('much') ? 'mov edx, 1' : 'xor edx, edx';
      guest.load(
        AT.code,
        `again: mov rax, 7; mov edx, 0; cmp ecx, 3; jne same; mov rax, rbx; mov rsi, rdi; ${high}; same: cmp esp, 0; site: ${division}; add rbp, rax; dec ecx; jnz again; hlt`,
      );
      guest.set({ rcx: ROUNDS, rsi: 1, rbx: dividend, rdi: divisor, rbp: 0 });
      assert.equal(guest.go(AT.code, ROUNDS * 20), 'shut down', name);
      const [fault] = guest.caught;
      assert.deepEqual(
        [fault.vector, fault.error, fault.rip, fault.gpr[1]],
        [0, undefined, BigInt(guest.labels.site), 3n],
        name,
      );
      assert.deepEqual([fault.gpr[0], fault.gpr[5]], [BigInt.asUintN(64, dividend), BigInt((ROUNDS - 3) * 7)], name);
    }
  });

  test(`a repeated move that faults midway has moved what it says (${engine})`, () => {
    const hole = 0x30_1000n;
    for (const [name, code, error, element] of [
      ['movsb to a hole', 'rep movsb', 2, 1],
      ['movsq to a hole', 'rep movsq', 2, 8],
      ['stosd', 'rep stosd', 2, 4],
    ] as const) {
      const guest = createGuest({ translation });
      guest.mapPage(hole - 0x1000n, 0x12_0000n | PAGE.all);
      guest.mapPage(hole, 0);
      guest.write(AT.data, new Array<number>(64).fill(9));
      guest.load(
        AT.code,
        `again: mov rsi, r8; mov rdi, r9; mov rcx, r10; mov eax, 0x09090909; site: ${code}; dec ebx; jnz again; mov r9, r11; jmp again`,
      );
      guest.set({ r8: AT.data, r9: AT.data2, r10: 8, rbx: ROUNDS, r11: hole - 16n });
      guest.set({ r10: element === 8 ? 4 : 32 / element });
      assert.equal(guest.go(AT.code, ROUNDS * 100), 'shut down', name);
      const [fault] = guest.caught;
      const done = 16 / element;
      const total = element === 8 ? 4 : 32 / element;
      assert.deepEqual(
        [fault.vector, fault.error, fault.cr2, fault.rip],
        [14, error, hole, BigInt(guest.labels.site)],
        name,
      );
      assert.deepEqual([fault.gpr[1], fault.gpr[7]], [BigInt(total - done), hole], name);
      if (name.startsWith('mov')) assert.equal(fault.gpr[6], BigInt(AT.data + 16), name);
      assert.deepEqual(guest.read(0x12_0ff0, 16), new Array<number>(16).fill(9), name);
    }
  });

  test(`a repeated move whose source ends midway has moved what it says (${engine})`, () => {
    const hole = 0x30_1000n;
    const guest = createGuest({ translation });
    guest.mapPage(hole, 0);
    guest.mapPage(hole - 0x1000n, 0x12_0000n | PAGE.all);
    guest.write(0x12_0ff0, new Array<number>(16).fill(9));
    guest.load(
      AT.code,
      'again: mov rsi, r8; mov rdi, r9; mov ecx, 32; cmp ecx, 33; site: rep movsb; dec ebx; jnz again; mov r8, r11; jmp again',
    );
    guest.set({ r8: AT.data, r9: AT.data2, rbx: ROUNDS, r11: hole - 16n });
    assert.equal(guest.go(AT.code, ROUNDS * 100), 'shut down');
    const [fault] = guest.caught;
    assert.deepEqual([fault.vector, fault.error, fault.cr2, fault.rip], [14, 0, hole, BigInt(guest.labels.site)]);
    assert.deepEqual([fault.gpr[1], fault.gpr[6], fault.gpr[7]], [16n, hole, BigInt(AT.data2 + 16)]);
    assert.deepEqual(guest.read(AT.data2, 17), [...new Array<number>(16).fill(9), 0]);
    // 32 - 33: carry, sign, parity and auxiliary carry.
    assert.equal(fault.flags & 0x8d5, CF | 0x80 | PF | AF);
  });

  test(`a guest goes on behind its own handler of faults, as often as they come (${engine})`, () => {
    const guest = createGuest({ translation });
    guest.mapPage(0, 0);
    // The handler skips the load, which has three bytes, and counts.
    guest.load(AT.handler, 'handler: inc r15; add rsp, 8; add qword [rsp], 3; iretq');
    guest.gate64(14, AT.handler);
    guest.load(
      AT.code,
      `again: mov rdi, r8; test ecx, 1; cmove rdi, r9; add rbx, rcx; site: mov rax, [rdi]; adc r14, 0; dec ecx; jnz again; hlt`,
    );
    guest.set({ rcx: 2000, r8: 0, r9: AT.data, rax: 5 });
    assert.equal(guest.go(AT.code), 'halted');
    assert.deepEqual([guest.get('r15'), guest.get('rbx'), guest.get('r14')], [1000n, 2001000n, 0n]);
    assert.equal(new Set(guest.caught.map((c) => c.rip)).size, 1);
  });
}
