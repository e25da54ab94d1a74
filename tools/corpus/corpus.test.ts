import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { compareOutcome } from './compare.ts';
import { CorpusError, createCorpusWriter, makeInput, readCorpus, readForms } from './format.ts';
import { APPROXIMATE_X87, checkEncoding, inputOver, type Undefined } from './forms.ts';
import { IMAGE, initialByte, type Mode, startOf, TEST, WINDOW } from './layout.ts';
import { maskUndefined } from './mask.ts';
import type { Outcome } from './outcome.ts';
import { createRandom, hashText, hashWords, type Random } from './prng.ts';
import { SAMPLE_FORMS } from './sample-forms.ts';
import { pointedOffset, type Setup, writeInput } from './setup.ts';
import { createReader, createWriter } from './streams.ts';

const SEED = 7;

function copyOf(outcome: Outcome): Outcome {
  return {
    image: new DataView(outcome.image.buffer.slice(0)),
    fault: outcome.fault,
    memory: outcome.memory.map((run) => ({ offset: run.offset, bytes: run.bytes.slice() })),
    segments: outcome.segments,
  };
}

/** An outcome as some instruction might leave it: any part of the state changed, or a fault. */
function inventOutcome(random: Random, input: DataView, mode: Mode, length: number): Outcome {
  const image = new DataView(input.buffer.slice(TEST.image, TEST.image + IMAGE.size));
  const outcome: Outcome = { image, fault: undefined, memory: [], segments: {} };
  image.setBigUint64(IMAGE.rip, startOf(mode) + BigInt(random.once(4) ? random.u32() : length), true);
  for (let changes = random.below(6); changes > 0; changes--) {
    const at = 8 * random.below(16);
    const value = random.pick([0n, 5n, 0xfffffffffffffff0n, 0xab00n, 0x12345678n, image.getBigUint64(at, true) + 8n]);
    image.setBigUint64(at, BigInt.asUintN(64, value), true);
    image.setUint8(8 * random.below(16) + random.below(8), random.u32() & 255);
    image.setUint16(IMAGE.rflags, random.u32() & 0xffff, true);
    image.setUint32(IMAGE.xmm + 4 * random.below(64), random.once(2) ? 0 : random.u32(), true);
    if (random.once(2)) image.setUint16(IMAGE.status, random.u32() & 0xffff, true);
    if (random.once(2)) image.setUint8(IMAGE.st + 16 * random.below(8) + random.below(10), random.u32() & 255);
    if (random.once(3)) image.setUint32(IMAGE.mxcsr, random.u32() & 0xffff, true);
    if (random.once(3)) image.setUint32(IMAGE.operand, random.u32(), true);
  }
  if (random.once(3)) outcome.memory = [{ offset: WINDOW - 30, bytes: Uint8Array.of(1, 2, random.below(256)) }];
  if (random.once(8)) outcome.segments = { ds: 0x1234n, gsBase: BigInt(random.u32()) << 32n };
  const kind = random.below(8);
  if (kind === 0) outcome.fault = { vector: 14, error: 7, address: 0xffff800000000000n + BigInt(random.u32()) };
  if (kind === 1) outcome.fault = { vector: 0, error: 0, address: 0n };
  return outcome;
}

interface Kept {
  readonly id: string;
  readonly number: number;
  readonly input: string;
  readonly outcome: Outcome;
  readonly parts: Undefined;
}

function inventCorpus(): { file: Uint8Array; kept: Kept[] } {
  const writer = createCorpusWriter(SEED);
  const random = createRandom(1, 2, 3);
  const kept: Kept[] = [];
  for (const form of SAMPLE_FORMS) {
    writer.startForm({ id: form.id, text: form.text, mode: form.mode });
    let number = 0;
    for (let e = 0; e < 2; e++) {
      const encoding = form.encode(random);
      writer.startEncoding(encoding.bytes, encoding.setup);
      for (let i = 0; i < 20; i++, number += 1 + random.below(2)) {
        const input = new DataView(new ArrayBuffer(TEST.size));
        makeInput(form, SEED, number, encoding.bytes, encoding.setup, input);
        const outcome = inventOutcome(random, input, form.mode, encoding.bytes.length);
        const parts = form.undefinedOf?.(inputOver(input), encoding) ?? {};
        maskUndefined(input, outcome, parts);
        writer.add(number, input, outcome, parts);
        kept.push({ id: form.id, number, input: Buffer.from(input.buffer).toString('hex'), outcome, parts });
      }
    }
  }
  return { file: writer.finish(1), kept };
}

