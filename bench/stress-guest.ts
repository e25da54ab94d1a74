/** The default guest with stress-ng in it: an initramfs that runs it once, tells how that went, and powers off. */
import { readFile } from 'node:fs/promises';
import { defaultGuest, type Guest } from '../src/images/default-guest.ts';
import { type CpioEntry, writeCpio } from '../src/images/initramfs/cpio.ts';
import { orderEntries } from './image.ts';
import { type PackageSource, packageEntries } from './package-files.ts';

/** Libraries that stress-ng is linked with only have to be there; what they would load is left out. */
const WITHOUT: ReadonlySet<string> = new Set([
  'libegl-mesa0',
  'libgl1-mesa-dri',
  'libdrm-common',
  'debconf',
  'x11-common',
]);
const LIBRARIES = /^(usr\/)?lib(64)?\/(?!.*\/(gconv|ossl-modules|engines-3)\/).*\.so(\.[^/]*)?$/;
const isWanted = (path: string): boolean => path === 'usr/bin/stress-ng' || LIBRARIES.test(path);

/** What the guest says, each at the start of a line; the round also says that it goes on, every few seconds. */
export const SAYS = {
  begins: 'STRESS-BEGINS',
  status: 'STRESS-STATUS',
  log: 'STRESS-LOG',
  ends: 'STRESS-ENDS',
} as const;

const script = (command: string): string => `#!/bin/sh
export PATH=/sbin:/bin:/usr/bin HOME=/root
cd /tmp
echo "${SAYS.begins} $(nproc)"
(while sleep 5; do echo "at $(cut -d ' ' -f 1 /proc/uptime)"; done) &
${command}
echo "${SAYS.status} $?"
kill $!
echo ${SAYS.log}
dmesg
echo ${SAYS.ends}
exec /sbin/poweroff
`;

/** A guest that runs a shell command with stress-ng on its path. @throws VirtsError as `defaultGuest` and `packageEntries`. */
export async function stressGuest(
  source: PackageSource,
  command: string,
): Promise<Pick<Guest, 'kernel' | 'append'> & { readonly initrd: Uint8Array }> {
  const guest = await defaultGuest(source);
  const { entries } = await packageEntries(source, { names: ['stress-ng'], without: WITHOUT, wanted: isWanted });
  const own: CpioEntry[] = [
    { type: 'symlink', path: 'lib64', target: 'usr/lib64' },
    { type: 'symlink', path: 'lib/x86_64-linux-gnu', target: '/usr/lib/x86_64-linux-gnu' },
    { type: 'file', path: 'etc/inittab', content: '::once:/etc/stress\n' },
    { type: 'file', path: 'etc/stress', content: script(command), mode: 0o755 },
  ];
  // The kernel unpacks archives one after another; what comes later takes the place of what was there.
  const initrd = Buffer.concat([await readFile(guest.initrd), writeCpio(orderEntries([...entries, ...own]))]);
  return { kernel: guest.kernel, append: guest.append, initrd };
}
