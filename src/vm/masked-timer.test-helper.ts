/** A guest that waits for interrupts with every one of them masked, on a counted clock, while the timer runs. */
import type { Progress } from './machine.ts';
import { bootTiny } from './tiny-kernel.test-helper.ts';

export function maskedTimer(): { progress: Progress; time: number } {
  const { machine } = bootTiny([
    ...[0xb0, 0xff, 0xe6, 0x21, 0xe6, 0xa1], // mov al, 0xff; out 0x21, al; out 0xa1, al
    ...[0xb0, 0x34, 0xe6, 0x43, 0xb0, 0, 0xe6, 0x40, 0xe6, 0x40], // channel 0: rate generator, count 65536
    ...[0xfb, 0xf4, 0xeb, 0xfd], // sti; again: hlt; jmp again
  ]);
  return { progress: machine.advanceInstructions(100_000), time: machine.now() };
}
