/**
 * Runs IR as it reads, node by node in the order of the text, on BigInts: an oracle for the encoder, which moves nodes and
 * shares locals. Integers only; i32 and i64 are both signed BigInts.
 */
import type { Builder } from './builder.ts';
import type { Block, Label, Node, Variable } from './node.ts';

export interface World {
  readonly memory: DataView;
  readonly functions: Readonly<Record<string, (...args: bigint[]) => bigint>>;
}

/** How a block was left before its end. */
type Left = { readonly label: Label } | { readonly value: bigint | undefined };

const bit = (condition: boolean): bigint => (condition ? 1n : 0n);
const unsigned = (bits: number, a: bigint): bigint => BigInt.asUintN(bits, a);

function countBits(a: bigint): number {
  return [...a.toString(2)].filter((digit) => digit === '1').length;
}

function rotateLeft(bits: number, a: bigint, count: bigint): bigint {
  return (unsigned(bits, a) << count) | (unsigned(bits, a) >> (BigInt(bits) - count));
}

type Operation = (bits: number, a: bigint, b: bigint) => bigint;

const shift = (bits: number, b: bigint): bigint => b & BigInt(bits - 1);

const OPERATIONS: Readonly<Record<string, Operation>> = {
  add: (_, a, b) => a + b,
  sub: (_, a, b) => a - b,
  mul: (_, a, b) => a * b,
  and: (_, a, b) => a & b,
  or: (_, a, b) => a | b,
  xor: (_, a, b) => a ^ b,
  shl: (bits, a, b) => a << shift(bits, b),
  shr_u: (bits, a, b) => unsigned(bits, a) >> shift(bits, b),
  shr_s: (bits, a, b) => a >> shift(bits, b),
  rotl: (bits, a, b) => rotateLeft(bits, a, shift(bits, b)),
  rotr: (bits, a, b) => rotateLeft(bits, a, shift(bits, -b)),
  eq: (_, a, b) => bit(a === b),
  ne: (_, a, b) => bit(a !== b),
  lt_s: (_, a, b) => bit(a < b),
  le_s: (_, a, b) => bit(a <= b),
  gt_s: (_, a, b) => bit(a > b),
  ge_s: (_, a, b) => bit(a >= b),
  lt_u: (bits, a, b) => bit(unsigned(bits, a) < unsigned(bits, b)),
  le_u: (bits, a, b) => bit(unsigned(bits, a) <= unsigned(bits, b)),
  gt_u: (bits, a, b) => bit(unsigned(bits, a) > unsigned(bits, b)),
  ge_u: (bits, a, b) => bit(unsigned(bits, a) >= unsigned(bits, b)),
  eqz: (_, a) => bit(a === 0n),
  clz: (bits, a) => BigInt(a === 0n ? bits : bits - unsigned(bits, a).toString(2).length),
  ctz: (bits, a) => BigInt(a === 0n ? bits : countBits(unsigned(bits, (a & -a) - 1n))),
  popcnt: (bits, a) => BigInt(countBits(unsigned(bits, a))),
  wrap_i64: (_, a) => a,
  extend_i32_s: (_, a) => a,
  extend_i32_u: (_, a) => unsigned(32, a),
  extend8_s: (_, a) => BigInt.asIntN(8, a),
  extend16_s: (_, a) => BigInt.asIntN(16, a),
  extend32_s: (_, a) => BigInt.asIntN(32, a),
};

const bitsOf = (type: string): number => (type === 'i64' ? 64 : 32);

/** An integer operation by its WebAssembly name. */
export function evaluateOp(name: string, args: readonly bigint[]): bigint {
  const [type, operation] = name.split('.');
  const run = OPERATIONS[operation];
  if (run === undefined) throw new TypeError(`no evaluation of ${name}`);
  const compares = /^(eq|ne|eqz|[lg][te]_[su])$/.test(operation);
  return BigInt.asIntN(compares ? 32 : bitsOf(type), run(bitsOf(type), args[0], args[1]));
}

/** Bytes that a memory operation moves, and whether it sign-extends. */
function access(name: string): { bytes: number; signed: boolean } {
  const [, type, width, sign] = /^(i..)\.(?:load|store)(\d*)_?(.?)$/.exec(name) as RegExpExecArray;
  return { bytes: width === '' ? bitsOf(type) / 8 : Number(width) / 8, signed: sign === 's' };
}

/** An atomic operation on what is in memory: the new value, or `undefined` where memory stays. */
const ATOMICS: Readonly<Record<string, (bits: number, old: bigint, args: readonly bigint[]) => bigint | undefined>> = {
  load: () => undefined,
  store: (_, __, [value]) => value,
  add: (_, old, [value]) => old + value,
  sub: (_, old, [value]) => old - value,
  and: (_, old, [value]) => old & value,
  or: (_, old, [value]) => old | value,
  xor: (_, old, [value]) => old ^ value,
  xchg: (_, __, [value]) => value,
  // What the expected value has above the width never compares equal.
  cmpxchg: (bits, old, [expected, value]) => (unsigned(bits, expected) === old ? value : undefined),
};

