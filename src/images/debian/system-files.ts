/** What makes the packages of Debian a system that runs as a machine: names, network, console, keys. */
import type { Architecture } from '../apt/archive.ts';
import type { GuestSource } from './sources.ts';

/** The kernel's command line. */
export const APPEND = 'console=tty0 console=ttyS0 root=/dev/vda ro';

/** A file that an image gets beside its packages. */
export interface ImageFile {
  /** Absolute path in the guest. */
  readonly path: string;
  /** Permissions. */
  readonly mode: number;
  readonly content: string | Uint8Array;
}

export interface SystemRequest {
  /** UUID of the root file system. */
  readonly uuid: string;
  readonly hostname: string;
  readonly architecture: Architecture;
  readonly sources: readonly GuestSource[];
  /** Proxy for APT. */
  readonly proxy: string | undefined;
  /** Packages that were asked for, and those that came with them. */
  readonly manual: ReadonlySet<string>;
  readonly packages: readonly string[];
  /** Public keys that may log in as root by SSH, one a line. */
  readonly authorizedKeys: string;
}

const NETWORK = `[Match]
Type=ether
Kind=!*

[Network]
DHCP=yes
LLMNR=no
MulticastDNS=no

[DHCPv4]
UseDomains=yes
ClientIdentifier=mac

[DHCPv6]
UseDomains=yes
`;

/** Whoever has the console has the machine. The password is locked, so that nothing else gets in by it. */
const CONSOLE = `[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200,57600,38400,9600 - $TERM
`;

/** Machines of one image must not share keys. One kind is enough, and it is made at once. */
const HOST_KEYS = `[Unit]
Description=Key of this machine for SSH
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
Before=ssh.service

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N "" -C "" -f /etc/ssh/ssh_host_ed25519_key

[Install]
WantedBy=ssh.service
`;

const sourceText = ({ uri, suites, components, signedBy }: GuestSource): string =>
  `Types: deb\nURIs: ${uri}\nSuites: ${suites.join(' ')}\nComponents: ${components.join(' ')}\nSigned-By: ${signedBy}\n`;

/** Which packages APT may remove when nothing needs them any more. */
function extendedStates({ packages, manual, architecture }: SystemRequest): string {
  return packages
    .filter((name) => !manual.has(name))
    .map((name) => `Package: ${name}\nArchitecture: ${architecture}\nAuto-Installed: 1\n\n`)
    .join('');
}

/** Files by path; the mode is 644 unless told. */
export function systemFiles(request: SystemRequest): ImageFile[] {
  const { uuid, hostname, sources, proxy, authorizedKeys } = request;
  const texts: Record<string, string> = {
    '/etc/hostname': `${hostname}\n`,
    '/etc/hosts': `127.0.0.1 localhost\n127.0.1.1 ${hostname}\n\n::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n`,
    '/etc/fstab': `UUID=${uuid} / ext4 defaults,discard,errors=remount-ro 0 1\n`,
    '/etc/default/locale': 'LANG=C.UTF-8\n',
    '/etc/machine-id': '',
    '/etc/systemd/network/80-ethernet.network': NETWORK,
    '/etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf': CONSOLE,
    '/etc/systemd/system/ssh-host-key.service': HOST_KEYS,
    '/var/lib/apt/extended_states': extendedStates(request),
    '/etc/apt/sources.list.d/debian.sources': sources.map(sourceText).join('\n'),
    ...(proxy !== undefined && { '/etc/apt/apt.conf.d/90proxy': `Acquire::http::Proxy "${proxy}";\n` }),
  };
  const files = Object.entries(texts).map(([path, content]): ImageFile => ({ path, mode: 0o644, content }));
  for (const { keyring } of sources) if (keyring !== undefined) files.push(keyring);
  if (authorizedKeys !== '') files.push({ path: '/root/.ssh/authorized_keys', mode: 0o600, content: authorizedKeys });
  return files;
}

/**
 * Runs in the new system when all packages are configured. Updates of package lists are left to whoever wants them: a machine that
 * just started has something else to do.
 */
export const FINISH_SCRIPT = `set -e
systemctl enable systemd-networkd.service systemd-resolved.service ssh-host-key.service
systemctl disable apt-daily.timer apt-daily-upgrade.timer
ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
rm -f /var/lib/systemd/random-seed /var/lib/dbus/machine-id /etc/.pwd.lock
rm -f /var/lib/dpkg/*-old /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache
rm -f /var/log/bootstrap.log /var/log/alternatives.log /var/log/dpkg.log /var/log/apt/*
rm -f /var/cache/apt/*.bin /var/cache/apt/archives/*.deb
`;
