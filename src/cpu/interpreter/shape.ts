/**
 * Shapes: all that a handler is specialised for. Instructions of equal shape share a handler and differ only in their
 * records.
 */
import type { Encoding } from '../../isa/encoding.ts';
import { type DecodedOperand, type Instruction, type MemoryOperand, RIP_BASE } from '../../isa/instruction.ts';
import type { CodeMode, InstructionContext, Width } from '../../isa/operand.ts';
import { SEGMENT } from '../../isa/state.ts';
import type { Addressing } from './builder.ts';

export interface OperandShape {
  readonly kind: DecodedOperand['kind'];
  readonly size: number;
  /** Register that the encoding itself implies, or -1. */
  readonly fixed: number;
  /** Immediate that the encoding itself implies. */
  readonly constant: bigint | undefined;
  /** Where the record has the immediate: its own field, that of the displacement, or that as 64 bits. */
  readonly place: 'immediate' | 'displacement' | 'wide';
  readonly address: 'based' | 'indexed' | 'rip' | 'absolute';
  readonly addressing: Addressing;
  /** Bytes added to the address. */
  readonly bias: number;
  /** The segment's base counts. */
  readonly based: boolean;
  /** Addressed through SS. */
  readonly stack: boolean;
}

/** `locked` only where that makes a difference. */
export interface Shape extends InstructionContext {
  readonly key: string;
  readonly encoding: Encoding;
  /** Outside 64-bit mode: all of CS, DS, ES and SS can be used without looking at limits. */
  readonly flat: boolean;
  readonly operands: readonly OperandShape[];
}

/** What shapes depend on besides the instruction. */
export interface ShapeMode extends CodeMode {
  /** By segment number: true where no limit or right needs checking. */
  readonly flatSegments: readonly boolean[];
}

/** Whether data accesses through a segment need no check. Protected mode never writes through CS. */
function isFlat(segment: number, mode: ShapeMode): boolean {
  return mode.flatSegments[segment] === true && !(segment === SEGMENT.cs && mode.protected);
}

function memoryShape(o: MemoryOperand, mode: ShapeMode): OperandShape {
  const long = mode.codeSize === 8;
  const address =
    o.base === RIP_BASE ? 'rip' : o.index >= 0 ? 'indexed' : isWide(o.displacement) ? 'absolute' : 'based';
  return {
    ...PLAIN,
    kind: 'memory',
    size: o.size,
    address,
    bias: o.bias,
    addressing: long ? 'long' : isFlat(o.segment, mode) ? 'flat' : 'checked',
    based: !long || o.segment >= SEGMENT.fs,
    stack: o.segment === SEGMENT.ss,
  };
}

function isWide(value: bigint): boolean {
  return value !== BigInt.asIntN(32, value);
}

const PLAIN: OperandShape = {
  kind: 'gpr',
  size: 0,
  fixed: -1,
  constant: undefined,
  place: 'immediate',
  address: 'based',
  bias: 0,
  addressing: 'long',
  based: false,
  stack: false,
};

function operandShape(o: DecodedOperand, position: number, instruction: Instruction, mode: ShapeMode): OperandShape {
  const fixed = instruction.encoding.operands[position]?.letter === 'fixed';
  switch (o.kind) {
    case 'memory':
      return memoryShape(o, mode);
    case 'immediate':
      return {
        ...PLAIN,
        kind: o.kind,
        size: o.size,
        constant: fixed ? o.value : undefined,
        place: isWideImmediate(o) ? 'wide' : isSecondImmediate(instruction, position) ? 'displacement' : 'immediate',
      };
    case 'relative':
      return { ...PLAIN, kind: o.kind, size: o.size };
    default:
      return { ...PLAIN, kind: o.kind, size: o.size, fixed: fixed ? o.index : -1 };
  }
}

/** True where the value needs more than a sign-extended (8 bytes) or zero-extended (less) 32-bit field. */
function isWideImmediate(o: { value: bigint; size: Width }): boolean {
  return o.size === 8 && BigInt.asIntN(64, o.value) !== BigInt.asIntN(32, o.value);
}

/** ENTER has two immediates and no memory operand. */
function isSecondImmediate(instruction: Instruction, position: number): boolean {
  return instruction.operands.slice(0, position).some((o) => o.kind === 'immediate');
}

function operandKey(o: OperandShape): string {
  switch (o.kind) {
    case 'memory':
      return `m${o.address[0]}${o.addressing[0]}${o.based ? 's' : ''}${o.stack ? 't' : ''}${o.size}${o.bias === 0 ? '' : `+${o.bias}`}`;
    case 'immediate':
      return o.place[0] as string;
    default:
      return o.kind[0] as string;
  }
}

/** The shape of an instruction in a mode. */
export function shapeOf(instruction: Instruction, mode: ShapeMode): Shape {
  const { encoding, operandSize, addressSize, repeat } = instruction;
  const locked = instruction.locked && mode.shared === true;
  const operands = instruction.operands.map((o, i) => operandShape(o, i, instruction, mode));
  const hasMemory = operands.some((o) => o.kind === 'memory');
  const dataSegment = hasMemory || instruction.segmentOverride < 0 ? SEGMENT.ds : instruction.segmentOverride;
  const flat = mode.codeSize !== 8 && mode.flatSegments.slice(0, 4).every(Boolean) && isFlat(dataSegment, mode);
  const modeKey = `${mode.codeSize}${mode.stackSize}${mode.protected ? 'p' : 'r'}${flat ? 'f' : ''}${mode.shared === true ? 's' : ''}`;
  const key = `${encoding.id}.${operandSize}${addressSize}.${modeKey}.${repeat}${locked ? 'l' : ''}.${dataSegment}.${operands.map(operandKey).join()}`;
  return {
    key,
    encoding,
    operandSize,
    addressSize,
    mode,
    repeat: encoding.prefix === 0xf2 || encoding.prefix === 0xf3 ? 0 : repeat,
    locked,
    dataSegment,
    flat,
    operands,
  };
}
