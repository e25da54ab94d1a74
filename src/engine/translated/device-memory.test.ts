import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRig, ENGINES } from './rig.test-helper.ts';

/** Enough for the loop around the instruction to be translated. */
const ROUNDS = 700;

const EAX = 0x1122_3344;
const EBX = 7;
const little = (value: number) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

/** One instruction, with EAX and EBX as above, and what the device behind 400000h, the end of RAM, sees of it. */
const CASES: readonly (readonly [name: string, code: readonly number[], accesses: string, eax?: bigint])[] = [
  ['mov [400000], eax', [0xa3, 0, 0, 0x40, 0], 'w 400000 4 11223344'],
  ['mov ebx, [400000]', [0x8b, 0x1d, 0, 0, 0x40, 0], 'r 400000 4'],
  ['or dword [400000], 1', [0x83, 0x0d, 0, 0, 0x40, 0, 1], 'r 400000 4, w 400000 4 11223345'],
  ['inc byte [400001]', [0xfe, 5, 1, 0, 0x40, 0], 'r 400001 1, w 400001 1 45'],
  ['not word [400002]', [0x66, 0xf7, 0x15, 2, 0, 0x40, 0], 'r 400002 2, w 400002 2 ccbb'],
  ['shl dword [400000], 4', [0xc1, 0x25, 0, 0, 0x40, 0, 4], 'r 400000 4, w 400000 4 12233440'],
  ['bts dword [400000], 4', [0x0f, 0xba, 0x2d, 0, 0, 0x40, 0, 4], 'r 400000 4, w 400000 4 11223354'],
  ['sete [400000]', [0x0f, 0x94, 5, 0, 0, 0x40, 0], 'w 400000 1 0'],
  ['xchg [400000], ebx', [0x87, 0x1d, 0, 0, 0x40, 0], 'r 400000 4, w 400000 4 7'],
  ['xchg [400000], eax', [0x87, 5, 0, 0, 0x40, 0], 'r 400000 4, w 400000 4 11223344', 0x1122_3344n],
  ['lock xadd [400000], ebx', [0xf0, 0x0f, 0xc1, 0x1d, 0, 0, 0x40, 0], 'r 400000 4, w 400000 4 1122334b'],
  ['cmpxchg [400000], ebx', [0x0f, 0xb1, 0x1d, 0, 0, 0x40, 0], 'r 400000 4, w 400000 4 7'],
  ['mov [3ffffe], eax: half in RAM', [0xa3, 0xfe, 0xff, 0x3f, 0], 'w 400000 2 1122'],
  ['add dword [3ffffe], 0', [0x83, 5, 0xfe, 0xff, 0x3f, 0, 0], 'r 400000 2, w 400000 2 3344'],
  ['mov ebx, [400001]: not aligned', [0x8b, 0x1d, 1, 0, 0x40, 0], 'r 400001 1, r 400002 2, r 400004 1'],
];

for (const [engine, translation] of ENGINES) {
  test(`a device sees the accesses of an instruction, each once (${engine})`, () => {
    const rig = createRig({ translation });
    for (const [name, code, accesses, eax = BigInt(EAX)] of CASES) {
      rig.device.length = 0;
      // mov eax, EAX; mov ebx, EBX; xor edx, edx; inc edx: not zero
      const body = [0xb8, ...little(EAX), 0xbb, ...little(EBX), 0x31, 0xd2, 0x42, ...code];
      rig.write(0x1000, [...body, 0x4d, 0x75, -(body.length + 3) & 0xff, 0xeb, 0xfe]); // dec ebp; jnz 1000; jmp $
      rig.state.gpr[5] = BigInt(ROUNDS);
      rig.run(0x1000, ROUNDS * 8);
      assert.deepEqual([rig.state.gpr[5], rig.exceptions], [0n, []], name);
      assert.deepEqual(new Set(chunks(rig.device, accesses.split(', ').length)), new Set([accesses]), name);
      assert.equal(rig.device.length, ROUNDS * accesses.split(', ').length, name);
      assert.equal(rig.state.gpr[0], eax, name);
    }
    assert.equal(rig.hasTranslated(), translation !== undefined);
  });
}

function chunks(log: readonly string[], size: number): string[] {
  return log.flatMap((_, i) => (i % size === 0 ? [log.slice(i, i + size).join(', ')] : []));
}

test('what is exchanged with a device comes from it', () => {
  const rig = createRig();
  rig.write(0x1000, [0x87, 5, 0, 0, 0x40, 0]); // xchg [400000], eax
  rig.state.gpr[0] = 0x55n;
  rig.run(0x1000, 1, true);
  assert.deepEqual([rig.state.gpr[0], rig.device], [0x1122_3344n, ['r 400000 4', 'w 400000 4 55']]);
});

test('eight bytes are compared and exchanged in two pieces', () => {
  const rig = createRig();
  rig.write(0x1000, [0x0f, 0xc7, 0x0d, 0, 0, 0x40, 0]); // cmpxchg8b [400000]
  rig.state.gpr.set([0x1122_3344n, 2n, 0x1122_3344n, 1n]);
  rig.run(0x1000, 1, true);
  assert.deepEqual(rig.device, ['r 400000 4', 'r 400004 4', 'w 400000 4 1', 'w 400004 4 2']);
});

test('string moves read a device from its side and write to it on theirs', () => {
  const rig = createRig();
  rig.write(0x1000, [0xf3, 0xa5, 0xf3, 0xab]); // rep movsd; rep stosd
  rig.write(0x3000, [1, 0, 0, 0, 2, 0, 0, 0]);
  rig.state.gpr[1] = 2n;
  [rig.state.gpr[6], rig.state.gpr[7]] = [0x3000n, 0x40_0000n];
  rig.run(0x1000, 1, true);
  assert.deepEqual(rig.device, ['w 400000 4 1', 'w 400004 4 2']);
  rig.device.length = 0;
  rig.state.gpr[1] = 2n;
  [rig.state.gpr[6], rig.state.gpr[7]] = [0x40_0000n, 0x3000n];
  rig.run(0x1000, 1, true);
  assert.deepEqual(rig.device, ['r 400000 4', 'r 400004 4']);
  assert.deepEqual(rig.read(0x3000, 4), [0x44, 0x33, 0x22, 0x11]);
});
