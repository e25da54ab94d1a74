/** The guest of the benchmark: the kernels and Debian's programs in an initramfs, and the same tree on the host. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { VirtsError } from '../src/base/errors.ts';
import { type CpioEntry, writeCpio } from '../src/images/initramfs/cpio.ts';
import { makeProgram, makeText } from './inputs.ts';
import { isWanted, type PackageFiles, type PackageSource, packageEntries } from './package-files.ts';
import { PACKAGES, ROOT_LINKS, WITHOUT } from './packages.ts';

export interface BenchImage {
  /** Path of the initramfs. */
  readonly initrd: string;
  /** Directory on the host with the same files, for native runs. */
  readonly root: string;
  /** Names and versions of the packages in it. */
  readonly packages: readonly string[];
}

export interface BenchImageOptions extends PackageSource {
  /** Ask the archive although an image of these sources is there. */
  readonly refresh: boolean;
}

const run = promisify(execFile);

const SOURCES = join(import.meta.dirname, 'guest');
const CFLAGS = ['-std=gnu17', '-O2', '-static', '-march=x86-64-v2', '-ffp-contract=off', '-Wall', '-Wextra'];
const TEXT_BYTES = 4 << 20;
const PROGRAM_FUNCTIONS = 4;
const BUSYBOX = 'busybox-static';
/** Changes when this file makes something else of the same sources. */
const LAYOUT = 2;

