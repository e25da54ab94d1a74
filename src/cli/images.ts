/** `virts image ls`, `inspect`, `rm`, `export` and `import`. */
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { VirtsError } from '../base/errors.ts';
import { exportImage, imageTar } from '../images/export.ts';
import { importImage } from '../images/import.ts';
import { type Image, listImages, openImage, removeImage } from '../images/store.ts';
import { machinesUsing } from '../images/users.ts';
import type { Format } from '../storage/open-disk.ts';
import type { Environment } from './environment.ts';
import { showProgress } from './progress.ts';
import { ago, shortSize, table } from './table.ts';

const SHORT_ID = 12;

/** Bytes that an image takes on this host: a disk's file may have holes. */
async function hostSize({ kernel, initrd, disk }: Image): Promise<number> {
  let sum = 0;
  for (const path of [kernel, initrd, disk]) {
    const info = path === undefined ? undefined : await stat(path).catch(() => undefined);
    sum += (info?.blocks ?? 0) * 512;
  }
  return sum;
}

/** What `inspect` and `ls --json` tell of an image. */
async function description(image: Image, env: NodeJS.ProcessEnv): Promise<Record<string, unknown>> {
  const { format: _format, recipe: _recipe, kernel, initrd, disk, packages, ...rest } = image.record;
  return {
    ...rest,
    hostSize: await hostSize(image),
    usedBy: await machinesUsing(image.disk, env),
    kernel: { path: image.kernel, ...kernel },
    ...(initrd && { initrd: { path: image.initrd, ...initrd } }),
    disk: { path: image.disk, format: 'qcow2', ...disk },
    packages,
  };
}

const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

export interface ListOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export async function listCommand(options: ListOptions, { env, stdout, stderr }: Environment): Promise<void> {
  const { images, problems } = await listImages(env);
  for (const { message } of problems) stderr.write(`virts: ${message}\n`);
  if (options.json === true) {
    stdout.write(json(await Promise.all(images.map((image) => description(image, env)))));
  } else if (options.quiet === true) {
    stdout.write(images.map(({ record }) => `${record.id.slice(0, SHORT_ID)}\n`).join(''));
  } else {
    const now = Date.now();
    const rows = images.map(async (image) => {
      const { name, id, distribution, release, created, disk } = image.record;
      const [used, whole] = [shortSize(await hostSize(image)), shortSize(disk.virtualSize)];
      return [name, id.slice(0, SHORT_ID), `${distribution} ${release}`, ago(Date.parse(created), now), used, whole];
    });
    stdout.write(table(['NAME', 'IMAGE ID', 'SYSTEM', 'CREATED', 'SIZE', 'DISK'], await Promise.all(rows)));
  }
}

export async function inspectCommand(names: readonly string[], { env, stdout }: Environment): Promise<void> {
  const images = [];
  for (const name of names) images.push(await description(await openImage(name, env), env));
  stdout.write(json(images));
}

/** Removes all that can be removed; then rejects with the first failure, if there was one. */
export async function removeCommand(names: readonly string[], force: boolean, environment: Environment): Promise<void> {
  const { env, stdout, stderr } = environment;
  const failures: unknown[] = [];
  for (const name of names) {
    try {
      await removeImage(name, force, env);
      stdout.write(`${name}\n`);
    } catch (error) {
      failures.push(error);
    }
  }
  for (const error of failures.slice(1)) {
    if (!(error instanceof VirtsError)) throw error;
    stderr.write(`virts: ${error.message}\n`);
  }
  if (failures.length > 0) throw failures[0];
}

/** @param output a file, or nothing for standard output. */
export async function exportCommand(
  name: string,
  output: string | undefined,
  { env, stdout, stderr }: Environment,
  signal: AbortSignal,
): Promise<void> {
  const image = await openImage(name, env);
  if (output !== undefined) return exportImage(image, output, showProgress(stderr), signal);
  if (stdout.isTTY === true) {
    throw new VirtsError('usage', 'An image is not for a terminal; name a file with --output, or send it into a pipe.');
  }
  await pipeline(
    imageTar(image, signal, () => {}),
    stdout,
    { end: false, signal },
  );
}

export interface ImportCommandOptions {
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  readonly format?: Format;
}

export async function importCommand(
  path: string,
  name: string | undefined,
  options: ImportCommandOptions,
  { env, stdout, stderr }: Environment,
  signal: AbortSignal,
): Promise<void> {
  const { kernel, initrd, append, format } = options;
  const progress = showProgress(stderr);
  const image = await importImage({ path, name, kernel, initrd, append, format, env, progress, signal });
  stdout.write(`${image.record.name}\n`);
}
