/** The configuration that a command line and a file of `-f` ask for. */
import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import { VirtsError } from '../../base/errors.ts';
import { fileError } from '../../images/apt/cache.ts';
import { formatForward } from '../../network/forward-text.ts';
import type { ForwardRequest } from '../../network/nat.ts';
import { isAddress } from '../../storage/http/ranges.ts';
import {
  type Configuration,
  type DiskConfiguration,
  readConfiguration,
  type SettingNames,
  type WrittenConfiguration,
} from '../../vm/configuration.ts';
import { formatMemory } from '../../vm/memory-size.ts';
import { formatVolume, parseVolume, type VolumeConfiguration } from '../../vm/volume-text.ts';

/** Options of a command line that are settings of a machine. Absent: as the file says, or as usual. */
export interface MachineSettings {
  readonly name?: string;
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  readonly arch?: 'amd64' | 'i386';
  readonly mirror?: string;
  readonly keyring?: string;
  /** Bytes. */
  readonly memory?: number;
  readonly cpus?: number;
  readonly disk?: readonly DiskConfiguration[];
  readonly volume?: readonly VolumeConfiguration[];
  readonly translate?: Configuration['translate'];
  readonly verifyTranslation?: boolean;
  readonly reboot?: boolean;
  /** A file, or `true` for standard error. */
  readonly debugLog?: string | true;
  readonly net?: Configuration['network']['kind'];
  readonly publish?: readonly ForwardRequest[];
  readonly netAllow?: readonly string[];
  readonly netHost?: boolean;
  /** A network with other machines. */
  readonly network?: string;
  readonly userData?: string;
  readonly vsock?: string;
  readonly rm?: boolean;
}

const without = <T extends object>(settings: T): T =>
  Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as T;

function written(settings: MachineSettings): WrittenConfiguration {
  const { name, kernel, initrd, append, arch, mirror, keyring, memory, cpus, disk, translate } = settings;
  return without({
    ...{ name, kernel, initrd, append, architecture: arch, mirror, keyring, cpus, translate },
    memory: memory === undefined ? undefined : formatMemory(memory),
    disks: disk === undefined ? undefined : [...disk],
    volumes: settings.volume?.map(formatVolume),
    verifyTranslation: settings.verifyTranslation,
    // Where there is a configuration file, the option's default must not undo what it says.
    reboot: settings.reboot === false ? false : undefined,
    ...{ debugLog: settings.debugLog, userData: settings.userData, vsock: settings.vsock },
    remove: settings.rm,
  }) as WrittenConfiguration;
}

function writtenNetwork({
  net,
  publish,
  netAllow,
  netHost,
  network,
}: MachineSettings): WrittenConfiguration['network'] {
  return without({
    kind: net,
    publish: publish?.map(formatForward),
    allow: netAllow === undefined ? undefined : [...netAllow],
    host: netHost,
    join: network,
  }) as WrittenConfiguration['network'];
}

/** Paths count from the file that names them, or from the working directory; a disk may be on a web server. */
function absolute(configuration: WrittenConfiguration, base: string): WrittenConfiguration {
  const path = (name: unknown) => (typeof name === 'string' && name !== '' ? resolve(base, name) : name);
  const image = (name: unknown) => (typeof name === 'string' && isAddress(name) ? name : path(name));
  const { kernel, initrd, keyring, debugLog, userData, vsock, disks, volumes } = configuration;
  const folder = (text: string) => {
    const volume = parseVolume(text);
    return formatVolume({ ...volume, path: resolve(base, volume.path) });
  };
  return without({
    ...configuration,
    ...{ kernel: path(kernel), initrd: path(initrd), keyring: path(keyring), debugLog: path(debugLog) },
    ...{ userData: path(userData), vsock: path(vsock) },
    disks: Array.isArray(disks) ? disks.map((disk) => without({ ...disk, path: image(disk?.path) })) : disks,
    volumes: volumes?.map(folder),
  }) as WrittenConfiguration;
}

/** Reads a YAML file. @throws VirtsError `usage`, `not-found`, `io`. */
function readFile(path: string): WrittenConfiguration {
  let text: string;
  try {
    text = readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (error) {
    throw fileError(error, path, 'read');
  }
  const document = parseDocument(text, { prettyErrors: true });
  const [error] = document.errors;
  if (error !== undefined) {
    const reason = error.message.split('\n')[0]!.replace(/:$/, '');
    throw new VirtsError('usage', `${path} is no YAML: ${reason}.`, { path }, error);
  }
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  // The check speaks of the whole, with all that is wrong in it.
  readConfiguration(value, path);
  return absolute(value as WrittenConfiguration, isAbsolute(path) ? dirname(path) : dirname(resolve(path)));
}

/** What settings are called on the command line. */
const OPTIONS: SettingNames = {
  ...{ architecture: '--arch', mirror: '--mirror', keyring: '--keyring', kernel: '--kernel' },
  ...{ publish: '--publish', allow: '--net-allow', host: '--net-host', noNetwork: '--net none' },
  ...{ verifyTranslation: '--verify-translation', noTranslation: '--translate off' },
};

export interface Request {
  readonly settings: MachineSettings;
  readonly image?: string | undefined;
  /** A YAML file whose settings count where the command line has none. */
  readonly file?: string | undefined;
}

/** @throws VirtsError `usage`, `not-found`, `io`. */
export function configurationOf({ settings, image, file }: Request): Configuration {
  const base = file === undefined ? {} : readFile(file);
  const own = absolute(written(settings), process.cwd());
  const network = { ...base.network, ...writtenNetwork(settings) };
  const all = { ...base, ...own, network, ...(image !== undefined && { image }) };
  return file === undefined ? readConfiguration(all, 'The command line', OPTIONS) : readConfiguration(all, file);
}
