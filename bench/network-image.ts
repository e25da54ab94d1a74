/** The guest of the network benchmark: the default guest, and Debian's programs beside its busybox. */
import { createHash } from 'node:crypto';
import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Guest } from '../src/images/default-guest.ts';
import { type CpioEntry, writeCpio } from '../src/images/initramfs/cpio.ts';
import { type BenchImageOptions, orderEntries } from './image.ts';
import { packageEntries } from './package-files.ts';

const PACKAGES = ['iperf3', 'apache2-utils', 'nginx'];
/** Needed to install or to configure, not to run. */
const WITHOUT = new Set(['nginx-common', 'iproute2', 'debconf', 'install-info', 'libapr1-dev', 'dpkg', 'lsb-base']);

/** The second processes to run beside busybox's init: the runner has the console, which its own shell does not get. */
const INITTAB = `::once:/bench/start
::once:/sbin/network
`;

/** Waits for the address, starts the servers, and leaves the console to the runner. */
const START = `#!/bin/sh
export PATH=/usr/bin:/usr/sbin:/bin:/sbin
exec </dev/console >/dev/console 2>&1
stty -echo -onlcr
mount -t tmpfs tmpfs /tmp
until ip -4 addr show eth0 | grep -q 'inet 10'; do usleep 100000; done
ulimit -n 8192
nginx -p /tmp -c /bench/nginx.conf
nc -ll -p 7 -e cat &
iperf3 -s -D >/dev/null
exec sh /bench/runner
`;

/** Runs the commands that come in, one a line, and says how each ended. */
const RUNNER = `echo 'MARK runner ready'
while IFS= read -r line; do
  sh -c "$line" </dev/null
  echo "MARK runner done $?"
done
`;

const NGINX = `worker_processes 1;
error_log /dev/null;
pid /tmp/nginx.pid;
user root root;
events { worker_connections 2048; }
http {
  access_log off;
  server {
    listen 80 backlog=1024;
    location / { return 200 'a page of the guest'; }
  }
}
`;

const FILES: readonly CpioEntry[] = [
  { type: 'file', path: 'etc/inittab', content: INITTAB },
  { type: 'file', path: 'bench/start', content: START, mode: 0o755 },
  { type: 'file', path: 'bench/runner', content: RUNNER },
  { type: 'file', path: 'bench/nginx.conf', content: NGINX },
  { type: 'directory', path: 'var/log/nginx' },
  { type: 'directory', path: 'var/lib/nginx' },
];

const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex').slice(0, 24);

/**
 * Paths of the initramfs' parts as one file: the default guest's, and after it what is added.
 * @throws VirtsError as `openArchive` and `debEntries` do.
 */
export async function networkInitrd(guest: Guest, options: BenchImageOptions): Promise<string> {
  const base = await readFile(guest.initrd);
  const recipe = sha256(JSON.stringify([PACKAGES, [...WITHOUT], FILES, sha256(base)]));
  const directory = join(options.cache, 'bench-network');
  const path = join(directory, recipe);
  if (
    !options.refresh &&
    (await access(path).then(
      () => true,
      () => false,
    ))
  )
    return path;
  const { entries } = await packageEntries(options, { names: PACKAGES, without: WITHOUT });
  // The default guest's programs are in /bin and /sbin, which no link may take the place of.
  const libraries: CpioEntry[] = ['lib64', 'lib/x86_64-linux-gnu'].map((at) => ({
    type: 'symlink',
    path: at,
    target: `/usr/${at}`,
  }));
  const made = writeCpio(orderEntries([...entries, ...libraries, ...FILES]));
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  await writeFile(`${path}.new`, Buffer.concat([base, made]));
  await rename(`${path}.new`, path);
  return path;
}
