/** How interrupts enter and leave a local APIC: messages, local sources, acknowledge and EOI. SDM vol. 3A 10.5–10.8. */
import { BROADCAST, DELIVERY, type InterruptMessage } from '../apic-bus/interrupt-message.ts';
import {
  acceptsExtInt,
  clearVector,
  highestVector,
  processorPriority,
  refreshPending,
  setVector,
  testVector,
} from './priority.ts';
import {
  BASE_ENABLE,
  BASE_X2APIC,
  ERROR_RECEIVE_VECTOR,
  type LocalApicState,
  LVT,
  LVT_LEVEL,
  LVT_MASKED,
  LVT_REMOTE_IRR,
  SVR_ENABLE,
  SVR_SUPPRESS_EOI_BROADCAST,
} from './registers.ts';

/**
 * What a local APIC tells its processor. Called under the machine's lock, in whichever thread causes it: the processor's
 * own or any other. None may take the lock again.
 */
export interface ProcessorSignals {
  /** A higher interrupt than before may be deliverable: look at `pending()`. */
  interrupt(): void;
  nmi(): void;
  smi(): void;
  /**
   * Wait for a SIPI; the bootstrap processor starts anew. A SIPI that has not taken effect is void. The local APIC has
   * already reset itself.
   */
  init(): void;
  /**
   * SIPI: start at physical address `vector` << 12 in real mode if waiting for one, or about to because of an `init` that
   * was not noticed yet. Else, and so for a second SIPI, without effect.
   */
  startup(vector: number): void;
}

export interface InterruptOptions {
  readonly id: number;
  readonly state: LocalApicState;
  readonly cpu: ProcessorSignals;
  /** Tells the I/O APIC of the EOI of a level-triggered interrupt. */
  readonly eoi: (vector: number) => void;
  /** Resets the registers, as INIT does. */
  readonly resetRegisters: () => void;
}

