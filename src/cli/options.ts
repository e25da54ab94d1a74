/** Values of command line options. */
import { InvalidArgumentError } from 'commander';
import { MOST_HEAT } from '../cpu/interpreter/record.ts';
import { MAX_DISKS, MAX_FOLDERS } from '../machine/pci-devices.ts';
import { parseForward as readForward, parsePort as readPort } from '../network/forward-text.ts';
import type { ForwardRequest } from '../network/nat.ts';
import { isHostRule } from '../network/policy.ts';
import { FORMATS } from '../storage/open-disk.ts';
import { type DiskConfiguration, MachineName } from '../vm/configuration.ts';
import { parseMemory as readSize } from '../vm/memory-size.ts';
import { MOST_VCPUS } from '../vm/processors.ts';
import { parseVolume as readVolume, type VolumeConfiguration } from '../vm/volume-text.ts';

/** A reader of text, for the command line. */
function option<T>(read: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return read(text);
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  };
}

/** Reads an amount of memory such as `512M`, in bytes. */
export const parseMemory = option(readSize);

/** Reads an amount of memory that may be none. */
export const parseAmount = option((text) => (text === '0' ? 0 : readSize(text)));

/** Reads a TCP port. */
export const parsePort = option(readPort);

/** Reads a machine's name. */
export function parseName(text: string): string {
  const read = MachineName.safeParse(text);
  if (!read.success) throw new InvalidArgumentError(read.error.issues[0]!.message);
  return read.data;
}

/** Reads a number of vCPUs. */
export function parseCpus(text: string): number {
  const cpus = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (cpus < 1 || cpus > MOST_VCPUS) throw new InvalidArgumentError(`It takes a number from 1 to ${MOST_VCPUS}.`);
  return cpus;
}

/** Reads `FILE[,format=raw|qcow2][,readonly][,snapshot][,backing=any]`, after those named before; a comma in FILE is written twice. */
export function parseDisk(text: string, before: readonly DiskConfiguration[] = []): readonly DiskConfiguration[] {
  const [path = '', ...settings] = splitList(text);
  let disk: DiskConfiguration = { path, readOnly: false, snapshot: false, anyBacking: false };
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

/** Reads `HOSTDIR:/path[:ro]`, after those named before. */
export function parseVolume(text: string, before: readonly VolumeConfiguration[] = []): readonly VolumeConfiguration[] {
  const volume = option(readVolume)(text);
  if (before.some(({ target }) => target === volume.target)) {
    throw new InvalidArgumentError(`There can be one folder at ${volume.target}.`);
  }
  if (before.length >= MAX_FOLDERS) throw new InvalidArgumentError(`There can be ${MAX_FOLDERS} shared folders.`);
  return [...before, volume];
}

/** The parts of a list between single commas. */
function splitList(text: string): string[] {
  return text
    .replaceAll(',,', '\0')
    .split(',')
    .map((part) => part.replaceAll('\0', ','));
}

/** How often code runs before it is translated. */
type Translate = number | 'off';

/** Reads how often code runs before it is translated. */
export function parseTranslate(text: string): Translate {
  if (text === 'off') return text;
  const times = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (times < 1 || times > MOST_HEAT)
    throw new InvalidArgumentError(`It takes a number from 1 to ${MOST_HEAT}, or off.`);
  return times;
}

/** Reads the address of a mirror. */
export function parseMirror(text: string): string {
  const scheme = URL.canParse(text) ? new URL(text).protocol : '';
  if (!['http:', 'https:', 'file:'].includes(scheme)) {
    throw new InvalidArgumentError('It takes an http:, https: or file: address.');
  }
  return text;
}

const forwardOption = option(readForward);

/** Reads ports to forward, after those named before. */
export function parseForward(text: string, before: readonly ForwardRequest[] = []): readonly ForwardRequest[] {
  return [...before, forwardOption(text)];
}

/** Reads a host that the guest may reach, after those named before. */
export function parseAllowed(text: string, before: readonly string[] = []): readonly string[] {
  if (!isHostRule(text)) {
    throw new InvalidArgumentError('It takes a name, *.NAME, an address, or a prefix such as 10.0.0.0/8.');
  }
  return [...before, text];
}
