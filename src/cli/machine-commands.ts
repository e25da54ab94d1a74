/** The commands about machines that there are, for the command line. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Environment } from './environment.ts';
import { runDetached } from './machines/detached.ts';
import * as verbs from './machines/verbs.ts';
import { parseAmount } from './options.ts';

/** Seconds that a guest may take to shut down unless told. */
const STOP_SECONDS = 30;

function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It takes a number.');
  return Number(text);
}

const parseTail = (text: string): number | undefined => (text === 'all' ? undefined : parseCount(text));

const MACHINES = 'names of machines, their ids, or the beginnings of these';

/** Adds the commands; `finish` gets the exit status of the one that ran. */
export function machineCommands(program: Command, environment: Environment, finish: (status: number) => void): void {
  const onMachines = (name: string, description: string) =>
    program.command(name).description(description).argument('<machine...>', MACHINES);
  const onMachine = (name: string, description: string) =>
    program.command(name).description(description).argument('<machine>', 'name or id of a machine');

  program
    .command('ps')
    .description('list machines')
    .option('-a, --all', 'those that do not run, too')
    .option('-q, --quiet', 'print ids only')
    .option('--json', 'print all that is known of them as JSON')
    .addHelpText('after', '\nA machine whose process was killed is listed as dead; virts start starts it again.')
    .action(async (options: verbs.ListOptions) => finish(await verbs.list(options, environment)));
  onMachines('start', 'start machines that were made before, in the background')
    .option('-a, --attach', 'put the console of the machine on this terminal')
    .action(async (names: string[], { attach }: { attach?: boolean }) =>
      finish(await verbs.start(names, attach === true, environment)),
    );
  onMachines('stop', 'ask guests to shut down, and end those that do not')
    .addOption(
      new Option('-t, --time <seconds>', 'how long a guest may take').argParser(parseCount).default(STOP_SECONDS),
    )
    .action(async (names: string[], { time }: { time: number }) => finish(await verbs.stop(names, time, environment)));
  onMachines('kill', 'end machines at once').action(async (names: string[]) =>
    finish(await verbs.kill(names, environment)),
  );
  onMachines('pause', 'have machines stand still').action(async (names: string[]) =>
    finish(await verbs.pause(names, environment)),
  );
  onMachines('resume', 'have machines go on that stand still')
    .alias('unpause')
    .action(async (names: string[]) => finish(await verbs.resume(names, environment)));
  program
    .command('balloon')
    .description('have guests give up memory, which the host then has; 0 gives it back')
    .argument('<size>', 'how much of its memory each is to give up, such as 128M', parseAmount)
    .argument('<machine...>', MACHINES)
    .action(async (bytes: number, names: string[]) => finish(await verbs.balloon(bytes, names, environment)));
  onMachines('wait', 'wait until machines have ended, and print their exit statuses').action(async (names: string[]) =>
    finish(await verbs.wait(names, environment)),
  );
  onMachines('rm', 'remove machines with their disks')
    .option('-f, --force', 'those that run, too')
    .action(async (names: string[], { force }: { force?: boolean }) =>
      finish(await verbs.remove(names, force === true, environment)),
    );
  onMachines('inspect', "print the settings of machines as YAML, as 'virts run -f' takes it")
    .option('--json', 'print all that is known of them as JSON')
    .action(async (names: string[], { json }: { json?: boolean }) =>
      finish(await verbs.inspect(names, json === true, environment)),
    );
  onMachine('console', 'put the first serial port of a machine on this terminal; Ctrl-] leaves it')
    .alias('attach')
    .action(async (name: string) => finish(await verbs.openConsole(name, environment)));
  onMachine('logs', 'print what a guest wrote to its first serial port; on standard error, what its machine has to say')
    .option('-f, --follow', 'go on until the machine ends')
    .addOption(new Option('-n, --tail <lines>', 'so many lines of the end, or all').argParser(parseTail))
    .action(async (name: string, options: verbs.LogOptions) => finish(await verbs.logs(name, options, environment)));
  program
    .command('stats')
    .description('show what machines use: processor, memory, network, disks')
    .argument('[machine...]', `${MACHINES}; without any, all that run`)
    .option('--no-stream', 'print it once, over a second')
    .option('--json', 'print it once, as JSON')
    .action(async (names: string[], options: verbs.StatsOptions) =>
      finish(await verbs.stats(names, options, environment)),
    );
  // What `start` and `run --detach` run in a process of its own.
  program
    .command('monitor', { hidden: true })
    .argument('<id>')
    .action(async (id: string) => finish(await runDetached(id, environment)));
}
