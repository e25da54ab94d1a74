/**
 * Builds the body of one IR function. Integer operations take their type from their operands; floating-point and SIMD
 * operations go by their WebAssembly names through `op`.
 */
import { constant, constantI32, constantI64 } from './constants.ts';
import { foldCondition } from './fold.ts';
import { atomicOp, loadOp, orderedLoadOp, storeOp } from './memory-ops.ts';
import {
  type Block,
  compoundNode,
  createVariable,
  type Hint,
  type Label,
  type Node,
  type Signature,
  simpleNode,
  type Value,
  type Variable,
} from './node.ts';
import { type IntegerOp, importedNumber, integerOp, type PureOp, pureOp } from './ops.ts';
import type { Type } from './types.ts';

const ADD = integerOp('add');
const SUB = integerOp('sub');
const MUL = integerOp('mul');
const AND = integerOp('and');
const OR = integerOp('or');
const XOR = integerOp('xor');
const SHL = integerOp('shl');
const SHR_U = integerOp('shr_u');
const SHR_S = integerOp('shr_s');
const ROTL = integerOp('rotl');
const ROTR = integerOp('rotr');
const EQ = integerOp('eq');
const NE = integerOp('ne');
const LT_U = integerOp('lt_u');
const LT_S = integerOp('lt_s');
const LE_U = integerOp('le_u');
const LE_S = integerOp('le_s');
const GT_U = integerOp('gt_u');
const GT_S = integerOp('gt_s');
const GE_U = integerOp('ge_u');
const GE_S = integerOp('ge_s');
const EQZ = integerOp('eqz');
const CLZ = integerOp('clz');
const CTZ = integerOp('ctz');
const POPCNT = integerOp('popcnt');
const WRAP = pureOp('i32.wrap_i64');
const EXTEND_U = pureOp('i64.extend_i32_u');
const EXTEND_S = pureOp('i64.extend_i32_s');
const SIGN_EXTEND: Readonly<Record<number, PureOp>> = {
  1: pureOp('i64.extend8_s'),
  2: pureOp('i64.extend16_s'),
  4: pureOp('i64.extend32_s'),
};
const LOW_BYTES: Readonly<Record<number, Value>> = {
  1: constant('i64', 0xffn),
  2: constant('i64', 0xffffn),
  4: constant('i64', 0xffff_ffffn),
};

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
    return constantI32(value);
  }

  i64(value: bigint | number): Value {
    return constantI64(value);
  }

  f32(value: number): Value {
    return constant('f32', value);
  }

  f64(value: number): Value {
    return constant('f64', value);
  }

  /** A vector constant from two 64-bit halves, low first. */
  v128(low: bigint, high: bigint): Value {
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt.asUintN(64, low), true);
    view.setBigUint64(8, BigInt.asUintN(64, high), true);
    return constant('v128', bytes);
  }

  /** A pure operation by its WebAssembly name, e.g. `op('f64.add', a, b)`. */
  op(name: string, ...args: Value[]): Value {
    return this.#pure(pureOp(name), args, 0);
  }

  /** The i32 that a module's host gives as its imported number `index` (`ModuleBuilder.importNumber`). */
  imported(index: number): Value {
    return this.#pure(importedNumber(index), [], 0);
  }

  /** A lane operation, e.g. `lane('i64x2.extract_lane', 1, v)`. */
  lane(name: string, lane: number, ...args: Value[]): Value {
    return this.#pure(pureOp(name), args, lane);
  }

  #pure(op: PureOp, args: readonly Value[], lane: number): Value {
    const { params, fold } = op;
    let fits = params.length === args.length;
    for (let i = 0; fits && i < params.length; i++) fits = args[i].type === params[i];
    if (!fits) throw new TypeError(`${op.name} does not take (${args.map((a) => a?.type).join(', ')})`);
    if (fold !== undefined) {
      const simpler = fold(this, args[0], args[1]);
      if (simpler !== undefined) return simpler;
    }
    return this.#push(simpleNode('pure', op.result, args, op, lane));
  }

  #integer(op: IntegerOp, a: Value, b: Value): Value {
    return this.#pure(a.type === 'i64' ? op.i64 : op.i32, [a, b], 0);
  }
  #unary(op: IntegerOp, a: Value): Value {
    return this.#pure(a.type === 'i64' ? op.i64 : op.i32, [a], 0);
  }

  add(a: Value, b: Value): Value {
    return this.#integer(ADD, a, b);
  }
  sub(a: Value, b: Value): Value {
    return this.#integer(SUB, a, b);
  }
  mul(a: Value, b: Value): Value {
    return this.#integer(MUL, a, b);
  }
  and(a: Value, b: Value): Value {
    return this.#integer(AND, a, b);
  }
  or(a: Value, b: Value): Value {
    return this.#integer(OR, a, b);
  }
  xor(a: Value, b: Value): Value {
    return this.#integer(XOR, a, b);
  }
  shl(a: Value, b: Value): Value {
    return this.#integer(SHL, a, b);
  }
  shrU(a: Value, b: Value): Value {
    return this.#integer(SHR_U, a, b);
  }
  shrS(a: Value, b: Value): Value {
    return this.#integer(SHR_S, a, b);
  }
  rotl(a: Value, b: Value): Value {
    return this.#integer(ROTL, a, b);
  }
  rotr(a: Value, b: Value): Value {
    return this.#integer(ROTR, a, b);
  }
  eq(a: Value, b: Value): Value {
    return this.#integer(EQ, a, b);
  }
  ne(a: Value, b: Value): Value {
    return this.#integer(NE, a, b);
  }
  ltU(a: Value, b: Value): Value {
    return this.#integer(LT_U, a, b);
  }
  ltS(a: Value, b: Value): Value {
    return this.#integer(LT_S, a, b);
  }
  leU(a: Value, b: Value): Value {
    return this.#integer(LE_U, a, b);
  }
  leS(a: Value, b: Value): Value {
    return this.#integer(LE_S, a, b);
  }
  gtU(a: Value, b: Value): Value {
    return this.#integer(GT_U, a, b);
  }
  gtS(a: Value, b: Value): Value {
    return this.#integer(GT_S, a, b);
  }
  geU(a: Value, b: Value): Value {
    return this.#integer(GE_U, a, b);
  }
  geS(a: Value, b: Value): Value {
    return this.#integer(GE_S, a, b);
  }

  /** 1 where the integer is zero, as i32. */
  eqz(a: Value): Value {
    return this.#unary(EQZ, a);
  }
  not(a: Value): Value {
    return this.xor(a, a.type === 'i64' ? this.i64(-1) : this.i32(-1));
  }
  neg(a: Value): Value {
    return this.sub(a.type === 'i64' ? this.i64(0) : this.i32(0), a);
  }
  clz(a: Value): Value {
    return this.#unary(CLZ, a);
  }
  ctz(a: Value): Value {
    return this.#unary(CTZ, a);
  }
  popcnt(a: Value): Value {
    return this.#unary(POPCNT, a);
  }
  /** The low 32 bits of an i64. */
  wrap(a: Value): Value {
    return this.#pure(WRAP, [a], 0);
  }
  extendU(a: Value): Value {
    return this.#pure(EXTEND_U, [a], 0);
  }
  extendS(a: Value): Value {
    return this.#pure(EXTEND_S, [a], 0);
  }
  /** Sign-extends the low `bytes` bytes of an i64 (1, 2, 4; 8 changes nothing). */
  signExtend(a: Value, bytes: number): Value {
    return bytes === 8 ? a : this.#pure(SIGN_EXTEND[bytes], [a], 0);
  }
  /** Keeps the low `bytes` bytes of an i64. */
  zeroExtend(a: Value, bytes: number): Value {
    return bytes === 8 ? a : this.and(a, LOW_BYTES[bytes] ?? this.i64((1n << BigInt(bytes * 8)) - 1n));
  }

  /** `condition` (i32) non-zero ? `a` : `b`; both are evaluated. */
  select(condition: Value, a: Value, b: Value): Value {
    if (condition.kind === 'const') return condition.value !== 0 ? a : b;
    return this.#push(simpleNode('select', a.type, [a, b, foldCondition(condition)]));
  }

  /** `i8x16.shuffle`: lane numbers 0–15 from `a`, 16–31 from `b`. */
  shuffle(a: Value, b: Value, lanes: readonly number[]): Value {
    return this.#push(compoundNode('shuffle', 'v128', [a, b], { lanes }));
  }

  variable(type: Type, initial?: Value): Variable {
    const variable = createVariable(type);
    if (initial !== undefined) this.set(variable, initial);
    return variable;
  }
  get(variable: Variable): Value {
    variable.life.read = true;
    return this.#push(simpleNode('get', variable.type, undefined, undefined, 0, variable));
  }
  set(variable: Variable, value: Value): void {
    this.#push(simpleNode('set', undefined, [value], undefined, 0, variable));
  }

  /** Loads from host memory at `address` (i32) + `offset`, e.g. `loadHost('i64.load8_u', p, 4)`. */
  loadHost(name: string, address: Value, offset = 0): Value {
    const op = loadOp(name);
    return this.#push(simpleNode('load', op.type, [address], op, offset));
  }
  /** As `loadHost`, of memory that other threads write: such loads stay in the order of the text, stores and effects too. */
  loadOrdered(name: string, address: Value, offset = 0): Value {
    const op = orderedLoadOp(name);
    return this.#push(simpleNode('load', op.type, [address], op, offset));
  }
  storeHost(name: string, address: Value, value: Value, offset = 0): void {
    this.#push(simpleNode('store', undefined, [address, value], storeOp(name), offset));
  }
  /** An atomic load, read-modify-write or compare-exchange at a naturally aligned host address. */
  atomic(name: string, address: Value, args: readonly Value[], offset = 0): Value {
    const op = atomicOp(name);
    return this.#push(simpleNode('atomic', op.type, [address, ...args], op, offset));
  }
  storeAtomic(name: string, address: Value, value: Value, offset = 0): void {
    this.#push(simpleNode('atomic', undefined, [address, value], atomicOp(name), offset));
  }
  /** No access behind it is made before one that stands before it (`atomic.fence`). */
  fenceHost(): void {
    this.#push(simpleNode('fence', undefined));
  }
  copyHost(to: Value, from: Value, length: Value): void {
    this.#push(compoundNode('copy', undefined, [to, from, length], {}));
  }
  fillHost(to: Value, byte: Value, length: Value): void {
    this.#push(compoundNode('fill', undefined, [to, byte, length], {}));
  }

  /** Calls a function of the same module or an import. */
  call(callee: string, ...args: Value[]): Value {
    const { params, result } = this.#signatures(callee);
    this.callees.add(callee);
    if (params.length !== args.length || params.some((type, i) => args[i]?.type !== type)) {
      throw new TypeError(`${callee} does not take (${args.map((a) => a?.type).join(', ')})`);
    }
    return this.#push(compoundNode('call', result, args, { callee })) as Value;
  }
  /** Calls the function at `index` (i32) of the module's table. */
  callTable(signature: Signature, index: Value, ...args: Value[]): Value {
    return this.#push(compoundNode('callTable', signature.result, [...args, index], { signature })) as Value;
  }
  /** Leaves this function for the one at `index` of the table: a tail call. */
  jumpTable(signature: Signature, index: Value, ...args: Value[]): void {
    this.#push(compoundNode('jumpTable', undefined, [...args, index], { signature }));
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
  if(condition: Value, then: () => void, otherwise?: () => void, hint?: Hint): void {
    const consequent = this.#nested(then);
    const alternative = otherwise === undefined ? { nodes: [] } : this.#nested(otherwise);
    this.#push(compoundNode('if', undefined, [foldCondition(condition)], { hint, consequent, alternative }));
  }
  /**
   * The value of `then` where `condition` (i32) is not zero, else that of `otherwise`; only that one is run. An arm may
   * also leave, by a branch or a return. Where the condition is constant, only the arm that it takes is built.
   */
  choose(condition: Value, then: () => Value, otherwise: () => Value, hint?: Hint): Value {
    if (condition.kind === 'const') return condition.value !== 0 ? then() : otherwise();
    const [consequent, a] = this.#nestedValue(then);
    const [alternative, b] = this.#nestedValue(otherwise);
    if (a.type !== b.type) throw new TypeError(`one arm is of type ${a.type}, the other of type ${b.type}`);
    const parts = { hint, consequent, alternative, outcomes: [a, b] } as const;
    return this.#push(compoundNode('choose', a.type, [foldCondition(condition)], parts));
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
    this.#push(compoundNode('hole', undefined, [], { body }));
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
    this.#push(compoundNode('scope', undefined, [], { label, body }));
  }
  /** Makes all that was built so far the extent of `label`, to which it may branch already; `after` follows it. */
  enclose(label: Label, after: () => void): void {
    if (this.#block !== this.body) throw new TypeError('only a whole body can be enclosed');
    const body: Block = { nodes: this.body.nodes.splice(0) };
    this.#push(compoundNode('scope', undefined, [], { label, body }));
    after();
  }
  branch(label: Label): void {
    this.#push(compoundNode('branch', undefined, [], { label }));
  }
  /** Branches where `condition` (i32) is not zero. */
  branchIf(label: Label, condition: Value): void {
    this.#push(compoundNode('branch', undefined, [foldCondition(condition)], { label }));
  }
  /** Branches to the label that `index` (i32, unsigned) has in `labels`, or beyond these to `otherwise`. */
  switch(index: Value, labels: readonly Label[], otherwise: Label): void {
    this.#push(compoundNode('switch', undefined, [index], { labels, label: otherwise }));
  }
  return(value?: Value): void {
    this.#push(simpleNode('return', undefined, value === undefined ? undefined : [value]));
  }
  unreachable(): void {
    this.#push(simpleNode('unreachable', undefined));
  }
}
