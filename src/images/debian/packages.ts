/** Which packages a Debian image is made of. */
import type { Architecture } from '../apt/archive.ts';

export const RELEASE = 'bookworm';

/**
 * What dpkg and the first maintainer scripts need to run: unpacked without dpkg first, as there is none, and installed properly
 * after that.
 */
export const BOOTSTRAP: readonly string[] = [
  ...[
    'base-files',
    'base-passwd',
    'bash',
    'bsdutils',
    'coreutils',
    'dash',
    'debconf',
    'debianutils',
    'diffutils',
    'dpkg',
  ],
  ...['findutils', 'grep', 'gzip', 'hostname', 'init-system-helpers', 'libc-bin', 'login', 'mawk', 'ncurses-base'],
  ...['ncurses-bin', 'perl-base', 'sed', 'sysvinit-utils', 'tar', 'util-linux'],
];

/** Packages with Priority: required. APT and dpkg take for granted that they are there. */
const REQUIRED: readonly string[] = [
  ...BOOTSTRAP,
  ...['apt', 'e2fsprogs', 'libpam-modules', 'libpam-modules-bin', 'libpam-runtime', 'mount', 'passwd', 'tzdata'],
  'usr-is-merged',
].toSorted();

/** What makes a machine of it: services, network, and what one misses at once where it is not there. */
const MACHINE: readonly string[] = [
  ...['systemd', 'systemd-sysv', 'systemd-resolved', 'libpam-systemd', 'dbus', 'udev', 'kmod', 'dmsetup'],
  ...['iproute2', 'iputils-ping', 'netbase', 'ca-certificates', 'openssh-server', 'openssh-client'],
  ...['procps', 'less', 'nano', 'bash-completion', 'debian-archive-keyring', 'fdisk', 'sudo', 'readline-common'],
];

/** The kernel for machines that are virtual: it has drivers for all that a machine can be given, and few others. */
const KERNEL: Readonly<Record<Architecture, string>> = { amd64: 'linux-image-cloud-amd64', i386: 'linux-image-686' };

/** The kernel's metapackage. Only the package that it stands for gets into the image: what boots is chosen outside of the guest. */
export const kernelPackage = (architecture: Architecture): string => KERNEL[architecture];

export const basePackages = (): string[] => [...REQUIRED, ...MACHINE];

/** What the machine that builds an image makes its file system with. */
export const MAKE_FILE_SYSTEM = 'e2fsprogs';
