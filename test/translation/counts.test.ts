/** How far a run goes: budgets, stops, and counts of instructions, in code that loops and calls without end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inThread } from '../../src/engine/translated/thread.test-helper.ts';
import type { Translation } from '../../src/engine/translated/vcpu-interface.ts';
import { ACTIVITY } from '../../src/machine/vcpu-reset.ts';
import { type Comings, ENDLESS, LONG } from './endless.test-helper.ts';
import { AT, createGuest, ENGINES, type Guest } from './guest.ts';

/** A program with all that counts: loops, calls, memory, strings, branches taken and not. */
const MIXED = `
  again: mov rdi, ${AT.data}; mov rsi, ${AT.data2}
  call first
  mov ecx, 5; inner: add rbx, rcx; test bl, 1; jz even; call second; even: dec ecx; jnz inner
  mov ecx, 20; rep stosb
  mov ecx, 3; rep movsd
  inc qword [rdi]
  adc rbp, 0
  jmp again
  first: push rbx; xor ebx, [rsi]; call second; pop rbx; ret
  second: cmp rbx, [rsi+8]; sbb rdx, rdx; lea r8, [r8+rdx+3]; mov [rsi+8], r8; ret`;

function mixed(translation: Translation | undefined): Guest {
  const guest = createGuest({ translation });
  guest.load(AT.code, MIXED);
  guest.state.rip = BigInt(AT.code);
  return guest;
}

interface Boundary {
  readonly count: number;
  readonly state: string;
}

const show = (guest: Guest) =>
  JSON.stringify([guest.architecture(), [...guest.bytes(AT.data, 64), ...guest.bytes(AT.data2, 64)]], (_, value) =>
    typeof value === 'bigint' ? value.toString(16) : value,
  );

/** The state at every instruction boundary of the first `count` instructions, one step at a time. */
function boundaries(count: number): Boundary[] {
  const guest = mixed(undefined);
  const seen: Boundary[] = [{ count: 0, state: show(guest) }];
  while (guest.vcpu.retired() < count) {
    guest.vcpu.run(1, true);
    seen.push({ count: guest.vcpu.retired(), state: show(guest) });
  }
  return seen;
}

const HELPER = new URL('./endless.test-helper.ts', import.meta.url);
const expected = boundaries(4000);

