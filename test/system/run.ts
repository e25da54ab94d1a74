/** Runs test programs on Virts. */
import type { Translation } from '../../src/engine/translated/vcpu-interface.ts';
import { readGuest } from '../../src/memory/guest-memory.ts';
import { createMachine, type Progress } from '../../src/vm/machine.ts';
import type { Outcome } from './compare.ts';
import { LAYOUT } from './log.ts';

const MEMORY_SIZE = 32 * 1024 * 1024;
/** More than any program needs; the longest waits for a timer. */
const INSTRUCTION_LIMIT = 2_000_000;

function endOf(progress: Progress): Outcome['end'] {
  if (progress.kind !== 'ended') return 'limit';
  const { reason } = progress.end;
  if (reason === 'debug-exit') return 'exit';
  if (reason === 'halted') return 'halt';
  return reason === 'triple-fault' ? reason : 'limit';
}

/** Runs an image, a multiboot kernel, to its end or to the limit of instructions; hot code is translated as `translation` says. */
export function runImage(image: Uint8Array, translation?: Translation): Outcome {
  const machine = createMachine({
    memory: MEMORY_SIZE,
    clock: 1,
    hostNow: () => 0,
    epoch: 0,
    random: (bytes) => bytes.fill(0x5a),
    serial: { write() {} },
    ...(translation && { translation }),
  });
  machine.boot({ kernel: image, commandLine: '' });
  const end = endOf(machine.advanceInstructions(INSTRUCTION_LIMIT));
  return { end, memory: readGuest(machine.memory, LAYOUT.base, LAYOUT.end - LAYOUT.base) };
}
