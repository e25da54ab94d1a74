/**
 * The log that a program's recorder leaves in guest memory (runtime/layout.inc), as text:
 *
 *     3: #PF(0002) cr2=00180000 +0      a page fault at the instruction that step 3 tries
 *     4: #DB +2                         a trap that saved an address 2 bytes after the start of what step 4 tries
 *     5: int 40 @00108000 cs=0033       an address far from what is tried, in other than the mode's own code segment
 *     6: = 0000000000000001             a note
 *
 * `+0` is left out, and so is all of it for an NMI: where that comes is chance. `v86` follows where the saved flags have VM set.
 */
import type { StartMode } from './header.ts';

/** Guest-physical addresses and sizes from layout.inc. */
export const LAYOUT = {
  base: 0x1000,
  step: 0x1000,
  count: 0x100c,
  registers: 0x1040,
  log: 0x1100,
  end: 0x2000,
} as const;
const ENTRY_SIZE = 40;
const ENTRY_LIMIT = 90;
const NOTE = 0x200;
const NO_ERROR_CODE = 0x100;
const FLAGS_VM = 1 << 17;

const OWN_CODE: Record<StartMode, number> = { real: 0, protected16: 0x20, protected32: 0x08, long64: 0x18 };

const NAMES: Readonly<Record<number, string>> = {
  ...{ 0: '#DE', 1: '#DB', 2: 'NMI', 3: '#BP', 4: '#OF', 5: '#BR', 6: '#UD', 7: '#NM', 8: '#DF', 10: '#TS', 11: '#NP' },
  ...{ 12: '#SS', 13: '#GP', 14: '#PF', 16: '#MF', 17: '#AC', 18: '#MC', 19: '#XM' },
};
const NMI = 2;
const PAGE_FAULT = 14;

const hex = (value: number | bigint, digits: number) => value.toString(16).padStart(digits, '0');

/** Where the event was, seen from what the step tried. */
function place(number: number, rip: bigint, tried: number): string {
  if (number === NMI) return '';
  const distance = rip - BigInt(tried);
  if (distance === 0n) return '';
  if (distance > 0n && distance < 0x100n) return ` +${distance.toString(16)}`;
  return ` @${hex(rip, 8)}`;
}

function formatEntry(entry: DataView, mode: StartMode): string {
  const u32 = (at: number) => entry.getUint32(at, true);
  const vector = u32(4);
  const rip = entry.getBigUint64(16, true);
  if (vector === NOTE) return `${u32(0)}: = ${hex(rip, mode === 'long64' ? 16 : 8)}`;
  const number = vector & 0xff;
  const error = (vector & NO_ERROR_CODE) === 0 ? `(${hex(u32(8), 4)})` : '';
  const cr2 = number === PAGE_FAULT ? ` cr2=${hex(entry.getBigUint64(24, true), 8)}` : '';
  const cs = u32(12) === OWN_CODE[mode] ? '' : ` cs=${hex(u32(12), 4)}`;
  const v86 = (u32(32) & FLAGS_VM) === 0 ? '' : ' v86';
  return `${u32(0)}: ${NAMES[number] ?? `int ${hex(number, 2)}`}${error}${cr2}${place(number, rip, u32(36))}${cs}${v86}`;
}

/** `memory` is guest-physical memory from `LAYOUT.base` to `LAYOUT.end`. */
export function readLog(memory: Uint8Array, mode: StartMode): string[] {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const count = Math.min(view.getUint32(LAYOUT.count - LAYOUT.base, true), ENTRY_LIMIT);
  const lines: string[] = [];
  for (let i = 0; i < count; i++) {
    const at = memory.byteOffset + LAYOUT.log - LAYOUT.base + i * ENTRY_SIZE;
    lines.push(formatEntry(new DataView(memory.buffer, at, ENTRY_SIZE), mode));
  }
  return lines;
}

/** The number of the last step that was begun. */
export const readStep = (memory: Uint8Array): number =>
  new DataView(memory.buffer, memory.byteOffset).getUint32(LAYOUT.step - LAYOUT.base, true);

/** The general registers as they were when the program said that it is finished, in the order of their numbers. */
export function readRegisters(memory: Uint8Array): bigint[] {
  const view = new DataView(memory.buffer, memory.byteOffset);
  return Array.from({ length: 16 }, (_, i) => view.getBigUint64(LAYOUT.registers - LAYOUT.base + i * 8, true));
}
