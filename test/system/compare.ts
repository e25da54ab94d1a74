/** Compares what a run of a program led to with what its header says. */
import { GENERAL_REGISTERS, type GeneralRegister } from '../../src/firmware/entry.ts';
import type { End, Header } from './header.ts';
import { readLog, readRegisters, readStep } from './log.ts';

export interface Outcome {
  /** `limit`: it did not end. */
  readonly end: End | 'limit';
  /** Guest-physical memory from `LAYOUT.base` to `LAYOUT.end`; undefined if it could not be had. */
  readonly memory: Uint8Array | undefined;
}

/** The outcome as lines like those of a header, of what the header speaks of. */
export function describe(header: Header, { end, memory }: Outcome): string[] {
  if (memory === undefined) return [`end: ${end}`];
  const values = readRegisters(memory);
  const registers = Object.keys(header.registers).map(
    (name) => `${name} = ${values[GENERAL_REGISTERS.indexOf(name as GeneralRegister)].toString(16)}`,
  );
  return [`end: ${end}`, `steps: ${readStep(memory)}`, ...readLog(memory, header.mode), ...registers];
}

/** The same lines as the header has them. */
export function expected(header: Header, log: readonly string[] = header.log): string[] {
  const registers = Object.entries(header.registers).map(([name, value]) => `${name} = ${value.toString(16)}`);
  return [`end: ${header.end}`, `steps: ${header.steps}`, ...log, ...registers];
}
