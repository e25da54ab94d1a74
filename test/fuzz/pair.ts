/** Two guests with equal states, one interpreted and one translated, that run the same program and are compared. */
import { writeFlags } from '../../src/cpu/flags.ts';
import type { Translation } from '../../src/engine/translated/vcpu-interface.ts';
import { NO_FAULT, type VcpuField } from '../../src/isa/state.ts';
import { writeGuest } from '../../src/memory/guest-memory.ts';
import { createRandom, type Random } from '../../tools/corpus/prng.ts';
import { assemble } from '../translation/assembler.ts';
import { DOUBLE_OPERANDS, doubleBits, SINGLE_OPERANDS } from '../translation/float-table.ts';
import { AT, createGuest, PAGE } from '../translation/guest.ts';
import { BASES, LAYOUT } from './generator.ts';

const DATA_BYTES = 0x2000;
/** The page behind the alias of the first page of data. */
const FURTHER = 0x10_4000;
const STACK_BYTES = 0x400;

interface Side {
  readonly guest: ReturnType<typeof createGuest>;
  readonly log: string[];
  readonly initial: ReadonlyMap<VcpuField, unknown>;
  /** Instructions retired before the program. */
  start: number;
}

function createSide(translation: Translation | undefined): Side {
  const log: string[] = [];
  const guest = createGuest({
    translation,
    environment: {
      mmio: {
        read(address, size) {
          log.push(`r ${address.toString(16)} ${size}`);
          return (address * 0x1234567) >>> 0;
        },
        write: (address, size, value) => void log.push(`w ${address.toString(16)} ${size} ${value >>> 0}`),
      },
    },
  });
  guest.mapPage(LAYOUT.alias, BigInt(LAYOUT.data) | PAGE.all);
  guest.mapPage(LAYOUT.alias + 0x1000, BigInt(FURTHER) | PAGE.all);
  guest.mapPage(LAYOUT.alias + 0x2000, 0);
  guest.mapPage(LAYOUT.device, BigInt(AT.device) | PAGE.all);
  const fields: VcpuField[] = [
    'cr2',
    'cr3',
    'cr4',
    'cr0',
    'mxcsr',
    'fcw',
    'fsw',
    'fpTop',
    'ftw',
    'dr',
    'fpr',
    'xmm',
    'gpr',
    'fip',
    'fdp',
    'fop',
    'fcs',
    'fds',
  ];
  const initial = new Map(
    fields.map((field): [VcpuField, unknown] => {
      const value: unknown = guest.state[field];
      return [field, value instanceof BigUint64Array ? value.slice() : value];
    }),
  );
  return { guest, log, initial, start: 0 };
}

/** Registers, flags, vectors and memory at the start, from the program's random numbers. */
function fill(side: Side, random: Random, bytes: Uint8Array, origin: number): void {
  const { guest, log, initial } = side;
  const { state, vcpu, map } = guest;
  for (const [field, value] of initial) {
    if (value instanceof BigUint64Array) (state[field] as BigUint64Array).set(value);
    else (state as Record<string, unknown>)[field] = value;
  }
  const wide = () => (BigInt(random.u32()) << 32n) | BigInt(random.u32());
  const number = () =>
    random.pick([
      wide,
      () => BigInt(random.below(100)),
      () => -BigInt(random.below(100)),
      () => 1n << BigInt(random.below(64)),
    ])();
  for (let i = 0; i < 16; i++) state.gpr[i] = BigInt.asUintN(64, number());
  guest.set({ ...BASES, r11: random.below(4), rsp: AT.stack });
  const vector = () =>
    random.pick([
      () => random.pick(DOUBLE_OPERANDS),
      () => random.pick(SINGLE_OPERANDS) | (random.pick(SINGLE_OPERANDS) << 32n),
      () => doubleBits(random.below(1000) / 8),
      wide,
    ])();
  for (let i = 0; i < 8; i++) state.xmm.set([vector(), vector()], 4 * i);
  writeFlags(state, 2 | (random.u32() & 0x8d5));
  const data = new Uint8Array(DATA_BYTES);
  for (let i = 0; i < DATA_BYTES; i += 8) {
    if (i > 0x200 && (i & 0xfff) < 0xf00 && i % 0x1000 > 0x200) continue;
    new DataView(data.buffer).setBigUint64(i, BigInt.asUintN(64, random.once(2) ? vector() : number()), true);
  }
  writeGuest(map, LAYOUT.data, data);
  writeGuest(map, FURTHER, data.subarray(0x1000));
  writeGuest(map, AT.stack - STACK_BYTES, new Uint8Array(STACK_BYTES + 0x100));
  writeGuest(map, origin, bytes);
  log.length = 0;
  guest.caught.length = 0;
  state.activity = 0;
  state.interruptShadow = 0;
  state.debugPending = 0;
  state.faultVector = NO_FAULT;
  state.rip = BigInt(origin);
  // Page tables stay as they are, so the TLB may keep what it has.
  vcpu.context.modeChanged();
  side.start = vcpu.retired();
}

