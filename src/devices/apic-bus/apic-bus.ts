import type { GuestLog } from '../device.ts';
import { type ApicBus, DELIVERY, deliveryMode, type InterruptMessage, widenDestination } from './interrupt-message.ts';

/** What the bus needs of a local APIC. */
export interface ApicBusTarget {
  /** Whether the destination (and `except`) of a message names this APIC. */
  accepts(message: InterruptMessage): boolean;
  /** 0–255 for lowest-priority arbitration, or `undefined` if the APIC takes no interrupts now. */
  arbitrationPriority(): number | undefined;
  /** True if the interrupt was taken. */
  deliver(message: InterruptMessage): boolean;
}

export interface InterruptRouter extends ApicBus {
  /** Adds a local APIC, in the order of their ids. */
  attach(target: ApicBusTarget): void;
  /**
   * A write of `data` (32 bits) to the message address window 0xfee00000–0xfeefffff, SDM vol. 3A 10.11. False if the
   * address is not in that window or the message is malformed or nobody took it.
   */
  msi(address: number, data: number): boolean;
}

const MESSAGE_WINDOW = 0xfee;

/** The bus that joins the local APICs of a machine with each other, the I/O APIC and message-signalled interrupts. */
export function createApicBus(options: { readonly log: GuestLog }): InterruptRouter {
  const targets: ApicBusTarget[] = [];

  /**
   * Lowest processor priority wins. Equals are told apart by the vector: that spreads interrupts over processors
   * without a memory of who was last, so a restored machine decides as the saved one would have.
   */
  function arbitrate(message: InterruptMessage): boolean {
    let lowest = Number.POSITIVE_INFINITY;
    let equals: ApicBusTarget[] = [];
    for (const target of targets) {
      const priority = target.accepts(message) ? target.arbitrationPriority() : undefined;
      if (priority === undefined || priority > lowest) continue;
      if (priority < lowest) equals = [];
      lowest = priority;
      equals.push(target);
    }
    return equals.length > 0 && equals[message.vector % equals.length].deliver(message);
  }

  function deliver(message: InterruptMessage): boolean {
    if (message.mode === DELIVERY.lowestPriority) return arbitrate(message);
    let taken = false;
    for (const target of targets) {
      if (target.accepts(message) && target.deliver(message)) taken = true;
    }
    return taken;
  }

  function msi(address: number, data: number): boolean {
    let mode = deliveryMode((data >>> 8) & 7);
    if (mode === undefined || address >= 2 ** 32 || address >>> 20 !== MESSAGE_WINDOW) {
      options.log(`malformed interrupt message: address 0x${address.toString(16)}, data 0x${data.toString(16)}`);
      return false;
    }
    const redirectionHint = (address & 8) !== 0;
    if (redirectionHint && mode === DELIVERY.fixed) mode = DELIVERY.lowestPriority;
    const trigger = (data & 0x8000) === 0 ? 'edge' : 'level';
    return deliver({
      destination: widenDestination((address >>> 12) & 0xff),
      logical: (address & 4) !== 0,
      mode,
      vector: data & 0xff,
      level: trigger === 'edge' || (data & 0x4000) !== 0,
      trigger,
    });
  }

  return { attach: (target) => targets.push(target), deliver, msi };
}
