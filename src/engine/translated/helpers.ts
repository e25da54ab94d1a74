/** What handlers and regions call. */
import { jumpCacheRoutines } from '../../cpu/interpreter/jump-cache.ts';
import { runtimeHelpers } from '../../cpu/interpreter/runtime.ts';
import { createCompiledRegions } from '../../cpu/translator/compiled-regions.ts';
import { type CompilerOptions, createCompiler } from '../../cpu/translator/compiler.ts';
import { translatorHelpers } from '../../cpu/translator/flags.ts';
import { regionHelpers } from '../../cpu/translator/region-check.ts';
import { createDecoder, listEncodings } from '../../isa/decoder.ts';
import type { Helper } from '../../isa/helpers.ts';
import { tlbRoutines } from '../../memory/tlb.ts';
import { memoryHelpers } from '../../memory/translate.ts';
import type { InstructionSet } from './instruction-set.ts';

/** All helpers of a vCPU; `threshold` and `delivers` as for `runtimeHelpers`. */
export const vcpuHelpers = (instructionSet: InstructionSet, threshold: number, delivers: boolean): Helper[] => [
  ...memoryHelpers,
  ...tlbRoutines,
  ...jumpCacheRoutines,
  ...runtimeHelpers(threshold, delivers),
  ...translatorHelpers,
  ...regionHelpers,
  ...instructionSet.helpers,
];

/** Compiles regions for vCPUs of another thread. */
export function createThreadCompiler(
  instructionSet: InstructionSet,
  host: Pick<CompilerOptions, 'createModule' | 'now'>,
): ReturnType<typeof createCompiler> {
  const decode = createDecoder(listEncodings(instructionSet.definitions));
  // Only the bodies of helpers, which that thread has, depend on the threshold.
  const kept = createCompiledRegions();
  return createCompiler({ decode, helpers: vcpuHelpers(instructionSet, 0, false), kept, ...host });
}
