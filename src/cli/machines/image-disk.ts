/** The disk of a machine that was made from an image: a thin layer over the image's. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { VirtsError } from '../../base/errors.ts';
import { openImage } from '../../images/store.ts';
import { openHostFile } from '../../storage/host-file.ts';
import { createQcow2 } from '../../storage/qcow2/create.ts';
import type { DiskConfiguration } from '../../vm/configuration.ts';
import { FILES } from './files.ts';
import { type MachineRecord, type MadeFrom, nameOf } from './state-directory.ts';

/** Lays a new disk over that of an image. @throws VirtsError as `openImage`; `no-space`, `io`. */
export async function layOverImage(name: string, directory: string, env: NodeJS.ProcessEnv): Promise<MadeFrom> {
  const { record, disk, kernel, initrd, append } = await openImage(name, env);
  const file = await openHostFile(join(directory, FILES.disk), { readOnly: false, create: true });
  try {
    await createQcow2(file, record.disk.virtualSize, { name: disk, format: 'qcow2' });
  } finally {
    await file.close();
  }
  return { name, disk, kernel, append, ...(initrd !== undefined && { initrd }) };
}

/** The disk that `layOverImage` made. The image behind it was named by us. */
export function layeredDisk({ directory }: MachineRecord): DiskConfiguration {
  return {
    path: join(directory, FILES.disk),
    format: 'qcow2',
    readOnly: false,
    snapshot: false,
    anyBacking: true,
  };
}

/** @throws VirtsError `not-found` if the image's files are gone. */
export function checkImageFiles(machine: MachineRecord): void {
  const { madeFrom } = machine;
  if (madeFrom === undefined) return;
  const missing = [madeFrom.disk, madeFrom.kernel, madeFrom.initrd].find(
    (path) => path !== undefined && !existsSync(path),
  );
  if (missing === undefined) return;
  const name = nameOf(machine);
  const message = `The image ${madeFrom.name}, which the machine ${name} needs, was removed: ${missing} is gone. What ${name} itself wrote is kept in ${join(machine.directory, FILES.disk)}.`;
  throw new VirtsError('not-found', message, { image: madeFrom.name, path: missing });
}
