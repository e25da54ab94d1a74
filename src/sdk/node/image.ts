/** Images of this host: what machines are made from. */
import { VirtsError } from '../../base/errors.ts';
import { exportImage } from '../../images/export.ts';
import { importImage } from '../../images/import.ts';
import { listImages, openImage, removeImage, type Image as StoredImage } from '../../images/store.ts';
import type { Format } from '../../storage/open-disk.ts';
import { callbackProgress, type WorkProgress } from './progress.ts';
import { DEFAULT_DISK_SIZE, pullImage } from './pull.ts';
import { startMachine } from './start-machine.ts';

/** What takes long tells how far it is, and can be ended. */
export interface WorkOptions {
  readonly onProgress?: ((progress: WorkProgress) => void) | undefined;
  /** Takes sentences that somebody should read although the work goes on. */
  readonly onWarning?: ((sentence: string) => void) | undefined;
  /** Ends the work, which then rejects with its reason. What was there before still is. */
  readonly signal?: AbortSignal | undefined;
}

export interface ImagePullOptions extends WorkOptions {
  /** What to call the image: up to 64 lower-case letters, digits, `.`, `_`, `-`; the distribution's name unless told. */
  readonly name?: string | undefined;
  /** Bytes of the disk, 20 GiB unless told. It takes only the room on the host that the guest fills. */
  readonly size?: number | undefined;
  /** Packages besides those that every image has. */
  readonly include?: readonly string[] | undefined;
  /** A file with public keys that may log in as root by SSH. */
  readonly sshKey?: string | undefined;
  /** Address of the Debian archive; the one of this host's APT configuration unless told. */
  readonly mirror?: string | undefined;
  /** File with the keys that the archive must be signed with, in place of the Debian keyring. */
  readonly keyring?: string | undefined;
}

export interface ImageImportOptions extends WorkOptions {
  /** What to call the image; what it was called when it was exported, unless told. Needed with a disk. */
  readonly name?: string | undefined;
  /** For a disk: a file with the kernel that boots it, and perhaps an initial RAM disk and a kernel command line. */
  readonly kernel?: string | undefined;
  readonly initrd?: string | undefined;
  readonly append?: string | undefined;
  /** The disk's format, where its name does not say it. */
  readonly format?: Format | undefined;
}

export interface ImageRemoveOptions {
  /** Also if machines of `virts run` use it, which then do not start again. */
  readonly force?: boolean | undefined;
}

/** An image of this host: a disk, and the kernel that boots it. It does not change; another of its name takes its place. */
export interface Image {
  readonly name: string;
  /** SHA-256 of its content, in hexadecimal: equal images have equal ones. */
  readonly id: string;
  /** Such as `debian`, and `bookworm`. */
  readonly distribution: string;
  readonly release: string;
  readonly architecture: 'amd64' | 'i386';
  readonly created: Date;
  /** Bytes of the disk as the guest sees it. */
  readonly diskSize: number;
  /** Packages that it was made of, each `name=version`. */
  readonly packages: readonly string[];
  /**
   * Writes it to a file: `.tar` or `.tar.zst` with all of it, `.qcow2`, `.raw` or `.img` with the disk alone.
   * @throws VirtsError `usage` for a name that says no format or is taken; `no-space`, `io`.
   */
  export(path: string, options?: WorkOptions): Promise<void>;
  /** Removes it. Machines that run go on. @throws VirtsError `usage` where machines of `virts run` use it; `io`. */
  remove(options?: ImageRemoveOptions): Promise<void>;
}

const stored = new WeakMap<Image, StoredImage>();

/** What the store knows of an image. @throws VirtsError `usage` for what did not come from here. */
export function storedImage(image: Image): StoredImage {
  const known = stored.get(image);
  if (known === undefined) throw new VirtsError('usage', 'An image is a name, or what Image.open and the like give.');
  return known;
}

function publicImage(image: StoredImage): Image {
  const { name, id, distribution, release, architecture, created, disk, packages } = image.record;
  const made: Image = {
    ...{ name, id, distribution, release, architecture, packages },
    created: new Date(created),
    diskSize: disk.virtualSize,
    export: (path, options = {}) => {
      const { progress, signal } = hostOf(options);
      return exportImage(image, path, progress, signal);
    },
    remove: ({ force = false } = {}) => removeImage(name, force, process.env),
  };
  stored.set(made, image);
  return made;
}

const hostOf = ({ onProgress, onWarning = () => {}, signal = new AbortController().signal }: WorkOptions) => ({
  progress: callbackProgress(onProgress, onWarning),
  signal,
  env: process.env,
  startMachine,
});

export const Image = {
  /** All images of this user, by name. Those that are damaged are left out. */
  async list(): Promise<Image[]> {
    return (await listImages(process.env)).images.map(publicImage);
  },

  /** @throws VirtsError `not-found`; `bad-input` for one that is damaged; `usage`, `io`. */
  async open(name: string): Promise<Image> {
    return publicImage(await openImage(name, process.env));
  },

  /**
   * Makes the image of a distribution, of which there is `debian`: packages are downloaded, verified, and installed in a machine, without
   * root. It takes some minutes; nothing is done where the archive has nothing newer.
   * @throws VirtsError `network`, `untrusted`, `no-space`, `usage`, `io`, or the reason of the signal. What was downloaded is kept.
   */
  async pull(distribution: string, options: ImagePullOptions = {}): Promise<Image> {
    options.signal?.throwIfAborted();
    const { size = DEFAULT_DISK_SIZE, name, include, sshKey, mirror, keyring } = options;
    const { image } = await pullImage(distribution, { size, name, include, sshKey, mirror, keyring }, hostOf(options));
    return publicImage(image);
  },

  /**
   * Takes what `export` wrote, or a disk together with its kernel and a name. The disk is copied.
   * @throws VirtsError `usage` for what does not fit together and for a name that is taken; `bad-input` for what is no image; `untrusted`
   * for a disk with files of the host behind it; `not-found`, `no-space`, `io`.
   */
  async import(path: string, options: ImageImportOptions = {}): Promise<Image> {
    options.signal?.throwIfAborted();
    const { name, kernel, initrd, append, format } = options;
    const { env, progress, signal } = hostOf(options);
    return publicImage(await importImage({ path, name, kernel, initrd, append, format, env, progress, signal }));
  },
};
