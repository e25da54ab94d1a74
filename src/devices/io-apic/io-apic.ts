import { struct } from '../../base/struct.ts';
import { type ApicBus, DELIVERY, deliveryMode, widenDestination } from '../apic-bus/interrupt-message.ts';
import { checkState } from '../check-state.ts';
import type { AccessSize, Device, GuestLog, Line, Place, Region } from '../device.ts';

/** Inputs of one I/O APIC. */
export const IO_APIC_INPUTS = 24;

/** Offsets in the register page. */
const SELECT = 0x00;
const WINDOW = 0x10;
const EOI = 0x40;

/** Version 0x20 has the EOI register; bits 23:16 tell the last redirection entry. */
const VERSION = 0x20 | ((IO_APIC_INPUTS - 1) << 16);

/** The low half of a redirection entry. */
const REMOTE_IRR = 0x4000;
const LEVEL = 0x8000;
const MASKED = 0x1_0000;
const WRITABLE = 0x1_afff;

export const ioApicSchema = struct('io-apic', 1, {
  id: 'u32',
  /** IOREGSEL. */
  select: 'u32',
  /** Bit n is set while input n is asserted. */
  inputs: 'u32',
  /** Bits 31:0 and 63:32 of the redirection entries. */
  low: ['u32', IO_APIC_INPUTS],
  high: ['u32', IO_APIC_INPUTS],
});

export interface IoApicOptions {
  readonly name: string;
  readonly place: Place;
  readonly bus: ApicBus;
  readonly log: GuestLog;
}

export interface IoApic extends Device<typeof ioApicSchema.fields> {
  readonly regions: { readonly registers: Region };
  /**
   * `set(true)` asserts an input. The polarity bits are kept for the guest but select nothing: a line carries "is
   * asserted", not a voltage, so active-high and active-low devices look alike here.
   */
  readonly inputs: readonly Line[];
  /** A local APIC's EOI of a level-triggered interrupt. */
  eoi(vector: number): void;
}

/** The I/O APIC of a PC: 82093AA with the EOI register of its successors. */
export function createIoApic({ name, place, bus, log }: IoApicOptions): IoApic {
  const state = place(ioApicSchema);

  function send(input: number): boolean {
    const low = state.low[input];
    const mode = deliveryMode((low >>> 8) & 7);
    if (mode === undefined || mode === DELIVERY.startup) {
      log(`${name}: input ${input} has a reserved delivery mode`);
      return false;
    }
    return bus.deliver({
      destination: widenDestination(state.high[input] >>> 24),
      logical: (low & 0x800) !== 0,
      mode,
      vector: low & 0xff,
      level: true,
      trigger: levelTriggered(low) ? 'level' : 'edge',
    });
  }

  /** Whatever is not an ordinary interrupt is treated as edge-triggered: nobody would send its EOI. */
  function levelTriggered(low: number): boolean {
    return (low & LEVEL) !== 0 && ((low >>> 8) & 7) <= DELIVERY.lowestPriority;
  }

  /** Sends a level-triggered input that is asserted, unmasked and not in service. */
  function serveLevel(input: number): void {
    const low = state.low[input];
    const asserted = ((state.inputs >>> input) & 1) !== 0;
    if (!asserted || !levelTriggered(low) || (low & (MASKED | REMOTE_IRR)) !== 0) return;
    if (send(input)) state.low[input] = low | REMOTE_IRR;
  }

  /** An edge on a masked input is lost, as the 82093AA's data sheet says of the mask bit. */
  function setInput(input: number, asserted: boolean): void {
    const bit = 1 << input;
    if (((state.inputs & bit) !== 0) === asserted) return;
    state.inputs ^= bit;
    if (!asserted) return;
    const low = state.low[input];
    if (levelTriggered(low)) serveLevel(input);
    else if ((low & MASKED) === 0) send(input);
  }

  function eoi(vector: number): void {
    for (let input = 0; input < IO_APIC_INPUTS; input++) {
      const low = state.low[input];
      if ((low & 0xff) !== vector || (low & REMOTE_IRR) === 0) continue;
      state.low[input] = low & ~REMOTE_IRR;
      serveLevel(input);
    }
  }

  function readRegister(index: number): number {
    if (index === 0 || index === 2) return state.id;
    if (index === 1) return VERSION;
    const input = (index - 0x10) >> 1;
    if (index < 0x10 || input >= IO_APIC_INPUTS) return 0;
    return (index & 1) === 0 ? state.low[input] : state.high[input];
  }

  function writeRegister(index: number, value: number): void {
    if (index === 0) state.id = value & 0x0f00_0000;
    const input = (index - 0x10) >> 1;
    if (index < 0x10 || input >= IO_APIC_INPUTS) return;
    if ((index & 1) !== 0) {
      state.high[input] = (value & 0xff00_0000) >>> 0;
      return;
    }
    const low = (value & WRITABLE) | (state.low[input] & REMOTE_IRR);
    // Turning an entry to edge-triggered drops its remote IRR: the only way to do so before there was an EOI register.
    state.low[input] = levelTriggered(low) ? low : low & ~REMOTE_IRR;
    serveLevel(input);
  }

  function read(offset: number, size: AccessSize): number {
    const lane = offset & 3;
    const register = offset - lane;
    if (lane + size > 4) return 0;
    const value = register === SELECT ? state.select : register === WINDOW ? readRegister(state.select) : 0;
    const shifted = value >>> (lane * 8);
    return size === 4 ? shifted : shifted & (size === 2 ? 0xffff : 0xff);
  }

  /** IOREGSEL and the EOI register are bytes; the window takes only whole 32-bit values. */
  function write(offset: number, size: AccessSize, value: number): void {
    if (offset === SELECT) state.select = value & 0xff;
    else if (offset === EOI) eoi(value & 0xff);
    else if (offset === WINDOW && size === 4) writeRegister(state.select, value);
    else log(`${name}: ${size}-byte write at offset 0x${offset.toString(16)} ignored`);
  }

  /** The levels on the inputs belong to the devices that drive them and stay. */
  function reset(): void {
    state.id = 0;
    state.select = 0;
    state.low.fill(MASKED);
    state.high.fill(0);
  }

  function restored(): void {
    checkState(name, {
      id: (state.id & ~0x0f00_0000) === 0,
      select: state.select <= 0xff,
      inputs: state.inputs >>> IO_APIC_INPUTS === 0,
      low: state.low.every((low) => (low & ~(WRITABLE | REMOTE_IRR)) === 0),
    });
  }

  return {
    name,
    schema: ioApicSchema,
    state,
    regions: { registers: { size: 4096, read, write } },
    inputs: Array.from({ length: IO_APIC_INPUTS }, (_, input) => ({ set: (level) => setInput(input, level) })),
    eoi,
    reset,
    restored,
  };
}
