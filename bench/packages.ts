/** Debian's packages in the guest of the benchmark. */
import type { CpioEntry } from '../src/images/initramfs/cpio.ts';

/** The programs that are measured, and what a shell script needs. */
export const PACKAGES: readonly string[] = [
  'busybox-static',
  'coreutils',
  'dash',
  'gcc',
  'gzip',
  'libc6-dev',
  'make',
  'openssl',
  'perl-base',
  'python3-minimal',
  'sqlite3',
  'xz-utils',
];

/** Needed to install or to use in ways that are not measured. */
export const WITHOUT: ReadonlySet<string> = new Set([
  'debconf',
  'debianutils',
  'dpkg',
  'install-info',
  'libasan8',
  'libatomic1',
  'libcc1-0',
  'libcrypt-dev',
  'libgomp1',
  'libgprofng0',
  'libitm1',
  'liblsan0',
  'libnsl-dev',
  'libquadmath0',
  'libtirpc-dev',
  'libtsan2',
  'libubsan1',
  'media-types',
  'readline-common',
  'rpcsvc-proto',
]);

/** Links at the root, as Debian's `usrmerge` makes them. */
export const ROOT_LINKS: readonly CpioEntry[] = ['bin', 'sbin', 'lib', 'lib64'].map((path) => ({
  type: 'symlink',
  path,
  target: `usr/${path}`,
}));
