/** How Node is started for a process that runs machines: what takes effect only from the start. */
import { setFlagsFromString } from 'node:v8';
import { NO_INLINING } from '../sdk/node/region-module.ts';

/**
 * MiB of each half of the main thread's young generation. V8 lets both grow to 8 while modules are loaded, and where little happens
 * they stay so.
 */
const OWN_YOUNG = '--max-semi-space-size';

/** Options of V8. */
export const ENGINE_OPTIONS = [...NO_INLINING, `${OWN_YOUNG}=2`, '--expose-gc'];

/**
 * The environment of such a process, where the user's own settings have precedence. The C library gives each thread memory of its
 * own (mallopt(3), `M_ARENA_MAX`), and each keeps what it had most: those of V8 that compile, one after the other, MiB for each.
 */
export function engineEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { MALLOC_ARENA_MAX: '1', ...env };
}

/** Milliseconds from the start of a machine, by when everything that one needs was loaded. */
const LOADED = 2000;

/**
 * Has the main thread collect what loading and starting a machine left there: MiB, and as it has little to do from then on, they would
 * stay for hours. It takes some 0.1 s, once.
 */
export function collectAfterStart(): void {
  setTimeout(() => globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' }), LOADED).unref();
}

/** What was said of the main thread's young generation would have precedence over what each other thread is given. */
export function endOwnLimits(): void {
  setFlagsFromString(`${OWN_YOUNG}=0`);
}
