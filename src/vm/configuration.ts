/**
 * What a machine is to be, written once: this schema gives the types, checks options of the command line and files of
 * `virts run -f`, and writes what `virts inspect` shows. Values have two forms: as people write them (`memory: 512M`,
 * `publish: ['8080:80']`) and as programs use them; `readConfiguration` and `writeConfiguration` go from one to the other.
 */
import * as z from 'zod';
import { VirtsError } from '../base/errors.ts';
import { MOST_HEAT } from '../cpu/interpreter/record.ts';
import { MAX_DISKS, MAX_FOLDERS } from '../machine/pci-devices.ts';
import { formatForward, parseForward } from '../network/forward-text.ts';
import type { ForwardRequest } from '../network/nat.ts';
import { isHostRule } from '../network/policy.ts';
import { DEFAULT_MEMORY, formatMemory, parseMemory } from './memory-size.ts';
import { MOST_VCPUS } from './processors.ts';
import { formatVolume, parseVolume, type VolumeConfiguration } from './volume-text.ts';

/** A value that is written as text; `parse` throws a VirtsError whose message says what it takes. */
function written<T>(values: z.ZodType<T, T>, parse: (text: string) => T, format: (value: T) => string) {
  return z.codec(z.string(), values, {
    decode(text, { issues }) {
      try {
        return parse(text);
      } catch (error) {
        if (!(error instanceof VirtsError)) throw error;
        issues.push({ code: 'custom', message: error.message, input: text });
        return z.NEVER;
      }
    },
    encode: format,
  });
}

const NAME = /^[a-z0-9][a-z0-9_.-]{0,62}$/i;

/** The name of a machine: it is the guest's host name on networks too. */
export const MachineName = z.string().regex(NAME, {
  error: 'It takes a name of up to 63 letters, digits, and . _ - after the first.',
});

/** Bytes of guest RAM, written `512M` or `1G`. */
export const MemorySize = written(z.number(), parseMemory, formatMemory);

/** A number of vCPUs. */
export const VcpuCount = z
  .int({ error: `It takes a number from 1 to ${MOST_VCPUS}.` })
  .min(1, { error: `It takes a number from 1 to ${MOST_VCPUS}.` })
  .max(MOST_VCPUS, { error: `It takes a number from 1 to ${MOST_VCPUS}.` });

const path = z.string().min(1, { error: 'It takes the name of a file.' });

/** A disk besides that of the image. */
export const DiskConfiguration = z
  .strictObject({
    /** The image file. */
    path,
    /** What the file's name ends in says, unless told. */
    format: z.enum(['raw', 'qcow2']).optional(),
    readOnly: z.boolean().default(false),
    /** What the guest writes is thrown away in the end. */
    snapshot: z.boolean().default(false),
    /** Its backing files may be anywhere on the host. */
    anyBacking: z.boolean().default(false),
  })
  .refine(({ readOnly, snapshot }) => !(readOnly && snapshot), {
    error: 'It is either readonly or snapshot, not both.',
  });

/** A directory of the host that the guest may use, written `HOSTDIR:/path[:ro]`. */
const Volume = written(
  z.custom<VolumeConfiguration>() as z.ZodType<VolumeConfiguration, VolumeConfiguration>,
  parseVolume,
  formatVolume,
);

export const NET_KINDS = ['user', 'none'] as const;

const Forward = written(
  z.custom<ForwardRequest>() as z.ZodType<ForwardRequest, ForwardRequest>,
  parseForward,
  formatForward,
);

const HostRule = z.string().refine(isHostRule, {
  error: 'It takes a name, *.NAME, an address, or a prefix such as 10.0.0.0/8.',
});

export const NetworkConfiguration = z.strictObject({
  /** `user`: reaches the outside as this user does; `none`: no network card. */
  kind: z.enum(NET_KINDS).default('user'),
  /** A network of `virts network` that it shares with other machines, which find it by its name; beside what it reaches otherwise. */
  join: z.string().min(1).optional(),
  /** Ports of this host forwarded to the guest, written `[[HOSTADDR:][HOSTPORT]:]GUESTPORT[/udp]`. */
  publish: z.array(Forward).default([]),
  /** The only hosts that the guest reaches; absent: all. */
  allow: z.array(HostRule).optional(),
  /** Whether the gateway is this host's loopback interface for the guest. */
  host: z.boolean().default(false),
});

