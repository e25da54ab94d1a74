/** The 256-bit interrupt registers and the priorities that follow from them. SDM vol. 3A 10.8. */
import { DELIVERY } from '../apic-bus/interrupt-message.ts';
import { BASE_ENABLE, EXT_INT, type LocalApicState, LVT, LVT_MASKED } from './registers.ts';

export function testVector(words: Uint32Array, vector: number): boolean {
  return ((words[vector >>> 5] >>> (vector & 31)) & 1) !== 0;
}

export function setVector(words: Uint32Array, vector: number): void {
  words[vector >>> 5] |= 1 << (vector & 31);
}

export function clearVector(words: Uint32Array, vector: number): void {
  words[vector >>> 5] &= ~(1 << (vector & 31));
}

/** The highest vector set, or -1. */
export function highestVector(words: Uint32Array): number {
  for (let index = 7; index >= 0; index--) {
    const word = words[index];
    if (word !== 0) return index * 32 + 31 - Math.clz32(word);
  }
  return -1;
}

/** PPR: the task priority or the class of the interrupt in service, whichever is higher. */
export function processorPriority(state: LocalApicState): number {
  const inService = Math.max(0, highestVector(state.isr)) & 0xf0;
  return (state.tpr & 0xf0) >= inService ? state.tpr : inService;
}

/** Whether the processor listens to the PIC: LINT0 in ExtINT mode, an ExtINT message, or no APIC at all. */
export function acceptsExtInt(state: LocalApicState): boolean {
  if ((state.base & BASE_ENABLE) === 0n || state.extInt !== 0) return true;
  const entry = state.lvt[LVT.lint0];
  return (entry & LVT_MASKED) === 0 && ((entry >>> 8) & 7) === DELIVERY.extInt;
}

/** Recomputes `pendingSummary`. True if a higher vector than before became deliverable, or one of the PIC. */
export function refreshPending(state: LocalApicState): boolean {
  const requested = highestVector(state.irr);
  const deliverable = requested >= 0 && (requested & 0xf0) > (processorPriority(state) & 0xf0);
  const before = state.pendingSummary[0];
  const vector = deliverable ? 0x100 | requested : 0;
  const extInt = state.lint0 !== 0 && acceptsExtInt(state) ? EXT_INT : 0;
  if ((vector | extInt) !== before) Atomics.store(state.pendingSummary, 0, vector | extInt);
  return vector > (before & ~EXT_INT) || (extInt & ~before) !== 0;
}
