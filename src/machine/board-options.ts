/** What a board is made of and connected to. */
import type { WallClock } from '../base/clock.ts';
import type { GuestLog, Place } from '../devices/device.ts';
import type { ProcessorSignals } from '../devices/local-apic/interrupts.ts';
import type { SerialBackend } from '../devices/serial/serial.ts';
import type { BoardDescription } from '../firmware/board-description.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { ConsoleOptions, DiskOptions, FolderOptions, NetworkOptions, VsockDeviceOptions } from './pci-devices.ts';
import type { StructMemory } from './struct-memory.ts';
import type { MachineTimers } from './timers.ts';

export interface SerialPortOptions {
  readonly backend: SerialBackend;
  /** After `receive` took less than it was offered: there is room again. */
  onRoom?(): void;
}

export interface BoardOptions {
  /** Where the devices' structs lie. */
  readonly structs: StructMemory;
  readonly memory: GuestMemory;
  /** Machine time; its owner fires the timers. */
  readonly timers: MachineTimers;
  readonly wall: WallClock;
  /** `STANDARD_BOARD` unless given. */
  readonly description?: BoardDescription;
  /** Fills `bytes` with random numbers fit for keys. */
  readonly random: (bytes: Uint8Array) => void;
  /** What the serial ports of the description are connected to, in order; a port without an entry loses its output. */
  readonly serial?: readonly SerialPortOptions[];
  /** A virtio console, if the machine is to have one. */
  readonly console?: ConsoleOptions;
  /** A virtio network card, if the machine is to have one. */
  readonly network?: NetworkOptions | undefined;
  /** A virtio socket device, if the machine is to have one. */
  readonly vsock?: VsockDeviceOptions | undefined;
  /** Virtio disks, in the order in which a guest finds them. */
  readonly disks?: readonly DiskOptions[];
  /** Shared folders, in order. */
  readonly folders?: readonly FolderOptions[];
  /** Takes what the guest writes to the debug console ports 0xe9 and 0x402, a byte (0–255) a call. */
  readonly debugConsole?: (byte: number) => void;
  /** How the local APICs reach their vCPUs, one entry for each. */
  readonly vcpus: readonly ProcessorSignals[];
  /** The first machine time (ns) at which the TSC of `vcpu` is at least `tsc`. */
  readonly tscToNs: (tsc: bigint, vcpu: number) => number;
  /** Input of the local APICs' timers in Hz, as CPUID leaf 15H tells it; 1 GHz unless given. */
  readonly apicTimerFrequency?: number;
  /** The level of the A20 gate changed: while it is false, address bit 20 is to be taken as 0. */
  readonly a20?: (open: boolean) => void;
  readonly log: GuestLog;
  /** The guest's wishes. All are called within a guest's access: note them, and act after it. None may throw. */
  readonly powerOff: () => void;
  readonly reset: () => void;
  /** `status` is (V << 1) | 1 for a write of V to the debug-exit port. */
  readonly debugExit: (status: number) => void;
}

/** What the parts of a board are made from. */
export interface PartOptions extends BoardOptions {
  readonly description: BoardDescription;
  readonly place: Place;
}
