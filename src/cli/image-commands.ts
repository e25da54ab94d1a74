/** The commands about images: `virts pull` and `virts image`. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { DEFAULT_DISK_SIZE, DISTRIBUTIONS, type PullRequest, pullImage } from '../sdk/node/pull.ts';
import { FORMATS } from '../storage/open-disk.ts';
import type { Environment } from './environment.ts';
import {
  exportCommand,
  type ImportCommandOptions,
  importCommand,
  inspectCommand,
  type ListOptions,
  listCommand,
  removeCommand,
} from './images.ts';
import { interruptible } from './interrupt.ts';
import { parseMirror } from './options.ts';
import { showProgress } from './progress.ts';

const GIB = 2 ** 30;
const [LEAST_DISK, MOST_DISK] = [2 * GIB, 2048 * GIB];

/** Reads the size of a disk, in bytes. */
export function parseDiskSize(text: string): number {
  const match = /^(\d{1,4})([GT])(?:iB)?$/i.exec(text);
  const size = match === null ? 0 : Number(match[1]) * (match[2]!.toUpperCase() === 'T' ? 1024 : 1) * GIB;
  if (size < LEAST_DISK || size > MOST_DISK)
    throw new InvalidArgumentError('It takes a size from 2G to 2T, such as 40G.');
  return size;
}

/** Reads the name of a package, after those named before. */
export function parsePackage(text: string, before: readonly string[] = []): readonly string[] {
  if (!/^[a-z0-9][a-z0-9+.-]+$/.test(text)) throw new InvalidArgumentError('It takes the name of a Debian package.');
  return [...before, text];
}

const PULL_NOTES = `
The image is made of packages of the Debian archive that this host's APT configuration names, or of the one that --mirror
names. Signatures and checksums are verified. What was downloaded is kept in the cache, so that a pull that was interrupted
goes on where it was; the packages then install themselves in a machine, which takes some minutes. An image that is there
already is made again only if the archive has newer packages, or other options are given.`;

const EXPORT_NOTES = `
The name of the file says what is written: .tar or .tar.zst, the whole image, which 'virts image import' takes on another host;
.qcow2, .raw or .img, the disk alone for other programs. Without --output the image is written as .tar to standard output.`;

const IMPORT_NOTES = `
Takes what 'virts image export' wrote, or a disk (raw or qcow2) together with the kernel that boots it and the name that the
image is to have. The disk is copied, with the images behind it.`;

function addPull(program: Command, environment: Environment, finish: (status: number) => void): void {
  program
    .command('pull')
    .description('make an image from the packages of a distribution')
    .argument('<distribution>', `what to make an image of: ${DISTRIBUTIONS.join(', ')}`)
    .option('--name <name>', "what to call the image; the distribution's name if it is not given")
    .addOption(
      new Option('--size <size>', 'size of the disk, such as 40G; it takes only the room that the guest fills')
        .argParser(parseDiskSize)
        .default(DEFAULT_DISK_SIZE, '20G'),
    )
    .addOption(
      new Option('--include <package>', 'a package to install besides; may be given several times').argParser(
        parsePackage,
      ),
    )
    .option('--ssh-key <file>', 'public keys that may log in as root by SSH')
    .option('--mirror <url>', 'Debian archive, the directory that holds dists', parseMirror)
    .option('--keyring <file>', 'keys that the archive must be signed with, in place of the Debian keyring')
    .addHelpText('after', PULL_NOTES)
    .action(async (distribution: string, options: PullRequest) => {
      const { image, isNew } = await interruptible(environment.signals, (signal) =>
        pullImage(distribution, options, { ...environment, signal, progress: showProgress(environment.stderr) }),
      );
      const { name, id } = image.record;
      environment.stderr.write(
        `virts: ${isNew ? 'Made the image' : 'There is nothing newer than the image'} ${name}.\n`,
      );
      environment.stdout.write(`${id}\n`);
      finish(0);
    });
}

function addImage(program: Command, environment: Environment, finish: (status: number) => void): void {
  const image = program.command('image').description('list, inspect, remove, export and import images');
  const done = async (work: Promise<void>): Promise<void> => {
    await work;
    finish(0);
  };
  image
    .command('ls')
    .alias('list')
    .description('list images')
    .option('--json', 'print all that is known, as JSON')
    .option('-q, --quiet', 'print only the ids')
    .action((options: ListOptions) => done(listCommand(options, environment)));
  image
    .command('inspect')
    .description('print what is known of images, as JSON')
    .argument('<name...>', 'images')
    .action((names: string[]) => done(inspectCommand(names, environment)));
  image
    .command('rm')
    .description('remove images')
    .argument('<name...>', 'images')
    .option('-f, --force', 'also if machines use them, which then do not start again')
    .action((names: string[], { force }: { force?: boolean }) =>
      done(removeCommand(names, force === true, environment)),
    );
  image
    .command('export')
    .description('write an image to a file')
    .argument('<name>', 'the image')
    .option('-o, --output <file>', 'where to write it')
    .addHelpText('after', EXPORT_NOTES)
    .action((name: string, { output }: { output?: string }) =>
      done(interruptible(environment.signals, (signal) => exportCommand(name, output, environment, signal))),
    );
  image
    .command('import')
    .description('make an image of a file')
    .argument('<file>', 'an exported image, or a disk')
    .argument('[name]', 'what to call the image; what an exported one was called if it is not given')
    .option('--kernel <file>', 'the kernel that boots the disk')
    .option('--initrd <file>', 'its initial RAM disk')
    .option('--append <text>', 'its command line')
    .addOption(new Option('--format <format>', "the disk's format, if its name does not say it").choices(FORMATS))
    .addHelpText('after', IMPORT_NOTES)
    .action((path: string, name: string | undefined, options: ImportCommandOptions) =>
      done(interruptible(environment.signals, (signal) => importCommand(path, name, options, environment, signal))),
    );
}

/** @param finish gets the exit status of a command that ran. */
export function addImageCommands(program: Command, environment: Environment, finish: (status: number) => void): void {
  addPull(program, environment, finish);
  addImage(program, environment, finish);
}
