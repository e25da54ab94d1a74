/** What the tests of PCI devices share: a place for state, wires and a bus with an address map. */
import type { Fields } from '../../base/struct.ts';
import { allocate } from '../../base/struct.ts';
import type { AccessSize, Device, Line, Place, Region } from '../device.ts';
import type { MapBar } from './bar.ts';
import type { PciDevice } from './function.ts';

/** State in a buffer of its own. */
export const anyPlace: Place = allocate;

export interface Wire extends Line {
  level: boolean;
}

/** A line that remembers its level. */
export function wire(): Wire {
  const line: Wire = {
    level: false,
    set(level) {
      line.level = level;
    },
  };
  return line;
}

/** Physical addresses or ports as a board would dispatch them: the regions that `mapBar` reported. */
export interface AddressMap {
  readonly mapBar: MapBar;
  /** Regions placed now, by address. */
  readonly placed: Map<number, Region>;
  read(address: number, size: AccessSize): number;
  write(address: number, size: AccessSize, value: number): void;
}

export function addressMap(): AddressMap {
  const placed = new Map<number, Region>();
  const find = (address: number): [number, Region] => {
    for (const [base, region] of placed) if (address >= base && address < base + region.size) return [base, region];
    throw new Error(`Nothing answers at ${address.toString(16)}`);
  };
  return {
    placed,
    mapBar(_fn, bar, address) {
      for (const [base, region] of placed) if (region === bar.region) placed.delete(base);
      if (address !== undefined) placed.set(address, bar.region);
    },
    read(address, size) {
      const [base, region] = find(address);
      return region.read(address - base, size);
    },
    write(address, size, value) {
      const [base, region] = find(address);
      region.write(address - base, size, value);
    },
  };
}

/** The device with its configuration space as one more region, so that shared tests reach it. */
export function withConfigRegion<F extends Fields>(device: PciDevice<F>): Device {
  const config: Region = { size: 256, read: device.pci.readConfig, write: device.pci.writeConfig };
  return { ...device, regions: { ...device.regions, config } } as unknown as Device;
}
