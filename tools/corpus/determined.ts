/** Which inputs have an outcome that the manuals determine: where several faults compete, processors differ. */

import type { Input } from './forms.ts';
import { DATA_SIZE, ERROR_SUMMARY, IMAGE, READ_ONLY_SIZE, TEST } from './layout.ts';
import { type Pointer, pointedOffset } from './setup.ts';
import { type Assembled, operandOffset } from './undefined.ts';
import type { Variant } from './variant.ts';

const ALIGNMENT_CHECK = 0x40000;
const [RSP, RBP, RDI] = [4, 5, 7];

const PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]);

function hasPrefix(code: Uint8Array, prefix: number): boolean {
  for (const byte of code) {
    if (byte === prefix) return true;
    if (!PREFIXES.has(byte)) return false;
  }
  return false;
}

/**
 * Whether `below` bytes under what a register points at, and `above` bytes there, can be written without a fault.
 * `moved`: a segment override counts.
 */
function roomAt(input: Input, register: number, below: number, above = 8, moved = false): boolean {
  const { code, mode, view } = input;
  const addressSize = hasPrefix(code, 0x67) ? (mode === 32 ? 16 : 32) : mode;
  const segment = moved ? (hasPrefix(code, 0x64) ? 'fs' : hasPrefix(code, 0x65) ? 'gs' : 'ds') : 'ds';
  const pointer: Pointer = segment === 'ds' ? { register } : { register, segment };
  const offset = pointedOffset(view, mode, { addressSize }, pointer);
  return offset >= below && offset + above <= DATA_SIZE && (input.flags() & ALIGNMENT_CHECK) === 0;
}

/** Bytes that FNSAVE stores. */
const SAVED_BYTES = 108;
const FXSAVE_BYTES = 512;

/** Whether a stretch lies in the writable data pages, or all out of reach. */
function isInside(offset: number, bytes: number): boolean {
  const end = DATA_SIZE + READ_ONLY_SIZE;
  return (offset >= 0 && offset + bytes <= DATA_SIZE) || offset + bytes <= 0 || offset >= end;
}

/** Whether the x87 status at the start of the window has an exception pending. */
function loadsPending(input: Input): boolean {
  return (input.view.getUint16(TEST.window + 2, true) & ERROR_SUMMARY) !== 0;
}

/**
 * FXSAVE and FXRSTOR: #AC may take the place of #GP, any byte may be the first to fault, and the upper halves of pointers
 * that count, because an exception is pending, may be cut to canonical addresses.
 */
function isWholeArea(input: Input, { encoding, operandSize }: Variant, assembled: Assembled): boolean {
  const offset = operandOffset(input, assembled);
  const cut = encoding.definition.name === 'fxrstor' && operandSize === 8 && loadsPending(input);
  return (input.flags() & ALIGNMENT_CHECK) === 0 && offset >= 0 && offset + FXSAVE_BYTES <= DATA_SIZE && !cut;
}

/** Whether ST(0) needs no reduction by pi, in which processors differ, or is beyond any. */
function isReduced(input: Input): boolean {
  const exponent = input.view.getUint16(TEST.image + IMAGE.st + 8, true) & 0x7fff;
  return exponent < 0x3ffe || exponent >= 0x403e;
}

/** False where an input is to be left out. */
export function isDetermined(input: Input, variant: Variant, assembled: Assembled): boolean {
  const { encoding, mode, operandSize, kind } = variant;
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
    case 'push':
      // A selector is stored with two or four bytes.
      return encoding.operands[0]?.letter !== 'fixed' || operandSize !== 4 || roomAt(input, RSP, 8);
    case 'maskmovq':
    case 'maskmovdqu':
      // Which bytes of a masked store fault, and what happened before, is left to the processor.
      return roomAt(input, RDI, 16, 16, true);
    case 'movups':
    case 'movupd':
    case 'movdqu':
    case 'lddqu':
    case 'pcmpestrm':
    case 'pcmpestri':
    case 'pcmpistrm':
    case 'pcmpistri':
      // Whether these check alignment is left to the processor (SDM vol. 3A 6.15, #AC).
      return kind === 'register' || (input.flags() & ALIGNMENT_CHECK) === 0;
    case 'fldenv':
    case 'fnstenv':
    case 'frstor':
    case 'fnsave':
      // A state that is partly out of reach may have been read or written in part.
      return isInside(operandOffset(input, assembled), SAVED_BYTES);
    case 'fxsave':
    case 'fxrstor':
      return isWholeArea(input, variant, assembled);
    case 'fsin':
    case 'fcos':
    case 'fsincos':
    case 'fptan':
      return isReduced(input);
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