/** Name of an atomic operation, its type's bits and the bits that it moves. */
function atomicAccess(name: string): { operation: string; bits: number; moved: number } {
  const [, type, plain, plainWidth, rmwWidth, rmw] =
    /^(i..)\.atomic\.(?:(load|store)(\d*)(?:_u)?|rmw(\d*)\.([a-z]+)(?:_u)?)$/.exec(name) as RegExpExecArray;
  const bits = bitsOf(type);
  return { operation: plain ?? rmw, bits, moved: Number(plainWidth ?? rmwWidth) || bits };
}

class Evaluation {
  readonly #world: World;
  readonly #values = new Map<Node, bigint>();
  readonly #variables = new Map<Variable, bigint>();

  constructor(world: World, builder: Builder, args: readonly bigint[]) {
    this.#world = world;
    builder.params.forEach((variable, i) => {
      this.#variables.set(variable, args[i]);
    });
  }

  #value(node: Node): bigint {
    if (node.kind === 'const') return BigInt(node.value as number | bigint);
    const known = this.#values.get(node);
    if (known === undefined) throw new TypeError(`a ${node.kind} is used before it was run`);
    return known;
  }

  run(block: Block): Left | undefined {
    for (const node of block.nodes) {
      const left = this.#node(node);
      if (left !== undefined) return left;
    }
    return undefined;
  }

  #node(node: Node): Left | undefined {
    switch (node.kind) {
      case 'if':
        return this.run(this.#value(node.args[0]) !== 0n ? node.consequent : node.alternative);
      case 'choose': {
        const taken = this.#value(node.args[0]) !== 0n;
        const left = this.run(taken ? node.consequent : node.alternative);
        if (left === undefined) this.#values.set(node, this.#value(node.outcomes[taken ? 0 : 1]));
        return left;
      }
      case 'hole':
        return this.run(node.body);
      case 'scope':
        for (;;) {
          const left = this.run(node.body);
          if (left === undefined || !('label' in left) || left.label !== node.label) return left;
          if (node.label.kind === 'block') return undefined;
        }
      case 'branch':
        return node.args.length === 0 || this.#value(node.args[0]) !== 0n ? { label: node.label } : undefined;
      case 'switch':
        return { label: node.labels[Number(BigInt.asUintN(32, this.#value(node.args[0])))] ?? node.label };
      case 'return':
        return { value: node.args.length === 0 ? undefined : this.#value(node.args[0]) };
      default: {
        const result = this.#compute(node);
        if (result !== undefined && node.type !== undefined)
          this.#values.set(node, BigInt.asIntN(bitsOf(node.type as string), result));
        return undefined;
      }
    }
  }

  #compute(node: Node): bigint | undefined {
    const args = ('args' in node ? node.args : []).map((arg) => this.#value(arg));
    const { memory, functions } = this.#world;
    switch (node.kind) {
      case 'pure':
        return evaluateOp(node.op.name, args);
      case 'select':
        return args[2] !== 0n ? args[0] : args[1];
      case 'get':
        return this.#variables.get(node.variable) ?? 0n;
      case 'set':
        this.#variables.set(node.variable, args[0]);
        return undefined;
      case 'load': {
        const { bytes, signed } = access(node.op.name);
        const address = Number(unsigned(32, args[0])) + node.offset;
        let value = 0n;
        for (let i = 0; i < bytes; i++) value |= BigInt(memory.getUint8(address + i)) << BigInt(8 * i);
        return signed ? BigInt.asIntN(8 * bytes, value) : value;
      }
      case 'store': {
        const address = Number(unsigned(32, args[0])) + node.offset;
        for (let i = 0; i < access(node.op.name).bytes; i++)
          memory.setUint8(address + i, Number(unsigned(8, args[1] >> BigInt(8 * i))));
        return undefined;
      }
      case 'atomic': {
        const address = Number(unsigned(32, args[0])) + node.offset;
        const { operation, bits, moved } = atomicAccess(node.op.name);
        let old = 0n;
        for (let i = 0; i < moved / 8; i++) old |= BigInt(memory.getUint8(address + i)) << BigInt(8 * i);
        const fresh = ATOMICS[operation](bits, old, args.slice(1));
        for (let i = 0; fresh !== undefined && i < moved / 8; i++)
          memory.setUint8(address + i, Number(unsigned(8, fresh >> BigInt(8 * i))));
        return old;
      }
      case 'fence':
        return undefined;
      case 'call':
        return functions[node.callee](...args);
      default:
        throw new TypeError(`no evaluation of ${node.kind}`);
    }
  }
}

/** Runs a function body; its result. */
export function evaluate(builder: Builder, args: readonly bigint[], world: World): bigint | undefined {
  const left = new Evaluation(world, builder, args).run(builder.body);
  if (left === undefined || 'label' in left) throw new TypeError('the body does not return');
  return left.value;
}
