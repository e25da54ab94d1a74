import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDecoder, listEncodings } from '../decoder.ts';
import { integer, integerHelpers } from './index.ts';

const encodings = listEncodings(integer);
const decode = createDecoder(encodings);

test('no encoding is listed twice and no helper has two meanings', () => {
  const texts = encodings.map((e) => e.text);
  const twice = texts.filter((text, i) => texts.indexOf(text) !== i);
  assert.deepEqual(twice, []);
  const names = integerHelpers.map((h) => h.name);
  assert.equal(new Set(names).size, names.length);
});

test('flag letters are those of the six status flags', () => {
  for (const { name, reads = '', writes = '', undefined: unknown = '' } of integer) {
    assert.match(reads + writes + unknown, /^[oszapc]*$/, name);
    for (const flag of writes) assert.ok(!unknown.includes(flag), `${name} both writes and leaves ${flag}`);
  }
});

/** What one-byte opcodes of each mode belong to other tables: segments, far transfers, ports, x87, system. */
const ELSEWHERE = {
  64: '06 07 0e 16 17 1e 1f 27 2f 37 3f 60 61 62 6c 6d 6e 6f 82 8c 8e 9a 9b c4 c5 ca cb cc cd ce cf d4 d5 d6',
  32: '06 07 0e 16 17 1e 1f 63 6c 6d 6e 6f 8c 8e 9a 9b c4 c5 ca cb cc cd ce cf',
} as const;
const PORTS_AND_SYSTEM = 'd8 d9 da db dc dd de df e4 e5 e6 e7 ea ec ed ee ef f1 f4 fa fb';
const PREFIXES = '0f 26 2e 36 3e 64 65 66 67 f0 f2 f3';

test('every one-byte opcode is here or knowingly elsewhere', () => {
  for (const [bits, codeSize] of [
    [64, 8],
    [32, 4],
  ] as const) {
    const skip = new Set(`${ELSEWHERE[bits]} ${PORTS_AND_SYSTEM} ${PREFIXES}`.split(' '));
    for (let opcode = 0; opcode < 256; opcode++) {
      const hex = opcode.toString(16).padStart(2, '0');
      if (skip.has(hex) || (bits === 64 && (opcode & 0xf0) === 0x40)) continue;
      const some = Array.from({ length: 8 }, (_, reg) => {
        const bytes = Uint8Array.of(opcode, reg << 3, ...Array(10).fill(0));
        return typeof decode(bytes, 0, { codeSize, protected: true }) !== 'string';
      });
      assert.ok(some.includes(true), `${hex} in ${bits}-bit mode`);
    }
  }
});

test('a repeat prefix matters only to string instructions', () => {
  for (const e of encodings) {
    assert.equal(e.qualifiers.has('rep'), /^(movs|cmps|stos|lods|scas)[bwdq]$/.test(e.definition.name), e.text);
  }
});
