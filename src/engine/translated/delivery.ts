/** What comes between instructions: interrupts, NMIs, debug traps, and what other local APICs start. */
import type { CpuContext } from '../../cpu/context.ts';
import { noteDebug, takeDebugTrap } from '../../cpu/debug.ts';
import { deliver } from '../../cpu/interrupt.ts';
import { EFLAGS, VECTOR } from '../../isa/state.ts';
import { ACTIVITY, initVcpu, startVcpu } from '../../machine/vcpu-reset.ts';
import type { VcpuEnvironment } from './environment.ts';

/** The APIC of the vCPU that runs after a reset; an INIT starts it again, where others wait for a start-up IPI. */
const BOOTSTRAP_APIC = 0;

export interface DeliveryParts {
  readonly context: CpuContext;
  readonly environment: VcpuEnvironment;
  /** Enters a handler of the guest in WebAssembly; `false` where that is left to `deliver`. */
  enterInterrupt(vector: number): boolean;
  /** The vCPU begins anew. */
  restart(): void;
}

export interface Delivery {
  /** Whether this is a boundary at which interrupts are taken. */
  mayInterrupt(): boolean;
  /** Whether an interrupt or NMI would be taken now. */
  interruptsWait(): boolean;
  /** Delivers an NMI or interrupt that may be delivered now. */
  deliverPending(): void;
  /** Delivers a trap that the last instruction or a task switch left; a load of SS holds it back. */
  deliverTrap(stepped: boolean): boolean;
  /** Takes what the local APICs of others sent to start it anew (SDM vol. 3A 8.4.4.1). */
  takeStart(): void;
}

export function createDelivery({ context, environment, enterInterrupt, restart }: DeliveryParts): Delivery {
  const { state } = context;
  return {
    mayInterrupt: () =>
      state.activity === ACTIVITY.halted || (state.activity === ACTIVITY.running && state.interruptShadow === 0),
    interruptsWait: () =>
      (state.nmiPending !== 0 && state.nmiBlocked === 0) ||
      ((state.eflags & EFLAGS.if) !== 0 && environment.interrupts.pending()),
    deliverPending(): void {
      if (state.nmiPending !== 0 && state.nmiBlocked === 0) {
        state.nmiPending = 0;
        state.activity = ACTIVITY.running;
        deliver(context, VECTOR.nmi, 'nmi');
      } else if ((state.eflags & EFLAGS.if) !== 0 && environment.interrupts.pending()) {
        const vector = environment.interrupts.acknowledge();
        if (vector < 0) return;
        state.activity = ACTIVITY.running;
        if (!enterInterrupt(vector)) deliver(context, vector, 'hardware');
      }
    },
    deliverTrap(stepped: boolean): boolean {
      const trap = takeDebugTrap(state, stepped);
      if (trap === 0) return false;
      noteDebug(state, trap);
      deliver(context, VECTOR.db, 'exception');
      return true;
    },
    takeStart(): void {
      if (state.initPending !== 0) {
        state.initPending = 0;
        initVcpu(state, { bootstrap: environment.topology.apicId === BOOTSTRAP_APIC });
        restart();
      }
      if (state.startPending !== 0) {
        const vector = state.startPending - 1;
        state.startPending = 0;
        startVcpu(state, vector);
        restart();
      }
    },
  };
}
