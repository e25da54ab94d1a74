/** Handlers and regions as a vCPU that verifies its translations makes them. */
import type { InterpreterBuilder } from '../../cpu/interpreter/builder.ts';
import type { Handlers } from '../../cpu/interpreter/handlers.ts';
import { LOG, LOG_BYTES, LoggedInterpreterBuilder, loggedWalk, logStore } from '../../cpu/interpreter/store-log.ts';
import type { WriterFactory } from '../../cpu/translator/compiler.ts';
import { type Sample, VerifiedRegionWriter } from '../../cpu/translator/verified-writer.ts';
import type { Helper } from '../../isa/helpers.ts';
import type { Arena } from '../../memory/arena.ts';

export interface VerifiedCode {
  /** Address of the log of stores. */
  readonly log: number;
  /** Helpers, with those that change memory unseen logged, and that of the log. */
  helpers(of: readonly Helper[]): readonly Helper[];
  readonly beginHandler: (...args: ConstructorParameters<typeof InterpreterBuilder>) => InterpreterBuilder;
  readonly beginRegion: WriterFactory;
  /** Handlers that note which indices are those of regions. */
  watch(handlers: Handlers): Handlers;
}

export function createVerifiedCode(arena: Arena, sample: Sample): VerifiedCode {
  const log = arena.allocate(LOG_BYTES);
  const isRegion = new Uint8Array(arena.buffer, log + LOG.regions, 0x1_0000);
  return {
    log,
    helpers: (of) => [...of.map((helper) => loggedWalk(log, helper)), logStore(log)],
    beginHandler: (...args) => new LoggedInterpreterBuilder(log, ...args),
    beginRegion: (...args) => new VerifiedRegionWriter(log, sample, ...args),
    watch: (handlers) => ({
      ...handlers,
      get generation() {
        return handlers.generation;
      },
      place(numbers, module, imports) {
        handlers.place(numbers, module, imports);
        isRegion[numbers.place] = 1;
      },
      release(index) {
        isRegion[index] = 0;
        handlers.release(index);
      },
    }),
  };
}
