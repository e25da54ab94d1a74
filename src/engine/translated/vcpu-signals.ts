/** What reaches a vCPU from outside, from its own thread or another's: it waits in the state block for an instruction boundary. */
import type { VcpuState } from '../../isa/state.ts';

export interface VcpuSignals {
  /** Something may have to be served: an interrupt, a stop. Callable from devices while guest code runs. */
  signal(): void;
  /** A non-maskable interrupt arrives. */
  nmi(): void;
  /** An INIT arrives, its local APIC being reset already. */
  init(): void;
  /** A start-up IPI arrives. */
  start(vector: number): void;
}

/** Makes the code of a vCPU come to its next poll and look at what waits. */
export function askToLook(state: VcpuState): void {
  state.eventsWait = 1;
  state.poll = 1;
}

/** `signal`: how the vCPU is told that something waits; `askToLook` where it is another thread's. */
export function vcpuSignals(state: VcpuState, signal = () => askToLook(state)): VcpuSignals {
  return {
    signal,
    nmi() {
      state.nmiPending = 1;
      signal();
    },
    init() {
      // A start that came before it is void.
      state.startPending = 0;
      state.initPending = 1;
      signal();
    },
    start(vector) {
      state.startPending = vector + 1;
      signal();
    },
  };
}
