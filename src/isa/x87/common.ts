/** How meanings of x87 instructions begin, and the forms that most of them have. */
import type { Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../access.ts';
import type { Definition, Semantics } from '../definition.ts';
import { probeWrite } from '../integer/common.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { checkPendingX87 } from './mmx-state.ts';

/** Begins a waiting instruction that may report exceptions. */
export function begin(b: InstructionBuilder): void {
  checkPendingX87(b);
  b.setScratchField('fpExceptions', b.i32(0));
}

/**
 * Begins the commit of a non-control instruction: the pointers for exception handlers (SDM vol. 1 8.1.8). FCS, FDS and
 * FOP are not recorded, as CPUID.07H:EBX[13] and the default of IA32_MISC_ENABLE[2] say.
 */
export function recordPointers(b: InstructionBuilder, memory?: Operand): void {
  if (memory !== undefined) b.setField('fdp', memory.address());
  b.setField('fip', b.currentIp());
}

/** An instruction without memory operand whose whole effect is a routine's; operands give register numbers. */
export function simple(routine: string, ...constants: readonly number[]): Semantics {
  return (b, ...operands) => {
    begin(b);
    recordPointers(b);
    b.perform(routine, ...operands.map((o) => o.index()), ...constants.map((c) => b.i32(c)));
  };
}

/** An x87 instruction. */
export function x87Definition(name: string, encodings: string | readonly string[], semantics: Semantics): Definition {
  return {
    name,
    encodings: typeof encodings === 'string' ? [encodings] : encodings,
    unit: 'x87',
    feature: 'fpu',
    semantics,
  };
}

/** Physical number of ST(`index`), as i32. */
export function physical(b: InstructionBuilder, index: number | Value): Value {
  const offset = typeof index === 'number' ? b.i32(index) : index;
  return b.and(b.add(b.field('fpTop'), offset), b.i32(7));
}

/** 1 where a physical register is not empty. */
export function used(b: InstructionBuilder, register: Value): Value {
  return b.and(b.shrU(b.field('ftw'), register), b.i32(1));
}

/**
 * Host address of `bytes` (at most 128) bytes of a memory operand whose fields must be aligned to `align` bytes where
 * alignment is checked.
 */
export function reach(
  b: InstructionBuilder,
  memory: Operand,
  bytes: number,
  align: 2 | 4 | 8,
  access: 'read' | 'write',
): Value {
  // An access of the whole is of no size that is checked: its beginning is.
  const first = memory.linear(align, access);
  if (access === 'write') probeWrite(b, first, align, memory.accessFlags);
  else b.translate(first, align, memory.accessFlags);
  const flags = memory.accessFlags | (access === 'write' ? MEMORY_ACCESS.write : 0);
  return b.translate(memory.linear(bytes, access), bytes, flags);
}

/** To be called after stores to what `reach` gave. */
export function finishStores(b: InstructionBuilder): void {
  b.if(b.field('pendingKind'), () => {
    b.call('finishWrite', b.cpu);
  });
}
