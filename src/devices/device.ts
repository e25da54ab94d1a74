/**
 * The device contract.
 *
 * A device is plain data (a struct) and functions over it. It is told offsets inside its own regions, never addresses,
 * and takes what it needs (interrupt lines, timers, back ends) when it is made, never the machine.
 */
import type { Fields, StructSchema, StructView } from '../base/struct.ts';

/** Width of one access in bytes. A bus splits or widens others before a device sees them. */
export type AccessSize = 1 | 2 | 4;

/** One contiguous range of ports or of physical addresses that a device decodes. */
export interface Region {
  /** Bytes. */
  readonly size: number;
  /** `offset` + `size` never passes the region's end. Returns an unsigned value of `size` bytes. */
  read(offset: number, size: AccessSize): number;
  /** `value` is unsigned and fits `size` bytes. */
  write(offset: number, size: AccessSize, value: number): void;
}

export interface Device<F extends Fields = Fields> {
  /** Unique inside a machine, e.g. `serial0`. */
  readonly name: string;
  readonly schema: StructSchema<F>;
  readonly state: StructView<F>;
  /** The regions that the board places on its buses, by name. */
  readonly regions: Readonly<Record<string, Region>>;
  /** As at power-on or at a reset of the board. */
  reset(): void;
  /** After `state` was overwritten by a restore: check ranges (throw VirtsError 'bad-input'), re-arm timers, drive lines. */
  restored(): void;
  /** Called between slices of guest code, often: takes up what a back end in another thread answered. */
  poll?(): void;
  /** Whether no back end uses guest memory on the device's behalf; absent: none ever does. */
  settled?(): boolean;
  /** Why the machine cannot be saved now, as a sentence for its user; absent, or `undefined`: it can. */
  unsavable?(): string | undefined;
}

/** A level on a wire: interrupt request, reset, A20. Setting the same level again has no effect. */
export interface Line {
  set(level: boolean): void;
}

/**
 * Gives a struct its memory: shared memory on a board, a buffer of its own in tests. All threads of a machine make the
 * same structs in the same order and get the same memory. The first of them finds zeros there, and what `initial` writes;
 * for the others it stays as it is.
 */
export type Place = <F extends Fields>(
  schema: StructSchema<F>,
  initial?: (state: StructView<F>) => void,
) => StructView<F>;

/** Says once that a guest did something malformed or unknown; `--debug-log` shows it. */
export type GuestLog = (message: string) => void;
