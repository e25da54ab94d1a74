/** A machine as whoever embeds it sees it: start it, talk to its first serial port, learn how it ended. */

import type { DiskShape } from '../devices/block-port.ts';
import type { Translation } from '../engine/translated/vcpu-interface.ts';
import type { IoLink, IoService } from '../memory/io-link.ts';
import type { CardOptions } from '../network/link.ts';
import type { VsockOptions } from '../network/vsock/link.ts';

/** A file in memory. */
export interface NamedBytes {
  /** How error messages call it. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** A file that the machine boots from. */
export type BootFile =
  | NamedBytes
  /** `descriptor`: a number by which the host reads it at each boot, so that nobody keeps it meanwhile: on Node, of an open file. */
  | { readonly name: string; readonly descriptor: number };

/** A network that serves the wire of a machine's card. */
export interface MachineNetwork extends CardOptions {
  /** How it gets the machine's thread to look at its devices; called before the machine starts. */
  wakes(wake: () => void): void;
}

/** What serves the connections of a machine's socket device. */
export interface MachineVsock extends VsockOptions {
  /** As `MachineNetwork` has it. */
  wakes(wake: () => void): void;
}

/** A disk whose back end the owner's thread serves. */
export interface Disk {
  readonly shape: DiskShape;
  /** Begins to serve the guest. `wake` has the machine look at answers. */
  serve(link: IoLink, memory: ArrayBufferLike, wake: () => void): IoService;
  /** Up to 20 printable characters. */
  readonly serial?: string;
}

/** A folder of the host that the guest may use. */
export interface SharedFolder {
  /** By which the guest's driver knows it: 1 to 36 characters of printable ASCII without spaces. */
  readonly tag: string;
  /** Begins to serve the guest, in a thread that may wait. `control`: of the channel, whose `kick` has the machine look at answers. */
  serve(link: IoLink, memory: ArrayBufferLike, control: ArrayBufferLike): IoService;
}

export interface MachineOptions {
  /** A bzImage, a PVH or a multiboot ELF kernel; open as long as the machine runs, as is the initrd. */
  readonly kernel: BootFile;
  readonly initrd?: BootFile;
  /** The kernel's command line. */
  readonly append: string;
  /** Guest RAM in bytes, a multiple of 4 KiB. */
  readonly memory: number;
  /** vCPUs. */
  readonly cpus: number;
  /** The network that its card is on; absent: it has no card. */
  readonly network?: MachineNetwork | undefined;
  /** What its socket device leads to; absent: it has none. */
  readonly vsock?: MachineVsock | undefined;
  /** In the order in which the guest finds them. The caller closes them when the machine has stopped. */
  readonly disks?: readonly Disk[];
  /** Shared folders, at most 8. The caller closes what is behind them when the machine has stopped. */
  readonly folders?: readonly SharedFolder[];
  /** When code is translated to WebAssembly; absent: all of it is interpreted. */
  readonly translation?: Translation;
  /** Whether a reset or a triple fault starts the machine again; if not, it ends the run. */
  readonly reboot: boolean;
  /** Takes what the guest did that was unexpected, one line (without its end) a call. */
  readonly debugLog?: (line: string) => void;
  /** Serve the GDB remote protocol on a TCP port of the loopback interface. */
  readonly gdb?: {
    readonly port: number;
    /** Stand still before the first instruction until a debugger says to go on. */
    readonly wait: boolean;
  };
}

/** `killed`: it was ended from outside, by a debugger for example. */
export type EndReason = 'power-off' | 'reset' | 'triple-fault' | 'debug-exit' | 'halted' | 'killed';

export interface MachineEnd {
  readonly reason: EndReason;
  /** What the guest wrote, as (V << 1) | 1; it counts for `debug-exit` only. */
  readonly status: number;
}

export interface RunningMachine {
  /** Bytes for the first serial port. A promise, if there is one, resolves when it can take more. */
  input(bytes: Uint8Array): void | Promise<void>;
  /**
   * Called with what the guest wrote to its first serial port. A promise, if there is one, resolves when more can be
   * taken; until then the transmitter should stay busy, so that the guest waits.
   */
  onOutput(callback: (bytes: Uint8Array) => void | Promise<void>): void;
  /** Resolves when the guest is at its end; rejects with a VirtsError when the monitor cannot go on. */
  readonly ended: Promise<MachineEnd>;
  /** Ends the machine from outside; `ended` may then stay unresolved. */
  stop(): Promise<void>;
  /** Has all vCPUs stand still between two instructions, and machine time with them; resolves when they do. */
  pause(): Promise<void>;
  /** Goes on after `pause`. */
  resume(): void;
  /** Asks the guest to shut down, as the power button of a PC does. */
  pressPowerButton(): void;
  /**
   * Asks the guest to give up so many bytes of its memory, which the host has back once it does; fewer than before are returned to
   * it. It keeps what it cannot do without.
   */
  setBalloon(bytes: number): void;
  /** Makes `statistics` tell how things are now, while the machine runs; at its end they are told by themselves. */
  refreshStatistics?(): Promise<void>;
  /** Figures for `--stats`, by name. */
  statistics?(): Readonly<Record<string, number | string>>;
}

/** Starts a machine on this host. Rejects with VirtsError `bad-input`, `no-space`, `unsupported`, `usage`, `io`. */
export type StartMachine = (options: MachineOptions) => Promise<RunningMachine>;
