/** Virts in Node: machines in threads of this process. `src/browser/index.ts` is the same for a page. */
export { type ErrorKind, VirtsError } from '../base/errors.ts';
export type { BootFile, EndReason, MachineEnd, MachineOptions, RunningMachine } from '../sdk/machine-host.ts';
export { startMachine } from '../sdk/node/start-machine.ts';
