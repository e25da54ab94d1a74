/** Values of command line options. */
import { InvalidArgumentError } from 'commander';
import { MOST_HEAT } from '../cpu/interpreter/record.ts';
import { DEFAULT_TRANSLATION } from '../engine/translated/vcpu.ts';
import { MAX_DISKS } from '../machine/pci-devices.ts';
import { canonicalAddress } from '../network/address.ts';
import type { ForwardRequest } from '../network/nat.ts';
import { isHostRule } from '../network/policy.ts';
import { parseMemory as parseSize } from '../sdk/memory-size.ts';
import { FORMATS, type Format } from '../storage/open-disk.ts';
import { MOST_VCPUS } from '../vm/processors.ts';

/** Reads an amount of memory such as `512M`, in bytes. */
export function parseMemory(text: string): number {
  try {
    return parseSize(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

/** Reads a number of vCPUs. */
export function parseCpus(text: string): number {
  const cpus = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (cpus < 1 || cpus > MOST_VCPUS) throw new InvalidArgumentError(`It takes a number from 1 to ${MOST_VCPUS}.`);
  return cpus;
}

/** A disk that the command line names. */
export interface DiskOption {
  readonly path: string;
  readonly format?: Format;
  readonly readOnly: boolean;
  /** What the guest writes is thrown away in the end. */
  readonly snapshot: boolean;
  /** Its backing files may be anywhere on the host. */
  readonly anyBacking: boolean;
}

/** Reads `FILE[,format=raw|qcow2][,readonly][,snapshot][,backing=any]`, after those named before; a comma in FILE is written twice. */
export function parseDisk(text: string, before: readonly DiskOption[] = []): readonly DiskOption[] {
  const [path = '', ...settings] = splitList(text);
  let disk: DiskOption = { path, readOnly: false, snapshot: false, anyBacking: false };
  if (path === '') throw new InvalidArgumentError('It takes the name of a disk image.');
  for (const setting of settings) {
    const format = FORMATS.find((name) => setting === `format=${name}`);
    if (format !== undefined) disk = { ...disk, format };
    else if (setting === 'readonly') disk = { ...disk, readOnly: true };
    else if (setting === 'snapshot') disk = { ...disk, snapshot: true };
    else if (setting === 'backing=any') disk = { ...disk, anyBacking: true };
    else
      throw new InvalidArgumentError(
        `It takes FILE[,format=raw|qcow2][,readonly][,snapshot][,backing=any], not ${setting || 'an empty setting'}.`,
      );
  }
  if (disk.readOnly && disk.snapshot) throw new InvalidArgumentError('It is either readonly or snapshot, not both.');
  if (before.length >= MAX_DISKS) throw new InvalidArgumentError(`There can be ${MAX_DISKS} disks.`);
  return [...before, disk];
}

/** The parts of a list between single commas. */
function splitList(text: string): string[] {
  return text
    .replaceAll(',,', '\0')
    .split(',')
    .map((part) => part.replaceAll('\0', ','));
}

/** How often code runs before it is translated. */
export type Translate = number | 'off';

/** What `--translate` is if it is not given. */
export const DEFAULT_TRANSLATE: Translate = DEFAULT_TRANSLATION.threshold;

/** Reads how often code runs before it is translated. */
export function parseTranslate(text: string): Translate {
  if (text === 'off') return text;
  const times = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (times < 1 || times > MOST_HEAT)
    throw new InvalidArgumentError(`It takes a number from 1 to ${MOST_HEAT}, or off.`);
  return times;
}

/** Reads a TCP port. */
export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65535) throw new InvalidArgumentError('It takes a TCP port from 1 to 65535.');
  return port;
}

/** Reads the address of a mirror. */
export function parseMirror(text: string): string {
  const scheme = URL.canParse(text) ? new URL(text).protocol : '';
  if (!['http:', 'https:', 'file:'].includes(scheme)) {
    throw new InvalidArgumentError('It takes an http:, https: or file: address.');
  }
  return text;
}

export const NET_KINDS = ['user', 'none'] as const;
export type NetKind = (typeof NET_KINDS)[number];

/** Where forwarded ports are to be reached unless told: by programs of this host. */
const LOOPBACK = '127.0.0.1';

/** Reads `[HOSTADDR:]HOSTPORT:GUESTPORT[/udp]`, after those named before. */
export function parseForward(text: string, before: readonly ForwardRequest[] = []): readonly ForwardRequest[] {
  const match = /^(?:(\[[^\]]+\]|[^:[\]]+):)?(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/.exec(text);
  if (match === null) throw new InvalidArgumentError('It takes [HOSTADDR:]HOSTPORT:GUESTPORT[/udp], such as 8080:80.');
  const [, host = LOOPBACK, hostPort, guestPort, protocol] = match;
  const address = canonicalAddress(host.replace(/^\[|\]$/g, ''));
  if (address === undefined) throw new InvalidArgumentError(`${host} is no address of a host, such as 127.0.0.1.`);
  const at = { address, port: parsePort(hostPort!) };
  return [...before, { protocol: protocol === 'udp' ? 'udp' : 'tcp', at, port: parsePort(guestPort!) }];
}

/** Reads a host that the guest may reach, after those named before. */
export function parseAllowed(text: string, before: readonly string[] = []): readonly string[] {
  if (!isHostRule(text)) {
    throw new InvalidArgumentError('It takes a name, *.NAME, an address, or a prefix such as 10.0.0.0/8.');
  }
  return [...before, text];
}