const retired = ({ guest, start }: Side) => guest.vcpu.retired() - start;

/** What differs between the two, a line each. */
function compare(a: Side, b: Side): string[] {
  const [x, y] = [a.guest.architecture(), b.guest.architecture()];
  const found = Object.keys(x)
    .filter((field) => x[field] !== y[field] && field !== 'instructions')
    .map((field) => `${field}: ${details(field, String(x[field]), String(y[field]))}`);
  const count = [a, b].map(retired);
  if (count[0] !== count[1]) found.push(`instructions: ${count.join(', not ')}`);
  for (const [name, at, length] of [
    ['data', LAYOUT.data, DATA_BYTES],
    ['further data', FURTHER, 0x1000],
    ['stack', AT.stack - STACK_BYTES, STACK_BYTES],
  ] as const) {
    const [m, n] = [a.guest.bytes(at, length), b.guest.bytes(at, length)];
    const differs = m.findIndex((byte, i) => byte !== n[i]);
    if (differs >= 0) found.push(`${name} at ${(at + differs).toString(16)}: ${m[differs]}, not ${n[differs]}`);
  }
  if (a.log.join() !== b.log.join()) found.push(`device: ${a.log.join()}, not ${b.log.join()}`);
  const faults = [a, b].map(({ guest }) =>
    guest.caught
      .map(
        (c) =>
          `${c.vector}:${c.error} at ${c.rip.toString(16)}, CR2 ${c.cr2.toString(16)}, flags ${c.flags.toString(16)}, ${c.gpr.join(' ')}`,
      )
      .join('; '),
  );
  if (faults[0] !== faults[1]) found.push(`faults: ${faults.join('\n    not ')}`);
  return found;
}

/** Elements of arrays that differ, in hexadecimal. */
function details(field: string, x: string, y: string): string {
  const [a, b] = [x.split(' '), y.split(' ')];
  if (a.length < 2) return `${BigInt(x).toString(16)}, not ${BigInt(y).toString(16)}`;
  return a
    .map((value, i) =>
      value === b[i]
        ? ''
        : `[${field === 'xmm' ? i / 4 : i}] ${BigInt(value).toString(16)}, not ${BigInt(b[i]).toString(16)} `,
    )
    .join('');
}

export interface Outcome {
  readonly differences: readonly string[];
  readonly instructions: number;
  readonly faulted: boolean;
}

export function createPair(translation: Translation) {
  const sides = [createSide(undefined), createSide(translation)] as const;
  const random = createRandom(0, 0, 0);
  return {
    /** Instructions that were translated so far. */
    regions: () => sides[1].guest.vcpu.stats().regions ?? 0,
    /** Figures of the translating side. */
    stats: () => sides[1].guest.vcpu.stats(),
    /** Runs a program from the state that follows from `seed`: to an exact count first, then to its end. */
    run(lines: readonly string[], seed: number, origin: number, most: number): Outcome {
      const bytes = Uint8Array.from(assemble(origin, lines.join('\n')).bytes);
      let cut = 0;
      for (const side of sides) {
        random.reseed(seed, 1, 2);
        fill(side, random, bytes, origin);
        cut = 1 + random.below(80);
        side.guest.vcpu.run(cut, true);
      }
      let differences = compare(...sides).map((line) => `after ${cut}: ${line}`);
      if (differences.length === 0) {
        for (const side of sides) side.guest.vcpu.run(Math.max(1, most - retired(side)), true);
        differences = compare(...sides);
      }
      const [{ guest }] = sides;
      return { differences, instructions: retired(sides[0]), faulted: guest.caught.length > 0 };
    },
  };
}
