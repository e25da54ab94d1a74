/** Bytes of memory operands. */

import { sizeBytes } from '../../src/isa/decoder.ts';
import { type Encoding, memoryOperand } from '../../src/isa/encoding.ts';

/** Bytes of an encoding's memory operand; 0 where there is none or the meaning decides. */
export function memoryBytes(e: Encoding, operandSize: 2 | 4 | 8): number {
  const at = memoryOperand(e);
  return at < 0 ? 0 : sizeBytes(e.operands[at]!.memorySize, operandSize);
}
