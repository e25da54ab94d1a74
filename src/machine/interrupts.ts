/** Interrupts as a vCPU sees them, between its local APIC and the PICs (SDM vol. 3A 10.1, MP specification 3.6). */
import type { Line } from '../devices/device.ts';
import type { LocalApic } from '../devices/local-apic/local-apic.ts';
import { EXT_INT } from '../devices/local-apic/registers.ts';
import type { Pic } from '../devices/pic/pic.ts';

export interface VcpuInterrupts {
  /**
   * Whether an interrupt waits that the task priority lets through. Reads one word of shared memory: to be asked at every
   * look for events, without the machine's lock. What it sees may be gone by the time of the acknowledge.
   */
  pending(): boolean;
  /** Takes the waiting interrupt: its vector, 0 to 255, or -1 if none waits any more. Under the machine's lock. */
  acknowledge(): number;
  /** A pulse on the NMI pin. Under the machine's lock. */
  nmi(): void;
}

/** What the processor with this local APIC gets from it and, through LINT0 or an ExtINT message, from the PICs. */
export function createVcpuInterrupts(apic: LocalApic, pic: Pic): VcpuInterrupts {
  const summary = apic.state.pendingSummary;
  return {
    pending: () => summary[0] !== 0,
    acknowledge() {
      // The PICs' output reaches every LINT0; a processor that is set up for it acknowledges.
      if ((summary[0] & EXT_INT) !== 0) {
        apic.acknowledgeExtInt();
        return pic.acknowledge();
      }
      return apic.pending() < 0 ? -1 : apic.acknowledge();
    },
    nmi() {
      apic.lint1.set(true);
      apic.lint1.set(false);
    },
  };
}

/** The PICs' output: to LINT0 of every local APIC and to input 0 of the I/O APIC. The arrays may be filled later. */
export function picOutput(apics: readonly { readonly lint0: Line }[], ioApicInputs: readonly Line[]): Line {
  return {
    set(level) {
      for (const apic of apics) apic.lint0.set(level);
      ioApicInputs[0]?.set(level);
    },
  };
}
