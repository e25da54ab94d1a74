/** What one form of the instruction tables is, and what it wants of its inputs. */

import type { Encoding } from '../../src/isa/encoding.ts';
import type { Mode } from './layout.ts';
import type { Random } from './prng.ts';
import type { Pointer, Range, Setup } from './setup.ts';

/** An encoding in one mode, operand size and operand form. */
export interface Variant {
  readonly encoding: Encoding;
  readonly mode: Mode;
  /** Bytes. */
  readonly operandSize: 2 | 4 | 8;
  readonly kind: 'register' | 'memory' | 'none';
  /** Repeat prefix, or 0. */
  readonly repeat: 0 | 0xf2 | 0xf3;
}

/** Registers that were chosen for the operands. */
export interface Registers {
  readonly reg: number;
  readonly rm: number;
}

export interface Profile {
  readonly setup?: Setup;
  /** Implicit pointers. */
  readonly pointers?: readonly Pointer[];
  /** The register of an implicit pointer that a segment override moves, or -1. */
  readonly overridden?: number;
  readonly ranges?: readonly Range[];
  /** Bytes that a memory operand is mostly aligned to, where its size does not say it. */
  readonly align?: number;
  /** Registers that are implicit inputs: bad bases for a memory operand. */
  readonly taken?: readonly number[];
  /** Registers that take an address of code. */
  readonly targets?: readonly number[];
}

/** Chooses what a variant wants, for operands that were chosen at random. */
export type Maker = (random: Random, variant: Variant, registers: Registers) => Profile;
