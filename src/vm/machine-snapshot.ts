/** Which sections a machine's snapshot has, and the order in which a restore puts them back. */
import { VirtsError } from '../base/errors.ts';
import type { VcpuState } from '../isa/state.ts';
import type { Board } from '../machine/board.ts';
import type { MachineClock } from '../machine/clock.ts';
import type { PhysicalMap } from '../memory/physical-map.ts';
import { findSection, type Section } from '../snapshot/container.ts';
import { MEMORY_SECTION, restoreMemory, saveMemory } from '../snapshot/memory-section.ts';
import { restoreVcpu, saveVcpu, VCPU_SECTION } from '../snapshot/vcpu-section.ts';
import { TURNS, type Turns } from './turns.ts';

export interface MachineParts {
  readonly states: readonly VcpuState[];
  /** The state of the vCPUs and memory were replaced. */
  replaced(): void;
  readonly turns: Turns;
  readonly board: Board;
  readonly map: PhysicalMap;
  readonly clock: MachineClock;
}

const CLOCK_SECTION = { name: 'clock', version: 1 } as const;
const TURNS_SECTION = { name: TURNS.name, version: TURNS.version } as const;
const vcpuSection = (number: number) => ({ name: `${VCPU_SECTION.name}${number}`, version: VCPU_SECTION.version });
const DEVICE_PREFIX = 'device:';

export function saveMachine({ states, turns, board, map, clock }: MachineParts): Section[] {
  const time = new Uint8Array(8);
  new DataView(time.buffer).setFloat64(0, clock.exact(), true);
  return [
    { ...CLOCK_SECTION, bytes: time },
    { ...TURNS_SECTION, bytes: new Uint8Array(turns.bytes) },
    ...states.map((state, number) => ({ ...vcpuSection(number), bytes: saveVcpu(state) })),
    ...board.save().map((s) => ({ name: DEVICE_PREFIX + s.name, version: s.version, bytes: s.bytes })),
    { ...MEMORY_SECTION, bytes: saveMemory(map) },
  ];
}

/** @throws VirtsError `bad-input` where the sections are not those of such a machine. */
export function restoreMachine(parts: MachineParts, sections: readonly Section[]): void {
  const { states, turns, board, map, clock } = parts;
  const time = findSection(sections, CLOCK_SECTION.name, CLOCK_SECTION.version);
  if (time.length !== 8) throw new VirtsError('bad-input', 'The clock in this snapshot is of another layout.');
  restoreMemory(map, findSection(sections, MEMORY_SECTION.name, MEMORY_SECTION.version));
  const saved = sections.filter(({ name }) => name.startsWith(VCPU_SECTION.name));
  if (saved.length !== states.length) {
    throw new VirtsError('bad-input', `The saved machine has ${saved.length} vCPUs, not ${states.length}.`);
  }
  for (const [number, state] of states.entries()) {
    const { name, version } = vcpuSection(number);
    restoreVcpu(state, findSection(sections, name, version));
  }
  parts.replaced();
  turns.restore(findSection(sections, TURNS_SECTION.name, TURNS_SECTION.version));
  // The vCPUs' counts are in place: only now does a counted clock know what to count from.
  clock.set(new DataView(time.buffer, time.byteOffset).getFloat64(0, true));
  board.restore(
    sections
      .filter((s) => s.name.startsWith(DEVICE_PREFIX))
      .map((s) => ({ ...s, name: s.name.slice(DEVICE_PREFIX.length) })),
  );
}