for (const [engine, translation] of ENGINES) {
  for (const what of Object.keys(ENDLESS)) {
    test(`a run of a guest that never ends comes back when its count is used up: ${what} (${engine})`, async () => {
      const comings = (await inThread(HELPER, 'runEndless', translation, what)) as Comings;
      assert.deepEqual(comings.results, new Array(5).fill('count'));
      // A run may go on to the end of a block or region, no further.
      assert.ok(
        comings.beyond.every((count) => count >= 0 && count < 10_000),
        comings.beyond.join(),
      );
      assert.equal(comings.translated, translation !== undefined);
    });
  }

  test(`an exact run ends at its count with the state of single steps (${engine})`, () => {
    const at = (count: number) => expected.find((boundary) => boundary.count >= count) as Boundary;
    for (const slice of [1, 2, 3, 7, 50, 64, 65, 100, 333, 700, 1999]) {
      const guest = mixed(translation);
      for (let end = slice; end <= 3900; end += slice) {
        const left = end - guest.vcpu.retired();
        if (left <= 0) continue;
        assert.equal(guest.vcpu.run(left, true), 'count');
        const boundary = at(end);
        assert.equal(guest.vcpu.retired(), boundary.count, `slices of ${slice}, ${end}`);
        if (slice >= 50 || end % 97 === 0) assert.equal(show(guest), boundary.state, `slices of ${slice}, ${end}`);
      }
    }
  });

  test(`exact runs of every length end where they should, when code is hot (${engine})`, () => {
    const guest = mixed(translation);
    const single = mixed(undefined);
    guest.vcpu.run(60_000, true);
    assert.equal(guest.hasTranslated(), translation !== undefined);
    single.vcpu.run(guest.vcpu.retired(), true);
    assert.equal(single.vcpu.retired(), guest.vcpu.retired());
    for (let length = 1; length < 1500; length += 13) {
      guest.vcpu.run(length, true);
      single.vcpu.run(guest.vcpu.retired() - single.vcpu.retired(), true);
      assert.equal(show(guest), show(single), `run of ${length}`);
    }
  });

  test(`an exact run ends at its count where a region as long as any is left at its end (${engine})`, () => {
    const guest = createGuest({ translation });
    // An access across pages is for the interpreter; behind it begins another long block.
    const long = `jmp long; long: ${'inc rbp; '.repeat(447)} mov rbx, [r9]; ${'inc rdx; '.repeat(100)}`;
    guest.load(AT.code, `again: ${'inc rax; '.repeat(14)} ${long} jmp again`);
    guest.set({ r9: AT.data2 - 4 });
    guest.state.rip = BigInt(AT.code);
    const round = 14 + 1 + 447 + 1 + 100 + 1;
    guest.vcpu.run(1000 * round, true);
    for (let length = 440; length < 560; length += 3) {
      const start = guest.vcpu.retired();
      assert.equal(start % round, 0);
      assert.equal(guest.vcpu.run(length, true), 'count');
      assert.equal(guest.vcpu.retired() - start, length);
      guest.vcpu.run(round - length, true);
    }
    assert.equal(guest.hasTranslated(), translation !== undefined);
  });

  test(`a long loop counts each of its instructions (${engine})`, () => {
    const guest = createGuest({ translation });
    guest.load(AT.code, 'mov ecx, 1000000; again: add rbx, 2; dec ecx; jnz again; hlt');
    assert.equal(guest.go(AT.code, 10 * LONG), 'halted');
    assert.deepEqual([guest.get('rbx'), guest.vcpu.retired()], [2_000_000n, 3 * LONG + 2]);
    assert.equal(guest.hasTranslated(), translation !== undefined);
  });

  for (const [where, access] of [
    ['a port', 'out 0x80, al'],
    ['device memory', 'mov [r9], eax'],
  ] as const) {
    for (const calls of [false, true]) {
      test(`stop() from ${where} ends the run behind the instruction${calls ? ' in a function' : ''} (${engine})`, () => {
        let left = 0;
        const knock = () => {
          if (--left === 0) guest.vcpu.stop();
        };
        const guest = createGuest({
          translation,
          environment: { ports: { read: () => 0, write: knock }, mmio: { read: () => 0, write: knock } },
        });
        guest.load(0x5000, `f: inc r8; ${access}; inc rbx; ret`);
        guest.load(AT.code, `again: inc r8; ${calls ? 'call f' : `${access}; inc rbx`}; inc rbp; jmp again`);
        guest.mapPage(0x30_0000, BigInt(AT.device) | 7n);
        guest.set({ r9: 0x30_0000 });
        guest.state.rip = BigInt(AT.code);
        for (const wanted of [1, 2, 1000, 7, 3]) {
          left = wanted;
          const before = guest.get('rbx');
          const start = guest.vcpu.retired();
          assert.equal(guest.vcpu.run(LONG), 'stopped');
          assert.equal(left, 0);
          assert.equal(guest.get('rbx') - before, BigInt(wanted) - (start === 0 ? 1n : 0n));
        }
        assert.equal(guest.hasTranslated(), translation !== undefined);
      });
    }
  }

  test(`the count that a device sees is that of its instruction (${engine})`, () => {
    const seen: number[] = [];
    const guest = createGuest({
      translation,
      environment: { ports: { read: () => 0, write: () => void seen.push(guest.vcpu.retired()) } },
    });
    guest.load(AT.code, 'again: inc rbx; call f; dec ecx; jnz again; hlt; f: add rbx, 1; out 0x80, al; ret');
    guest.set({ rcx: 1000 });
    assert.equal(guest.go(AT.code), 'halted');
    assert.deepEqual(
      seen,
      Array.from({ length: 1000 }, (_, i) => 7 * i + 3),
    );
    assert.equal(guest.state.activity, ACTIVITY.halted);
  });

  test(`a signal that turns out to be nothing changes nothing (${engine})`, () => {
    const guest = createGuest({
      translation,
      environment: { ports: { read: () => 0, write: () => guest.vcpu.signal() } },
    });
    guest.load(AT.code, 'again: add rbx, 5; cmp rbx, rcx; out 0x80, al; adc rdx, 0; dec ecx; jnz again; hlt');
    guest.set({ rcx: 2000 });
    assert.equal(guest.go(AT.code), 'halted');
    const below = Array.from({ length: 2000 }, (_, i) => 5 * (i + 1) < 2000 - i).filter(Boolean).length;
    assert.deepEqual([guest.get('rbx'), guest.get('rdx')], [10_000n, BigInt(below)]);
  });
}
