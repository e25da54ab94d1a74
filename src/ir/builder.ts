/**
 * Builds the body of one IR function. Integer operations take their type from their operands; floating-point and SIMD
 * operations go by their WebAssembly names through `op`.
 */
import { foldPure } from './fold.ts';
import { atomicOp, loadOp, storeOp } from './memory-ops.ts';
import {
  BEFORE,
  type Block,
  createVariable,
  type Label,
  NOWHERE,
  type Node,
  type Signature,
  type Value,
  type Variable,
} from './node.ts';
import { pureOp } from './ops.ts';
import type { Type } from './types.ts';

const fresh = { uses: 0, lastUse: BEFORE, local: NOWHERE };

export class Builder {
  readonly params: readonly Variable[];
  readonly result: Type | undefined;
  readonly body: Block = { nodes: [] };
  /** Names of the functions that the body calls. */
  readonly callees = new Set<string>();
  #block: Block = this.body;
  readonly #signatures: (callee: string) => Signature;

  /** `signatures` gives the signature of every function that `call` may name. */
  constructor(params: readonly Type[], result: Type | undefined, signatures: (callee: string) => Signature) {
    this.params = params.map((type, index) => createVariable(type, index));
    this.result = result;
    this.#signatures = signatures;
  }

  /** The value that parameter `index` had on entry. */
  param(index: number): Value {
    return this.get(this.params[index] as Variable);
  }

