/** Which machines use an image: those whose disk is a layer over its disk, which is what counts, whatever else they say. */
import { readdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { openHostFile } from '../storage/host-file.ts';
import { readHeader } from '../storage/qcow2/header.ts';
import { machinesDirectory } from './directories.ts';

/** The path of the image behind a qcow2 file; `undefined` without one. */
export async function backingOf(path: string): Promise<string | undefined> {
  // A reader's lock would exclude a running machine, whose file it is.
  const file = await openHostFile(path, { readOnly: true, locked: false });
  try {
    const { backing } = await readHeader(file);
    return backing && resolve(dirname(path), backing.name);
  } finally {
    await file.close();
  }
}

/** Names of the directories of machines whose disk lies over the image at `disk`. */
export async function machinesUsing(disk: string, env: NodeJS.ProcessEnv = process.env): Promise<string[]> {
  const directory = machinesDirectory(env);
  const users: string[] = [];
  for (const machine of (await readdir(directory).catch(() => [] as string[])).toSorted()) {
    for (const name of await readdir(join(directory, machine)).catch(() => [] as string[])) {
      if (!name.endsWith('.qcow2')) continue;
      // What cannot be read as an image lies over none.
      const backing = await backingOf(join(directory, machine, name)).catch(() => undefined);
      if (backing === resolve(disk) && !users.includes(machine)) users.push(machine);
    }
  }
  return users;
}
