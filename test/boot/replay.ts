/** Runs of a seeded machine with the input of an earlier run. */
import type { MachineEnd } from '../../src/vm/machine.ts';
import type { SeededMachine } from './guest.ts';
import type { Input } from './guest-session.ts';

/**
 * Types what was typed at instruction counts from now up to `to`. Stops at the first boundary from there on, or at the
 * end of the machine.
 */
export function replayTo({ machine }: SeededMachine, inputs: readonly Input[], to: number): MachineEnd | undefined {
  const later = inputs.filter((input) => input.at >= machine.retired() && input.at < to);
  for (const at of [...later.map((input) => input.at), to]) {
    const progress = at > machine.retired() ? machine.advanceInstructions(at - machine.retired()) : undefined;
    if (progress?.kind === 'ended') return progress.end;
    const input = later.find((one) => one.at === at);
    if (input !== undefined) machine.input(input.bytes);
  }
  return undefined;
}
