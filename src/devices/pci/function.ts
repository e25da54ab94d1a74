/**
 * One PCI function: its type 0 configuration header, BARs, capabilities list and interrupt pin.
 *
 * The only mutable state is the 256 configuration bytes, which belong to the device's struct. Which bits a guest may
 * change is fixed when the function is made.
 */
import type { Fields } from '../../base/struct.ts';
import { checkState } from '../check-state.ts';
import type { AccessSize, Device, Line, Region } from '../device.ts';
import { barAddress, type MapBar, type PciBar } from './bar.ts';
import {
  allOnes,
  COMMAND,
  CONFIG,
  CONFIG_SIZE,
  type InterruptPin,
  readBytes,
  STATUS,
  writeBytes,
} from './config-space.ts';
import { buildLayout, type PciCapability, type PciIdentity, type PciRegister } from './layout.ts';

export interface PciFunction {
  readonly name: string;
  readonly bars: readonly PciBar[];
  /** Offsets of the capabilities, in the order they were given. */
  readonly capabilities: readonly number[];
  /** Any offset, any alignment; what lies past byte 255 reads as ones. */
  readConfig(offset: number, size: AccessSize): number;
  /** Read-only bits keep their value; write-1-to-clear bits clear. */
  writeConfig(offset: number, size: AccessSize, value: number): void;
  /** Where the BAR answers now; `undefined` while decoding is off or the address is unusable. */
  address(bar: PciBar): number | undefined;
  /** Whether the function may read and write memory itself and send message-signalled interrupts. */
  busMaster(): boolean;
  /** Asserts or releases the interrupt pin, subject to the command register's INTx disable bit. */
  setInterrupt(level: boolean): void;
  reset(): void;
  /** Reports every BAR's place and drives the pin again. Throws 'bad-input' if read-only bits differ. */
  restored(): void;
}

/** A device that sits on a PCI bus. */
export interface PciDevice<F extends Fields = Fields> extends Device<F> {
  readonly pci: PciFunction;
}

export interface PciFunctionOptions {
  readonly name: string;
  /** The device's configuration bytes: the `config` field of its state. */
  readonly config: Uint8Array;
  readonly identity: PciIdentity;
  readonly bars?: readonly PciBar[];
  readonly capabilities?: readonly PciCapability[];
  /** Registers of the function's own, or overrides of header registers. */
  readonly registers?: readonly PciRegister[];
  readonly interrupt?: { readonly pin: InterruptPin; readonly line: Line };
  readonly mapBar?: MapBar;
  /** Called before configuration bytes are read, to compute the ones that are not stored. */
  readonly beforeRead?: (offset: number, size: AccessSize) => void;
  /** Called after configuration bytes were written. */
  readonly written?: (offset: number, size: AccessSize) => void;
}

function touches(offset: number, size: number, start: number, end: number): boolean {
  return offset < end && offset + size > start;
}

/** Makes a function over configuration bytes that `reset` or a restore fills. */
export function createPciFunction(options: PciFunctionOptions): PciFunction {
  const { name, config, mapBar, interrupt } = options;
  const bars = options.bars ?? [];
  const layout = buildLayout(options);
  const command = () => readBytes(config, CONFIG.command, 2);
  const places = () => bars.map((bar) => barAddress(config, bar));

  function driveInterrupt(): void {
    const asserted = (readBytes(config, CONFIG.status, 2) & STATUS.interrupt) !== 0;
    interrupt?.line.set(asserted && (command() & COMMAND.intxDisable) === 0);
  }

  /** Unmaps first, so that BARs which swap places never overlap on the way. */
  function reportMoves(before: readonly (number | undefined)[]): void {
    const after = places();
    for (const [i, bar] of bars.entries()) {
      if (before[i] !== after[i] && before[i] !== undefined) mapBar?.(fn, bar, undefined);
    }
    for (const [i, bar] of bars.entries()) {
      if (before[i] !== after[i] && after[i] !== undefined) mapBar?.(fn, bar, after[i]);
    }
  }

  function store(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size && offset + i < CONFIG_SIZE; i++) {
      const at = offset + i;
      const byte = (value >>> (8 * i)) & 0xff;
      const kept = config[at]! & ~layout.writable[at]! & ~(layout.clearable[at]! & byte);
      config[at] = kept | (byte & layout.writable[at]!);
    }
  }

  /** Whether a saved byte agrees with the reset value in every bit that never changes. */
  function plausible(byte: number, at: number): boolean {
    const changes = layout.writable[at]! | layout.clearable[at]! | layout.volatile[at]!;
    return ((byte ^ layout.reset[at]!) & ~changes) === 0;
  }

  const fn: PciFunction = {
    name,
    bars,
    capabilities: layout.capabilities,
    readConfig(offset, size) {
      if (offset < 0 || offset >= CONFIG_SIZE) return allOnes(size);
      options.beforeRead?.(offset, size);
      return readBytes(config, offset, size);
    },
    writeConfig(offset, size, value) {
      if (offset < 0 || offset >= CONFIG_SIZE) return;
      const decode = touches(offset, size, CONFIG.command, CONFIG.command + 2);
      const moves = decode || touches(offset, size, CONFIG.bar0, CONFIG.bar0 + 24);
      const before = moves ? places() : [];
      store(offset, size, value);
      if (moves) reportMoves(before);
      if (decode) driveInterrupt();
      options.written?.(offset, size);
    },
    address: (bar) => barAddress(config, bar),
    busMaster: () => (command() & COMMAND.busMaster) !== 0,
    setInterrupt(level) {
      const status = readBytes(config, CONFIG.status, 2);
      writeBytes(config, CONFIG.status, 2, level ? status | STATUS.interrupt : status & ~STATUS.interrupt);
      driveInterrupt();
    },
    reset() {
      const before = places();
      config.set(layout.reset);
      reportMoves(before);
      driveInterrupt();
    },
    restored() {
      checkState(name, { config: config.every(plausible) });
      for (const bar of bars) mapBar?.(fn, bar, undefined);
      for (const bar of bars) {
        const address = barAddress(config, bar);
        if (address !== undefined) mapBar?.(fn, bar, address);
      }
      driveInterrupt();
    },
  };
  return fn;
}

/** The regions of a function's BARs by name, for `Device.regions`. */
export function barRegions(bars: readonly PciBar[]): Record<string, Region> {
  return Object.fromEntries(bars.map((bar) => [`bar${bar.index}`, bar.region]));
}
