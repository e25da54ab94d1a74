/** SSE floating-point arithmetic: ADD, SUB, MUL, DIV, SQRT, MIN, MAX, ADDSUB, HADD, HSUB. */
import type { Value } from '../../ir/node.ts';
import type { Definition } from '../definition.ts';
import type { InstructionBuilder, Operand } from '../semantics.ts';
import { everyOther, lanes } from './common.ts';
import {
  allLanes,
  DOUBLE,
  ELEMENTS,
  type Element,
  either,
  exactly,
  isDenormal,
  isOrdinary,
  isPlain,
  nativeRounding,
  ordinaryLanes,
  plainLanes,
  readElement,
  SINGLE,
  toBits,
  toFloat,
  writeElement,
} from './float-element.ts';
import type { Operation } from './float-routines.ts';

type Packed = (b: InstructionBuilder, e: Element, x: Value, y: Value) => Value;

/** A packed result that is taken where all lanes are as `float-element.ts` says; sums may also be zero. */
function checked(
  b: InstructionBuilder,
  e: Element,
  name: string,
  operands: Value[],
  native: Value,
  sum: boolean,
): Value {
  const plain = plainLanes(b, e, native);
  const result = sum ? b.op('v128.or', plain, b.op(`${e.shape}.eq`, native, b.v128(0n, 0n))) : plain;
  const fine = operands.reduce((mask, v) => b.op('v128.and', mask, ordinaryLanes(b, e, v)), result);
  const condition = b.and(nativeRounding(b, b.field('mxcsr')), allLanes(b, e, fine));
  const [x, y] = operands as [Value, Value?];
  return either(b, condition, native, () => exactly(b, `sse_${e.shape}_${name}`, x, y ?? x));
}

const binary =
  (operation: Operation): Packed =>
  (b, e, x, y) => {
    const sum = operation === 'add' || operation === 'sub';
    return checked(b, e, operation, [x, y], b.op(`${e.shape}.${operation}`, x, y), sum);
  };

const squareRoot: Packed = (b, e, _x, y) => checked(b, e, 'sqrt', [y], b.op(`${e.shape}.sqrt`, y), false);

/** Even lanes are subtracted, odd ones added. */
const addSubtract: Packed = (b, e, x, y) => {
  const sign = 1n << BigInt(e.size === 'd' ? 31 : 63);
  const signs = e.size === 'd' ? lanes(b, 32, [sign, 0, sign, 0]) : lanes(b, 64, [sign, 0]);
  return checked(b, e, 'addsub', [x, y], b.op(`${e.shape}.add`, x, b.op('v128.xor', y, signs)), true);
};

const horizontal =
  (operation: 'add' | 'sub'): Packed =>
  (b, e, x, y) => {
    const bytes = e.size === 'd' ? 4 : 8;
    return binary(operation)(b, e, everyOther(b, bytes, 0, x, y), everyOther(b, bytes, 1, x, y));
  };

/** `pmin` and `pmax` with their operands exchanged are MIN and MAX, where no operand is a NaN or denormal. */
const extremum =
  (name: 'min' | 'max'): Packed =>
  (b, e, x, y) => {
    const ordinary = b.op('v128.and', ordinaryLanes(b, e, x), ordinaryLanes(b, e, y));
    return either(b, allLanes(b, e, ordinary), b.op(`${e.shape}.p${name}`, y, x), () =>
      exactly(b, `sse_${e.shape}_${name}`, x, y),
    );
  };

type Scalar = (b: InstructionBuilder, e: Element, x: Value, y: Value) => Value;

const scalarBinary =
  (operation: Operation): Scalar =>
  (b, e, x, y) => {
    const native = toBits(b, e, b.op(`${e.name}.${operation}`, toFloat(b, e, x), toFloat(b, e, y)));
    const denormal = b.or(isDenormal(b, e, x), isDenormal(b, e, y));
    const fine = b.and(isPlain(b, e, native), b.eqz(denormal));
    return either(b, b.and(nativeRounding(b, b.field('mxcsr')), fine), native, () =>
      exactly(b, `sse_${e.name}_${operation}`, x, y),
    );
  };

const scalarRoot: Scalar = (b, e, _x, y) => {
  const native = toBits(b, e, b.op(`${e.name}.sqrt`, toFloat(b, e, y)));
  const fine = b.and(isPlain(b, e, native), b.eqz(isDenormal(b, e, y)));
  return either(b, b.and(nativeRounding(b, b.field('mxcsr')), fine), native, () => exactly(b, `sse_${e.name}_sqrt`, y));
};

const scalarExtremum =
  (name: 'min' | 'max', relation: 'lt' | 'gt'): Scalar =>
  (b, e, x, y) => {
    const first = b.op(`${e.name}.${relation}`, toFloat(b, e, x), toFloat(b, e, y));
    const fine = b.and(isOrdinary(b, e, x), isOrdinary(b, e, y));
    return either(b, fine, b.select(first, x, y), () => exactly(b, `${e.name}_${name}`, x, y, b.field('mxcsr')));
  };

function packedDefinition(
  name: string,
  opcode: string,
  prefix: string,
  feature: string,
  e: Element,
  op: Packed,
): Definition {
  return {
    name,
    encodings: [`${prefix} 0f ${opcode} /r Vdq,Wdq`],
    unit: 'sse',
    feature,
    semantics: (b, dst, src) => {
      const y = src.readVector();
      dst.writeVector(op(b, e, dst.readVector(), y));
    },
  };
}

function scalarSemantics(b: InstructionBuilder, e: Element, dst: Operand, src: Operand, op: Scalar): void {
  const y = readElement(b, e, src);
  writeElement(b, e, dst, op(b, e, readElement(b, e, dst), y));
}

function family(name: string, opcode: string, packed: Packed, scalar: Scalar): Definition[] {
  return ELEMENTS.flatMap((e) => [
    packedDefinition(`${name}${e.packedName}`, opcode, e.packedPrefix, e.feature, e, packed),
    {
      name: `${name}${e.scalarName}`,
      encodings: [`${e.scalarPrefix} 0f ${opcode} /r V${e.size},W${e.size}`],
      unit: 'sse',
      feature: e.feature,
      semantics: (b, dst, src) => scalarSemantics(b, e, dst, src, scalar),
    } satisfies Definition,
  ]);
}

/** SSE3: singles have prefix F2, doubles 66. */
function sse3(name: string, opcode: string, op: Packed): Definition[] {
  return [
    packedDefinition(`${name}ps`, opcode, 'f2', 'sse3', SINGLE, op),
    packedDefinition(`${name}pd`, opcode, '66', 'sse3', DOUBLE, op),
  ];
}

export const floatArithmetic: readonly Definition[] = [
  ...family('sqrt', '51', squareRoot, scalarRoot),
  ...family('add', '58', binary('add'), scalarBinary('add')),
  ...family('mul', '59', binary('mul'), scalarBinary('mul')),
  ...family('sub', '5c', binary('sub'), scalarBinary('sub')),
  ...family('min', '5d', extremum('min'), scalarExtremum('min', 'lt')),
  ...family('div', '5e', binary('div'), scalarBinary('div')),
  ...family('max', '5f', extremum('max'), scalarExtremum('max', 'gt')),
  ...sse3('hadd', '7c', horizontal('add')),
  ...sse3('hsub', '7d', horizontal('sub')),
  ...sse3('addsub', 'd0', addSubtract),
];
