/** The disks that a command line names, opened for a run. */
import { serveIoLink } from '../memory/io-link.ts';
import type { Disk } from '../sdk/machine-host.ts';
import type { BlockDevice } from '../storage/block-device.ts';
import { byteLength } from '../storage/byte-file.ts';
import { diskHandler, shapeOf } from '../storage/disk-service.ts';
import { openDisk } from '../storage/open-disk.ts';
import { temporaryOverlay } from '../storage/overlay.ts';
import type { DiskConfiguration } from '../vm/configuration.ts';

/** Bytes that a guest read and wrote since its start. */
export interface DiskTraffic {
  read: number;
  written: number;
}

export interface OpenDisks {
  readonly open: readonly Disk[];
  /** Of all disks together. */
  readonly traffic: Readonly<DiskTraffic>;
  /** Makes all that was written stable and closes the files. Rejects with the first failure, when all were tried. */
  close(): Promise<void>;
}

/** A disk as a machine takes it; `report` gets sentences for the user. */
export function servedDisk(device: BlockDevice, report: (message: string) => void): Disk {
  return {
    shape: shapeOf(device),
    serve(link, memory, wake) {
      const stop = new AbortController();
      const service = serveIoLink(link, memory, diskHandler(device, { report, signal: stop.signal }), wake);
      return {
        close() {
          stop.abort();
          return service.close();
        },
      };
    },
  };
}

/** A disk that counts what passes. */
function counted(device: BlockDevice, traffic: DiskTraffic): BlockDevice {
  return {
    ...device,
    read(position, into) {
      traffic.read += byteLength(into);
      return device.read(position, into);
    },
    write(position, from) {
      traffic.written += byteLength(from);
      return device.write(position, from);
    },
  };
}

/** Opens all, or none; `more` come after them. @throws VirtsError as `openDisk` does. */
export async function openDisks(
  options: readonly DiskConfiguration[],
  report: (message: string) => void,
  more: readonly BlockDevice[] = [],
): Promise<OpenDisks> {
  const devices: BlockDevice[] = [];
  async function close(): Promise<void> {
    const outcomes = await Promise.allSettled(devices.map((device) => device.close()));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }
  try {
    for (const { snapshot, readOnly, ...request } of options) {
      devices.push(await openDisk({ ...request, readOnly: readOnly || snapshot }));
      if (snapshot) devices[devices.length - 1] = await temporaryOverlay(devices.at(-1)!);
    }
    devices.push(...more);
  } catch (error) {
    await close().catch(() => {});
    throw error;
  }
  const traffic: DiskTraffic = { read: 0, written: 0 };
  return { open: devices.map((device) => servedDisk(counted(device, traffic), report)), traffic, close };
}
