/** The userland of the default guest: busybox and the few files that make it a system. */
import { MOUNT_FOLDERS } from '../shared-folders.ts';
import type { CpioEntry } from './cpio.ts';
import { initramfsEntries } from './entries.ts';
import type { ModuleSet } from './modules.ts';

/** Drivers that the default guest carries; each is loaded only where its device is. */
export const MODULES: readonly string[] = [
  'virtio_pci',
  'virtio_console',
  'virtio_rng',
  'virtio_blk',
  'virtio_net',
  'af_packet',
  'vmw_vsock_virtio_transport',
  'virtio_balloon',
  'virtiofs',
  'button',
  'evdev',
  'isofs',
];

/** Process 1 until busybox's init takes over. The second round finds the devices that the first one's drivers brought. */
const INIT = `#!/bin/busybox sh
export PATH=/sbin:/bin HOME=/root
/bin/busybox mount -t proc -o nosuid,nodev,noexec proc /proc
/bin/busybox mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
/bin/busybox mount -t devtmpfs -o nosuid devtmpfs /dev
/bin/busybox --install -s /bin
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
hostname virts
ip link set lo up
for round in 1 2; do
  find /sys/devices -name modalias -exec cat {} + 2>/dev/null | sort -u | xargs -r modprobe -qab 2>/dev/null
done
/sbin/folders
exec /sbin/init
`;

/** cttyhack gives the shell the kernel's console as its controlling terminal, so that job control works. */
const INITTAB = `::respawn:/bin/cttyhack /bin/sh -l
::once:/sbin/network
::once:/bin/acpid -f -l /dev/null
::ctrlaltdel:/sbin/reboot
`;

/** Gives the network card, if there is one, its address. */
const NETWORK = `#!/bin/sh
[ -e /sys/class/net/eth0 ] || exit 0
modprobe -q af_packet
ip link set eth0 up
exec udhcpc -f -R -i eth0 -s /sbin/dhcp -t 4 -T 2 -A 5 >/dev/null 2>&1
`;

/** What udhcpc calls when it learned or lost something. */
const DHCP = `#!/bin/sh
case $1 in
deconfig)
  ip -4 addr flush dev $interface
  ip link set $interface up
  ;;
bound)
  ip -4 addr flush dev $interface
  ip addr add $ip/$mask brd + dev $interface
  for gateway in $router; do ip route add default via $gateway dev $interface; break; done
  {
    [ -z "$domain" ] || echo "search $domain"
    for server in $dns; do echo "nameserver $server"; done
  } >/etc/resolv.conf
  ;;
esac
`;

/** The shell would run busybox's own applets before programs in /sbin, but functions come before both. */
const PROFILE = `export PATH=/sbin:/bin HOME=/root PS1='virts# '
poweroff() { /sbin/poweroff "$@"; }
reboot() { /sbin/reboot "$@"; }
halt() { /sbin/halt "$@"; }
cd
echo "Linux $(uname -r) with busybox; poweroff ends this machine."
`;

/** Ends the machine at once: there is no service to wait for, only data to write. */
const ending = (command: string): string => `#!/bin/sh
sync
exec /bin/busybox ${command} -f "$@"
`;

const DIRECTORIES = [
  'bin',
  'dev',
  'etc',
  'etc/acpi',
  'etc/acpi/PWRF',
  'lib',
  'proc',
  'root',
  'run',
  'sbin',
  'sys',
  'tmp',
  'var',
];

/** Text of the userland by path; the mode is 755 below `sbin` and `etc/acpi` and for `init`. */
const TEXTS: Readonly<Record<string, string>> = {
  init: INIT,
  'etc/inittab': INITTAB,
  'etc/profile': PROFILE,
  'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\n',
  'etc/group': 'root:x:0:\n',
  'etc/hostname': 'virts\n',
  'etc/hosts': '127.0.0.1 localhost virts\n',
  'etc/acpi/PWRF/00000080': '#!/bin/sh\nexec /sbin/poweroff\n',
  'sbin/network': NETWORK,
  'sbin/dhcp': DHCP,
  'sbin/folders': MOUNT_FOLDERS,
  'sbin/poweroff': ending('poweroff'),
  'sbin/reboot': ending('reboot'),
  'sbin/halt': ending('halt'),
};

/** Everything but busybox and the modules, as one text: it changes when the userland changes. */
export function recipe(): string {
  return JSON.stringify([DIRECTORIES, TEXTS, MODULES]);
}

const isExecutable = (path: string): boolean => path === 'init' || /^(sbin|etc\/acpi)\//.test(path);

/** The initramfs of the default guest. `version` is the kernel's, as `uname -r` says it. */
export function guestEntries(busybox: Uint8Array, version: string, modules: ModuleSet): CpioEntry[] {
  return initramfsEntries({
    ...{ busybox, version, modules, isExecutable },
    directories: DIRECTORIES,
    texts: TEXTS,
    extra: [{ type: 'symlink', path: 'sbin/init', target: '../bin/busybox' }],
  });
}
