/** The instruction set that the engine offers: all definitions, their helpers, and the engine's side of those. */
import type { CpuContext } from '../../cpu/context.ts';
import { systemRoutines, withRoutines } from '../../cpu/routines/index.ts';
import { systemFunctions } from '../../cpu/system-functions.ts';
import { inRegions } from '../../cpu/translator/system.ts';
import { x87Functions } from '../../cpu/x87-functions.ts';
import type { Definition } from '../../isa/definition.ts';
import { floatHelpers } from '../../isa/float/routines.ts';
import { coreHelpers, type Helper } from '../../isa/helpers.ts';
import { integer, integerHelpers } from '../../isa/integer/index.ts';
import { simd, simdHelpers } from '../../isa/simd/index.ts';
import { system, systemHelpers } from '../../isa/system/index.ts';
import { x87, x87Helpers } from '../../isa/x87/index.ts';

export interface InstructionSet {
  readonly definitions: readonly Definition[];
  /** Those of `coreHelpers` included. */
  readonly helpers: readonly Helper[];
  /** Definitions that regions may have: most touch nothing but registers, flags and memory. */
  readonly plain?: ReadonlySet<Definition>;
  /** Whether `enterException` and `enterInterrupt` are among the helpers. */
  readonly delivers?: boolean;
  /** The helpers without a body, for a vCPU. Each takes the address of the state block first. */
  implementation(context: CpuContext): Readonly<Record<string, (...args: never[]) => unknown>>;
}

/** What CPUID describes (`cpu/cpuid.ts`). */
export const x86: InstructionSet = {
  definitions: [...integer, ...system, ...x87, ...simd],
  helpers: withRoutines(
    [...coreHelpers, ...integerHelpers, ...systemHelpers, ...floatHelpers, ...x87Helpers, ...simdHelpers],
    systemRoutines,
  ),
  delivers: true,
  plain: new Set([...integer, ...simd, ...system.filter(inRegions)]),
  implementation: (context) => ({ ...systemFunctions(context), ...x87Functions(context) }),
};
