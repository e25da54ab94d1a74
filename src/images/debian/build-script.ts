/** What the machine that builds an image does: it makes a file system, and lets the packages install themselves in it. */

import { ROOT_MODULES } from './initrd.ts';

/** Marks lines on the console that are for the host. */
export const MARK = 'virts-build';

/** Names on the disk with the packages. */
export const ON_DISK = {
  script: 'build.sh',
  finish: 'finish.sh',
  files: 'files.tar',
  /** Names of the packages' files, one a line: those for the first step, and all. */
  bootstrap: 'bootstrap',
  order: 'order',
} as const;

/** What dpkg itself and the first maintainer scripts need, in the order in which they are installed one by one (as debootstrap does). */
export const FIRST: readonly string[] = ['base-passwd', 'base-files', 'dpkg', 'libc6', 'perl-base', 'mawk', 'debconf'];

/** Features that every kernel since Linux 3.18 knows, whatever the defaults of the mke2fs at hand are. */
const FEATURES =
  'none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum';

export interface BuildPlan {
  /** UUID of the root file system. */
  readonly uuid: string;
  readonly architecture: string;
  /** Files of packages on the disk, in the order in which they are unpacked. */
  readonly order: readonly string[];
  /** Those of the first step. */
  readonly bootstrap: readonly string[];
  /** Those of `FIRST`, in its order. */
  readonly first: readonly string[];
}

/**
 * The script that runs as process 1, in busybox's shell. Tables of inodes are made by zeroing, which takes no room on a disk that
 * can do that, so that the kernel need not do it later. Nothing is flushed: a build that is interrupted starts anew.
 */
export const buildScript = ({ uuid, architecture, first }: BuildPlan): string => `
step() { echo; echo "${MARK} step $*"; }
step format
export MKE2FS_CONFIG=/mke2fs.conf
printf '[defaults]\\nblocksize = 4096\\ninode_size = 256\\ninode_ratio = 16384\\n[fs_types]\\next4 = {\\n}\\n' >/mke2fs.conf
/sbin/mke2fs -q -F -t ext4 -m 1 -U ${uuid} -O ${FEATURES} -E lazy_itable_init=0,lazy_journal_init=0 /dev/vda ||
  fail to make the file system
mount -t ext4 -o noatime,barrier=0,commit=300 /dev/vda /target || fail to mount the file system
cd /target

step bootstrap
mkdir -p usr/bin usr/sbin usr/lib usr/lib64
for name in bin sbin lib lib64; do ln -s usr/$name $name; done
while read -r name; do
  dpkg-deb -x /media/$name /target || fail to unpack $name
  echo "${MARK} bootstrapped $name"
done </media/${ON_DISK.bootstrap}
mkdir -p var/lib/dpkg/info etc proc sys dev run tmp
: >var/lib/dpkg/status
: >var/lib/dpkg/available
echo ${architecture} >var/lib/dpkg/arch
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t devtmpfs devtmpfs dev
mkdir -p dev/pts
mount -t devpts devpts dev/pts
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir run/packages
mount --bind /media run/packages
ln -sf mawk usr/bin/awk
printf '#!/bin/sh\\nexit 101\\n' >usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d
# Keys of the machine are made when it starts for the first time, so the package need not make any.
mkdir -p etc/ssh
for type in rsa ecdsa ed25519; do : >etc/ssh/ssh_host_\${type}_key; done
in_target() {
  chroot /target /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LC_ALL=C.UTF-8 INITRD=No \\
    DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true DEBCONF_NOWARNINGS=yes "$@"
}
install() { in_target dpkg --force-unsafe-io --status-fd 3 "$@" 3>&1; }

step install
for name in ${first.join(' ')}; do
  install --force-depends --install /run/packages/$name || fail to install $name
done
cd run/packages
# shellcheck disable=SC2046
set -- $(cat ${ON_DISK.bootstrap} | sed s,^,/run/packages/,)
install --force-depends --skip-same-version --unpack "$@" || fail to unpack the first packages
install --force-depends --force-configure-any --configure --pending || fail to configure the first packages
set -- $(cat ${ON_DISK.order} | sed s,^,/run/packages/,)
install --force-depends --skip-same-version --unpack "$@" || fail to unpack the packages
step configure
install --configure --pending || install --configure --pending || fail to configure the packages

step finish
rm -f /target/etc/ssh/ssh_host_*
tar -x -f ${ON_DISK.files} -C /target || fail to put the files of Virts in place
in_target sh /run/packages/${ON_DISK.finish} || fail to finish the system
rm -f /target/usr/sbin/policy-rc.d
cd /
for mount in run/packages tmp run dev/pts dev sys proc; do umount /target/$mount || fail to unmount $mount; done
# The host takes kernel and modules from the third disk; which ones, this kernel's own tools say.
kernel=$(ls /target/lib/modules)
modules=$(chroot /target modprobe -S "$kernel" --show-depends -a ${ROOT_MODULES.join(' ')} 2>/dev/null |
  sed -n 's,^insmod /,,p' | sort -u)
tar -c -f /dev/vdc -C /target "boot/vmlinuz-$kernel" $modules || fail to hand out the kernel
sync
fstrim /target
umount /target || fail to unmount the file system
echo
echo "${MARK} done"
poweroff -f
`;
