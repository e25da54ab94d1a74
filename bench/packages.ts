/** Debian's packages in the guest of the benchmark, and which of their files go in. */
import type { DebEntry } from '../src/images/apt/deb.ts';
import type { CpioEntry } from '../src/images/initramfs/cpio.ts';

/** The programs that are measured, and what a shell script needs. */
export const PACKAGES: readonly string[] = [
  'busybox-static',
  'coreutils',
  'dash',
  'gcc',
  'gzip',
  'libc6-dev',
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

/** Documentation, translations, development files that nothing here uses, and the largest unused programs. */
const UNWANTED: readonly RegExp[] = [
  /^etc\//,
  /^usr\/share\/(?!python)/,
  /^usr\/lib\/x86_64-linux-gnu\/(gconv|gprofng|ldscripts|engines-3|ossl-modules)\//,
  /^usr\/lib\/x86_64-linux-gnu\/(?!libc_nonshared).*\.a$/,
  /^usr\/lib\/gcc\/.*\/(lto1|lto-wrapper|g\+\+-mapper-server|plugin|[^/]*san[^/]*)(\/|$)/,
  /^usr\/lib\/gcc\/.*\/(?!libgcc)[^/]*\.a$/,
  /^usr\/bin\/(.*-)?(lto-dump|gcov|gcov-dump|gcov-tool|dwp|ld\.gold|gprof|gp-.*|gprofng)(-12)?$/,
  /^usr\/include\/(drm|misc|mtd|rdma|scsi|sound|video|xen)\//,
];

/** Debian 12's packages still put files below `/bin` and `/lib`, which are links to the ones below `/usr`. */
const mergedPath = (path: string): string => path.replace(/^(bin|sbin|lib|lib32|lib64|libx32)(?=\/|$)/, 'usr/$1');

/** Whether an entry of a package goes into the guest. */
export function isWanted(path: string): boolean {
  const merged = mergedPath(path);
  return !UNWANTED.some((pattern) => pattern.test(merged));
}

/** An entry of a package as one of the initramfs; a hard link becomes a symbolic one. */
export function cpioEntry(entry: DebEntry): CpioEntry {
  const path = mergedPath(entry.path);
  switch (entry.type) {
    case 'file':
      return { type: 'file', path, content: entry.content, mode: entry.mode & 0o755 };
    case 'symlink':
      return { type: 'symlink', path, target: entry.target };
    case 'link':
      return { type: 'symlink', path, target: `/${mergedPath(entry.target)}` };
    case 'directory':
      return { type: 'directory', path };
  }
}

/** Links at the root, as Debian's `usrmerge` makes them. */
export const ROOT_LINKS: readonly CpioEntry[] = ['bin', 'sbin', 'lib', 'lib64'].map((path) => ({
  type: 'symlink',
  path,
  target: `usr/${path}`,
}));
