import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Outcome } from './crossing.test-helper.ts';
import { createRig, ENGINES, PAGE } from './rig.test-helper.ts';
import { inThread } from './thread.test-helper.ts';

const CROSSING = new URL('./crossing.test-helper.ts', import.meta.url);

const spin = [0xeb, 0xfe]; // jmp $

for (const [engine, translation] of ENGINES) {
  for (const [what, name, ...args] of [
    ['an instruction that goes on in another page by each of two addresses', 'aliases'],
    ['an instruction that lies behind the accessed bit of its own second page', 'accessedBit', 1],
    ['an instruction that begins with the accessed bit of its own second page', 'accessedBit', 0],
  ] as const) {
    test(`${what} (${engine})`, async () => {
      const outcome = (await inThread(CROSSING, name, translation, ...args)) as Outcome;
      assert.ok(outcome.rounds > 1000, `${outcome.rounds} rounds`);
      assert.deepEqual({ ...outcome, rounds: 0 }, { result: 'count', rounds: 0, wrong: 0n, exceptions: [] });
    });
  }

  test(`code that a device writes over is not run any more (${engine})`, () => {
    const rig = createRig({ translation });
    rig.write(0x1000, [0x43, 0xeb, 0xfd]); // inc ebx; jmp 1000
    rig.run(0x1000, 10_000);
    const rounds = rig.state.gpr[3];
    assert.equal(rig.hasTranslated(), translation !== undefined);
    assert.ok(rounds >= 4999n);
    for (const span of rig.map.spans(0x1000, 1, 'write') ?? []) span[0] = 0x46; // inc esi
    rig.run(rig.state.rip, 10_000);
    assert.ok(rig.state.gpr[3] - rounds <= 1n);
    assert.ok(rig.state.gpr[6] >= 4998n);
  });

  test(`a device writes over code while the guest waits for it (${engine})`, () => {
    for (const order of ['signals first', 'writes first']) {
      const ports = {
        read: () => 0,
        write() {
          if (order === 'signals first') rig.vcpu.signal();
          rig.write(0x1003, [0x46]); // inc esi
          rig.vcpu.signal();
        },
      };
      const rig = createRig({ translation, environment: { ports } });
      rig.write(0x1000, [0x43, 0xe6, 0x80, 0x41, 0xeb, 0xfa]); // inc ebx; out 80, al; inc ecx; jmp 1000
      rig.run(0x1000, 4000);
      assert.equal(rig.state.gpr[1], 0n, order);
      assert.ok(rig.state.gpr[6] >= 999n, order);
    }
  });

  test(`a callee changes what its caller does next (${engine})`, () => {
    const rig = createRig({ translation });
    rig.write(0x1000, [
      ...[0xe8, 0xfb, 0, 0, 0], // again: call 0x1100
      ...[0x43], // inc ebx, later inc esi
      ...[0x49], // dec ecx
      ...[0x75, 0xf7], // jnz again
      ...spin,
    ]);
    rig.write(0x1100, [
      ...[0x81, 0xf9, 0xf4, 1, 0, 0], // cmp ecx, 500
      ...[0x75, 7], // jne out
      ...[0xc6, 5, 5, 0x10, 0, 0, 0x46], // mov byte [0x1005], 0x46
      ...[0xc3], // out: ret
    ]);
    rig.state.gpr[1] = 2000n;
    rig.run(0x1000, 20_000);
    assert.deepEqual([rig.state.gpr[3], rig.state.gpr[6]], [1500n, 500n]);
    assert.equal(rig.hasTranslated(), translation !== undefined);
  });

  test(`the end of a block that hot code took over changes (${engine})`, () => {
    const rig = createRig({ translation });
    // A block of which the loop only takes the end, by a jump into it: its start is run once.
    rig.write(0x1100, [
      ...[0xe6, 0x80], // out 0x80, al
      ...[0x85, 0xff], // test edi, edi
      ...[0x74, 0x7a], // jz 0x1180
      ...[0x40], // 1106: inc eax, later inc ebx
      ...[0xe9, 0xf4, 0, 0, 0], // jmp 0x1200
    ]);
    rig.write(0x1180, [0xe9, 0x7b, 0, 0, 0]); // jmp 0x1200
    rig.write(0x1200, [
      ...[0x41], // again: inc ecx
      ...[0x83, 0xf9, 5], // cmp ecx, 5
      ...[0x0f, 0x84, 0xf6, 0xfe, 0xff, 0xff], // je 0x1100
      ...[0x85, 0xf6], // test esi, esi
      ...[0x0f, 0x85, 0xf4, 0xfe, 0xff, 0xff], // jnz 0x1106
      ...[0xeb, 0xec], // jmp again
    ]);
    rig.run(0x1200, 20_000);
    rig.state.gpr[6] = 1n;
    rig.run(rig.state.rip, 60);
    const before = rig.state.gpr[0];
    assert.equal(rig.hasTranslated(), translation !== undefined);
    assert.ok(before > 0n);
    rig.write(0x1106, [0x43]);
    rig.run(rig.state.rip, 3000);
    assert.ok(rig.state.gpr[0] - before <= 1n);
    assert.ok(rig.state.gpr[3] > 400n);
  });

  test(`what was no instruction becomes one (${engine})`, () => {
    // At the end of a long run of code; at the end of a page; over two pages, of which the second changes.
    for (const [at, patch] of [
      [0x1014, 0x1014],
      [0x1ffe, 0x1ffe],
      [0x1fff, 0x2000],
    ]) {
      const rig = createRig({ translation });
      rig.gate(6, 0x8000);
      rig.write(0x8000, [
        ...[0x40], // inc eax
        ...[0x8b, 0x0d, 0, 0x30, 0, 0], // mov ecx, [0x3000]
        ...[0x8a, 0x15, 4, 0x30, 0, 0], // mov dl, [0x3004]
        ...[0x88, 0x11], // mov [ecx], dl
        ...[0xcf], // iret
      ]);
      // 0f 04 is undefined; patched, it is a NOP and `add al, 0`, or `bswap edx`.
      const inFirst = patch === at;
      rig.write(0x3000, [patch & 0xff, patch >> 8, 0, 0, inFirst ? 0x90 : 0xca]);
      rig.write(0x1000, new Array<number>(0x1000).fill(0x90));
      rig.write(at, [0x0f, 0x04, ...(inFirst ? [0] : []), ...spin]);
      rig.run(at - 20, 400);
      assert.deepEqual([rig.state.gpr[0], rig.exceptions], [1n, [`6 at ${at.toString(16)}`]]);
    }
  });

  test(`what the processor writes by physical address is seen as code (${engine})`, () => {
    const clock = {
      ticks: () => 0,
      frequency: 1e9,
      ticksToNs: (ticks: bigint) => ticks,
      epochNs: 0x9090_9044n * 1_000_000_000n + 0x1090_9090n,
    };
    const rig = createRig({ translation, environment: { clock } });
    // KVM's wall clock goes there: a version, two more than it was, seconds and nanoseconds. MOV EAX becomes MOV EDX.
    rig.write(0x3000, [0xb8, 0x11, 0x22, 0x33, 0x44, ...new Array<number>(6).fill(0x90), 0x10, 0xc3, 0xc3]);
    rig.write(0x1000, [
      ...[0xbe, 0, 0x30, 0, 0], // mov esi, 0x3000
      ...[0xff, 0xd6], // call esi
      ...[0xb9, 0, 0x4d, 0x56, 0x4b], // mov ecx, 0x4b564d00
      ...[0xb8, 0, 0x30, 0, 0], // mov eax, 0x3000
      ...[0x31, 0xd2], // xor edx, edx
      ...[0x0f, 0x30], // wrmsr
      ...[0x31, 0xd2], // xor edx, edx
      ...[0x31, 0xc0], // xor eax, eax
      ...[0xff, 0xd6], // call esi
      ...spin,
    ]);
    rig.run(0x1000, 200);
    assert.deepEqual(rig.read(0x3000, 1), [0xba]);
    assert.deepEqual([rig.state.gpr[0], rig.state.gpr[2], rig.exceptions], [0n, 0x4433_2211n, []]);
  });

  test(`a page gets a frame of its own under a reader (${engine})`, () => {
    const rig = createRig({ translation });
    rig.paging(32);
    rig.mapPage(0x5000, 0x3000n | PAGE.all);
    rig.write(0x1000, [
      ...[0xa1, 0, 0x30, 0, 0], // mov eax, [0x3000]: all zero pages are one frame
      ...[0xc6, 5, 0, 0x50, 0, 0, 7], // mov byte [0x5000], 7: the same page
      ...[0x8b, 0x1d, 0, 0x30, 0, 0], // mov ebx, [0x3000]
      ...spin,
    ]);
    rig.run(0x1000, 10);
    assert.deepEqual([rig.state.gpr[0], rig.state.gpr[3]], [0n, 7n]);
    rig.write(0x3000, [8]);
    rig.run(0x1000 + 12, 10);
    assert.equal(rig.state.gpr[3], 8n);
  });

  test(`another page of code comes to an address (${engine})`, () => {
    const rig = createRig({ translation });
    rig.paging(32);
    const entry = rig.entryAddress(0x3000n);
    rig.write(0x3000, [0x43, 0xc3]); // inc ebx; ret
    rig.write(0x4000, [0x46, 0xc3]); // inc esi; ret
    rig.write(0x1000, [
      ...[0xe8, 0xfb, 0x1f, 0, 0], // again: call 0x3000
      ...[0x81, 0xf9, 0xf4, 1, 0, 0], // cmp ecx, 500
      ...[0x75, 0x11], // jne same
      ...[0xc7, 5, entry & 0xff, (entry >> 8) & 0xff, entry >> 16, 0, 0x27, 0x40, 0, 0], // mov dword [entry], 0x4027
      ...[0x0f, 1, 0x3d, 0, 0x30, 0, 0], // invlpg [0x3000]
      ...[0x49], // same: dec ecx
      ...[0x75, 0xdf], // jnz again
      ...spin,
    ]);
    rig.state.gpr[1] = 2000n;
    rig.run(0x1000, 20_000);
    assert.deepEqual([rig.state.gpr[3], rig.state.gpr[6]], [1501n, 499n]);
    assert.equal(rig.hasTranslated(), translation !== undefined);
  });
}
