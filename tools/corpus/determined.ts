/** Which inputs have an outcome that the manuals determine: where several faults compete, processors differ. */

import type { Input } from './forms.ts';
import { DATA_SIZE } from './layout.ts';
import type { Variant } from './profiles.ts';
import { pointedOffset } from './setup.ts';

const ALIGNMENT_CHECK = 0x40000;
const [RSP, RBP, RDI] = [4, 5, 7];

/** Whether `below` bytes under what a register points at, and `above` bytes there, can be written without a fault. */
function roomAt(input: Input, register: number, below: number, above = 8): boolean {
  const addressSize = input.code.includes(0x67) ? (input.mode === 32 ? 16 : 32) : input.mode;
  const offset = pointedOffset(input.view, input.mode, { addressSize }, { register });
  return offset >= below && offset + above <= DATA_SIZE && (input.flags() & ALIGNMENT_CHECK) === 0;
}

/** False where an input is to be left out. */
export function isDetermined(input: Input, { encoding, mode, operandSize, kind }: Variant): boolean {
  switch (encoding.definition.name) {
    case 'pusha':
      // A fault after the first stores may leave those in memory.
      return roomAt(input, RSP, 64);
    case 'enter':
      return roomAt(input, RSP, 0x200) && roomAt(input, RBP, 0x200);
    case 'popa':
      // A fault after the first loads may leave those in registers.
      return roomAt(input, RSP, 0, 64);
    case 'call':
      // The target's limit is checked before or after the push.
      return kind === 'none' || mode !== 16 || operandSize !== 4 || roomAt(input, RSP, 8);
    case 'cmpsb':
    case 'cmpsw':
    case 'cmpsd':
    case 'cmpsq':
      // Either operand is read first.
      return encoding.definition.unit !== undefined || roomAt(input, RDI, 64, 64);
    default:
      return true;
  }
}