test('the random numbers never change', () => {
  const random = createRandom(1, 2, 3);
  assert.deepEqual(
    Array.from({ length: 4 }, () => random.u32()),
    [1936341825, 3001364500, 1029104839, 3987121759],
  );
  assert.equal(hashText('add r64, r/m64 @64'), 3401339502);
  random.reseed(1, 2, 3);
  assert.ok(Array.from({ length: 1000 }, () => random.below(7)).every((n) => n >= 0 && n < 7));
});

test('the inputs never change: the recorded corpus depends on them', () => {
  const setups: Setup[] = [
    {},
    { gpr: 'digits', memory: 'decimal' },
    { vector: 'f32', memory: 'f32', pointers: [{ register: 3, bias: 8, align: 16, segment: 'fs' }] },
    { vector: 'f64', memory: 'f64', fpu: 'mmx', pointers: [{ register: 3 }] },
    { vector: 'text', memory: 'text', fpu: 'f80', ranges: [{ register: 1, minimum: -9, maximum: 9, step: 4 }] },
    { vector: 'int', memory: 'code', targets: [0], string: true },
    { memory: 'env16', pointers: [{ register: 3 }] },
    { memory: 'env32', pointers: [{ register: 3 }] },
    { memory: 'fxsave', pointers: [{ register: 3 }] },
    { memory: 'f80', pointers: [{ register: 3 }], addressSize: 32 },
  ];
  const view = new DataView(new ArrayBuffer(TEST.size));
  const random = createRandom(0, 0, 0);
  const hashes = setups.map((setup, i) => {
    let hash = 0;
    for (let n = 0; n < 300; n++) {
      random.reseed(i, SEED, n);
      writeInput(random, view, ([16, 32, 64] as const)[setup.addressSize ? 2 : n % 3], Uint8Array.of(0x90), setup);
      hash = hashWords(hash, new Uint32Array(view.buffer));
    }
    return hash;
  });
  assert.deepEqual(
    hashes,
    [
      2361114277, 3271256473, 97436632, 4090028237, 3096539828, 1731640897, 1710938516, 2063354607, 2438268871,
      4209235821,
    ],
  );
});

test('variable-length integers', () => {
  const writer = createWriter();
  const numbers = [0, 127, 128, 0xffff, 0xffffffff];
  const signed = [0n, -1n, 63n, -64n, 64n, 2n ** 63n - 1n, -(2n ** 63n)];
  for (const n of numbers) writer.varint(n);
  for (const n of signed) writer.signed(n);
  const reader = createReader(writer.take());
  assert.deepEqual(
    numbers.map(() => reader.varint()),
    numbers,
  );
  assert.deepEqual(
    signed.map(() => reader.signed()),
    signed,
  );
  assert.ok(reader.atEnd());
  assert.throws(() => reader.byte(), RangeError);
});

test('a corpus file gives back inputs and outcomes', () => {
  const { file, kept } = inventCorpus();
  let at = 0;
  for (const read of readCorpus(file)) {
    const want = kept[at++]!;
    assert.equal(read.form.id, want.id);
    assert.equal(read.number, want.number);
    assert.equal(Buffer.from(read.input.buffer).toString('hex'), want.input);
    assert.deepEqual(Buffer.from(read.expected.image.buffer), Buffer.from(want.outcome.image.buffer), want.id);
    assert.deepEqual(read.expected.fault, want.outcome.fault);
    assert.deepEqual(
      read.expected.memory.map((run) => [run.offset, ...run.bytes]),
      want.outcome.memory.map((run) => [run.offset, ...run.bytes]),
    );
    assert.deepEqual(read.expected.segments, want.outcome.segments);
    assert.deepEqual(read.undefined, want.parts);
    assert.deepEqual(compareOutcome(read, copyOf(read.expected)), []);
  }
  assert.equal(at, kept.length);
});

test('files that are damaged, of another version or made from other inputs are refused', () => {
  const { file } = inventCorpus();
  assert.equal(readForms(file).length, SAMPLE_FORMS.length);
  assert.throws(() => readForms(Uint8Array.of(1, 2, 3)), CorpusError);
  const plain = zstdDecompressSync(file);
  const otherVersion = Buffer.from(plain);
  otherVersion[7]!++;
  assert.throws(() => readForms(zstdCompressSync(otherVersion)), /version/);
  const text = plain.toString('latin1');
  const otherId = Buffer.from(text.replace('"id":"nop @64"', '"id":"nop @65"'), 'latin1');
  assert.throws(() => [...readCorpus(zstdCompressSync(otherId))], /made differently/);
});