export function createInterrupts({ id, state, cpu, eoi, resetRegisters }: InterruptOptions) {
  const enabled = () => (state.base & BASE_ENABLE) !== 0n;
  const x2apic = () => (state.base & BASE_X2APIC) !== 0n;

  function refresh(): void {
    if (refreshPending(state)) cpu.interrupt();
  }

  function request(vector: number, level: boolean): void {
    if (vector < 16) {
      raiseError(ERROR_RECEIVE_VECTOR);
      return;
    }
    setVector(state.irr, vector);
    if (level) setVector(state.tmr, vector);
    else clearVector(state.tmr, vector);
    refresh();
  }

  /** Raises the error interrupt at the first error since ESR was written; more errors only add their bits. */
  function raiseError(bit: number): void {
    const first = state.errorsDetected === 0;
    state.errorsDetected |= bit;
    if (first) raiseLocal(LVT.error);
  }

  /** An event at a local vector table entry. */
  function raiseLocal(index: number): void {
    const entry = state.lvt[index];
    if ((entry & LVT_MASKED) !== 0) return;
    switch ((entry >>> 8) & 7) {
      case DELIVERY.fixed:
        raiseFixed(index, entry);
        break;
      case DELIVERY.smi:
        cpu.smi();
        break;
      case DELIVERY.nmi:
        cpu.nmi();
        break;
      case DELIVERY.init:
        resetRegisters();
        cpu.init();
        break;
      // An interrupt of the PIC waits as long as its line says so: `refresh` has seen to it.
    }
  }

  /** Only LINT0 can be level-triggered; its remote IRR holds further requests back until the EOI. */
  function raiseFixed(index: number, entry: number): void {
    const level = index === LVT.lint0 && (entry & LVT_LEVEL) !== 0;
    if (level && (entry & LVT_REMOTE_IRR) !== 0) return;
    if (level && (entry & 0xff) >= 16) state.lvt[index] = entry | LVT_REMOTE_IRR;
    request(entry & 0xff, level);
  }

  /** Lets an asserted, level-sensitive LINT0 through after its entry or its remote IRR changed. */
  function reviewLint0(): void {
    if (state.lint0 === 0) return;
    refresh();
    const entry = state.lvt[LVT.lint0];
    const fixed = ((entry >>> 8) & 7) === DELIVERY.fixed;
    if (enabled() && fixed && (entry & LVT_LEVEL) !== 0) raiseLocal(LVT.lint0);
  }

  /** While the APIC is disabled its pins are the processor's INTR and NMI. */
  function setLint(pin: 'lint0' | 'lint1', level: boolean): void {
    if ((state[pin] !== 0) === level) return;
    state[pin] = level ? 1 : 0;
    if (pin === 'lint0') refresh();
    if (!level) return;
    if (enabled()) raiseLocal(LVT[pin]);
    else if (pin === 'lint1') cpu.nmi();
  }

  function matchesLogical(destination: number): boolean {
    if (x2apic()) {
      return destination >>> 16 === id >>> 4 && ((destination >>> (id & 15)) & 1) !== 0;
    }
    const own = state.ldr >>> 24;
    if (destination > 0xff) return false;
    if (state.dfr >>> 28 === 0xf) return (own & destination) !== 0;
    return own >>> 4 === destination >>> 4 && (own & destination & 0xf) !== 0;
  }

  function accepts(message: InterruptMessage): boolean {
    if (!enabled() || message.except === id) return false;
    const { destination } = message;
    if (destination === BROADCAST || (destination === 0xff && !x2apic())) return true;
    return message.logical ? matchesLogical(destination) : destination === id;
  }

  function deliver(message: InterruptMessage): boolean {
    switch (message.mode) {
      case DELIVERY.fixed:
      case DELIVERY.lowestPriority:
        // Disabled by software, it still takes the messages that control the processor. SDM vol. 3A 10.4.7.2.
        if ((state.svr & SVR_ENABLE) === 0) return false;
        request(message.vector, message.trigger === 'level');
        return true;
      case DELIVERY.smi:
        cpu.smi();
        return true;
      case DELIVERY.nmi:
        cpu.nmi();
        return true;
      case DELIVERY.init:
        if (!message.level) return false;
        resetRegisters();
        cpu.init();
        return true;
      case DELIVERY.startup:
        cpu.startup(message.vector);
        return true;
      case DELIVERY.extInt:
        state.extInt = 1;
        refresh();
        return true;
    }
  }

  function acknowledge(): number {
    const summary = state.pendingSummary[0];
    if ((summary & 0x100) === 0) return state.svr & 0xff;
    const vector = summary & 0xff;
    clearVector(state.irr, vector);
    setVector(state.isr, vector);
    refresh();
    return vector;
  }

  function endOfInterrupt(): void {
    const vector = highestVector(state.isr);
    if (vector < 0) return;
    clearVector(state.isr, vector);
    refresh();
    if (!testVector(state.tmr, vector)) return;
    const lint0 = state.lvt[LVT.lint0];
    if ((lint0 & LVT_REMOTE_IRR) !== 0 && (lint0 & 0xff) === vector) {
      state.lvt[LVT.lint0] = lint0 & ~LVT_REMOTE_IRR;
      reviewLint0();
    }
    if ((state.svr & SVR_SUPPRESS_EOI_BROADCAST) === 0) eoi(vector);
  }

  function acknowledgeExtInt(): void {
    state.extInt = 0;
    refresh();
  }

  return {
    accepts,
    acceptsExtInt: () => acceptsExtInt(state),
    acknowledge,
    acknowledgeExtInt,
    arbitrationPriority: () => ((state.svr & SVR_ENABLE) === 0 ? undefined : processorPriority(state)),
    deliver,
    enabled,
    endOfInterrupt,
    raiseError,
    raiseLocal,
    refresh,
    request,
    reviewLint0,
    setLint,
    x2apic,
  };
}

export type Interrupts = ReturnType<typeof createInterrupts>;
