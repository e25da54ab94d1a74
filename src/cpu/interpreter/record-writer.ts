/** Writes decoded instructions as records. */
import { type DecodedOperand, type Instruction, type MemoryOperand, RIP_BASE } from '../../isa/instruction.ts';
import { fprOffset, gprOffset, VCPU, xmmOffset } from '../../isa/state.ts';
import { PAGE_SIZE } from '../../memory/layout.ts';
import { LINK_OUTSIDE, RECORD } from './record.ts';
import type { OperandShape, Shape } from './shape.ts';

export interface RecordWriter {
  /** A record without operands. Offsets are in the page; `count` is that of `RECORD.count`. */
  special(at: number, handler: number, offset: number, next: number, count: number): void;
  instruction(at: number, handler: number, instruction: Instruction, shape: Shape, offset: number, count: number): void;
}

/** Where a register operand lives in the state block, or its number. */
function slot(o: DecodedOperand): number {
  switch (o.kind) {
    case 'gpr':
      return gprOffset(o.index) + (o.high ? 1 : 0);
    case 'xmm':
      return xmmOffset(o.index);
    case 'mmx':
      return fprOffset(o.index);
    case 'index':
      return o.index;
    default:
      return 0;
  }
}

function registerOffset(index: number): number {
  return index < 0 ? VCPU.offsets.zero : gprOffset(index);
}

export function createRecordWriter(data: DataView): RecordWriter {
  function memory(at: number, o: MemoryOperand, shape: Shape, position: number): void {
    data.setUint8(at + RECORD.scale, o.scale);
    data.setUint8(at + RECORD.segment, o.segment);
    if (o.base !== RIP_BASE) data.setUint16(at + RECORD.base, registerOffset(o.base), true);
    data.setUint16(at + RECORD.index, registerOffset(o.index), true);
    data.setUint16(at + RECORD.segmentBase, VCPU.offsets.segmentBase + 8 * o.segment, true);
    if (shape.operands[position]?.address === 'absolute')
      data.setBigInt64(at + RECORD.displacement, o.displacement, true);
    else data.setInt32(at + RECORD.displacement, Number(o.displacement), true);
  }

  function immediate(at: number, value: bigint, place: OperandShape['place'] = 'immediate'): void {
    if (place === 'wide') data.setBigUint64(at + RECORD.displacement, value, true);
    else data.setUint32(at + RECORD[place], Number(BigInt.asUintN(32, value)), true);
  }

  function relative(at: number, value: number, end: number, instruction: Instruction, shape: Shape): void {
    data.setInt32(at + RECORD.displacement, value, true);
    const target = end + value;
    const { codeSize } = shape.mode;
    // Where the instruction pointer may wrap, equal offsets need not mean equal addresses.
    const plain = codeSize !== 2 && instruction.operandSize === codeSize && target >= 0 && target < PAGE_SIZE;
    data.setUint32(at + RECORD.link, plain ? 0 : LINK_OUTSIDE, true);
    data.setUint16(at + RECORD.heat, 0, true);
  }

  return {
    special(at, handler, offset, next, count) {
      data.setUint16(at + RECORD.handler, handler, true);
      data.setUint16(at + RECORD.offset, offset, true);
      data.setUint16(at + RECORD.next, next, true);
      data.setUint16(at + RECORD.count, count, true);
    },
    instruction(at, handler, instruction, shape, offset, count) {
      const end = offset + instruction.length;
      this.special(at, handler, offset, end, count);
      instruction.operands.forEach((o, i) => {
        switch (o.kind) {
          case 'memory':
            memory(at, o, shape, i);
            break;
          case 'immediate':
            if (shape.operands[i]?.constant === undefined) immediate(at, o.value, shape.operands[i]?.place);
            break;
          case 'relative':
            relative(at, o.value, end, instruction, shape);
            break;
          default:
            data.setUint16(at + RECORD.slots + 2 * i, slot(o), true);
        }
      });
    },
  };
}
