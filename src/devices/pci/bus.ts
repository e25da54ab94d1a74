/**
 * A PCI bus behind configuration mechanism #1 (PCI Local Bus 3.0, 3.2.2.3.2), and its INTx wires.
 *
 * Up to 32 devices of 8 functions on bus 0. The four interrupt pins of all slots are swizzled onto four PIRQ wires, each
 * the OR of its sources, whose levels live here so that any vCPU's thread sees them.
 */
import { VirtsError } from '../../base/errors.ts';
import { type StructView, struct } from '../../base/struct.ts';
import type { AccessSize, Device, Line, Place, Region } from '../device.ts';
import { allOnes, type InterruptPin } from './config-space.ts';
import type { PciFunction } from './function.ts';

/** Words of one PIRQ's source bitmap: a bit per function of the bus. */
const SOURCE_WORDS = 8;

const FIELDS = { address: 'u32', sources: ['u32', 4 * SOURCE_WORDS] } as const;
const SCHEMA = struct('pci-bus', 1, FIELDS);

/** Bits of CONFIG_ADDRESS that exist: enable, bus, device, function, register. */
const ADDRESS_MASK = 0x80ff_fffc;

export interface PciBusOptions {
  readonly name: string;
  readonly place: Place;
  /** PIRQA# to PIRQD#, active high here: the interrupt router's inputs. */
  readonly pirqs: readonly Line[];
  /** What answers byte accesses at port 0xCF9, which lies inside CONFIG_ADDRESS. */
  readonly resetControl?: Region;
}

export interface PciBus extends Device<typeof FIELDS> {
  /** Region `address` goes to port 0xCF8, region `data` to port 0xCFC. */
  readonly regions: { readonly address: Region; readonly data: Region };
  /** Puts a function on the bus: slot 0–31, function 0–7. Throws 'usage' where one already is. */
  attach(slot: number, func: number, fn: PciFunction): void;
  /** The functions present, in order of slot and function. */
  functions(): readonly { readonly slot: number; readonly func: number; readonly fn: PciFunction }[];
  /** All ones where there is no function. */
  readConfig(slot: number, func: number, offset: number, size: AccessSize): number;
  writeConfig(slot: number, func: number, offset: number, size: AccessSize, value: number): void;
  /** The wire from a function's interrupt pin. */
  intx(slot: number, func: number, pin: InterruptPin): Line;
}

/** Which PIRQ (0 to 3) a slot's pin is wired to; slot 1's INTA# is PIRQA#. ACPI's _PRT must say the same. */
export function pirqOf(slot: number, pin: InterruptPin): number {
  return (slot + pin + 2) & 3;
}

function addressRegion(state: StructView<typeof FIELDS>, resetControl: Region | undefined): Region {
  return {
    size: 4,
    read(offset, size) {
      if (size === 4) return state.address;
      return size === 1 && offset === 1 && resetControl ? resetControl.read(0, 1) : allOnes(size);
    },
    write(offset, size, value) {
      if (size === 4) state.address = (value & ADDRESS_MASK) >>> 0;
      else if (size === 1 && offset === 1) resetControl?.write(0, 1, value);
    },
  };
}

/** Makes an empty bus. */
export function createPciBus(options: PciBusOptions): PciBus {
  const { name, place, pirqs, resetControl } = options;
  const state = place(SCHEMA);
  const slots: (PciFunction | undefined)[] = new Array(256).fill(undefined);
  const at = (slot: number, func: number) => slots[slot * 8 + func];

  /** The function that CONFIG_ADDRESS selects, if its enable bit is set and the bus is ours. */
  function selected(): PciFunction | undefined {
    const { address } = state;
    return address >>> 31 === 1 && ((address >>> 16) & 0xff) === 0 ? slots[(address >>> 8) & 0xff] : undefined;
  }

  function drive(pirq: number): void {
    const from = pirq * SOURCE_WORDS;
    pirqs[pirq]?.set(state.sources.subarray(from, from + SOURCE_WORDS).some((word) => word !== 0));
  }

  return {
    name,
    schema: SCHEMA,
    state,
    regions: {
      address: addressRegion(state, resetControl),
      data: {
        size: 4,
        read: (offset, size) => selected()?.readConfig((state.address & 0xfc) + offset, size) ?? allOnes(size),
        write: (offset, size, value) => selected()?.writeConfig((state.address & 0xfc) + offset, size, value),
      },
    },
    attach(slot, func, fn) {
      if (slot < 0 || slot > 31 || func < 0 || func > 7 || at(slot, func) !== undefined) {
        throw new VirtsError('usage', `There is no room for ${fn.name} at PCI slot ${slot}; choose another slot.`, {
          slot,
          func,
        });
      }
      slots[slot * 8 + func] = fn;
    },
    functions: () => slots.flatMap((fn, i) => (fn === undefined ? [] : [{ slot: i >> 3, func: i & 7, fn }])),
    readConfig: (slot, func, offset, size) => at(slot, func)?.readConfig(offset, size) ?? allOnes(size),
    writeConfig: (slot, func, offset, size, value) => at(slot, func)?.writeConfig(offset, size, value),
    intx(slot, func, pin) {
      const pirq = pirqOf(slot, pin);
      const source = slot * 8 + func;
      const word = pirq * SOURCE_WORDS + (source >> 5);
      const bit = 1 << (source & 31);
      return {
        set(level) {
          const was = state.sources[word]!;
          state.sources[word] = level ? was | bit : was & ~bit;
          if (state.sources[word] !== was) drive(pirq);
        },
      };
    },
    reset() {
      state.address = 0;
      state.sources.fill(0);
      for (let pirq = 0; pirq < 4; pirq++) drive(pirq);
    },
    restored() {
      state.address = (state.address & ADDRESS_MASK) >>> 0;
      for (let pirq = 0; pirq < 4; pirq++) drive(pirq);
    },
  };
}
