/** SSE floating-point arithmetic: ADD, SUB, MUL, DIV, SQRT, MIN, MAX, ADDSUB, HADD, HSUB. */
import type { Value } from '../../ir/node.ts';
import type { Definition } from '../definition.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { everyOther, lanes } from './common.ts';
import { DOUBLE, ELEMENTS, type Element, exactly, SINGLE, toBits, toFloat } from './float-element.ts';
import { BINARY, type Form, judge, squareRoot, sum, unwrap, wrapInto } from './float-fast.ts';
import { every, holds, inWindowOrZero } from './float-window.ts';

type Lanewise = (b: InstructionBuilder, form: Form, x: Value, y: Value) => Value;

/** Even lanes are subtracted, odd ones added. */
const addSubtract: Lanewise = (b, form, x, y) => {
  const single = form.e.size === 'd';
  const sign = 1n << (single ? 31n : 63n);
  const signs = single ? lanes(b, 32, [sign, 0, sign, 0]) : lanes(b, 64, [sign, 0]);
  return sum(b, form, x, b.op('v128.xor', y, signs), { subtract: false, name: 'addsub', args: [x, y] });
};

const horizontal =
  (operation: 'add' | 'sub'): Lanewise =>
  (b, form, x, y) => {
    const bytes = form.e.size === 'd' ? 4 : 8;
    return BINARY[operation](b, form, everyOther(b, bytes, 0, x, y), everyOther(b, bytes, 1, x, y));
  };

/** `pmin` and `pmax` with their operands exchanged are MIN and MAX, where no operand is a NaN or denormal. */
const extremum =
  (name: 'min' | 'max'): Lanewise =>
  (b, form, x, y) => {
    const { e, scalar } = form;
    const fine = judge(b, form, every(b, inWindowOrZero(b, e, x), inWindowOrZero(b, e, y)));
    const [p, q] = [unwrap(b, form, x), unwrap(b, form, y)];
    const native = () => {
      if (!scalar) return b.op(`${e.shape}.p${name}`, y, x);
      return wrapInto(b, form, x, b.select(b.op(`${e.name}.${name === 'min' ? 'lt' : 'gt'}`, p, q), p, q));
    };
    const slow = () => {
      if (!scalar) return exactly(b, `sse_${e.shape}_${name}`, x, y);
      const result = exactly(b, `${e.name}_${name}`, toBits(b, e, p), toBits(b, e, q), b.field('mxcsr'));
      return wrapInto(b, form, x, toFloat(b, e, result));
    };
    return b.choose(holds(b, fine), native, slow);
  };

function packedDefinition(
  name: string,
  opcode: string,
  prefix: string,
  feature: string,
  e: Element,
  op: Lanewise,
): Definition {
  return {
    name,
    encodings: [`${prefix} 0f ${opcode} /r Vdq,Wdq`],
    unit: 'sse',
    feature,
    semantics: (b, dst, src) => {
      const y = src.readVector();
      dst.writeVector(op(b, { e, scalar: false }, dst.readVector(), y));
    },
  };
}

function scalarDefinition(name: string, opcode: string, e: Element, op: Lanewise): Definition {
  return {
    name: `${name}${e.scalarName}`,
    encodings: [`${e.scalarPrefix} 0f ${opcode} /r V${e.size},W${e.size}`],
    unit: 'sse',
    feature: e.feature,
    semantics: (b, dst, src) => {
      const y = src.readVector();
      dst.writeVector(op(b, { e, scalar: true }, dst.readVector(), y));
    },
  };
}

function family(name: string, opcode: string, op: Lanewise): Definition[] {
  return ELEMENTS.flatMap((e) => [
    packedDefinition(`${name}${e.packedName}`, opcode, e.packedPrefix, e.feature, e, op),
    scalarDefinition(name, opcode, e, op),
  ]);
}

/** SSE3: singles have prefix F2, doubles 66. */
function sse3(name: string, opcode: string, op: Lanewise): Definition[] {
  return [
    packedDefinition(`${name}ps`, opcode, 'f2', 'sse3', SINGLE, op),
    packedDefinition(`${name}pd`, opcode, '66', 'sse3', DOUBLE, op),
  ];
}

export const floatArithmetic: readonly Definition[] = [
  ...family('sqrt', '51', squareRoot),
  ...family('add', '58', BINARY.add),
  ...family('mul', '59', BINARY.mul),
  ...family('sub', '5c', BINARY.sub),
  ...family('min', '5d', extremum('min')),
  ...family('div', '5e', BINARY.div),
  ...family('max', '5f', extremum('max')),
  ...sse3('hadd', '7c', horizontal('add')),
  ...sse3('hsub', '7d', horizontal('sub')),
  ...sse3('addsub', 'd0', addSubtract),
];
