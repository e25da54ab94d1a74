/** What travels on the bus between I/O APIC, MSI sources and local APICs. */

/** Delivery modes as they are encoded in ICR, redirection entries and MSI data. SDM vol. 3A 10.6.1. */
export const DELIVERY = {
  fixed: 0,
  lowestPriority: 1,
  smi: 2,
  nmi: 4,
  init: 5,
  startup: 6,
  extInt: 7,
} as const;

export type DeliveryMode = (typeof DELIVERY)[keyof typeof DELIVERY];

/** The destination that every local APIC accepts, physical or logical. */
export const BROADCAST = 0xffff_ffff;

export interface InterruptMessage {
  /** An APIC id, or a set of APICs when `logical`: 8 bits, 32 bits from an x2APIC, or `BROADCAST`. */
  readonly destination: number;
  readonly logical: boolean;
  readonly mode: DeliveryMode;
  /** 0–255. Fixed and lowest-priority interrupts need 16–255; for `startup` it is the page number of the entry point. */
  readonly vector: number;
  /** False only for INIT level de-assert. */
  readonly level: boolean;
  /** A level-triggered interrupt is reported back to the I/O APIC at its EOI. */
  readonly trigger: 'edge' | 'level';
  /** The APIC id of a sender that does not want to hear itself. */
  readonly except?: number;
}

/** Delivers interrupt messages to local APICs. */
export interface ApicBus {
  /** True if at least one local APIC took the interrupt. */
  deliver(message: InterruptMessage): boolean;
}

/** The mode in a 3-bit delivery mode field, or `undefined` for the reserved encoding. */
export function deliveryMode(bits: number): DeliveryMode | undefined {
  return bits === 3 ? undefined : ((bits & 7) as DeliveryMode);
}

/** Widens the 8-bit destination of an I/O APIC, MSI or xAPIC message; its all-ones value reaches x2APICs too. */
export function widenDestination(destination: number): number {
  return destination === 0xff ? BROADCAST : destination;
}
