/** Calls and returns: deep ones, and those that do not match. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { SEGMENT } from '../../src/isa/state.ts';
import { type DeepCode, FUNCTIONS, NESTED } from './deep-code.test-helper.ts';
import { AT, createGuest, ENGINES, SELECTOR } from './guest.ts';
import { type Depth, RECURSIONS, recurse } from './returns.test-helper.ts';

const ROUNDS = 1000;
const DEPTH = 100_000;

/** Calls a function of a module in a thread whose stack has this many MiB; rejects with what it throws. */
function onSmallStack<R>(stackSizeMb: number, module: string, name: string, ...args: readonly unknown[]): Promise<R> {
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { module, name, args } = workerData;
    import(module).then((scope) => parentPort.postMessage(scope[name](...args)));`;
  const workerData = { module: new URL(module, import.meta.url).href, name, args };
  const worker = new Worker(code, { eval: true, workerData, resourceLimits: { stackSizeMb } });
  return new Promise<R>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (status) => reject(new Error(`the thread ended with ${status}`)));
  }).finally(() => worker.terminate());
}

for (const [engine, translation] of ENGINES) {
  for (const program of RECURSIONS) {
    const expected: Depth = {
      result: 'halted',
      sum: (BigInt(DEPTH) * BigInt(DEPTH + 1)) / 2n,
      balanced: true,
      exceptions: 0,
      translated: translation !== undefined,
    };
    test(`a function calls itself 100,000 deep and comes back: ${program} (${engine})`, () => {
      assert.deepEqual(recurse(translation, program, DEPTH), expected);
    });
    test(`so it does on a thread with little stack: ${program} (${engine})`, async () => {
      const args = [translation, program, DEPTH] as const;
      assert.deepEqual(await onSmallStack<Depth>(1, './returns.test-helper.ts', 'recurse', ...args), expected);
    });
  }

  test(`code with many nested blocks becomes hot while calls fill a little stack (${engine})`, async () => {
    const rounds = 2 * NESTED + (translation?.threshold ?? 0);
    const deep = await onSmallStack<DeepCode>(1, './deep-code.test-helper.ts', 'deepCode', translation, rounds);
    const { result, exceptions, calls, functions } = deep;
    assert.deepEqual([result, exceptions, calls], ['halted', 0, BigInt((FUNCTIONS - 1) * rounds)]);
    assert.equal(functions >= FUNCTIONS, translation !== undefined, `${functions} regions`);
  });

  /** Loops `ROUNDS` times over code that must add 1 to RBX a round and leave RSP as it was. */
  const rounds = (what: string, functions: string, body: string, registers: Record<string, number | bigint> = {}) =>
    test(`${what} (${engine})`, () => {
      for (const place of [AT.code + 0x200, 0x5000]) {
        const guest = createGuest({ translation });
        guest.load(AT.code, `again: ${body}; after: dec ecx; jnz again; hlt; org ${place}; ${functions}`);
        guest.set({ rcx: ROUNDS, ...registers });
        assert.equal(guest.go(AT.code), 'halted');
        assert.deepEqual(guest.caught, []);
        assert.equal(guest.get('rbx'), BigInt(ROUNDS));
        assert.equal(guest.get('rsp'), BigInt(AT.stack));
      }
    });

  rounds('PUSH and RET is a jump', 'target: inc rbx; jmp back', 'push target; ret; back: nop');
  rounds(
    'a thunk that replaces its return address goes where it says',
    'thunk: call next; spin: pause; jmp spin; next: mov [rsp], rax; ret; target: inc rbx; ret',
    'mov rax, target; call thunk',
  );
  rounds(
    'CALL of the next instruction reads the instruction pointer',
    'f: ret',
    'call next; next: pop rax; mov rdx, next; cmp rax, rdx; jne bad; inc rbx; bad: nop',
  );
  rounds('a callee that pops its return address and jumps returns as well', 'f: pop rdx; inc rbx; jmp rdx', 'call f');
  rounds('a callee that returns elsewhere does', 'f: add qword [rsp], 3; ret', 'call f; xor ebx, ebx; nop; inc rbx');
  rounds('RET that drops arguments drops them', 'f: mov rax, [rsp+8]; add rbx, rax; ret 16', 'push 7; push 1; call f');
  rounds(
    'a callee that returns twice, the second time for its caller',
    'g: call h; xor ebx, ebx; ret; h: inc rbx; add rsp, 8; ret',
    'call g',
  );
  rounds(
    'a return to the right place with another stack pointer',
    'f: pop rax; sub rsp, 8; mov [rsp], rax; add rsp, 8; sub rsp, 0x20; push rax; ret',
    'mov rbp, rsp; call f; lea rdx, [rsp+0x20]; cmp rdx, rbp; jne bad; inc rbx; bad: mov rsp, rbp',
  );
  rounds(
    'a jump out of several frames to where the stack pointer was kept',
    'f1: push rbp; call f2; pop rbp; xor ebx, ebx; ret; f2: push rbp; call f3; pop rbp; xor ebx, ebx; ret; f3: push rax; inc rbx; mov rsp, [rdi]; mov rbp, [rdi+8]; jmp qword [rdi+16]',
    'mov [rdi], rsp; mov [rdi+8], rbp; mov rax, landed; mov [rdi+16], rax; call f1; xor ebx, ebx; landed: nop',
    { rdi: AT.data },
  );
  rounds(
    'a jump back into a frame that another call has used since',
    // The same depth is reached again by another function before the first one's address is used.
    'f: mov rax, [rsp]; mov [rdi], rax; mov [rdi+8], rsp; ret; g: call h; ret; h: mov rsp, [rdi+8]; mov rax, [rdi]; mov [rsp], rax; ret',
    'mov esi, 0; call f; inc esi; cmp esi, 2; je done; inc rbx; call g; done: nop',
    { rdi: AT.data },
  );

  test(`two stacks that switch to each other inside functions (${engine})`, () => {
    const guest = createGuest({ translation });
    // yield: keep RSP in [RDI] and take the other one from [RDI+8]; whoever called it there goes on.
    guest.load(
      0x5000,
      `
      yield: push rbp; mov rax, [rdi+8]; mov [rdi+8], rsp; mov rsp, rax; pop rbp; ret
      inner: call yield; add rbx, 1; ret
      outer: call inner; add rbx, 1; ret
      worker: call yield; add rdx, 3; call yield; add rdx, 4; jmp worker`,
    );
    guest.load(AT.code, 'again: call outer; dec ecx; jnz again; hlt');
    const other = 0x30_0000;
    guest.quad(AT.data + 8, BigInt(other));
    guest.quad(other + 8, BigInt(guest.labels.worker));
    guest.set({ rcx: ROUNDS, rdi: AT.data, rbp: 5 });
    assert.equal(guest.go(AT.code), 'halted');
    assert.deepEqual(guest.caught, []);
    assert.deepEqual(
      [guest.get('rbx'), guest.get('rdx'), guest.get('rsp'), guest.get('rbp')],
      [BigInt(2 * ROUNDS), 3496n, BigInt(AT.stack), 5n],
    );
  });

  test(`a callee that goes on at level 3, and comes back by a system call (${engine})`, () => {
    for (const [what, down] of [
      ['IRET', `push SELECTOR_SS; push ${0x2f_0000}; push 2; push SELECTOR_CS; push user; iretq`],
      ['SYSRET', `mov rcx, user; mov r11d, 2; mov rsp, ${0x2f_0000}; sysretq`],
    ] as const) {
      const guest = createGuest({ translation });
      guest.state.star = (BigInt(SELECTOR.code) << 32n) | (BigInt(SELECTOR.user32) << 48n);
      guest.state.sfmask = 0n;
      guest.load(0x4000, 'user: inc r8; mov [r9], r8; syscall');
      guest.load(0x5000, `down: mov [rdi], rsp; ${down}; up: mov rsp, [rdi]; ret`, 64, {
        SELECTOR_SS: SELECTOR.userData,
        SELECTOR_CS: SELECTOR.userCode,
      });
      guest.state.lstar = BigInt(guest.labels.up);
      guest.load(AT.code, 'again: call down; inc rbx; mov ax, cs; test eax, 3; jnz bad; dec ebp; jnz again; bad: hlt');
      guest.set({ rbp: ROUNDS, rdi: AT.data, r9: AT.data2 });
      assert.equal(guest.go(AT.code), 'halted', what);
      assert.deepEqual(guest.caught, [], what);
      assert.deepEqual(
        [guest.get('rbx'), guest.get('r8'), guest.get('rbp')],
        [BigInt(ROUNDS), BigInt(ROUNDS), 0n],
        what,
      );
      assert.equal(guest.state.cpl, 0, what);
    }
  });

  test(`level 3 may not run what level 0 just ran, even if it returns right behind a call (${engine})`, () => {
    const guest = createGuest({ translation });
    guest.gate64(14, AT.handler);
    guest.load(AT.handler, 'hlt');
    guest.mapPage(0x2000, 0x2000n | 3n);
    // The callee returns to the address behind its call, but at level 3; the page there is the supervisor's.
    guest.load(
      0x5000,
      `
      f: cmp ecx, 3; jne same
      mov rax, [rsp]; push ${SELECTOR.userData}; push ${0x2f_0000}; push 2; push ${SELECTOR.userCode}; push rax; iretq
      same: ret`,
    );
    guest.load(0x2000, 'again: call f; site: inc rbx; dec ecx; jnz again; hlt');
    guest.set({ rcx: ROUNDS });
    assert.equal(guest.go(0x2000), 'halted');
    const [fault] = guest.caught;
    assert.deepEqual([fault?.vector, fault?.error, fault?.cr2], [14, 5, BigInt(guest.labels.site)]);
    assert.equal(guest.get('rbx'), BigInt(ROUNDS - 3));
  });

  test(`a far return into another mode finds other code at the address behind the call (${engine})`, () => {
    const guest = createGuest({ translation });
    const selector32 = 0x08;
    guest.load(0x5000, `f: cmp ecx, 3; je far; ret; far: pop rax; push ${selector32}; push rax; db 0x48, 0xcb`);
    // 48 FF C3 is INC RBX; in 32-bit code DEC EAX and INC EBX. Then DEC ECX and JNZ.
    guest.load(AT.code, 'again: call f; site: db 0x48, 0xff, 0xc3, 0xff, 0xc9, 0x75, 0xf4; hlt');
    guest.set({ rcx: ROUNDS });
    assert.equal(guest.go(AT.code), 'halted');
    // The last three rounds ran in 32-bit code: the function returns as before in two of them.
    assert.deepEqual([guest.get('rbx'), guest.get('rax')], [BigInt(ROUNDS), BigInt(guest.labels.site - 3)]);
    assert.equal(guest.state.segmentSelector[SEGMENT.cs], selector32);
  });
}
