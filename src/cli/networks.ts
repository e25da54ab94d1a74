/** `virts network`: networks between machines. */
import type { Command } from 'commander';
import { networksDirectory } from '../images/directories.ts';
import { createNetwork, listNetworks, removeNetwork } from '../network/node/networks.ts';
import type { Environment } from './environment.ts';

function list(json: boolean, { env, stdout }: Environment): void {
  const networks = listNetworks(networksDirectory(env));
  if (json) {
    stdout.write(`${JSON.stringify(networks, undefined, 2)}\n`);
    return;
  }
  const rows = networks.map(({ name, machines }) => [
    name,
    machines.map((machine) => `${machine.name} (${machine.address})`).join(', '),
  ]);
  const width = Math.max(...[['NAME'], ...rows].map(([name]) => name!.length));
  for (const [name, machines] of [['NAME', 'MACHINES'], ...rows]) {
    stdout.write(`${`${name!.padEnd(width)}  ${machines}`.trimEnd()}\n`);
  }
}

/** Adds the commands; `finish` gets the exit status. */
export function addNetworkCommands(program: Command, environment: Environment, finish: (status: number) => void): void {
  const { env, stdout } = environment;
  const network = program.command('network').description('networks in which machines reach each other by name');
  network
    .command('create <name>')
    .description("make a network for 'virts run --network'")
    .action((name: string) => {
      stdout.write(`${createNetwork(networksDirectory(env), name)}\n`);
      finish(0);
    });
  network
    .command('ls')
    .alias('list')
    .description('list networks and the machines that are in them now')
    .option('--json', 'print them as JSON')
    .action((options: { json?: boolean }) => {
      list(options.json === true, environment);
      finish(0);
    });
  network
    .command('rm <name...>')
    .alias('remove')
    .description('remove networks that no machine is in')
    .action((names: string[]) => {
      for (const name of names) {
        removeNetwork(networksDirectory(env), name);
        stdout.write(`${name}\n`);
      }
      finish(0);
    });
}
