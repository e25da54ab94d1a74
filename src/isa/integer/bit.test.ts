import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './machine.test-helper.ts';
import { VALUES } from './model.test-helper.ts';

test('bt, bts, btr, btc on registers: the offset wraps, other flags stay', () => {
  const operations: [string, string, (x: bigint, m: bigint) => bigint][] = [
    ['a3', 'e0', (x) => x],
    ['ab', 'e8', (x, m) => x | m],
    ['b3', 'f0', (x, m) => x & ~m],
    ['bb', 'f8', (x, m) => x ^ m],
  ];
  for (const [opcode, modrm, change] of operations) {
    for (const x of VALUES) {
      for (const offset of [0, 1, 31, 32, 63, 64, 200]) {
        const position = BigInt(offset & 63);
        const want = change(x, 1n << position);
        const flags = (x >> position) & 1n ? 'oszapc' : 'oszap';
        const immediate = offset.toString(16).padStart(2, '0');
        for (const code of [`48 0f ${opcode} d8`, `48 0f ba ${modrm} ${immediate}`]) {
          const got = run(code, { registers: { rax: x, rbx: offset }, flags: 'oszapc' });
          assert.equal(got.registers.rax, BigInt.asUintN(64, want), `${code} ${x.toString(16)}`);
          assert.equal(got.flags, flags, `${code} ${x.toString(16)}`);
        }
      }
    }
  }
});

test('bit strings in memory reach beyond the operand, both ways, in units of its size', () => {
  const memory = { 8188: [1, 0, 0, 0x80, 0, 0, 0, 0], 8208: [0x02] };
  const at = (code: string, offset: number | bigint) => run(code, { registers: { rbx: 0x2000, rcx: offset }, memory });
  assert.equal(at('0f a3 0b', -1n).flags.includes('c'), true);
  assert.equal(at('0f a3 0b', -32n).flags.includes('c'), true);
  assert.equal(at('0f a3 0b', -31n).flags.includes('c'), false);
  assert.equal(at('0f a3 0b', 0x81).flags.includes('c'), true);
  assert.equal(at('f0 0f ab 0b', 0x80).at(0x2010, 1), 3n);
  assert.equal(at('66 0f b3 0b', 0x1_ffff).at(0x1ffe, 2), 0n, 'a 16-bit offset is signed');
  assert.equal(at('48 0f bb 0b', 0x83).at(0x2010, 1), 0x0an);
  assert.equal(at('0f ba 23 21', 0).flags.includes('c'), false, 'an immediate offset stays inside');
});

test('bsf, bsr: a source of 0 changes nothing but ZF', () => {
  const kept = run('0f bc c3', { registers: { rax: 0x1234_5678_9abc_def0n, rbx: 0xffff_ffff_0000_0000n } });
  assert.equal(kept.registers.rax, 0x1234_5678_9abc_def0n);
  assert.equal(kept.flags.includes('z'), true);
  const found = run('0f bd c3', { registers: { rax: -1n, rbx: 0x8001_0000 } });
  assert.equal(found.registers.rax, 31n);
  assert.equal(found.flags.includes('z'), false);
  assert.equal(run('66 0f bc c3', { registers: { rbx: 0xff_8000 } }).registers.rax, 15n);
  assert.equal(run('48 0f bc c3', { registers: { rbx: 1n << 63n } }).registers.rax, 63n);
});

test('lzcnt, tzcnt, popcnt', () => {
  const cases: [string, bigint, bigint, string][] = [
    ['66 f3 0f bd c3', 0n, 16n, 'c'],
    ['f3 0f bd c3', 0x10n, 27n, ''],
    ['f3 48 0f bd c3', 1n << 63n, 0n, 'z'],
    ['66 f3 0f bc c3', 0x1_0000n, 16n, 'c'],
    ['f3 0f bc c3', 0n, 32n, 'c'],
    ['f3 48 0f bc c3', 0n, 64n, 'c'],
    ['f3 0f bc c3', 1n, 0n, 'z'],
    ['f3 48 0f b8 c3', 0xffff_ffff_ffff_ffffn, 64n, ''],
    ['f3 0f b8 c3', 0xff_0000_0000n, 0n, 'z'],
  ];
  for (const [code, source, result, flags] of cases) {
    const got = run(code, { registers: { rbx: source }, flags: 'oszapc' });
    assert.equal(got.registers.rax, result, code);
    const defined = [...got.flags].filter((f) => 'zc'.includes(f)).join('');
    assert.equal(defined, flags, code);
    if (code.includes('b8')) assert.equal(got.flags, flags);
  }
});

