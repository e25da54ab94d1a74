/** The guest that measures disks: the default guest with fio and its libraries in a second archive behind its own. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { defaultGuest, type Guest } from '../../src/images/default-guest.ts';
import { type CpioEntry, writeCpio } from '../../src/images/initramfs/cpio.ts';
import { type BenchImageOptions, orderEntries } from '../image.ts';
import { packageEntries } from '../package-files.ts';
import { ROOT_LINKS } from '../packages.ts';

/** Depended upon for installing, for scripts around fio, and for looking names of hosts up. */
const WITHOUT: ReadonlySet<string> = new Set([
  'debconf',
  'init-system-helpers',
  'libpython3-stdlib',
  'media-types',
  'python3',
  'python3-minimal',
]);
const WANTED = /^(usr\/)?(bin\/fio$|lib(64)?\/(x86_64-linux-gnu\/(ceph\/)?)?[^/]+\.so[^/]*$)/;

async function fioEntries(options: BenchImageOptions): Promise<{ entries: CpioEntry[]; version: string }> {
  const wanted = (path: string): boolean => WANTED.test(path);
  const { entries, packages } = await packageEntries(options, { names: ['fio'], without: WITHOUT, wanted });
  return { entries, version: packages.find((name) => name.startsWith('fio '))!.slice('fio '.length) };
}

/** The guest and fio's version. @throws VirtsError as `defaultGuest`, `openArchive` and `debEntries` do. */
export async function diskGuest(options: BenchImageOptions): Promise<{ guest: Guest; fio: string }> {
  const guest = await defaultGuest(options);
  const { entries, version } = await fioEntries(options);
  const own = async (path: string, name: string, mode = 0o644): Promise<CpioEntry> => ({
    ...{ type: 'file', path, mode },
    content: await readFile(join(import.meta.dirname, name)),
  });
  const all = orderEntries([
    ...entries,
    // The default guest has directories of its own at the root, with busybox and the kernel's modules.
    ...ROOT_LINKS.filter(({ path }) => path === 'lib64'),
    { type: 'symlink', path: 'lib/x86_64-linux-gnu', target: '/usr/lib/x86_64-linux-gnu' },
    { type: 'directory', path: 'tmp' },
    await own('init', 'init', 0o755),
    await own('bench/runner', '../guest/runner'),
    await own('bench/measure', 'measure'),
  ]);
  const path = join(options.cache, 'bench-disk', 'initrd');
  const temporary = `${path}.${process.pid}`;
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(temporary, [await readFile(guest.initrd), writeCpio(all)]);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
  return { guest: { ...guest, initrd: path }, fio: version };
}