const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** The files below `bench/guest`, by path. */
async function guestSources(): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const entry of await readdir(SOURCES, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(SOURCES.length + 1).replaceAll('\\', '/'), await readFile(path));
  }
  return new Map([...files].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

async function compilerVersion(): Promise<string> {
  try {
    return (await run('gcc', ['--version'])).stdout.split('\n')[0]!;
  } catch (error) {
    throw new VirtsError('unsupported', 'The benchmark needs gcc and the static C library; install them.', {}, error);
  }
}

/** One name for everything the image is made of but the packages' versions. */
function recipeOf(sources: ReadonlyMap<string, Buffer>, compiler: string): string {
  const files = [...sources].map(([path, content]) => [path, sha256(content)]);
  const inputs = [TEXT_BYTES, PROGRAM_FUNCTIONS, sha256(makeText(4096)), sha256(makeProgram(PROGRAM_FUNCTIONS))];
  return sha256(JSON.stringify([LAYOUT, CFLAGS, compiler, PACKAGES, [...WITHOUT], inputs, files]));
}

/** Compiles the kernels into one static program. */
async function compileKernels(sources: ReadonlyMap<string, Buffer>): Promise<Buffer> {
  const files = [...sources.keys()].filter((path) => path.endsWith('.c')).map((path) => join(SOURCES, path));
  const directory = await mkdtemp(join(tmpdir(), 'virts-bench-'));
  try {
    const output = join(directory, 'kernels');
    await run('gcc', [...CFLAGS, '-o', output, ...files]);
    return await readFile(output);
  } catch (error) {
    const reason = (error as { stderr?: string }).stderr ?? String(error);
    throw new VirtsError('unsupported', `The kernels could not be compiled: ${reason.trim()}`, {}, error);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function benchEntries(sources: ReadonlyMap<string, Buffer>, kernels: Buffer): CpioEntry[] {
  const programs = [...sources].filter(([path]) => path.startsWith('programs/'));
  const project = [...sources].filter(([path]) => /^[^/]+\.[ch]$/.test(path));
  return [
    { type: 'file', path: 'init', content: sources.get('init')!, mode: 0o755 },
    { type: 'file', path: 'bench/runner', content: sources.get('runner')! },
    { type: 'file', path: 'bench/kernels', content: kernels, mode: 0o755 },
    ...programs.map(([path, content]): CpioEntry => ({ type: 'file', path: `bench/${path}`, content })),
    ...project.map(([path, content]): CpioEntry => ({ type: 'file', path: `bench/project/${path}`, content })),
    { type: 'file', path: 'bench/inputs/text', content: makeText(TEXT_BYTES) },
    { type: 'file', path: 'bench/inputs/program.c', content: makeProgram(PROGRAM_FUNCTIONS) },
  ];
}

/** Puts every directory before what is in it, and adds those that nothing named. */
export function orderEntries(entries: Iterable<CpioEntry>): CpioEntry[] {
  const byPath = new Map<string, CpioEntry>();
  for (const entry of entries) {
    for (let at = entry.path.indexOf('/'); at >= 0; at = entry.path.indexOf('/', at + 1)) {
      const path = entry.path.slice(0, at);
      if (!byPath.has(path)) byPath.set(path, { type: 'directory', path });
    }
    byPath.set(entry.path, entry);
  }
  return [...byPath.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

/** Writes the entries as files below `root`. Device nodes are left out: making one takes a privilege. */
async function writeTree(root: string, entries: readonly CpioEntry[]): Promise<void> {
  for (const entry of entries) {
    const path = join(root, entry.path);
    await mkdir(dirname(path), { recursive: true });
    if (entry.type === 'directory') await mkdir(path, { recursive: true });
    else if (entry.type === 'symlink') await symlink(entry.target, path);
    else if (entry.type === 'file') await writeFile(path, entry.content, { mode: entry.mode ?? 0o644 });
  }
}

/** The files of the image's packages. */
function imageEntries(options: BenchImageOptions): Promise<PackageFiles> {
  const wanted = (path: string, name: string): boolean =>
    name === BUSYBOX ? /(^|\/)bin\/busybox$/.test(path) : isWanted(path);
  // Not on the programs' path: only process 1 uses it.
  const placed = (entry: CpioEntry, name: string): CpioEntry =>
    name === BUSYBOX ? { ...entry, path: 'usr/lib/bench/busybox' } : entry;
  return packageEntries(options, { names: PACKAGES, without: WITHOUT, wanted, placed });
}

const imageIn = (directory: string, packages: readonly string[]): BenchImage => ({
  initrd: join(directory, 'initrd'),
  root: join(directory, 'root'),
  packages,
});

async function findMade(directory: string, recipe: string): Promise<BenchImage | undefined> {
  for (const name of await readdir(directory).catch(() => [] as string[])) {
    if (!name.startsWith(`${recipe.slice(0, 16)}-`)) continue;
    const text = await readFile(join(directory, name, 'packages.json'), 'utf8').catch(() => undefined);
    if (text !== undefined) return imageIn(join(directory, name), JSON.parse(text) as string[]);
  }
  return undefined;
}

/**
 * The guest of the benchmark: from the cache if it was made of these sources, else from the archive.
 * @throws VirtsError as `openArchive` and `debEntries` do; `unsupported` without a C compiler.
 */
export async function benchImage(options: BenchImageOptions): Promise<BenchImage> {
  const directory = join(options.cache, 'bench');
  const sources = await guestSources();
  const recipe = recipeOf(sources, await compilerVersion());
  const made = options.refresh ? undefined : await findMade(directory, recipe);
  if (made !== undefined) return made;
  const kernels = await compileKernels(sources);
  const { entries, packages, key } = await imageEntries(options);
  const all = orderEntries([
    ...(['dev', 'proc', 'sys', 'tmp'] as const).map((path): CpioEntry => ({ type: 'directory', path })),
    { type: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    ...entries,
    ...ROOT_LINKS,
    { type: 'symlink', path: 'usr/bin/python3', target: 'python3.11' },
    ...benchEntries(sources, kernels),
  ]);
  const step = options.progress.step('Making the guest of the benchmark');
  const temporary = join(directory, `.new-${process.pid}`);
  const final = join(directory, `${recipe.slice(0, 16)}-${key.slice(0, 16)}`);
  try {
    await writeTree(join(temporary, 'root'), all);
    await writeFile(join(temporary, 'initrd'), writeCpio(all));
    await writeFile(join(temporary, 'packages.json'), JSON.stringify(packages));
    // Images of other sources go: each takes some 300 MB.
    for (const name of await readdir(directory)) {
      if (/^[0-9a-f]{16}-[0-9a-f]{16}$/.test(name)) await rm(join(directory, name), { recursive: true, force: true });
    }
    await rename(temporary, final);
  } finally {
    step.end();
    await rm(temporary, { recursive: true, force: true });
  }
  return imageIn(final, packages);
}