test('bswap, movbe', () => {
  const registers = { rax: 0x1122_3344_5566_7788n, rbx: 0x2000 };
  assert.equal(run('0f c8', { registers }).registers.rax, 0x8877_6655n);
  assert.equal(run('48 0f c8', { registers }).registers.rax, 0x8877_6655_4433_2211n);
  assert.equal(run('66 0f c8', { registers }).registers.rax, 0x1122_3344_5566_0000n);
  assert.equal(run('66 0f 38 f1 03', { registers }).at(0x2000, 2), 0x8877n);
  const memory = { 8192: [1, 2, 3, 4, 5, 6, 7, 8] };
  assert.equal(run('48 0f 38 f0 03', { registers, memory }).registers.rax, 0x0102_0304_0506_0708n);
});

test('crc32 of "123456789" is that of CRC-32C', () => {
  let crc = 0xffff_ffffn;
  for (const character of '12345678') {
    crc = run('f2 0f 38 f0 c3', { registers: { rax: crc, rbx: character.charCodeAt(0) } }).registers.rax as bigint;
  }
  const wide = run('f2 48 0f 38 f1 c3', { registers: { rax: 0xffff_ffffn, rbx: 0x3837_3635_3433_3231n } });
  assert.equal(wide.registers.rax, crc, 'eight bytes at once');
  const last = run('f2 0f 38 f0 c3', { registers: { rax: crc, rbx: 0x39 } }).registers.rax as bigint;
  assert.equal(last ^ 0xffff_ffffn, 0xe306_9283n);
});

test('BMI: results and flags', () => {
  const cases: [string, Record<string, bigint | number>, string, bigint, string][] = [
    // C4 E2: rax or rcx from rcx and rdx.
    ['c4 e2 70 f2 c2', { rcx: 0xff00n, rdx: 0x0ff0n }, 'rax', 0xf0n, ''],
    ['c4 e2 68 f7 c1', { rcx: 0x1234_5678n, rdx: 0x0c04 }, 'rax', 0x567n, ''],
    ['c4 e2 f0 f3 d9', { rcx: 0x30n }, 'rcx', 0x10n, 'c'],
    ['c4 e2 f0 f3 d1', { rcx: 0x30n }, 'rcx', 0x1fn, ''],
    ['c4 e2 f0 f3 c9', { rcx: 0x30n }, 'rcx', 0x20n, ''],
    ['c4 e2 f0 f3 c9', { rcx: 0 }, 'rcx', 0n, 'zc'],
    ['c4 e2 70 f3 d1', { rcx: 0 }, 'rcx', 0xffff_ffffn, 'sc'],
    ['c4 e2 68 f5 c1', { rcx: 0x8000_0012n, rdx: 32 }, 'rax', 0x8000_0012n, 'sc'],
    ['c4 e2 68 f5 c1', { rcx: 0x8000_0012n, rdx: 0x104 }, 'rax', 2n, ''],
    ['c4 e2 f3 f5 c2', { rcx: 0b1011n, rdx: 0xf0_0f00n }, 'rax', 0x0b00n, ''],
    ['c4 e2 f2 f5 c2', { rcx: 0xab_cdefn, rdx: 0xf0_0f00n }, 'rax', 0xadn, ''],
    ['c4 e3 7b f0 c1 08', { rcx: 0x1234_5678n }, 'rax', 0x7812_3456n, ''],
    ['c4 e2 6a f7 c1', { rcx: 0x8000_0000n, rdx: 36 }, 'rax', 0xf800_0000n, ''],
    ['c4 e2 e9 f7 c1', { rcx: 3n, rdx: 63 }, 'rax', 1n << 63n, ''],
    ['c4 e2 6b f7 c1', { rcx: 0x8000_0000n, rdx: 31 }, 'rax', 1n, ''],
    ['c4 e2 f3 f6 c3', { rdx: -1n, rbx: -1n }, 'rax', 0xffff_ffff_ffff_fffen, ''],
    ['c4 e2 73 f6 c3', { rdx: 0x1_0000n, rbx: 0x1_0002n }, 'rcx', 0x2_0000n, ''],
    ['c4 e2 73 f6 cb', { rdx: 0x1_0000n, rbx: 0x1_0002n }, 'rcx', 1n, ''],
  ];
  for (const [code, registers, register, result, flags] of cases) {
    const got = run(code, { registers });
    assert.equal(got.fault, undefined, code);
    assert.equal(got.registers[register], result, code);
    assert.equal([...got.flags].filter((f) => 'oszc'.includes(f)).join(''), flags, code);
  }
});

test('adcx, adox: each its own carry chain', () => {
  const registers = { rax: -1n, rbx: 0 };
  const adcx = run('66 48 0f 38 f6 c3', { registers, flags: 'osc' });
  assert.equal(adcx.registers.rax, 0n);
  assert.equal(adcx.flags, 'osc');
  const adox = run('f3 48 0f 38 f6 c3', { registers: { rax: 1, rbx: 1 }, flags: 'ozpc' });
  assert.equal(adox.registers.rax, 3n);
  assert.equal(adox.flags, 'zpc');
});
