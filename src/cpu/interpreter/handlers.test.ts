import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDecoder, listEncodings } from '../../isa/decoder.ts';
import type { Definition } from '../../isa/definition.ts';
import { createFormReader } from '../../isa/form.ts';
import { integer } from '../../isa/integer/index.ts';
import { gprOffset, VCPU } from '../../isa/state.ts';
import { createArena } from '../../memory/arena.ts';
import { createFramePool } from '../../memory/frame-pool.ts';
import { writeGuest } from '../../memory/guest-memory.ts';
import { createSharedMemory, PAGE_SIZE } from '../../memory/layout.ts';
import { createPhysicalMap } from '../../memory/physical-map.ts';
import { createBlockCache } from './blocks.ts';
import { CORE_SHAPES } from './core-places.ts';
import { EXIT } from './exits.ts';
import { createHandlers, type Handlers } from './handlers.ts';
import { BLOCK_LIMIT, RECORD, RECORD_SIZE } from './record.ts';
import { type Shape, type ShapeMode, shapeOf } from './shape.ts';
import { SPECIAL } from './special-handlers.ts';

/** Indices that records can name. */
const INDICES = 0x10000;

const MODE: ShapeMode = {
  codeSize: 4,
  stackSize: 4,
  protected: true,
  flatSegments: [true, true, true, true, true, true],
};
const encodings = listEncodings(integer);
const decode = createDecoder(encodings);

function shape(bytes: readonly number[]): Shape {
  const instruction = decode(Uint8Array.from([...bytes, ...new Array<number>(15).fill(0)]), 0, MODE);
  assert.ok(typeof instruction !== 'string');
  return shapeOf(instruction, MODE);
}

test('handlers say when they are full while a block still finds room, and begin anew', () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  const table = new WebAssembly.Table({ element: 'anyfunc', initial: 16 });
  const handlers = createHandlers({ memory, table, functions: {}, helpers: new Map() });
  const nop = shape([0x90]);
  const first = handlers.index(nop);
  handlers.publish();
  assert.equal(typeof table.get(first), 'function');
  const seen = new Set([first, ...Object.values(handlers.special)]);
  for (let i = 0; !handlers.full(); i++) seen.add(handlers.index({ ...nop, key: `shape ${i}` }));
  for (let i = 0; i < BLOCK_LIMIT; i++) seen.add(handlers.index({ ...nop, key: `late shape ${i}` }));
  assert.ok(seen.size > INDICES - CORE_SHAPES - 2 * BLOCK_LIMIT, `${seen.size} handlers`);
  assert.ok(Math.max(...seen) < INDICES);

  handlers.clear();
  assert.equal(handlers.full(), false);
  assert.equal(table.get(first), null);
  assert.equal(handlers.index(nop), first);
  handlers.publish();
  assert.equal(typeof table.get(first), 'function');
  for (const special of ['end', 'stale', 'undefined'] as const)
    assert.equal(typeof table.get(handlers.special[special]), 'function');
});

test('when handlers are full, all blocks are forgotten with them', () => {
  const arena = createArena(createSharedMemory().buffer);
  const map = createPhysicalMap(arena, createFramePool(arena), 16 * PAGE_SIZE, {
    codeWritten: () => {},
    revoked: () => {},
  });
  let used = 0;
  let clears = 0;
  let forgotten = 0;
  const handlers = {
    special: Object.fromEntries(SPECIAL.map((name, i) => [name, i + 1])),
    index: () => SPECIAL.length + ++used,
    publish: () => {},
    full: () => used >= 3,
    clear() {
      used = 0;
      clears++;
    },
  } as unknown as Handlers;
  const base = arena.allocate(1 << 20, PAGE_SIZE);
  const blocks = createBlockCache({
    buffer: arena.buffer,
    area: { base, size: 1 << 20 },
    holder: 0,
    map,
    decode,
    formLength: createFormReader(encodings),
    handlers,
    codeDropped: () => {},
    forgetJumps: () => {
      forgotten++;
    },
    separates: () => false,
  });
  // Ways to return and to jump: each is a block of its own shape.
  [0xc3, 0xc2, 0xeb, 0xe9].forEach((code, i) => void writeGuest(map, (i + 1) * PAGE_SIZE, Uint8Array.of(code)));
  const at = (page: number) => blocks.find({ page, offset: 0, modeKey: 0, ip: 0, limit: 0xffff, nextPage: () => -1 });
  const [one] = [at(1), at(2), at(3)];
  assert.equal(at(1), one);
  const before = forgotten;
  const four = at(4);
  assert.deepEqual([clears, used, blocks.stats.flushes], [1, 1, 1]);
  assert.ok(forgotten > before);
  assert.equal(four?.record, base);
  assert.notEqual(at(1), one);
});

