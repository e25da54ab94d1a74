/** Takes out of an outcome what the manual leaves undefined: it gets the input's value, so nothing is stored for it. */

import type { Undefined } from './forms.ts';
import { ERROR_SUMMARY, IMAGE, initialByte, TEST } from './layout.ts';
import type { MemoryRun, Outcome } from './outcome.ts';

function copyBytes(input: DataView, image: DataView, at: number, bytes: number): void {
  for (let i = 0; i < bytes; i++) image.setUint8(at + i, input.getUint8(TEST.image + at + i));
}

/** Gives the undefined stretches of memory their first contents again. */
function maskMemory(input: DataView, runs: readonly MemoryRun[], parts: Undefined['memory']): readonly MemoryRun[] {
  if (parts === undefined) return runs;
  return runs.map((run) => ({
    offset: run.offset,
    bytes: run.bytes.map((value, i) => {
      const offset = run.offset + i;
      const hidden = parts.some(([start, length]) => offset >= start && offset < start + length);
      return hidden ? initialByte(input, offset) : value;
    }),
  }));
}

/**
 * Changes `outcome`. A fault makes nothing undefined: the instruction then had no effect. The x87 last-instruction
 * pointers count only while an exception is pending: AMD's processors do not tell them otherwise.
 */
export function maskUndefined(input: DataView, outcome: Outcome, parts: Undefined): void {
  const { image } = outcome;
  if (!(image.getUint16(IMAGE.status, true) & ERROR_SUMMARY)) copyBytes(input, image, IMAGE.opcode, 18);
  if (outcome.fault !== undefined) return;
  const before = input.getUint32(TEST.image + IMAGE.rflags, true);
  const flags = parts.flags ?? 0;
  image.setUint32(IMAGE.rflags, (image.getUint32(IMAGE.rflags, true) & ~flags) | (before & flags), true);
  const status = parts.status ?? 0;
  const oldStatus = input.getUint16(TEST.image + IMAGE.status, true);
  image.setUint16(IMAGE.status, (image.getUint16(IMAGE.status, true) & ~status) | (oldStatus & status), true);
  for (let i = 0; i < 16; i++) {
    if ((parts.gpr ?? 0) & (1 << i)) copyBytes(input, image, 8 * i, 8);
    if ((parts.xmm ?? 0) & (1 << i)) copyBytes(input, image, IMAGE.xmm + 16 * i, 16);
  }
  outcome.memory = maskMemory(input, outcome.memory, parts.memory);
}
