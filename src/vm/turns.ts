/**
 * Which vCPU of a machine runs next where one thread runs them all: they take turns. Under a counted clock, turns follow from
 * the instructions that were run and from nothing else, so that a run repeats exactly.
 */
import { VirtsError } from '../base/errors.ts';
import { struct } from '../base/struct.ts';
import type { Vcpu } from '../engine/translated/vcpu-interface.ts';

/** Instructions of a turn under a counted clock. */
const TURN = 20_000;

/** Whose turn it is, and instructions left of it. */
export const TURNS = struct('turns', 1, { vcpu: 'u32', left: 'u32' });

export interface Turns {
  /** What is to be saved. */
  readonly bytes: Uint8Array;
  /** Goes on from saved bytes. @throws VirtsError `bad-input`. */
  restore(bytes: Uint8Array): void;
  /** The vCPU that runs now, if any would run: the one whose turn it is, or the next. */
  next(): Vcpu | undefined;
  /** Most instructions that it may run at once. */
  left(): number;
  /** It ran so many. */
  ran(count: number): void;
  /** Somebody else has something to do: its turn ends. */
  yield(): void;
}

export function createTurns(vcpus: readonly Vcpu[]): Turns {
  const bytes = new Uint8Array(TURNS.size);
  const state = TURNS.view(bytes.buffer, 0);
  state.left = TURN;

  function pass(): void {
    state.vcpu = (state.vcpu + 1) % vcpus.length;
    state.left = TURN;
  }
  return {
    bytes,
    restore(saved) {
      if (saved.length === bytes.length) bytes.set(saved);
      if (saved.length === bytes.length && state.vcpu < vcpus.length && state.left > 0 && state.left <= TURN) return;
      throw new VirtsError('bad-input', 'The turns of the vCPUs in this snapshot are damaged.');
    },
    next() {
      for (let tried = 0; tried < vcpus.length; tried++) {
        const vcpu = vcpus[state.vcpu];
        if (vcpu.awake()) return vcpu;
        pass();
      }
      return undefined;
    },
    left: () => (vcpus.length === 1 ? Number.POSITIVE_INFINITY : state.left),
    ran(count) {
      if (count >= state.left) pass();
      else state.left -= count;
    },
    yield: pass,
  };
}
