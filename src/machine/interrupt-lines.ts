/**
 * The sixteen ISA interrupt requests of a PC. Each is the OR of the devices on it and reaches an input of the PICs and
 * one of the I/O APIC. The levels live in a struct, so that a device's line works from whatever thread it is driven in.
 */
import { VirtsError } from '../base/errors.ts';
import { type StructView, struct } from '../base/struct.ts';
import { checkState } from '../devices/check-state.ts';
import type { Device, Line, Place } from '../devices/device.ts';
import type { ReplaceableLine } from '../devices/pit/pit.ts';

const IRQS = 16;
/** The second PIC's place: no device can request it. */
const CASCADE = 2;

const FIELDS = {
  /** Devices that assert each request, a bit for each in the order in which they took their line. */
  sources: ['u32', IRQS],
  /** Requests that PCI interrupts, routed to the PICs, assert. */
  routed: 'u32',
  /** Levels of PIT (bit 0) and RTC (bit 1) ahead of the gate that the HPET closes. */
  gated: 'u8',
  /** 1 while the HPET has taken the place of PIT and RTC. */
  legacyReplaced: 'u8',
} as const;
const SCHEMA = struct('interrupt-lines', 1, FIELDS);

export interface InterruptLinesOptions {
  readonly place: Place;
  /** The PICs' inputs 0 to 15. */
  readonly pic: readonly Line[];
  readonly ioApic: readonly Line[];
  /** The I/O APIC input of request 0; the others arrive at their own number. */
  readonly timerGsi: number;
}

export interface InterruptLines extends Device<typeof FIELDS> {
  /** A further device's wire to request `irq` (0–15 but not 2). Throws VirtsError 'internal' for others, or the 33rd. */
  shared(irq: number): Line;
  /** As `shared`, for PIT (0) and RTC (8): silent while the HPET replaces them. `changed` is called when that begins or ends. */
  replaceable(irq: 0 | 8, changed?: () => void): ReplaceableLine;
  /** The PCI interrupt router's wire to each request. It ends at the PICs: the I/O APIC has inputs of its own for PCI. */
  readonly routed: readonly Line[];
  /** Lets the HPET take the place of PIT and RTC, or gives it back. */
  replaceLegacy(on: boolean): void;
}

const withBit = (word: number, bit: number, on: boolean) => (on ? word | bit : word & ~bit) >>> 0;

export function createInterruptLines({ place, pic, ioApic, timerGsi }: InterruptLinesOptions): InterruptLines {
  const state: StructView<typeof FIELDS> = place(SCHEMA);
  const taken = new Array<number>(IRQS).fill(0);

  function drivePic(irq: number): void {
    pic[irq].set(state.sources[irq] !== 0 || ((state.routed >>> irq) & 1) !== 0);
  }

  function shared(irq: number): Line {
    if (!(irq >= 0 && irq < IRQS) || irq === CASCADE || taken[irq] === 32) {
      throw new VirtsError('internal', `Interrupt request ${irq} takes no further device.`, { irq });
    }
    const bit = 1 << taken[irq]++;
    const input = ioApic[irq === 0 ? timerGsi : irq];
    return {
      set(level) {
        const before = state.sources[irq];
        const after = withBit(before, bit, level);
        if (after === before) return;
        state.sources[irq] = after;
        drivePic(irq);
        input.set(after !== 0);
      },
    };
  }

  const gates: { readonly bit: number; readonly line: Line; readonly changed: () => void }[] = [];

  function replaceable(irq: 0 | 8, changed = () => {}): ReplaceableLine {
    const gate = { bit: irq === 0 ? 1 : 2, line: shared(irq), changed };
    gates.push(gate);
    return {
      get replaced() {
        return state.legacyReplaced !== 0;
      },
      set(level) {
        state.gated = withBit(state.gated, gate.bit, level);
        gate.line.set(level && state.legacyReplaced === 0);
      },
    };
  }

  return {
    name: 'interrupt-lines',
    schema: SCHEMA,
    state,
    regions: {},
    shared,
    replaceable,
    routed: Array.from({ length: IRQS }, (_, irq) => ({
      set(level: boolean) {
        state.routed = withBit(state.routed, 1 << irq, level);
        if (irq !== CASCADE) drivePic(irq);
      },
    })),
    replaceLegacy(on) {
      state.legacyReplaced = on ? 1 : 0;
      for (const { bit, line, changed } of gates) {
        line.set(!on && (state.gated & bit) !== 0);
        changed();
      }
    },
    /** The levels belong to the devices that drive them. */
    reset() {},
    /** The devices drive their lines again after their own restore, so nothing is to be done but to check. */
    restored() {
      checkState('interrupt-lines', {
        sources: state.sources.every((word, irq) => taken[irq] === 32 || word < 2 ** taken[irq]),
        routed: state.routed < 2 ** IRQS,
        gated: state.gated <= 3,
        legacyReplaced: state.legacyReplaced <= 1,
      });
    },
  };
}
