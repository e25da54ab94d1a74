/** What a program says of a machine that it makes. */

import type { BootSource } from './boot-files.ts';
import type { Image } from './image.ts';
import type { Network } from './private-network.ts';
import type { WorkProgress } from './progress.ts';

/** A disk besides that of the image. */
export interface DiskOptions {
  /** The image file, or its address on a web server (`http:`, `https:`), which can only be read. */
  readonly path: string;
  /** What the file's name ends in says (`.qcow2`; anything else is raw), unless told. */
  readonly format?: 'raw' | 'qcow2' | undefined;
  /** The guest cannot write to it; `false` unless told. */
  readonly readOnly?: boolean | undefined;
  /** What the guest writes is thrown away in the end; `false` unless told. Not together with `readOnly`. */
  readonly snapshot?: boolean | undefined;
  /** Its backing files may be anywhere on the host: only for images that you trust. `false` unless told. */
  readonly anyBacking?: boolean | undefined;
}

/** The machine's network card, and what the guest reaches by it. */
export interface NetworkOptions {
  /** `user`, unless told: it reaches what this process reaches, by NAT. `none`: it has no card, or, with `join`, meets other machines only. */
  readonly kind?: 'user' | 'none' | undefined;
  /** A network that it shares with other machines, which find each other by their names: one of `Network.create`, or the name of one of `virts network`. */
  readonly join?: string | Network | undefined;
  /**
   * Ports of this host forwarded to the guest, as `virts run -p` has them: `[[HOSTADDR:][HOSTPORT]:]GUESTPORT[/udp]`. Without HOSTADDR
   * it is 127.0.0.1; without HOSTPORT a free one is taken, which `machine.forwards` tells.
   */
  readonly publish?: readonly (string | number)[] | undefined;
  /** The only hosts that the guest reaches: names, `*.NAME`, addresses, prefixes such as `10.0.0.0/8`. Absent: all. */
  readonly allow?: readonly string[] | undefined;
  /** Whether the gateway, 10.0.2.2, is this host's loopback interface for the guest; `false` unless told. */
  readonly host?: boolean | undefined;
}

/**
 * What a machine is to be: the settings of `virts run -f`, under the same names, and a few that only a program can give. Relative paths
 * count from the working directory.
 */
export interface MachineOptions {
  /** For people, and for others on its network: up to 63 letters, digits, and `.`, `_`, `-` after the first. */
  readonly name?: string | undefined;
  /** Image that it is made from. Without one, and without `kernel`, the default guest runs: a Linux kernel with busybox. */
  readonly image?: string | Image | undefined;
  /** Whether an image that is not there, but can be made, is made first, which takes some minutes: `missing` unless told. */
  readonly pull?: 'missing' | 'never' | undefined;
  /**
   * Where what the guest writes to the image's disk is kept: a qcow2 file, which is made if it is not there, and holds only the
   * differences from the image. Absent: it is thrown away when the machine is closed.
   */
  readonly overlay?: string | undefined;
  /** Boots this kernel in place of the image's or the default guest's: a path, or a bzImage, PVH or multiboot kernel in memory. */
  readonly kernel?: BootSource | undefined;
  /** Initial RAM disk, in place of the image's or the default guest's. */
  readonly initrd?: BootSource | undefined;
  /** Added to the kernel command line of the image or the default guest; the whole of it with `kernel`. */
  readonly append?: string | undefined;
  /** Of the default guest; `amd64` unless told. */
  readonly architecture?: 'amd64' | 'i386' | undefined;
  /** Address of the Debian archive for the default guest; the one of this host's APT configuration unless told. */
  readonly mirror?: string | undefined;
  /** File with the keys that the archive must be signed with, in place of the Debian keyring. */
  readonly keyring?: string | undefined;
  /** Guest RAM: bytes, a multiple of 4096, or text such as `512M` or `1G`; 1 MiB to 3.5 GiB. `512M` unless told. */
  readonly memory?: number | string | undefined;
  /** vCPUs, 1 to 8, each with a thread of its own; 1 unless told. */
  readonly cpus?: number | undefined;
  /** Disks besides that of the image, in the order in which the guest finds them; at most 16. */
  readonly disks?: readonly DiskOptions[] | undefined;
  /** Directories of this host for the guest, `HOSTDIR:/path[:ro]`; at most 8. */
  readonly volumes?: readonly string[] | undefined;
  readonly network?: NetworkOptions | undefined;
  /** A file for cloud-init in the guest. */
  readonly userData?: string | undefined;
  /** A socket of this host that leads to ports of the guest, so that `virts exec` and `virts cp` reach it. */
  readonly vsock?: string | undefined;
  /** Whether a reset or a triple fault starts the guest again; `true` unless told. If not, it ends the run. */
  readonly reboot?: boolean | undefined;
  /** How often code runs before it is translated, or `off`: all is interpreted. Absent: 20,000; 60,000 where the vCPUs leave the host no processor. */
  readonly translate?: number | 'off' | undefined;
  /** Checks translated code against the interpreter as it runs; slow. */
  readonly verifyTranslation?: boolean | undefined;
  /** Takes what the guest did that was unexpected, a line a call. */
  readonly onDebugLog?: ((line: string) => void) | undefined;
  /** Told, now and then, how far preparations are that may take long. */
  readonly onProgress?: ((progress: WorkProgress) => void) | undefined;
  /** Ends the preparations of `Machine.create` and `Machine.start`, which then reject with its reason. */
  readonly signal?: AbortSignal | undefined;
}
