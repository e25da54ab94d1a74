/** PCI configuration space: register offsets, bits and byte access (PCI Local Bus 3.0, chapter 6). */
import type { AccessSize } from '../device.ts';

/** Bytes of one function's configuration space. */
export const CONFIG_SIZE = 256;

/** State that every PCI function has; spread it into the device's schema. */
export const PCI_FIELDS = { config: ['u8', CONFIG_SIZE] } as const;

export const CONFIG = {
  vendor: 0x00,
  device: 0x02,
  command: 0x04,
  status: 0x06,
  revision: 0x08,
  classCode: 0x09,
  headerType: 0x0e,
  bar0: 0x10,
  subsystemVendor: 0x2c,
  subsystemDevice: 0x2e,
  capabilities: 0x34,
  interruptLine: 0x3c,
  interruptPin: 0x3d,
  /** First byte past the type 0 header. */
  headerEnd: 0x40,
} as const;

export const COMMAND = {
  io: 0x0001,
  memory: 0x0002,
  busMaster: 0x0004,
  parityResponse: 0x0040,
  serr: 0x0100,
  intxDisable: 0x0400,
} as const;

export const STATUS = { interrupt: 0x0008, capabilities: 0x0010, errors: 0xf900 } as const;

/** Interrupt pins INTA# to INTD#, numbered as in the interrupt pin register. */
export type InterruptPin = 1 | 2 | 3 | 4;

/** Reads `size` bytes, little-endian, unsigned. Bytes past the end read as 0xff, as on a bus nobody drives. */
export function readBytes(bytes: Uint8Array, offset: number, size: AccessSize): number {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = value * 256 + (bytes[offset + i] ?? 0xff);
  return value;
}

/** Writes `size` bytes, little-endian; bytes past the end are dropped. */
export function writeBytes(bytes: Uint8Array, offset: number, size: AccessSize, value: number): void {
  for (let i = 0; i < size && offset + i < bytes.length; i++) bytes[offset + i] = (value >>> (8 * i)) & 0xff;
}

/** All ones in `size` bytes: what a read returns when no function answers (master abort). */
export function allOnes(size: AccessSize): number {
  return size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
}
