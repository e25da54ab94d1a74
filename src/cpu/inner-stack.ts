/** The stack that the TSS gives for a call or interrupt to an inner privilege level (SDM vol. 3A 5.8.5). */
import { VECTOR } from '../isa/state.ts';
import { type CpuContext, raise } from './context.ts';
import { type Descriptor, isNull } from './descriptor.ts';
import { readStackDescriptor } from './segmentation.ts';
import { innerStack, type Stack } from './stack.ts';
import { readInnerStack } from './tss.ts';

/**
 * Opens the 16- or 32-bit stack of privilege level `level`; raises #TS, or #SS where its segment is not present.
 * `descriptor` is to be loaded into SS when the transfer commits.
 */
export function openInnerStack(
  context: CpuContext,
  level: number,
  ext: number,
): { stack: Stack; descriptor: Descriptor } | undefined {
  const found = readInnerStack(context, level, ext);
  if (found === undefined) return undefined;
  if (isNull(found.selector)) {
    raise(context.state, VECTOR.ts, ext);
    return undefined;
  }
  const descriptor = readStackDescriptor(context, found.selector, level, VECTOR.ts, ext);
  if (descriptor === undefined) return undefined;
  return { stack: innerStack(descriptor, found.pointer, ext), descriptor };
}
