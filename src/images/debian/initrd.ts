/** The initramfs of Debian images, and what makes the default guest's that of the machine that builds them. */
import { VirtsError } from '../../base/errors.ts';
import { type CpioEntry, writeCpio } from '../initramfs/cpio.ts';
import { initramfsEntries, withDirectories } from '../initramfs/entries.ts';
import { selectModules } from '../initramfs/modules.ts';
import type { KernelFiles } from '../initramfs/packages.ts';

/** Drivers for a disk with a root file system; those that a kernel has built in are passed over. */
export const ROOT_MODULES: readonly string[] = ['virtio_pci', 'virtio_blk', 'crc32c_intel', 'crc32c_generic', 'ext4'];

const COMMON = `#!/bin/busybox sh
export PATH=/sbin:/bin
/bin/busybox mount -t proc -o nosuid,nodev,noexec proc /proc
/bin/busybox mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
/bin/busybox mount -t devtmpfs -o nosuid,mode=755 devtmpfs /dev
`;

/**
 * Process 1 until the disk's init takes over. Understands root=, as a device, UUID= or LABEL=, rootfstype=, rootflags=, ro, rw and
 * init=. Where there is no root file system it says so and gives a shell.
 */
const INIT = `${COMMON}/bin/busybox modprobe -a ${ROOT_MODULES.join(' ')} 2>/dev/null
root=/dev/vda type=ext4 flags= mode=ro init=/sbin/init
for word in $(/bin/busybox cat /proc/cmdline); do
  case $word in
  root=*) root=\${word#root=} ;;
  rootfstype=*) type=\${word#rootfstype=} ;;
  rootflags=*) flags=,\${word#rootflags=} ;;
  init=*) init=\${word#init=} ;;
  ro | rw) mode=$word ;;
  esac
done
device=
for try in 1 2 3 4 5 6 7 8 9 10 20 30 40 50; do
  case $root in
  UUID=* | LABEL=*) device=$(/bin/busybox findfs "$root" 2>/dev/null) ;;
  *) device=$root ;;
  esac
  [ -b "$device" ] && break
  /bin/busybox usleep \${try}0000
done
if /bin/busybox mount -t "$type" -o "$mode$flags" "$device" /root && [ -x "/root$init" -o -L "/root$init" ]; then
  /bin/busybox mount --move /dev /root/dev
  /bin/busybox mount --move /sys /root/sys
  /bin/busybox mount --move /proc /root/proc
  exec /bin/busybox switch_root /root "$init"
fi
echo "The root file system $root cannot be used; this is the shell of the initramfs."
/bin/busybox --install -s /bin
exec /bin/busybox setsid /bin/busybox cttyhack /bin/sh
`;

/** Process 1 of the machine that builds an image: all it does is in a script on the second disk. */
const BUILDER_INIT = `${COMMON}/bin/busybox --install -s /bin
fail() {
  sync
  echo
  echo "virts-build failed $*"
  poweroff -f
}
modprobe -a virtio_pci virtio_blk crc32c_intel isofs 2>/dev/null
mount -t iso9660 -o ro /dev/vdb /media || fail to read the packages
. /media/build.sh
`;

const DIRECTORIES = ['bin', 'dev', 'lib', 'proc', 'root', 'run', 'sbin', 'sys', 'tmp'];

/** The initramfs that an image boots with. @throws VirtsError `bad-input` if modules are missing. */
export function imageInitrd({ version, modules }: KernelFiles, busybox: Uint8Array): Uint8Array {
  const selected = selectModules(modules, ROOT_MODULES);
  if (selected.missing.length > 0) {
    throw new VirtsError('bad-input', `The kernel ${version} lacks the modules ${selected.missing.join(', ')}.`);
  }
  const parts = { busybox, version, modules: selected, directories: DIRECTORIES, texts: { init: INIT } };
  return writeCpio(initramfsEntries({ ...parts, isExecutable: (path) => path === 'init' }));
}

/** What comes after the default guest's initramfs, and takes its process 1's place. `tools`: files besides busybox. */
export function builderInitrd(tools: readonly CpioEntry[]): Uint8Array {
  return writeCpio([
    ...['media', 'target'].map((path): CpioEntry => ({ type: 'directory', path })),
    { type: 'file', path: 'init', content: BUILDER_INIT, mode: 0o755 },
    ...withDirectories(tools),
  ]);
}

/** All but busybox and the modules, as one text: it changes when an image's initramfs would. */
export const recipe = (): string => JSON.stringify([INIT, ROOT_MODULES, DIRECTORIES]);
