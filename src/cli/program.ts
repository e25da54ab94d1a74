/** The command line `virts`. */
import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { ERROR_KINDS, type ErrorKind } from '../base/errors.ts';
import { CROWDED_THRESHOLD, DEFAULT_TRANSLATION } from '../engine/translated/vcpu-interface.ts';
import { NET_KINDS } from '../vm/configuration.ts';
import { DEFAULT_MEMORY, formatMemory } from '../vm/memory-size.ts';
import { doctor } from './doctor.ts';
import type { Environment } from './environment.ts';
import { EXEC_OPTIONS } from './exec-options.ts';
import { addImageCommands } from './image-commands.ts';
import { isLight, runLight } from './light.ts';
import { machineCommands } from './machine-commands.ts';
import { addNetworkCommands } from './networks.ts';
import {
  parseAllowed,
  parseCpus,
  parseDisk,
  parseForward,
  parseMemory,
  parseMirror,
  parseName,
  parsePort,
  parseTranslate,
  parseVolume,
} from './options.ts';
import { reportError } from './report-error.ts';
import { type RunOptions, run } from './run.ts';

const DEFAULT_GDB_PORT = 1234;

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Those that a run can end with. */
const ERROR_TEXTS: Readonly<Record<Exclude<ErrorKind, 'exit-status'>, string>> = {
  internal: 'a defect in Virts',
  usage: 'a command line that makes no sense',
  'bad-input': 'a file that is not what it should be',
  'not-found': 'a file or package that is not there',
  'no-space': 'memory or disk that does not suffice',
  unsupported: 'something that this host or Virts lacks',
  network: 'a mirror that does not answer',
  untrusted: 'a wrong signature or checksum',
  'guest-stopped': 'a guest that halts with interrupts disabled',
  io: 'a file or port that cannot be used',
};

function errorStatuses(): string {
  const kinds = Object.entries(ERROR_TEXTS) as [keyof typeof ERROR_TEXTS, string][];
  return kinds.map(([kind, text]) => `\n  ${String(ERROR_KINDS[kind]).padStart(2)}  ${text}`).join('');
}

const RUN_NOTES = `
Without --kernel the default guest runs: Debian's kernel with busybox. Its packages come from the Debian archive of this
host's APT configuration, or from the one that --mirror names; signatures and checksums are verified, and the result is
kept in the cache.

A disk is an image file, which the guest sees as a virtio disk: /dev/vda, /dev/vdb and so on. Its format follows from its
name (.qcow2 or raw) unless it is told. What the guest writes to a disk with snapshot is thrown away at the end of the run.
An image may have backing files below its own directory; with backing=any, which is for images that you trust, anywhere. A
comma in the name is written twice.

A shared folder is mounted at its path by guests that know how (the default guest and images made by virts); others find it as
the virtio file system folder0, folder1 and so on: mount -t virtiofs folder0 /path. Its files stay this user's whatever the guest
does; with :ro they cannot be changed.

The network card gets its address, 10.0.2.15, by DHCP; the gateway is 10.0.2.2, the name server 10.0.2.3. The guest reaches
what this user reaches, but not this host's loopback interface unless --net-host says so. A forwarded port is one of
127.0.0.1 unless HOSTADDR says otherwise: 0.0.0.0 is every address of this host. Without HOSTPORT, or with 0, a free one is
taken and told. Ports may be ranges: 8000-8009:8000-8009 goes one to one, 8000-8009:80 takes any free one of the ten.

Machines that join the same --network reach each other, and find each other by the names that --name gives them, beside what
they reach otherwise; with --net none, nothing but each other.

The guest's first serial port is on this terminal; Ctrl-] leaves the guest. When standard input or output is a pipe, it
carries the port's bytes instead, and the end of the input does not end the guest.

With --cpus N each vCPU runs in a thread of its own. They take turns in one thread where a debugger is served or
--verify-translation checks what they run, and on hosts with a single processor.

The exit status is 0 when the guest switches itself off, when it resets or triple-faults under --no-reboot (of a triple
fault a sentence tells), and when you leave it or a debugger ends it; (V << 1) | 1 when it writes V to port 0xf4; 128 + N
when signal N ended the run; and for errors:${errorStatuses()}`;

const EXEC_NOTES = `
MACHINE is a machine's name or id, or the socket that 'virts run --vsock' made, with a slash in its name. The guest needs
its agent, which images of Virts have. The command is not run by a shell; "sh -c '...'" does that.

The exit status is that of the command, 128 + N if signal N ended it, 127 if there is no such command, 126 if it cannot be run.`;

const CP_NOTES = `
A directory is copied with all that is in it: into a directory that is there under its own name, or, if HOSTPATH or PATH ends in
/., only what is in it; otherwise it is made anew. With - a tar archive is read from standard input, or written to standard output.
Permissions and times are kept; files in the guest belong to root and those of this host to you, unless -a keeps their owners.`;