export const Configuration = z.strictObject({
  name: MachineName.optional(),
  /** An image of the store; the machine boots its kernel, and its first disk is a thin layer over the image's. */
  image: z.string().min(1).optional(),
  /** Boots this kernel in place of the default guest or of the image's. */
  kernel: path.optional(),
  /** In place of the default guest's or of the image's. */
  initrd: path.optional(),
  /** Added to the kernel command line of the default guest or of the image; the whole of it with `kernel`. */
  append: z.string().optional(),
  /** How the default guest is made. */
  architecture: z.enum(['amd64', 'i386']).optional(),
  mirror: z
    .string()
    .regex(/^(https?|file):/, { error: 'It takes an http:, https: or file: address.' })
    .optional(),
  keyring: path.optional(),
  /** Guest RAM. */
  memory: MemorySize.prefault(formatMemory(DEFAULT_MEMORY)),
  /** vCPUs. */
  cpus: VcpuCount.default(1),
  disks: z
    .array(DiskConfiguration)
    .max(MAX_DISKS, { error: `There can be ${MAX_DISKS} disks.` })
    .default([]),
  /** Shared folders. */
  volumes: z
    .array(Volume)
    .max(MAX_FOLDERS, { error: `There can be ${MAX_FOLDERS} shared folders.` })
    .refine((volumes) => new Set(volumes.map(({ target }) => target)).size === volumes.length, {
      error: 'There can be one folder at a path.',
    })
    .default([]),
  network: NetworkConfiguration.prefault({}),
  /** A file for cloud-init in the guest. */
  userData: path.optional(),
  /** A socket of this host, besides that in its directory, that leads to ports of the guest. */
  vsock: path.optional(),
  /** Whether a reset or a triple fault starts the guest again; if not, it ends the run. */
  reboot: z.boolean().default(true),
  /** How often code runs before it is translated; `off`: all is interpreted; absent: as the host has processors to spare. */
  translate: z.union([z.int().min(1).max(MOST_HEAT), z.literal('off')]).optional(),
  /** Checks translated code against the interpreter as it runs. */
  verifyTranslation: z.boolean().default(false),
  /** File for what the guest did that was unexpected; `true`: standard error of the process that runs it. */
  debugLog: z.union([path, z.literal(true)]).optional(),
  /** Whether machine and disk are removed when it ends. */
  remove: z.boolean().default(false),
});

/** As programs use it. */
export type Configuration = z.output<typeof Configuration>;
/** As people write it: what is left out has its default. */
export type WrittenConfiguration = z.input<typeof Configuration>;

export type DiskConfiguration = z.output<typeof DiskConfiguration>;

/** What is wrong, in one sentence. */
function sentence(issue: z.core.$ZodIssue): string {
  const at = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    return `${at === '' ? '' : `${at}: `}there is no setting ${issue.keys.join(', ')}`;
  }
  const reason = issue.message.replace(/\.$/, '').replace(/^Invalid input: /, '');
  return `${at === '' ? '' : `${at}: `}${reason.charAt(0).toLowerCase()}${reason.slice(1)}`;
}

function wrong(error: z.ZodError, source: string): VirtsError {
  return new VirtsError('usage', `${source} is not right: ${sentence(error.issues[0]!)}.`, { source }, error);
}

/** What settings are called, where they come from. */
const SETTING_NAMES = {
  ...{ architecture: 'architecture', mirror: 'mirror', keyring: 'keyring', kernel: 'kernel' },
  ...{ publish: 'network.publish', allow: 'network.allow', host: 'network.host', noNetwork: 'network.kind none' },
  ...{ verifyTranslation: 'verifyTranslation', noTranslation: 'translate off' },
};
export type SettingNames = typeof SETTING_NAMES;

/**
 * Settings that exclude each other.
 * @throws VirtsError `usage`.
 */
function checkTogether(
  { image, kernel, architecture, mirror, keyring, network, ...other }: Configuration,
  names: SettingNames,
): void {
  const refuse = (message: string) => {
    throw new VirtsError('usage', message);
  };
  const [guestOnly] = Object.entries({ architecture, mirror, keyring }).find(([, value]) => value !== undefined) ?? [];
  if (guestOnly !== undefined) {
    const name = names[guestOnly as keyof SettingNames];
    if (kernel !== undefined) {
      refuse(`${name} is for the default guest and has no use together with ${names.kernel}; leave one of them out.`);
    }
    if (image !== undefined) {
      refuse(`${name} is for the default guest and for 'virts pull', and has no use together with an image.`);
    }
  }
  if (network.kind === 'none') {
    const { publish, allow, host, join } = network;
    // Other machines may use forwarded ports of one that is on a network with them.
    const forwards = publish.length > 0 && join === undefined;
    const useless = forwards ? names.publish : allow !== undefined ? names.allow : host ? names.host : '';
    if (useless !== '') refuse(`${useless} needs a network; leave ${names.noNetwork} out.`);
  }
  if (other.verifyTranslation && other.translate === 'off') {
    refuse(`${names.verifyTranslation} checks translated code, which ${names.noTranslation} excludes.`);
  }
}

/**
 * Reads what people or files say.
 * @param source begins sentences: "web.yaml". `names`: what settings are called there.
 * @throws VirtsError `usage`.
 */
export function readConfiguration(value: unknown, source: string, names: SettingNames = SETTING_NAMES): Configuration {
  const read = z.safeDecode(Configuration, value as WrittenConfiguration);
  if (!read.success) throw wrong(read.error, source);
  checkTogether(read.data, names);
  return read.data;
}

/** As `readConfiguration` reads it, and without what is as it is by default. */
export function writeConfiguration(configuration: Configuration): WrittenConfiguration {
  const text = z.encode(Configuration, configuration);
  return withoutDefaults(text, z.encode(Configuration, z.decode(Configuration, {}))) as WrittenConfiguration;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The entries that differ from their defaults. */
function withoutDefaults(value: Record<string, unknown>, defaults: Record<string, unknown>): Record<string, unknown> {
  const kept: [string, unknown][] = [];
  for (const [name, own] of Object.entries(value)) {
    const usual = defaults[name];
    const left = isRecord(own) && isRecord(usual) ? withoutDefaults(own, usual) : own;
    if (left === undefined || JSON.stringify(left) === (isRecord(left) ? '{}' : JSON.stringify(usual))) continue;
    kept.push([name, left]);
  }
  return Object.fromEntries(kept);
}
