/** Makes the image `debian`: asks the archive, downloads, has a machine build the disk, and puts the image in place. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { agentFiles } from '../agent/files.ts';
import { type Archive, type ArchiveOptions, type Candidate, openArchive } from '../apt/archive.ts';
import { writeWhole } from '../apt/cache.ts';
import { readAptOptions } from '../apt/config.ts';
import { fetchAll } from '../apt/fetch-all.ts';
import type { Progress } from '../apt/progress.ts';
import { defaultGuest } from '../default-guest.ts';
import { type Fetched, readBusybox } from '../initramfs/packages.ts';
import type { RunGuest } from '../run-guest.ts';
import { type Draft, draftImage, FILES, type Image, openImage } from '../store.ts';
import { buildDisk } from './build.ts';
import { buildScript } from './build-script.ts';
import { imageInitrd, recipe as initrdRecipe } from './initrd.ts';
import { BOOTSTRAP, basePackages, kernelPackage, MAKE_FILE_SYSTEM, RELEASE } from './packages.ts';
import { guestProxy, guestSources } from './sources.ts';
import { APPEND, FINISH_SCRIPT, type ImageFile, systemFiles } from './system-files.ts';

export interface PullOptions extends Pick<ArchiveOptions, 'cache' | 'mirror' | 'keyring' | 'signal' | 'progress'> {
  /** What the image is to be called. */
  readonly name: string;
  /** Bytes of the disk as the guest sees it. */
  readonly diskSize: number;
  /** Packages besides those that every image has. */
  readonly include: readonly string[];
  /** Public keys that may log in as root by SSH, one a line. */
  readonly authorizedKeys: string;
  readonly run: RunGuest;
  /** See ArchiveOptions. */
  readonly archive?: Pick<ArchiveOptions, 'aptDirectory' | 'verifier'>;
  readonly env: NodeJS.ProcessEnv;
}

export interface Pulled {
  readonly image: Image;
  /** Whether it was made now; else what was there is what would be made. */
  readonly isNew: boolean;
}

const ARCHITECTURE = 'amd64';
const HOSTNAME = 'debian';

/** What an image is made of, before anything is downloaded. */
interface Plan {
  readonly archive: Archive;
  readonly busybox: Candidate;
  readonly packages: readonly Candidate[];
  readonly bootstrap: ReadonlySet<string>;
  readonly tools: readonly Candidate[];
  readonly files: (uuid: string) => readonly ImageFile[];
  /** See ImageContent. */
  readonly recipe: string;
}

const namesOf = (candidates: readonly Candidate[]): string[] => candidates.map(({ name }) => name);

async function planFiles(
  options: PullOptions,
  archive: Archive,
  packages: readonly string[],
  manual: ReadonlySet<string>,
) {
  const { keyring, env, progress } = options;
  const aptDirectory = options.archive?.aptDirectory ?? '/etc/apt';
  const sources = await guestSources({ sources: archive.sources, keyring, aptDirectory, warn: progress.warn });
  const proxy = guestProxy(sources, await readAptOptions(aptDirectory), env);
  const { authorizedKeys } = options;
  const request = {
    hostname: HOSTNAME,
    architecture: ARCHITECTURE,
    sources,
    proxy,
    manual,
    packages,
    authorizedKeys,
  } as const;
  return (uuid: string): ImageFile[] => [...systemFiles({ ...request, uuid }), ...agentFiles()];
}

async function plan(options: PullOptions): Promise<Plan> {
  const { cache, mirror, keyring, signal, progress, env, include, diskSize } = options;
  const archive = await openArchive({
    ...options.archive,
    ...{ release: RELEASE, architecture: ARCHITECTURE, cache, mirror, keyring, signal, progress, env },
  });
  const kernel = archive.resolve(kernelPackage(ARCHITECTURE));
  const busybox = archive.resolve('busybox-static');
  const wanted = [...basePackages(), kernel.name, ...include];
  const packages = archive.closure(wanted);
  const files = await planFiles(options, archive, namesOf(packages), new Set(wanted));
  const ingredients = [
    [busybox, ...packages].map(({ sha256 }) => sha256),
    buildScript({ uuid: '', architecture: ARCHITECTURE, order: [], bootstrap: [], first: [] }),
    ...[files('').map(({ path, mode, content }) => [path, mode, Buffer.from(content as string).toString('base64')])],
    ...[FINISH_SCRIPT, initrdRecipe(), APPEND, diskSize],
  ];
  return {
    ...{ archive, busybox, packages, files },
    bootstrap: new Set(namesOf(archive.closure(BOOTSTRAP))),
    tools: archive.closure([MAKE_FILE_SYSTEM]),
    recipe: createHash('sha256').update(JSON.stringify(ingredients)).digest('hex'),
  };
}

/** Runs a piece of work that is a step by itself. */
async function asStep<T>(progress: Progress, label: string, work: () => Promise<T>): Promise<T> {
  const step = progress.step(label);
  try {
    return await work();
  } finally {
    step.end();
  }
}

async function fetchPlanned({ archive, busybox, packages, tools }: Plan, progress: Progress) {
  const all = [...new Map([...packages, ...tools, busybox].map((entry) => [entry.sha256, entry])).values()];
  const paths = await fetchAll(archive, all, 'Downloading packages', progress);
  const pathOf = new Map(all.map(({ sha256 }, at) => [sha256, paths[at]!]));
  return (candidate: Candidate): Fetched => ({ candidate, path: pathOf.get(candidate.sha256)! });
}

async function make(options: PullOptions, planned: Plan, draft: Draft): Promise<Image> {
  const { signal, progress, diskSize, run, cache, name, mirror, keyring, env } = options;
  const archive = { ...options.archive, env };
  const guest = await defaultGuest({ architecture: ARCHITECTURE, cache, mirror, keyring, signal, progress, archive });
  const fetched = await fetchPlanned(planned, progress);
  const kernel = await buildDisk({
    ...{ guest, diskSize, run, progress, signal, architecture: ARCHITECTURE },
    packages: planned.packages.map(fetched),
    bootstrap: planned.bootstrap,
    tools: planned.tools.map(fetched),
    files: planned.files,
    disk: join(draft.directory, FILES.disk),
    log: join(cache, 'logs', `pull-${name}.log`),
  });
  return asStep(progress, 'Putting the image in place', async () => {
    await writeWhole(join(draft.directory, FILES.kernel), kernel.image);
    const busybox = await readBusybox(fetched(planned.busybox), signal);
    await writeWhole(join(draft.directory, FILES.initrd), imageInitrd(kernel, busybox));
    return draft.commit({
      ...{
        distribution: 'debian',
        release: RELEASE,
        architecture: ARCHITECTURE,
        append: APPEND,
        virtualSize: diskSize,
      },
      created: new Date().toISOString(),
      packages: planned.packages.map((entry) => `${entry.name}=${entry.version}`),
      recipe: planned.recipe,
    });
  });
}

/**
 * Makes an image, unless the one of that name is what would be made now.
 * @throws VirtsError as `openArchive`, `draftImage` and `buildDisk` do, or the reason of the abort. Then the image of before is still there.
 */
export async function pullDebian(options: PullOptions): Promise<Pulled> {
  const draft = await draftImage(options.name, options.env);
  try {
    const planned = await asStep(options.progress, 'Asking the archive', () => plan(options));
    const before = await openImage(options.name, options.env).catch(() => undefined);
    if (before?.record.recipe === planned.recipe) return { image: before, isNew: false };
    return { image: await make(options, planned, draft), isNew: true };
  } finally {
    await draft.close();
  }
}
