/** Virts in a page: machines in workers, and the element `<virts-machine>` that shows one. */
export { type ErrorKind, VirtsError } from '../base/errors.ts';
export type { BootFile, EndReason, MachineEnd, RunningMachine } from '../sdk/machine-host.ts';
export { VirtsMachineElement } from './element.ts';
export { limitedFeatures, missingFeatures } from './features.ts';
export { type FetchOptions, fetchBootFile } from './fetch-file.ts';
export type { BrowserMachineOptions as MachineOptions } from './machine-options.ts';
export { startMachine } from './start-machine.ts';
