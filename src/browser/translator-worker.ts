/** The worker that compiles hot code for the worker of a machine. */
import { createThreadCompiler } from '../engine/translated/helpers.ts';
import { x86 } from '../engine/translated/instruction-set.ts';
import type { TranslatorMessage } from '../sdk/running-machine.ts';
import { serveCompiler, type TranslatorLink } from '../sdk/translator-link.ts';
import { describeError } from '../sdk/worker-error.ts';

const hostClock = performance;

self.addEventListener(
  'message',
  ({ data }: MessageEvent<readonly TranslatorLink[]>) => {
    try {
      serveCompiler(data, createThreadCompiler(x86, { now: () => hostClock.now() }));
    } catch (error) {
      self.postMessage({ kind: 'failed', error: describeError(error) } satisfies TranslatorMessage);
    }
  },
  { once: true },
);