test('differences are found, and what is undefined is not one', () => {
  const { file } = inventCorpus();
  let differences = 0;
  for (const read of readCorpus(file)) {
    if (read.expected.fault !== undefined) continue;
    const flags = read.undefined.flags ?? 0;
    const same = copyOf(read.expected);
    same.image.setUint32(IMAGE.rflags, same.image.getUint32(IMAGE.rflags, true) ^ flags, true);
    assert.deepEqual(compareOutcome(read, same), []);
    const wrongFlag = copyOf(read.expected);
    wrongFlag.image.setUint32(
      IMAGE.rflags,
      wrongFlag.image.getUint32(IMAGE.rflags, true) ^ 0x1d5 ^ (flags & 0xd5),
      true,
    );
    assert.equal(compareOutcome(read, wrongFlag).length, 1);
    const wrongByte = copyOf(read.expected);
    const value = initialByte(read.input, 0x300) ^ 1;
    wrongByte.memory = [...wrongByte.memory, { offset: 0x300, bytes: Uint8Array.of(value) }];
    assert.match(compareOutcome(read, wrongByte).join(), /^memory/);
    const faults: Outcome = { ...copyOf(read.expected), fault: { vector: 6, error: 0, address: 0n } };
    assert.match(compareOutcome(read, faults).join(), /expected no fault, got exception 6/);
    differences++;
  }
  assert.ok(differences > 1000);
});

test('approximate forms have a tolerance, in units in the last place across binades', () => {
  const writer = createCorpusWriter(SEED);
  const form = { id: 'approximate', text: 'fsin', mode: 64 as const, approximate: APPROXIMATE_X87 };
  const input = new DataView(new ArrayBuffer(TEST.size));
  makeInput(form, SEED, 0, Uint8Array.of(0xd9, 0xfe), {}, input);
  const image = new DataView(input.buffer.slice(TEST.image, TEST.image + IMAGE.size));
  // 1.0
  image.setBigUint64(IMAGE.st, 1n << 63n, true);
  image.setUint16(IMAGE.st + 8, 0x3fff, true);
  writer.startForm(form);
  writer.startEncoding(Uint8Array.of(0xd9, 0xfe), {});
  writer.add(0, input, { image, fault: undefined, memory: [], segments: {} }, {});
  const [read] = readCorpus(writer.finish(1));
  const below = (ulps: bigint): string[] => {
    const actual = copyOf(read!.expected);
    actual.image.setBigUint64(IMAGE.st, (1n << 64n) - ulps, true);
    actual.image.setUint16(IMAGE.st + 8, 0x3ffe, true);
    return compareOutcome(read!, actual);
  };
  assert.deepEqual(below(1n), []);
  assert.deepEqual(below(2n), []);
  assert.equal(below(3n).length, 1);
});

test('pointers point into the data pages, whatever segment and displacement', () => {
  for (const mode of [16, 32, 64] as const) {
    for (const segment of [undefined, 'fs', 'gs'] as const) {
      const pointer = { register: 3, bias: -20, align: 8, ...(segment && { segment }) };
      const setup: Setup = { pointers: [pointer] };
      const view = new DataView(new ArrayBuffer(TEST.size));
      let inside = 0;
      for (let number = 0; number < 200; number++) {
        makeInput({ id: 'pointer', mode }, SEED, number, Uint8Array.of(0x90), setup, view);
        const offset = pointedOffset(view, mode, setup, pointer) - WINDOW;
        if (offset >= 0 && offset <= 192 && offset % 8 === 0) inside++;
      }
      assert.ok(inside > 150, `${mode} ${segment}: ${inside}`);
    }
  }
});

test('the sample forms keep the interface', () => {
  const random = createRandom(4, 5, 6);
  for (const form of SAMPLE_FORMS) checkEncoding(form, form.encode(random));
  assert.equal(new Set(SAMPLE_FORMS.map((form) => form.id)).size, SAMPLE_FORMS.length);
  const form = { ...SAMPLE_FORMS[0]!, id: 'too long' };
  assert.throws(() => checkEncoding(form, { bytes: new Uint8Array(33), setup: {} }), RangeError);
  const twice: Setup = { pointers: [{ register: 1 }], ranges: [{ register: 1, minimum: 0, maximum: 1 }] };
  assert.throws(() => checkEncoding(form, { bytes: Uint8Array.of(0x90), setup: twice }), RangeError);
});
