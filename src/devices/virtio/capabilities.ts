/** The vendor-specific capabilities by which a driver finds the virtio structures (virtio 1.2 4.1.4). */
import type { AccessSize, Region } from '../device.ts';
import { readBytes, writeBytes } from '../pci/config-space.ts';
import type { PciCapability } from '../pci/layout.ts';

const VENDOR_SPECIFIC = 0x09;

const TYPE = { common: 1, notify: 2, isr: 3, device: 4, pci: 5 } as const;

/** Where each structure lies in its BAR, in bytes; a page each, so that a hypervisor can trap them apart. */
export const LAYOUT = {
  common: 0x0000,
  isr: 0x1000,
  device: 0x2000,
  notify: 0x3000,
  size: 0x4000,
} as const;

/** Bytes between the notification addresses of two queues. */
export const NOTIFY_MULTIPLIER = 4;

function capability(
  type: number,
  bar: number,
  offset: number,
  length: number,
  extra: readonly number[] = [],
): PciCapability {
  const body = new Uint8Array(14 + extra.length);
  const view = new DataView(body.buffer);
  body[0] = 16 + extra.length;
  body[1] = type;
  body[2] = bar;
  view.setUint32(6, offset, true);
  view.setUint32(10, length, true);
  body.set(extra, 14);
  return { id: VENDOR_SPECIFIC, body };
}

/** The window onto the BARs for firmware that cannot map them (4.1.4.9): BAR, offset, length and data are writable. */
function windowCapability(): PciCapability {
  const { id, body } = capability(TYPE.pci, 0, 0, 0, [0, 0, 0, 0]);
  const writable = new Uint8Array(body.length);
  writable[2] = 0xff;
  writable.fill(0xff, 6);
  return { id, body, writable };
}

/** All capabilities, the window last. `bar` is the virtio BAR's index. */
export function virtioCapabilities(
  bar: number,
  commonSize: number,
  queues: number,
  configSize: number,
): PciCapability[] {
  const device = configSize > 0 ? [capability(TYPE.device, bar, LAYOUT.device, configSize)] : [];
  return [
    capability(TYPE.common, bar, LAYOUT.common, commonSize),
    capability(TYPE.notify, bar, LAYOUT.notify, queues * NOTIFY_MULTIPLIER, [NOTIFY_MULTIPLIER, 0, 0, 0]),
    capability(TYPE.isr, bar, LAYOUT.isr, 1),
    ...device,
    windowCapability(),
  ];
}

export interface ConfigWindow {
  beforeRead(offset: number, size: number): void;
  written(offset: number, size: number): void;
}

/**
 * Carries accesses to the data field of the window capability at `at` over to the BAR it names. What makes no sense, such
 * as a length other than 1, 2 or 4, does nothing.
 */
export function configWindow(
  config: Uint8Array,
  at: number,
  region: (bar: number) => Region | undefined,
): ConfigWindow {
  const data = at + 16;
  const touches = (offset: number, size: number) => offset < data + 4 && offset + size > data;

  function target(): { region: Region; offset: number; size: AccessSize } | undefined {
    const found = region(config[at + 4]!);
    const offset = readBytes(config, at + 8, 4);
    const size = readBytes(config, at + 12, 4);
    if (found === undefined || (size !== 1 && size !== 2 && size !== 4)) return undefined;
    return offset % size === 0 && offset + size <= found.size ? { region: found, offset, size } : undefined;
  }

  return {
    beforeRead(offset, size) {
      const to = touches(offset, size) ? target() : undefined;
      if (to) writeBytes(config, data, to.size, to.region.read(to.offset, to.size));
    },
    written(offset, size) {
      const to = touches(offset, size) ? target() : undefined;
      to?.region.write(to.offset, to.size, readBytes(config, data, to.size));
    },
  };
}
