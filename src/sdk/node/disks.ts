/** The disks that a command line names, opened for a run. */
import { serveIoLink } from '../../memory/io-link.ts';
import type { BlockDevice } from '../../storage/block-device.ts';
import { byteLength } from '../../storage/byte-file.ts';
import { diskHandler, shapeOf } from '../../storage/disk-service.ts';
import { openDisk } from '../../storage/open-disk.ts';
import { temporaryOverlay } from '../../storage/overlay.ts';
import type { DiskConfiguration } from '../../vm/configuration.ts';
import type { Disk } from '../machine-host.ts';

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

/** Opens a disk that a configuration names. @throws VirtsError as `openDisk` does. */
export async function openConfigured({ snapshot, readOnly, ...request }: DiskConfiguration): Promise<BlockDevice> {
  const disk = await openDisk({ ...request, readOnly: readOnly || snapshot });
  if (!snapshot) return disk;
  try {
    return await temporaryOverlay(disk);
  } catch (error) {
    await disk.close();
    throw error;
  }
}

/** Opens all, or none: those that are open already are closed, too. @throws VirtsError as `openDisk` does. */
export async function openDisks(
  disks: readonly (DiskConfiguration | BlockDevice)[],
  report: (message: string) => void,
): Promise<OpenDisks> {
  const devices = disks.filter((disk) => 'flush' in disk);
  async function close(): Promise<void> {
    const outcomes = await Promise.allSettled(devices.map((device) => device.close()));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }
  try {
    for (const [i, disk] of disks.entries()) {
      if (!('flush' in disk)) devices.splice(i, 0, await openConfigured(disk));
    }
  } catch (error) {
    await close().catch(() => {});
    throw error;
  }
  const traffic: DiskTraffic = { read: 0, written: 0 };
  return { open: devices.map((device) => servedDisk(counted(device, traffic), report)), traffic, close };
}
