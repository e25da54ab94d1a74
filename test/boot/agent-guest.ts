/** What the default guest needs beside itself to run the agent: Debian's perl, and the agent's files. */

import { orderEntries } from '../../bench/image.ts';
import { packageEntries } from '../../bench/package-files.ts';
import { WITHOUT } from '../../bench/packages.ts';
import { agentFiles } from '../../src/images/agent/files.ts';
import { cacheDirectory } from '../../src/images/apt/cache.ts';
import { SILENT } from '../../src/images/apt/progress.ts';
import { type CpioEntry, writeCpio } from '../../src/images/initramfs/cpio.ts';

/** Of the C library and perl, what the agent loads; and the passwords that root's shell needs no more than it does. */
const WANTED = /\/(ld-linux-x86-64|libc|libm|libcrypt|libdl|libpthread)\.so|\/bin\/perl$|\/perl-base\//;

/** An initramfs that follows the default guest's. */
export async function agentInitramfs(): Promise<Uint8Array> {
  const { signal } = new AbortController();
  const { entries: files } = await packageEntries(
    { cache: cacheDirectory(), signal, progress: SILENT },
    { names: ['perl-base'], without: WITHOUT, wanted: (path) => WANTED.test(`/${path}`) },
  );
  const entries: CpioEntry[] = [
    { type: 'symlink', path: 'lib64', target: 'usr/lib64' },
    { type: 'symlink', path: 'lib/x86_64-linux-gnu', target: '../usr/lib/x86_64-linux-gnu' },
    ...files,
  ];
  for (const { path, mode, content } of agentFiles()) {
    entries.push({ type: 'file', path: path.slice(1), mode, content });
  }
  return writeCpio(orderEntries(entries));
}
