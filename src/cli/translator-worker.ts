/** The thread that compiles hot code for the thread of a machine. */
import { setFlagsFromString } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { createThreadCompiler } from '../engine/translated/helpers.ts';
import { x86 } from '../engine/translated/instruction-set.ts';
import { serveCompiler, type TranslatorLink } from './translator-link.ts';
import { describeError, type FailedError } from './worker-error.ts';

export interface TranslatorMessage {
  readonly kind: 'failed';
  readonly error: FailedError;
}

const hostClock = performance;

// V8 would compile a function when it is first called, in the thread of the machine. The flag is the whole process's: the
// machine has made its own modules by now, but for handlers, which are called at once anyway.
setFlagsFromString('--no-wasm-lazy-compilation');

serveCompiler(
  workerData as TranslatorLink,
  createThreadCompiler(x86, () => hostClock.now()),
  (error) => parentPort?.postMessage({ kind: 'failed', error: describeError(error) } satisfies TranslatorMessage),
);
