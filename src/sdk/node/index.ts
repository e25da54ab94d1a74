/** Virts for programs in Node: machines in threads of this process, and images. `src/browser/index.ts` is the same for a page. */
export { type ErrorKind, VirtsError } from '../../base/errors.ts';
export type { TerminalSize } from '../../vm/agent/execute.ts';
export type { SignalName } from '../../vm/agent/signals.ts';
export type { MachineConsole, WaitForOptions } from '../console.ts';
export type { MachineEvents, MachineState, StartOptions, StopOptions, WaitOptions } from '../lifecycle.ts';
export type { MachineFigures } from '../machine-figures.ts';
export type { EndReason, MachineEnd, NamedBytes } from '../machine-host.ts';
export type {
  Command,
  CommandOptions,
  ExecOptions,
  ExecResult,
  GuestProcess,
  ProgramEnd,
  SpawnOptions,
} from '../program.ts';
export {
  Image,
  type ImageImportOptions,
  type ImagePullOptions,
  type ImageRemoveOptions,
  type WorkOptions,
} from './image.ts';
export { Machine } from './machine.ts';
export type { Forward, MachineCopyOptions, ReadyOptions } from './machine-api.ts';
export type { DiskOptions, MachineOptions, NetworkOptions } from './machine-options.ts';
export { Network } from './private-network.ts';
export type { WorkProgress } from './progress.ts';
