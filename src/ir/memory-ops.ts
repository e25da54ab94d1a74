/** WebAssembly's loads, stores and atomic operations under their standard names (core specification 5.4.6; threads). */
import type { MemoryOp } from './node.ts';
import type { Type } from './types.ts';

function table(rows: readonly (readonly [string, Type, readonly number[], number])[]): Map<string, MemoryOp> {
  return new Map(
    rows.map(([name, type, code, align]) => [
      name,
      { name, type, code, align, width: widthOf(name, type), ordered: false },
    ]),
  );
}

/** Bits that a zero-extending load, or atomic operation, can set. */
function widthOf(name: string, type: Type): number {
  const narrow = /(?:load|rmw)(8|16|32)\D.*u$/.exec(name);
  if (narrow !== null) return Number(narrow[1]);
  return { i32: 32, i64: 64, f32: 32, f64: 64, v128: 128 }[type];
}

const LOADS = table([
  ['i32.load', 'i32', [0x28], 2],
  ['i64.load', 'i64', [0x29], 3],
  ['f32.load', 'f32', [0x2a], 2],
  ['f64.load', 'f64', [0x2b], 3],
  ['i32.load8_s', 'i32', [0x2c], 0],
  ['i32.load8_u', 'i32', [0x2d], 0],
  ['i32.load16_s', 'i32', [0x2e], 1],
  ['i32.load16_u', 'i32', [0x2f], 1],
  ['i64.load8_s', 'i64', [0x30], 0],
  ['i64.load8_u', 'i64', [0x31], 0],
  ['i64.load16_s', 'i64', [0x32], 1],
  ['i64.load16_u', 'i64', [0x33], 1],
  ['i64.load32_s', 'i64', [0x34], 2],
  ['i64.load32_u', 'i64', [0x35], 2],
  ['v128.load', 'v128', [0xfd, 0], 4],
  ['v128.load32_zero', 'v128', [0xfd, 92], 2],
  ['v128.load64_zero', 'v128', [0xfd, 93], 3],
]);

const ORDERED_LOADS = new Map([...LOADS].map(([name, op]) => [name, { ...op, ordered: true }]));

const STORES = table([
  ['i32.store', 'i32', [0x36], 2],
  ['i64.store', 'i64', [0x37], 3],
  ['f32.store', 'f32', [0x38], 2],
  ['f64.store', 'f64', [0x39], 3],
  ['i32.store8', 'i32', [0x3a], 0],
  ['i32.store16', 'i32', [0x3b], 1],
  ['i64.store8', 'i64', [0x3c], 0],
  ['i64.store16', 'i64', [0x3d], 1],
  ['i64.store32', 'i64', [0x3e], 2],
  ['v128.store', 'v128', [0xfd, 11], 4],
]);

const ATOMIC_WIDTHS: readonly (readonly [prefix: string, suffix: string, type: Type, align: number])[] = [
  ['i32', '', 'i32', 2],
  ['i64', '', 'i64', 3],
  ['i32', '8', 'i32', 0],
  ['i32', '16', 'i32', 1],
  ['i64', '8', 'i64', 0],
  ['i64', '16', 'i64', 1],
  ['i64', '32', 'i64', 2],
];

function atomics(): Map<string, MemoryOp> {
  const map = new Map<string, MemoryOp>();
  const family = (first: number, name: (prefix: string, width: string) => string) =>
    ATOMIC_WIDTHS.forEach(([prefix, width, type, align], i) => {
      const full = name(prefix, width);
      map.set(full, { name: full, type, code: [0xfe, first + i], align, width: widthOf(full, type), ordered: false });
    });
  family(0x10, (p, w) => `${p}.atomic.load${w}${w && '_u'}`);
  family(0x17, (p, w) => `${p}.atomic.store${w}`);
  ['add', 'sub', 'and', 'or', 'xor', 'xchg', 'cmpxchg'].forEach((op, k) => {
    family(0x1e + 7 * k, (p, w) => `${p}.atomic.rmw${w}.${op}${w && '_u'}`);
  });
  return map;
}

const ATOMICS = atomics();

function find(map: Map<string, MemoryOp>, name: string): MemoryOp {
  const op = map.get(name);
  if (op === undefined) throw new TypeError(`no memory operation is called ${name}`);
  return op;
}

export const loadOp = (name: string): MemoryOp => find(LOADS, name);
export const orderedLoadOp = (name: string): MemoryOp => find(ORDERED_LOADS, name);
export const storeOp = (name: string): MemoryOp => find(STORES, name);
export const atomicOp = (name: string): MemoryOp => find(ATOMICS, name);
