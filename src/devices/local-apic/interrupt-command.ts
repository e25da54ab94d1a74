/** The interrupt command register: what a write of it sends. SDM vol. 3A 10.6.1. */
import { BROADCAST, DELIVERY, deliveryMode, type InterruptMessage } from '../apic-bus/interrupt-message.ts';

export const ICR_WRITABLE = 0xc_cfff;
/** Bits whose setting raises #GP in x2APIC mode; delivery status (12) is only ignored. */
export const ICR_RESERVED = 0xfff3_2000;

const SHORTHAND = { none: 0, self: 1, all: 2, others: 3 } as const;

/** A message for the bus, one for the sending APIC itself, a bad vector, or a combination that sends nothing. */
export type Command =
  | { readonly kind: 'bus' | 'self'; readonly message: InterruptMessage }
  | { readonly kind: 'bad-vector' | 'none' };

/** Decodes the low half of the ICR; `destination` is the high half as the bus wants it, `id` the sender. */
export function decodeCommand(low: number, destination: number, id: number): Command {
  const mode = deliveryMode((low >>> 8) & 7);
  const shorthand = (low >>> 18) & 3;
  const vector = low & 0xff;
  if (mode === undefined || mode === DELIVERY.extInt) return { kind: 'none' };
  // INIT level de-assert only synchronised the arbitration ids of the serial APIC bus; nothing receives it now.
  if (mode === DELIVERY.init && (low & 0xc000) === 0x8000) return { kind: 'none' };
  const ordinary = mode === DELIVERY.fixed || mode === DELIVERY.lowestPriority;
  if (ordinary && vector < 16) return { kind: 'bad-vector' };
  const message: InterruptMessage = {
    destination: shorthand === SHORTHAND.none ? destination : BROADCAST,
    logical: shorthand === SHORTHAND.none && (low & 0x800) !== 0,
    mode,
    vector,
    level: true,
    trigger: 'edge',
  };
  if (shorthand === SHORTHAND.none) return { kind: 'bus', message };
  if (shorthand === SHORTHAND.others) return { kind: 'bus', message: { ...message, except: id } };
  // With the sender among the receivers only interrupts make sense: INIT, SIPI and SMI to oneself are invalid.
  if (!ordinary && mode !== DELIVERY.nmi) return { kind: 'none' };
  return { kind: shorthand === SHORTHAND.self ? 'self' : 'bus', message };
}
