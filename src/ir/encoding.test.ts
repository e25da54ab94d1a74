import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Builder } from './builder.ts';
import { evaluate } from './evaluate.test-helper.ts';
import { MEMORY, MIX, PROGRAM, randomFrom, writeRandomProgram } from './random-program.test-helper.ts';
import { IMPORTS, ModuleBuilder } from './wasm/module.ts';

const PROGRAMS = 400;
/** Programs of a module. */
const BATCH = 50;
const INPUTS: readonly (readonly [number, bigint, bigint])[] = [
  [0, 0n, 0n],
  [1, -1n, 0x1234_5678_9abc_def0n],
  [-7, 1n << 63n, 3n],
  [0x1234, 0xffff_ffffn, 255n],
];

const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
const table = new WebAssembly.Table({ initial: 1, element: 'anyfunc' });
const compiled = new Uint8Array(memory.buffer, 0, MEMORY);
const evaluated = new Uint8Array(MEMORY);

/** What programs call: it looks at memory, and changes it. */
function mix(bytes: Uint8Array, a: number, b: bigint): bigint {
  const at = a & 0xff;
  const value = BigInt.asIntN(64, b * 0x9e37_79b9n + BigInt(bytes[at]) + BigInt(a));
  bytes[at] = Number(BigInt.asUintN(8, value));
  return value;
}

function build(seed: number): Builder {
  const builder = new Builder(PROGRAM.params, PROGRAM.result, () => MIX);
  writeRandomProgram(builder, randomFrom(seed));
  return builder;
}

function fillMemory(bytes: Uint8Array): void {
  for (let i = 0; i < MEMORY; i++) bytes[i] = (i * 37) & 0xff;
}

function compare(seed: number, run: (...args: unknown[]) => bigint): void {
  const world = {
    memory: new DataView(evaluated.buffer),
    functions: { mix: (a: bigint, b: bigint) => mix(evaluated, Number(a), b) },
  };
  const builder = build(seed);
  for (const [a, b, c] of INPUTS) {
    fillMemory(compiled);
    fillMemory(evaluated);
    const expected = evaluate(builder, [BigInt(a), BigInt.asIntN(64, b), c], world);
    assert.equal(run(a, b, c), expected, `program ${seed} with ${a}, ${b}, ${c}`);
    assert.deepEqual(compiled.slice(), evaluated, `memory after program ${seed} with ${a}, ${b}, ${c}`);
  }
}

test('encoded programs do what their nodes say in the order of the text', () => {
  for (let first = 0; first < PROGRAMS; first += BATCH) {
    const module = new ModuleBuilder();
    module.import('mix', MIX);
    for (let seed = first; seed < first + BATCH; seed++)
      module.define(`p${seed}`, PROGRAM, build(seed), { exported: true });
    const env = { memory, table, mix: (a: number, b: bigint) => mix(compiled, a, b) };
    const wasm = new WebAssembly.Module(module.encode());
    const { exports } = new WebAssembly.Instance(wasm, { [IMPORTS]: env });
    for (let seed = first; seed < first + BATCH; seed++)
      compare(seed, exports[`p${seed}`] as (...args: unknown[]) => bigint);
  }
});

/** Offsets of the i32 loads from the first parameter, in the order of the code. */
function loadOffsets(fill: (b: Builder) => void): number[] {
  const module = new ModuleBuilder();
  module.define('f', { params: ['i32'], result: 'i32' }, fill);
  const code = [...module.encode()];
  // i32.load, alignment 0, offset.
  return code.flatMap((byte, i) => (byte === 0x28 && code[i + 1] === 0 && code[i + 2] >= 0x40 ? [code[i + 2]] : []));
}

test('ordered loads stay in the order of the text, others may be made where they are used', () => {
  const useBackwards = (load: 'loadHost' | 'loadOrdered') => (b: Builder) => {
    const first = b[load]('i32.load', b.param(0), 0x40);
    const second = b[load]('i32.load', b.param(0), 0x41);
    b.return(b.sub(second, first));
  };
  assert.deepEqual(loadOffsets(useBackwards('loadOrdered')), [0x40, 0x41]);
  assert.deepEqual(loadOffsets(useBackwards('loadHost')), [0x41, 0x40]);
});

test('a fence holds back what stands behind it', () => {
  const offsets = loadOffsets((b) => {
    const before = b.loadHost('i32.load', b.param(0), 0x40);
    b.fenceHost();
    const behind = b.loadHost('i32.load', b.param(0), 0x41);
    b.return(b.sub(behind, before));
  });
  assert.deepEqual(offsets, [0x40, 0x41]);
});
