/** Virts in a page: machines in workers, and the element `<virts-machine>` that shows one. */
export { type ErrorKind, VirtsError } from '../base/errors.ts';
export type { MachineConsole, WaitForOptions } from '../sdk/console.ts';
export type { MachineEvents, MachineState, StartOptions, StopOptions, WaitOptions } from '../sdk/lifecycle.ts';
export type { EndReason, MachineEnd, NamedBytes, RunningMachine } from '../sdk/machine-host.ts';
export { VirtsMachineElement } from './element.ts';
export { limitedFeatures, missingFeatures } from './features.ts';
export { type FetchOptions, fetchBootFile } from './fetch-file.ts';
export { Machine, type MachineOptions } from './machine.ts';
