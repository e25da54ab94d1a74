/** Random IR functions, which end, of integer operations, variables, memory and nested control flow. */
import type { Builder } from './builder.ts';
import type { Label, Signature, Value, Variable } from './node.ts';

export type Random = (below: number) => number;

/** The same numbers for the same seed (mulberry32). */
export function randomFrom(seed: number): Random {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** What the programs take and give. */
export const PROGRAM: Signature = { params: ['i32', 'i64', 'i64'], result: 'i64' };
/** A function that they call. */
export const MIX: Signature = { params: ['i32', 'i64'], result: 'i64' };
/** Bytes of memory, from 0, that they use. */
export const MEMORY = 256;

type Integer = 'i32' | 'i64';

const BINARY = ['add', 'sub', 'mul', 'and', 'or', 'xor', 'shl', 'shr_u', 'shr_s', 'rotl', 'rotr'];
const COMPARE = ['eq', 'ne', 'lt_s', 'lt_u', 'gt_s', 'gt_u', 'le_s', 'le_u', 'ge_s', 'ge_u'];
const UNARY = ['clz', 'ctz', 'popcnt', 'extend8_s', 'extend16_s'];
const LOADS = { i32: ['load', 'load8_u', 'load16_s'], i64: ['load', 'load8_s', 'load16_u', 'load32_u'] };
const STORES = { i32: ['store', 'store8'], i64: ['store', 'store16', 'store32'] };
/** Atomic operations, by the number of their operands beside the address. */
const ATOMIC = {
  i32: ['rmw.add', 'rmw.xchg', 'rmw8.sub_u', 'rmw16.xor_u', 'rmw16.or_u'],
  i64: ['rmw.add', 'rmw.and', 'rmw8.xchg_u', 'rmw16.sub_u', 'rmw32.xor_u', 'rmw32.or_u'],
};
const ATOMIC_PLAIN = { i32: ['load', 'load8_u', 'load16_u'], i64: ['load', 'load16_u', 'load32_u'] };
const COMPARE_EXCHANGE = { i32: ['', '8', '16'], i64: ['', '8', '16', '32'] };
const CONSTANTS = [
  0n,
  1n,
  -1n,
  2n,
  7n,
  8n,
  31n,
  32n,
  63n,
  0xffn,
  0xffffn,
  0xffff_ffffn,
  -0x1000n,
  1n << 63n,
  1n << 31n,
];

/** A value of the given type from values of `leaf`. */
export function randomOperation(b: Builder, random: Random, type: Integer, leaf: (type: Integer) => Value): Value {
  const pick = (names: readonly string[]) => names[random(names.length)];
  switch (random(8)) {
    case 0:
      return b.op(`${type}.${pick(UNARY)}`, leaf(type));
    case 1:
      return type === 'i64' ? b.op(pick(['i64.extend_i32_s', 'i64.extend_i32_u']), leaf('i32')) : b.wrap(leaf('i64'));
    case 2:
      if (type === 'i32') return b.eqz(leaf(random(2) === 0 ? 'i32' : 'i64'));
      return b.select(leaf('i32'), leaf(type), leaf(type));
    case 3:
      if (type === 'i32') {
        const of = random(2) === 0 ? 'i32' : 'i64';
        return b.op(`${of}.${pick(COMPARE)}`, leaf(of), leaf(of));
      }
      return b.zeroExtend(leaf('i64'), [1, 2, 4][random(3)]);
    default:
      return b.op(`${type}.${pick(BINARY)}`, leaf(type), leaf(type));
  }
}

export function randomConstant(b: Builder, random: Random, type: Integer): Value {
  const value = random(4) === 0 ? BigInt(random(1 << 30)) << BigInt(random(35)) : CONSTANTS[random(CONSTANTS.length)];
  return type === 'i64' ? b.i64(value) : b.i32(Number(BigInt.asIntN(32, value)));
}

class Program {
  readonly #b: Builder;
  readonly #random: Random;
  /** Values that have been computed wherever the program is now. */
  #values: Value[] = [];
  readonly #variables: Variable[];
  /** Where a branch may go; for a loop, while its count is not used up. */
  readonly #targets: { label: Label; count: Variable | undefined }[] = [];
  #fuel: number;
  #loops = 0;

  constructor(b: Builder, random: Random) {
    this.#b = b;
    this.#random = random;
    this.#variables = [...b.params];
    this.#fuel = 20 + random(120);
    this.#values.push(...b.params.map((_, i) => b.param(i)));
  }

  write(): void {
    const b = this.#b;
    this.#statements(10 + this.#random(50));
    // To those that nothing reads, nothing need be written.
    const sum = this.#variables
      .filter(() => this.#random(3) > 0)
      .map((v) => (v.type === 'i64' ? b.get(v) : b.extendS(b.get(v))));
    b.return([...sum, this.#value('i64')].reduce((x, y) => b.xor(b.mul(x, b.i64(31)), y)));
  }

  #value(type: Integer): Value {
    const fitting = this.#values.filter((v) => v.type === type);
    if (fitting.length === 0 || this.#random(6) === 0) return randomConstant(this.#b, this.#random, type);
    // Mostly recent ones; now and then one from long ago.
    const back = this.#random(3) === 0 ? this.#random(fitting.length) : this.#random(Math.min(3, fitting.length));
    return fitting[fitting.length - 1 - back];
  }

  #type(): Integer {
    return this.#random(2) === 0 ? 'i32' : 'i64';
  }

  #address(): Value {
    return this.#b.and(this.#value('i32'), this.#b.i32(0xf0));
  }

  #variable(): Variable {
    if (this.#random(4) === 0) {
      const type = this.#type();
      this.#variables.push(this.#b.variable(type, this.#random(4) === 0 ? undefined : this.#value(type)));
    }
    return this.#variables[this.#variables.length - 1 - this.#random(Math.min(6, this.#variables.length))];
  }

  /** Statements whose values nobody outside sees, except those of a beginning without branches, if `leaks`. */
  #inner(leaks = false): void {
    const before = this.#values;
    this.#values = [...before];
    let seen = before;
    if (leaks) {
      const targets = this.#targets.splice(0);
      this.#statements(this.#random(4));
      this.#targets.push(...targets);
      seen = [...this.#values];
    }
    this.#statements(this.#random(6));
    this.#values = seen;
  }

  #outcome(type: Integer): Value {
    const before = this.#values;
    this.#values = [...before];
    this.#statements(this.#random(5));
    const value = this.#value(type);
    this.#values = before;
    return value;
  }

  #statements(count: number): void {
    for (let i = 0; i < count && this.#fuel-- > 0; i++) this.#statement();
  }

  #statement(): void {
    const b = this.#b;
    const pick = (names: readonly string[]) => names[this.#random(names.length)];
    const type = this.#type();
    switch (this.#random(21)) {
      case 0:
      case 1:
      case 2:
        this.#values.push(b.get(this.#variable()) as Value);
        break;
      case 3:
      case 4:
      case 5: {
        const variable = this.#variable();
        b.set(variable, this.#value(variable.type as Integer));
        break;
      }
      case 6:
      case 7:
        this.#values.push(b.loadHost(`${type}.${pick(LOADS[type])}`, this.#address(), this.#random(8)));
        break;
      case 8:
        b.storeHost(`${type}.${pick(STORES[type])}`, this.#address(), this.#value(type), this.#random(8));
        break;
      case 9:
        this.#values.push(b.call('mix', this.#value('i32'), this.#value('i64')));
        break;
      case 10:
        this.#control();
        break;
      case 11:
        this.#hole();
        break;
      case 12:
        this.#branch();
        break;
      case 13: {
        const outcomes = [() => this.#outcome(type), () => this.#outcome(type)] as const;
        this.#values.push(b.choose(this.#value('i32'), ...outcomes));
        break;
      }
      case 14:
        this.#values.push(b.loadOrdered(`${type}.${pick(LOADS[type])}`, this.#address(), this.#random(8)));
        break;
      case 15:
        this.#atomic(type, pick);
        break;
      case 16:
        if (this.#random(4) === 0) b.fenceHost();
        break;
      default:
        this.#values.push(randomOperation(b, this.#random, type, (t) => this.#value(t)));
    }
  }

  #atomic(type: Integer, pick: (names: readonly string[]) => string): void {
    const b = this.#b;
    // They trap where they are not aligned.
    const offset = this.#random(2) * 8;
    switch (this.#random(4)) {
      case 0:
        this.#values.push(b.atomic(`${type}.atomic.${pick(ATOMIC_PLAIN[type])}`, this.#address(), [], offset));
        break;
      case 1:
        b.storeAtomic(`${type}.atomic.store`, this.#address(), this.#value(type), offset);
        break;
      case 2: {
        const width = pick(COMPARE_EXCHANGE[type]);
        const name = `${type}.atomic.rmw${width}.cmpxchg${width && '_u'}`;
        const address = this.#address();
        // Mostly what is there.
        const there = b.loadHost(`${type}.load${width}${width && '_u'}`, address, offset);
        const expected = this.#random(3) === 0 ? this.#value(type) : there;
        this.#values.push(b.atomic(name, address, [expected, this.#value(type)], offset));
        break;
      }
      default:
        this.#values.push(
          b.atomic(`${type}.atomic.${pick(ATOMIC[type])}`, this.#address(), [this.#value(type)], offset),
        );
    }
  }

  #control(): void {
    const b = this.#b;
    switch (this.#random(4)) {
      case 0:
        b.if(this.#value('i32'), () => this.#inner());
        break;
      case 1: {
        const variable = this.#variable();
        const arm = () => {
          if (this.#random(2) === 0) b.set(variable, this.#value(variable.type as Integer));
          this.#inner();
        };
        b.if(this.#value('i32'), arm, arm);
        break;
      }
      case 2:
        b.block((end) => this.#scope(end, undefined));
        break;
      default:
        if (this.#loops < 3) this.#loop();
    }
  }

  #scope(label: Label, count: Variable | undefined): void {
    this.#targets.push({ label, count });
    this.#inner(true);
    this.#targets.splice(
      this.#targets.findIndex((target) => target.label === label),
      1,
    );
  }

  #loop(): void {
    const b = this.#b;
    const count = b.variable('i32', b.i32(1 + this.#random(4)));
    this.#loops++;
    b.loop((again) => {
      b.set(count, b.sub(b.get(count), b.i32(1)));
      this.#scope(again, count);
      b.branchIf(again, b.gtS(b.get(count), b.i32(0)));
    });
    this.#loops--;
  }

  #branch(): void {
    const b = this.#b;
    const target = this.#targets[this.#random(this.#targets.length + 1)];
    let condition = this.#value('i32');
    if (target?.count !== undefined) condition = b.and(b.ne(condition, b.i32(0)), b.gtS(b.get(target.count), b.i32(0)));
    if (target === undefined) {
      if (this.#random(4) === 0) b.if(condition, () => b.return(this.#value('i64')));
    } else if (this.#random(2) === 0) b.branchIf(target.label, condition);
    else b.if(condition, () => b.branch(target.label));
  }

  /** Something filled in with what is known here, after more was built. */
  #hole(): void {
    const fill = this.#b.hole();
    const here = [...this.#values];
    this.#statements(this.#random(3));
    const there = this.#values;
    const targets = this.#targets.splice(0);
    this.#values = here;
    fill(() => this.#statements(this.#random(4)));
    this.#values = there;
    this.#targets.push(...targets);
  }
}

export function writeRandomProgram(b: Builder, random: Random): void {
  new Program(b, random).write();
}
