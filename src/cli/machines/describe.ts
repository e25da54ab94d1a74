/** Machines as lists show them. */
import { stringify } from 'yaml';
import { formatForward } from '../../network/forward-text.ts';
import { writeConfiguration } from '../../vm/configuration.ts';
import { isUp, type MachineRecord, type State, statusOf } from './state-directory.ts';
import { ago, duration, table } from './table.ts';

/** What `--json` prints of a machine. */
export function described(machine: MachineRecord) {
  const { id, created, configuration, directory, madeFrom } = machine;
  const { state, pid, started, ended, exitStatus, message } = statusOf(machine);
  return {
    ...{ id, name: configuration.name ?? null, image: madeFrom?.name ?? null, state, created },
    pid: isUp(state) ? (pid ?? null) : null,
    started: started ?? null,
    ended: ended ?? null,
    exitStatus: state === 'exited' ? (exitStatus ?? null) : null,
    message: message ?? null,
    directory,
    configuration: writeConfiguration(configuration),
  };
}

export type Described = ReturnType<typeof described>;

/** The column STATUS. */
export function statusText({ state, started, ended, exitStatus }: Described): string {
  const texts: Readonly<Record<State, () => string>> = {
    created: () => 'Created',
    starting: () => 'Starting',
    running: () => `Up ${duration(Date.now() - Date.parse(started ?? ''))}`,
    paused: () => `Up ${duration(Date.now() - Date.parse(started ?? ''))} (Paused)`,
    exited: () => `Exited (${exitStatus ?? 0}) ${ended === null ? '' : ago(ended)}`.trimEnd(),
    dead: () => 'Dead (its process was killed)',
  };
  return texts[state]();
}

/** What a machine without an image boots. */
const sourceOf = ({ image, configuration }: Described): string =>
  image ?? (configuration.kernel === undefined ? '(default guest)' : configuration.kernel.replace(/.*\//, ''));

export function machineTable(machines: readonly MachineRecord[]): string {
  const rows = machines.map((machine) => {
    const about = described(machine);
    const ports = isUp(about.state) ? machine.configuration.network.publish.map(formatForward).join(', ') : '';
    return [about.id, sourceOf(about), ago(about.created), statusText(about), ports, about.name ?? ''];
  });
  return table([['ID', 'IMAGE', 'CREATED', 'STATUS', 'PORTS', 'NAME'], ...rows]);
}

/** A machine's configuration as `virts run -f` takes it; how it is stands in comments. */
export function machineYaml(machine: MachineRecord): string {
  const about = described(machine);
  const { id, created, pid, directory, message } = about;
  const comments = [
    `id: ${id}`,
    `status: ${statusText(about)}`,
    ...(message === null ? [] : [message]),
    `created: ${created}`,
    ...(pid === null ? [] : [`process: ${pid}`]),
    `directory: ${directory}`,
  ];
  const { configuration } = about;
  const text = Object.keys(configuration).length === 0 ? '{}\n' : stringify(configuration);
  return `${comments.map((line) => `# ${line.replaceAll(/\s+/g, ' ')}\n`).join('')}${text}`;
}