  #push<N extends Node>(node: N): N {
    this.#block.nodes.push(node);
    return node;
  }

  i32(value: number): Value {
    return { kind: 'const', type: 'i32', value: value | 0, ...fresh };
  }

  i64(value: bigint | number): Value {
    return { kind: 'const', type: 'i64', value: BigInt.asIntN(64, BigInt(value)), ...fresh };
  }

  f32(value: number): Value {
    return { kind: 'const', type: 'f32', value, ...fresh };
  }

  f64(value: number): Value {
    return { kind: 'const', type: 'f64', value, ...fresh };
  }

  /** A vector constant from two 64-bit halves, low first. */
  v128(low: bigint, high: bigint): Value {
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt.asUintN(64, low), true);
    view.setBigUint64(8, BigInt.asUintN(64, high), true);
    return { kind: 'const', type: 'v128', value: bytes, ...fresh };
  }

  /** A pure operation by its WebAssembly name, e.g. `op('f64.add', a, b)`. */
  op(name: string, ...args: Value[]): Value {
    return this.#pure(name, args, 0);
  }

  /** A lane operation, e.g. `lane('i64x2.extract_lane', 1, v)`. */
  lane(name: string, lane: number, ...args: Value[]): Value {
    return this.#pure(name, args, lane);
  }

  #pure(name: string, args: readonly Value[], lane: number): Value {
    const op = pureOp(name);
    if (op.params.length !== args.length || op.params.some((type, i) => args[i]?.type !== type)) {
      throw new TypeError(`${name} does not take (${args.map((a) => a?.type).join(', ')})`);
    }
    const folded = foldPure(name, args);
    if (folded !== undefined) return typeof folded === 'object' ? folded : this.#constant(op.result, folded);
    return this.#push({ kind: 'pure', type: op.result, op, args, lane, ...fresh });
  }

  #constant(type: Type, value: number | bigint): Value {
    return type === 'i64' ? this.i64(value) : this.i32(Number(value));
  }

  #integer(name: string, a: Value, b: Value): Value {
    return this.#pure(`${a.type}.${name}`, [a, b], 0);
  }

  add(a: Value, b: Value): Value {
    return this.#integer('add', a, b);
  }
  sub(a: Value, b: Value): Value {
    return this.#integer('sub', a, b);
  }
  mul(a: Value, b: Value): Value {
    return this.#integer('mul', a, b);
  }
  and(a: Value, b: Value): Value {
    return this.#integer('and', a, b);
  }
  or(a: Value, b: Value): Value {
    return this.#integer('or', a, b);
  }
  xor(a: Value, b: Value): Value {
    return this.#integer('xor', a, b);
  }
  shl(a: Value, b: Value): Value {
    return this.#integer('shl', a, b);
  }
  shrU(a: Value, b: Value): Value {
    return this.#integer('shr_u', a, b);
  }
  shrS(a: Value, b: Value): Value {
    return this.#integer('shr_s', a, b);
  }
  rotl(a: Value, b: Value): Value {
    return this.#integer('rotl', a, b);
  }
  rotr(a: Value, b: Value): Value {
    return this.#integer('rotr', a, b);
  }
  eq(a: Value, b: Value): Value {
    return this.#integer('eq', a, b);
  }
  ne(a: Value, b: Value): Value {
    return this.#integer('ne', a, b);
  }
  ltU(a: Value, b: Value): Value {
    return this.#integer('lt_u', a, b);
  }
  ltS(a: Value, b: Value): Value {
    return this.#integer('lt_s', a, b);
  }
  leU(a: Value, b: Value): Value {
    return this.#integer('le_u', a, b);
  }
  leS(a: Value, b: Value): Value {
    return this.#integer('le_s', a, b);
  }
  gtU(a: Value, b: Value): Value {
    return this.#integer('gt_u', a, b);
  }
  gtS(a: Value, b: Value): Value {
    return this.#integer('gt_s', a, b);
  }
  geU(a: Value, b: Value): Value {
    return this.#integer('ge_u', a, b);
  }
  geS(a: Value, b: Value): Value {
    return this.#integer('ge_s', a, b);
  }

  /** 1 where the integer is zero, as i32. */
  eqz(a: Value): Value {
    return this.op(`${a.type}.eqz`, a);
  }
  not(a: Value): Value {
    return this.xor(a, a.type === 'i64' ? this.i64(-1) : this.i32(-1));
  }
  neg(a: Value): Value {
    return this.sub(a.type === 'i64' ? this.i64(0) : this.i32(0), a);
  }
  clz(a: Value): Value {
    return this.op(`${a.type}.clz`, a);
  }
  ctz(a: Value): Value {
    return this.op(`${a.type}.ctz`, a);
  }
  popcnt(a: Value): Value {
    return this.op(`${a.type}.popcnt`, a);
  }
  /** The low 32 bits of an i64. */
  wrap(a: Value): Value {
    return this.op('i32.wrap_i64', a);
  }
  extendU(a: Value): Value {
    return this.op('i64.extend_i32_u', a);
  }
  extendS(a: Value): Value {
    return this.op('i64.extend_i32_s', a);
  }
  /** Sign-extends the low `bytes` bytes of an i64 (1, 2, 4; 8 changes nothing). */
  signExtend(a: Value, bytes: number): Value {
    return bytes === 8 ? a : this.op(`i64.extend${bytes * 8}_s`, a);
  }
  /** Keeps the low `bytes` bytes of an i64. */
  zeroExtend(a: Value, bytes: number): Value {
    return bytes === 8 ? a : this.and(a, this.i64((1n << BigInt(bytes * 8)) - 1n));
  }

  /** `condition` (i32) non-zero ? `a` : `b`; both are evaluated. */
  select(condition: Value, a: Value, b: Value): Value {
    if (condition.kind === 'const') return condition.value !== 0 ? a : b;
    return this.#push({ kind: 'select', type: a.type, args: [a, b, condition], ...fresh });
  }

  /** `i8x16.shuffle`: lane numbers 0–15 from `a`, 16–31 from `b`. */
  shuffle(a: Value, b: Value, lanes: readonly number[]): Value {
    return this.#push({ kind: 'shuffle', type: 'v128', args: [a, b], lanes, ...fresh });
  }

  variable(type: Type, initial?: Value): Variable {
    const variable = createVariable(type);
    if (initial !== undefined) this.set(variable, initial);
    return variable;
  }
  get(variable: Variable): Value {
    return this.#push({ kind: 'get', type: variable.type, variable, ...fresh });
  }
  set(variable: Variable, value: Value): void {
    this.#push({ kind: 'set', type: undefined, variable, args: [value], ...fresh });
  }

  /** Loads from host memory at `address` (i32) + `offset`, e.g. `loadHost('i64.load8_u', p, 4)`. */
  loadHost(name: string, address: Value, offset = 0): Value {
    const op = loadOp(name);
    return this.#push({ kind: 'load', type: op.type, op, offset, args: [address], ...fresh });
  }
  storeHost(name: string, address: Value, value: Value, offset = 0): void {
    this.#push({ kind: 'store', type: undefined, op: storeOp(name), offset, args: [address, value], ...fresh });
  }
  /** An atomic load, read-modify-write or compare-exchange at a naturally aligned host address. */
  atomic(name: string, address: Value, args: readonly Value[], offset = 0): Value {
    const op = atomicOp(name);
    return this.#push({ kind: 'atomic', type: op.type, op, offset, args: [address, ...args], ...fresh });
  }
  storeAtomic(name: string, address: Value, value: Value, offset = 0): void {
    this.#push({ kind: 'atomic', type: undefined, op: atomicOp(name), offset, args: [address, value], ...fresh });
  }
  copyHost(to: Value, from: Value, length: Value): void {
    this.#push({ kind: 'copy', type: undefined, args: [to, from, length], ...fresh });
  }
  fillHost(to: Value, byte: Value, length: Value): void {
    this.#push({ kind: 'fill', type: undefined, args: [to, byte, length], ...fresh });
  }

  /** Calls a function of the same module or an import. */
  call(callee: string, ...args: Value[]): Value {
    const { params, result } = this.#signatures(callee);
    this.callees.add(callee);
    if (params.length !== args.length || params.some((type, i) => args[i]?.type !== type)) {
      throw new TypeError(`${callee} does not take (${args.map((a) => a?.type).join(', ')})`);
    }
    return this.#push({ kind: 'call', type: result, callee, args, ...fresh }) as Value;
  }
  /** Calls the function at `index` (i32) of the module's table. */
  callTable(signature: Signature, index: Value, ...args: Value[]): Value {
    return this.#push({
      kind: 'callTable',
      type: signature.result,
      signature,
      args: [...args, index],
      ...fresh,
    }) as Value;
  }
  /** Leaves this function for the one at `index` of the table: a tail call. */
  jumpTable(signature: Signature, index: Value, ...args: Value[]): void {
    this.#push({ kind: 'jumpTable', type: undefined, signature, args: [...args, index], ...fresh });
  }

  /** Builds nodes that run before everything built so far. */
  prologue(fill: () => void): void {
    const { nodes } = this.#nested(fill);
    this.body.nodes.unshift(...nodes);
  }

  #nested(fill: () => void): Block {
    const block: Block = { nodes: [] };
    this.#within(block, fill);
    return block;
  }
  #within(block: Block, fill: () => void): void {
    const outer = this.#block;
    this.#block = block;
    try {
      fill();
    } finally {
      this.#block = outer;
    }
  }

  /** Runs `then` where `condition` (i32) is not zero, else `otherwise`. */
  if(condition: Value, then: () => void, otherwise?: () => void): void {
    const a = this.#nested(then);
    const b = otherwise === undefined ? { nodes: [] } : this.#nested(otherwise);
    this.#push({ kind: 'if', type: undefined, args: [condition], consequent: a, alternative: b, ...fresh });
  }
  /**
   * The value of `then` where `condition` (i32) is not zero, else that of `otherwise`; only that one is run. An arm may
   * also leave, by a branch or a return. Where the condition is constant, only the arm that it takes is built.
   */
  choose(condition: Value, then: () => Value, otherwise: () => Value): Value {
    if (condition.kind === 'const') return condition.value !== 0 ? then() : otherwise();
    const [consequent, a] = this.#nestedValue(then);
    const [alternative, b] = this.#nestedValue(otherwise);
    if (a.type !== b.type) throw new TypeError(`one arm is of type ${a.type}, the other of type ${b.type}`);
    const node = { kind: 'choose', args: [condition], consequent, alternative, outcomes: [a, b] } as const;
    return this.#push({ ...node, type: a.type, ...fresh });
  }
  #nestedValue(fill: () => Value): [Block, Value] {
    let value: Value | undefined;
    const block = this.#nested(() => {
      value = fill();
    });
    return [block, value as Value];
  }

  /**
   * A value computed anew from what `value` was computed from. A path that is rarely taken uses it so that the value need
   * not be computed for all paths.
   */
  copy(value: Value): Value {
    const copies = new Map<Node, Value>();
    const again = (node: Node): Value => {
      if (node.kind !== 'pure' && node.kind !== 'select') return node as Value;
      let made = copies.get(node);
      if (made === undefined) {
        const args = node.args.map(again);
        made =
          node.kind === 'pure'
            ? this.lane(node.op.name, node.lane, ...args)
            : this.select(args[2] as Value, args[0] as Value, args[1] as Value);
        copies.set(node, made);
      }
      return made;
    };
    return again(value);
  }

  /** Keeps a place for nodes that are built later, by calling what this returns before the function is encoded. */
  hole(): (fill: () => void) => void {
    const body: Block = { nodes: [] };
    this.#push({ kind: 'hole', type: undefined, body, ...fresh });
    return (fill) => this.#within(body, fill);
  }

  /** A label for `scope` or `enclose`. */
  label(kind: Label['kind']): Label {
    return { kind, depth: -1 };
  }
  /** `fill` may branch to the label: past the end of the block. */
  block(fill: (end: Label) => void): void {
    const end = this.label('block');
    this.scope(end, () => fill(end));
  }
  /** `fill` may branch to the label: back to its start. It leaves the loop when it reaches its end. */
  loop(fill: (again: Label) => void): void {
    const again = this.label('loop');
    this.scope(again, () => fill(again));
  }
  /** The extent of a label: only inside it can nodes branch there. */
  scope(label: Label, fill: () => void): void {
    const body = this.#nested(fill);
    this.#push({ kind: 'scope', type: undefined, label, body, ...fresh });
  }
  /** Makes all that was built so far the extent of `label`, to which it may branch already; `after` follows it. */
  enclose(label: Label, after: () => void): void {
    if (this.#block !== this.body) throw new TypeError('only a whole body can be enclosed');
    const body: Block = { nodes: this.body.nodes.splice(0) };
    this.#push({ kind: 'scope', type: undefined, label, body, ...fresh });
    after();
  }
  branch(label: Label): void {
    this.#push({ kind: 'branch', type: undefined, label, args: [], ...fresh });
  }
  /** Branches where `condition` (i32) is not zero. */
  branchIf(label: Label, condition: Value): void {
    this.#push({ kind: 'branch', type: undefined, label, args: [condition], ...fresh });
  }
  return(value?: Value): void {
    this.#push({ kind: 'return', type: undefined, args: value === undefined ? [] : [value], ...fresh });
  }
  unreachable(): void {
    this.#push({ kind: 'unreachable', type: undefined, ...fresh });
  }
}
