/**
 * What an instruction definition is: its encodings, its text and its meaning, in one place. The decoder, the
 * disassembler, the interpreter, the translator and the hardware test corpus are all derived from these.
 */

import type { Operand } from './operand.ts';
import type { InstructionBuilder } from './semantics.ts';

/** Names of the status flags, plus the direction flag. */
export type Flag = 'o' | 's' | 'z' | 'a' | 'p' | 'c';

/** Fills in the meaning of one instruction for the operands at hand. */
export type Semantics = (b: InstructionBuilder, ...operands: Operand[]) => void;

/**
 * One instruction.
 *
 * An encoding is a line in the notation of the manuals: opcode bytes, then qualifiers, then operands in the codes of SDM
 * vol. 2D appendix A.2, separated by commas:
 *
 * ```
 * 01 /r Ev,Gv          opcode 01, ModRM, operand-size register or memory, register
 * 80 /4 Eb,Ib          the reg field of ModRM extends the opcode
 * 50+r Zv              register in the low bits of the opcode
 * 66 0f 6f /r Vdq,Wdq  mandatory prefix; np = none of 66, F2, F3 may stand before it
 * vex.np.0f38.w0 f2 /r Gd,Bd,Ed   (l0 implied; w0, w1 or wig)
 * 0f 01 f9             all of ModRM fixed
 * ```
 *
 * Qualifiers, before the operands: `i64` invalid in 64-bit mode, `o64` only in 64-bit mode, `d64` operand size defaults
 * to 64 bits there, `f64` is forced to it, `lock` takes a LOCK prefix when its first operand is memory, `locked` is locked then with and without one, `os16`, `os32`,
 * `os64` only at that operand size, `pop` an address based on rSP takes rSP after the pop, `as16`, `as32`, `as64` at that address size, `rep` the meaning depends on F3/F2
 * (repeat prefixes are otherwise ignored), `real` also in real and virtual-8086 mode where the form is otherwise
 * restricted by `prot` (protected mode only: #UD in real and virtual-8086 mode).
 *
 * Operand letters: E general register or memory (ModRM.rm), G general register (ModRM.reg), R register only, M memory
 * only, Z register in the opcode, B register in VEX.vvvv, I immediate, J relative target, O absolute offset, A far
 * pointer, S segment register, C control register, D debug register, V/W/U/H XMM (reg, rm or memory, rm only,
 * VEX.vvvv), P/Q/N MMX (reg, rm or memory, rm only), T x87 stack register in ModRM.rm. Sizes: b w d q dq (16 bytes),
 * t (10 bytes), v operand size, z operand size but at most 4, y 4 or 8, p far pointer of operand size, a pair for BOUND,
 * s 6 or 10 bytes of a descriptor-table register, bs immediate byte sign-extended to the operand size, zs the z
 * immediate sign-extended; no size: an address without an access, or bytes that the meaning itself accesses. A size may
 * differ by form: `Ed/Mb` takes a 32-bit register or a byte of memory; `Wq`, `Wd`, `Ww`, `Wb` an XMM register or that
 * much memory. Fixed operands: AL AX eAX(2/4) rAX CL DX 1 XMM0 ES CS SS DS FS GS.
 */
export interface Definition {
  /** Mnemonic, in lower case, as the manuals write it. */
  readonly name: string;
  readonly encodings: readonly string[];
  readonly semantics: Semantics;
  /** Status flags that it reads. */
  readonly reads?: string;
  /** Status flags that it gives a defined value. */
  readonly writes?: string;
  /** Status flags whose value the manuals leave undefined. */
  readonly undefined?: string;
  /** Ends a block: control flow or a change of what later instructions mean. */
  readonly ends?: boolean;
  /**
   * No access behind it is made before one in front of it: fences, I/O and serialising instructions (SDM vol. 3A 9.2.2, 9.3);
   * the engine sees to that, not the meaning.
   */
  readonly fences?: boolean;
  /** Feature that CPUID must claim, e.g. `sse4.1`. */
  readonly feature?: string;
  /**
   * Execution unit. `x87`, `mmx` and `sse` instructions raise #UD or #NM by CR0.EM, CR0.TS, CR4.OSFXSR before anything
   * else happens; the engine sees to that, not the meaning. `fwait` raises #NM only where CR0.MP and TS are both set.
   */
  readonly unit?: 'x87' | 'mmx' | 'sse' | 'fwait';
  /** Needs the current privilege level, mode or stack width at build time. */
  readonly uses?: readonly ('stack' | 'mode')[];
  /** Its result differs from run to run or between processors: not in the hardware corpus. */
  readonly unrecorded?: boolean;
}

/** Checks a table of definitions for type and returns it. */
export function define(definitions: readonly Definition[]): readonly Definition[] {
  return definitions;
}