test('a core has the handlers that stand most often, and others take their places when it is made anew', () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  const table = new WebAssembly.Table({ element: 'anyfunc', initial: 16 });
  const handlers = createHandlers({ memory, table, functions: {}, helpers: new Map() });
  const shapes = [[0x90], [0x89, 0xc0], [0xb8, 1, 0, 0, 0]].map(shape);
  const [nop, move, constant] = shapes.map(handlers.index);
  handlers.publish();
  const counts = (of: Readonly<Record<number, number>>) =>
    Uint32Array.from({ length: INDICES }, (_, index) => of[index] ?? 0);

  const numbers = handlers.gather(counts({ [nop]: 1, [move]: 5 })) as Uint16Array;
  assert.deepEqual(
    [nop, move].map((index) => handlers.alone(numbers[index])),
    [nop, move],
  );
  assert.equal(numbers[constant], constant);
  assert.equal(table.get(numbers[nop]), table.get(numbers[move]));
  assert.notEqual(table.get(numbers[nop]), table.get(nop));
  assert.equal(handlers.index(shapes[1]), numbers[move]);

  const again = handlers.gather(counts({ [numbers[move]]: 1, [constant]: 5 })) as Uint16Array;
  assert.equal(again[numbers[nop]], nop);
  assert.equal(handlers.alone(again[numbers[move]]), move);
  assert.equal(handlers.alone(again[constant]), constant);
  assert.deepEqual(shapes.map(handlers.index), [nop, again[numbers[move]], again[constant]]);

  handlers.clear();
  assert.equal(table.get(again[constant]), null);
});

test('a core goes from record to record by itself', () => {
  const memory = new WebAssembly.Memory({ initial: 128, maximum: 65536, shared: true });
  const table = new WebAssembly.Table({ element: 'anyfunc', initial: 16 });
  const handlers = createHandlers({ memory, table, functions: {}, helpers: new Map() });
  const move = shape([0xb8, 0, 0, 0, 0]);
  const alone = handlers.index(move);
  handlers.publish();
  const [place] = (
    handlers.gather(Uint32Array.from({ length: INDICES }, (_, i) => (i === alone ? 1 : 0))) as Uint16Array
  ).slice(alone);
  // By itself it would leave by the table, where there is nothing any more.
  const core = table.get(place) as (cpu: number, record: number) => number;
  for (let index = 0; index < table.length; index++) table.set(index, null);
  const data = new DataView(memory.buffer);
  const [cpu, records] = [8, 0x8000];
  data.setInt32(cpu + VCPU.offsets.budget, 0, true);
  [7, 9].forEach((value, i) => {
    const record = records + i * RECORD_SIZE;
    data.setUint16(record + RECORD.handler, place, true);
    data.setUint16(record + RECORD.slots, gprOffset(i), true);
    data.setUint32(record + RECORD.immediate, value, true);
  });
  const end = records + 2 * RECORD_SIZE;
  data.setUint16(end + RECORD.handler, handlers.special.end, true);
  data.setUint16(end + RECORD.offset, 0x123, true);
  data.setUint16(end + RECORD.count, 3, true);
  assert.equal(core(cpu, records), EXIT.dispatch);
  assert.deepEqual(
    [0, 1].map((i) => data.getBigUint64(cpu + gprOffset(i), true)),
    [7n, 9n],
  );
  assert.equal(data.getBigUint64(cpu + VCPU.offsets.rip, true), 0x123n);
  assert.equal(data.getInt32(cpu + VCPU.offsets.budget, true), -2);
});

test('a core that would be too large has fewer handlers', () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  const table = new WebAssembly.Table({ element: 'anyfunc', initial: 16 });
  const handlers = createHandlers({ memory, table, functions: {}, helpers: new Map() });
  const nop = shape([0x90]);
  const semantics: Definition['semantics'] = (b) => {
    for (let i = 0; i < 100; i++) b.setScratchField('rip', b.i64(1n << 62n));
  };
  const long = { ...nop.encoding, definition: { ...nop.encoding.definition, semantics } };
  const counts = new Uint32Array(INDICES);
  const all = Array.from({ length: 300 }, (_, i) => handlers.index({ ...nop, key: `long ${i}`, encoding: long }));
  for (const [i, index] of all.entries()) counts[index] = 1000 - i;
  handlers.publish();
  const numbers = handlers.gather(counts) as Uint16Array;
  const places = all.filter((index) => numbers[index] !== index);
  assert.ok(places.length > 10 && places.length < 150, `${places.length} in the core`);
  assert.deepEqual(places, all.slice(0, places.length));
  assert.equal(table.get(numbers[all[0]]), table.get(numbers[places.at(-1) as number]));
});
