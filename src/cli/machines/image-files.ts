/** The image that a machine was made from, as the machine's directory knows it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { VirtsError } from '../../base/errors.ts';
import { openImage } from '../../images/store.ts';
import { layOverImage } from '../../sdk/node/image-disk.ts';
import { FILES } from './files.ts';
import { type MachineRecord, type MadeFrom, nameOf } from './state-directory.ts';

/** Lays the disk of a new machine over that of an image. @throws VirtsError as `openImage`; `no-space`, `io`. */
export async function makeFromImage(name: string, directory: string, env: NodeJS.ProcessEnv): Promise<MadeFrom> {
  const image = await openImage(name, env);
  await layOverImage(image, join(directory, FILES.disk));
  const { disk, kernel, initrd, append } = image;
  return { name, disk, kernel, append, ...(initrd !== undefined && { initrd }) };
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