/** Options of every command that starts a machine. */
function withMachineOptions(command: Command): Command {
  return command
    .option('--name <name>', "the machine's name, for other commands and for others on its network", parseName)
    .option('--kernel <file>', 'boot this kernel: a bzImage, or an ELF file with a PVH or multiboot header')
    .option('--initrd <file>', "initial RAM disk; in place of the default guest's if no kernel is named")
    .option('--append <text>', "kernel command line; added to the default guest's if no kernel is named")
    .addOption(
      new Option(
        '--memory <size>',
        `guest memory, such as 512M or 1G (default: ${formatMemory(DEFAULT_MEMORY)})`,
      ).argParser(parseMemory),
    )
    .addOption(new Option('--cpus <number>', 'number of vCPUs (default: 1)').argParser(parseCpus))
    .addOption(
      new Option(
        '--disk <file>',
        'a disk: FILE[,format=raw|qcow2][,readonly][,snapshot][,backing=any]; may be given several times',
      ).argParser(parseDisk),
    )
    .addOption(
      new Option(
        '-v, --volume <folder>',
        'share a directory of this host with the guest: HOSTDIR:/path[:ro]; may be given several times',
      ).argParser(parseVolume),
    )
    .addOption(
      new Option(
        '--translate <times>',
        'how often code runs before it is translated; off: interpret everything ' +
          `(default: ${DEFAULT_TRANSLATION.threshold}; ${CROWDED_THRESHOLD} where the guest has all processors of this host)`,
      ).argParser(parseTranslate),
    )
    .addOption(
      new Option(
        '--net <kind>',
        'user: a network that reaches the outside as this user does; none: no network card (default: user)',
      ).choices(NET_KINDS),
    )
    .addOption(
      new Option(
        '-p, --publish <ports>',
        'forward a port of this host to the guest: [[HOSTADDR:][HOSTPORT]:]GUESTPORT[/udp]; may be given several times',
      ).argParser(parseForward),
    )
    .addOption(
      new Option(
        '--net-allow <host>',
        'the guest reaches only this host: a name, *.NAME, an address or a prefix; may be given several times',
      ).argParser(parseAllowed),
    )
    .option('--network <name>', "join a network of 'virts network', where machines find each other by name")
    .option('--net-host', "the gateway's address is this host's loopback interface for the guest")
    .option('--user-data <file>', 'give cloud-init in the guest this file, on a disk of its own')
    .option(
      '--vsock <socket>',
      'make a socket of this host that leads to ports of the guest: for virts exec and virts cp',
    )
    .option('--verify-translation', 'check translated code against the interpreter as it runs, sample by sample; slow')
    .option('--no-reboot', 'end the run when the guest resets or triple-faults, instead of starting it again')
    .option(
      '--debug-log [file]',
      'write exceptions and unknown ports, MSRs and CPUID leaves to a file or to standard error',
    )
    .option('--stats', 'print figures about the run at its end, and whenever SIGUSR2 comes')
    .addOption(new Option('--arch <name>', 'architecture of the default guest').choices(['amd64', 'i386']))
    .option('--mirror <url>', 'Debian archive for the default guest, the directory that holds dists', parseMirror)
    .option('--keyring <file>', 'keys that the archive must be signed with, in place of the Debian keyring')
    .option('--refresh', 'ask the archive for newer packages for the default guest')
    .addHelpText('after', RUN_NOTES);
}

/** Builds the program; `finish` gets the exit status of the command that ran. */
export function createProgram(environment: Environment, finish: (status: number) => void): Command {
  const program = new Command('virts')
    .description('Runs unmodified x86 systems in virtual machines, without a hypervisor.')
    .version(version(), '-V, --version')
    .helpCommand(true)
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void environment.stdout.write(text),
      // Errors are reported once, as a sentence, by `main`.
      outputError: () => {},
      writeErr: (text) => void environment.stderr.write(text),
    });
  withMachineOptions(
    program
      .command('run')
      .description('make a machine and start it, on this terminal or in the background')
      .argument('[image]', "image to make it from, such as debian ('virts image ls'); without one, the default guest"),
  )
    .option('-d, --detach', 'run in the background and print the id of the machine')
    .option('--rm', 'remove the machine and its disk when it ends')
    .option('-f, --file <file>', 'YAML file with settings of the machine; options of the command line go before them')
    .option('--gdb <port>', 'serve the GDB remote protocol on this port of localhost', parsePort)
    .action(async (image: string | undefined, options: RunOptions) =>
      finish(await run(image, options, false, environment)),
    );
  machineCommands(program, environment, finish);
  withMachineOptions(program.command('debug').description('start a machine that waits for a debugger (GDB)'))
    .addOption(
      new Option('--gdb <port>', 'port of localhost for the GDB remote protocol')
        .argParser(parsePort)
        .default(DEFAULT_GDB_PORT),
    )
    .action(async (options: RunOptions) => finish(await run(undefined, options, true, environment)));
  // These two have parsers of their own (light.ts); what stands here is their help.
  const exec = program
    .command('exec')
    .usage('[options] MACHINE COMMAND [ARG...]')
    .description("run a command in a running machine's guest")
    .addHelpText('after', EXEC_NOTES);
  for (const [flags, text] of EXEC_OPTIONS) exec.option(flags, text);
  program
    .command('cp')
    .usage('[options] MACHINE:PATH HOSTPATH|-\n       virts cp [options] HOSTPATH|- MACHINE:PATH')
    .description('copy files between this host and a running guest')
    .option('-a, --archive', 'keep owner and group')
    .option('-L, --follow-link', 'copy what HOSTPATH or PATH leads to, if it is a symbolic link')
    .addHelpText('after', CP_NOTES);
  addNetworkCommands(program, environment, finish);
  addImageCommands(program, environment, finish);
  program
    .command('doctor')
    .description('say what this host offers for running guests')
    .option('--json', 'print the findings as JSON')
    .action(async (options: { json?: boolean }) => finish(await doctor(options.json === true, environment)));
  return program;
}

/** Runs the command line `args` (without node and script) and returns the exit status. Never rejects. */
export async function main(args: readonly string[], environment: Environment): Promise<number> {
  if (isLight(args)) return runLight(args, environment);
  let status = 0;
  try {
    const program = createProgram(environment, (value) => {
      status = value;
    });
    await program.parseAsync(args, { from: 'user' });
    return status;
  } catch (error) {
    return reportError(error, environment);
  }
}
