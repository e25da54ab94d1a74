import assert from 'node:assert/strict';
import { test } from 'node:test';
import { x86 } from '../../engine/translated/instruction-set.ts';
import { type Random, randomFrom } from '../../ir/random-program.test-helper.ts';
import { createDecoder, listEncodings } from '../../isa/decoder.ts';
import { createFormReader } from '../../isa/form.ts';
import { createArena } from '../../memory/arena.ts';
import { createFramePool } from '../../memory/frame-pool.ts';
import { writeGuest } from '../../memory/guest-memory.ts';
import { createSharedMemory, PAGE_SIZE } from '../../memory/layout.ts';
import { createPhysicalMap } from '../../memory/physical-map.ts';
import { type BlockWriter, createBlockWriter, MODE_SINGLE } from './block-writer.ts';
import type { Handlers } from './handlers.ts';
import { RECORD_SIZE } from './record.ts';
import type { ShapeMode } from './shape.ts';
import { SPECIAL } from './special-handlers.ts';

const encodings = listEncodings(x86.definitions);
const decode = createDecoder(encodings);
const AREA = 1 << 20;

function modeOf(codeSize: 2 | 4 | 8, flat = true): ShapeMode {
  return { codeSize, stackSize: codeSize, protected: codeSize !== 2, flatSegments: new Array(6).fill(flat) };
}

/** One page of guest memory, writers of blocks that begin in it, and how often these decode. */
function createRig() {
  const arena = createArena(createSharedMemory().buffer);
  const map = createPhysicalMap(arena, createFramePool(arena), 2 * PAGE_SIZE, {
    codeWritten: () => {},
    revoked: () => {},
  });
  const indices = new Map<string, number>();
  const handlers = {
    special: Object.fromEntries(SPECIAL.map((name, i) => [name, i + 1])),
    index({ key }: { key: string }) {
      if (!indices.has(key)) indices.set(key, SPECIAL.length + 1 + indices.size);
      return indices.get(key);
    },
  } as unknown as Handlers;
  let decoded = 0;
  const bytes = new Uint8Array(arena.buffer);
  const base = arena.allocate(AREA, PAGE_SIZE);
  const createWriter = (): BlockWriter =>
    createBlockWriter({
      buffer: arena.buffer,
      area: { base, size: AREA },
      map,
      decode(code, at, mode) {
        decoded++;
        return decode(code, at, mode);
      },
      formLength: createFormReader(encodings),
      handlers,
      separates: () => false,
      recordAt: () => 0,
      reads() {},
    });
  return {
    decoded: () => decoded,
    writer: createWriter(),
    /** A writer that knows no templates. */
    fresh: createWriter,
    /** The records of the instruction `code` at `offset`. */
    write(writer: BlockWriter, code: readonly number[], offset: number, mode: ShapeMode): string {
      writeGuest(map, offset, Uint8Array.from(code));
      writer.clear();
      const position = { page: 0, offset, modeKey: MODE_SINGLE, ip: offset, limit: 0xffff_ffff, nextPage: () => 1 };
      const block = writer.write(position, mode);
      assert.ok(block !== undefined);
      const { record, records } = block;
      return Buffer.from(bytes.subarray(record, record + records * RECORD_SIZE)).toString('hex');
    },
  };
}

/** Prefixes, opcodes of all maps and ModRM bytes of all kinds; what follows is random. */
function* instructions(random: Random): Generator<number[]> {
  const prefixes = [[], [0x66], [0xf2], [0xf3], [0x48], [0x41], [0x64], [0xf0], [0x66, 0x48], [0x67], [0x2e, 0x66]];
  for (const map of [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]) {
    for (let opcode = 0; opcode < 256; opcode++) {
      for (const prefix of prefixes) {
        const modRm = [random(256), 0x04 + random(8) * 8, 0x05 + random(4) * 64, 0xc0 + random(64)][random(4)];
        yield [...prefix, ...map, opcode, modRm];
      }
    }
  }
}

for (const mode of [modeOf(8), modeOf(4), modeOf(2), modeOf(4, false)]) {
  test(`records made of templates are those of the decoder, ${mode.codeSize * 8} bits`, () => {
    const rig = createRig();
    const random = randomFrom(mode.codeSize);
    let copied = 0;
    for (const start of instructions(random)) {
      for (let round = 0; round < 3; round++) {
        const code = [...start, ...Array.from({ length: 12 }, () => random(256))];
        const offset = round < 2 ? random(PAGE_SIZE - code.length) : PAGE_SIZE - 1 - random(24);
        const before = rig.decoded();
        const known = rig.write(rig.writer, code, offset, mode);
        copied += rig.decoded() === before ? 1 : 0;
        const expected = rig.write(rig.fresh(), code, offset, mode);
        assert.equal(known, expected, `${Buffer.from(code).toString('hex')} at ${offset}`);
      }
    }
    assert.ok(copied > 2000, `${copied} from templates`);
  });
}

test('templates are of their mode, and go with the handlers that they name', () => {
  const rig = createRig();
  const code = [0x89, 0x44, 0x24, 0x08, 0x90, 0x90, 0x90, 0x90];
  const long = modeOf(8);
  const first = rig.write(rig.writer, code, 0, long);
  const legacy = rig.write(rig.writer, code, 0, modeOf(4));
  assert.notEqual(first, legacy);
  const before = rig.decoded();
  assert.equal(rig.write(rig.writer, code, 0, long), first);
  assert.equal(rig.decoded(), before);
  rig.writer.forgetHandlers();
  assert.equal(rig.write(rig.writer, code, 0, long), first);
  assert.equal(rig.decoded(), before + 1);
});
