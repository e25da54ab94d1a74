/** The thread that compiles hot code for the thread of a machine. */
import { availableParallelism } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { createThreadCompiler } from '../../engine/translated/helpers.ts';
import { x86 } from '../../engine/translated/instruction-set.ts';
import type { TranslatorMessage } from '../running-machine.ts';
import { serveCompiler, type TranslatorLink } from '../translator-link.ts';
import { describeError } from '../worker-error.ts';
import { createRegionModule } from './region-module.ts';
import { lowerEnginePriority, lowerPriority } from './thread-priority.ts';

const hostClock = performance;
const links = workerData as readonly TranslatorLink[];

/**
 * Whatever is made here is worth less than the guest's time: what is not compiled yet is interpreted. But where vCPUs want
 * all processors, nothing would ever be compiled.
 */
if (links.length < availableParallelism()) {
  lowerPriority();
  lowerEnginePriority();
}

try {
  serveCompiler(links, createThreadCompiler(x86, { createModule: createRegionModule, now: () => hostClock.now() }));
} catch (error) {
  parentPort?.postMessage({ kind: 'failed', error: describeError(error) } satisfies TranslatorMessage);
}
