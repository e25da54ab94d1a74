import type { AccessSize, Region } from './device.ts';

/**
 * A region of byte-wide registers, as old ISA devices have them: a wider access becomes one access per byte, lowest
 * offset first, as the ISA bus does it.
 */
export function byteRegion(
  size: number,
  read: (offset: number) => number,
  write: (offset: number, value: number) => void,
): Region {
  return {
    size,
    read(offset: number, width: AccessSize): number {
      let value = 0;
      for (let i = 0; i < width; i++) value |= (read(offset + i) & 0xff) << (8 * i);
      return value >>> 0;
    },
    write(offset: number, width: AccessSize, value: number): void {
      for (let i = 0; i < width; i++) write(offset + i, (value >>> (8 * i)) & 0xff);
    },
  };
}
