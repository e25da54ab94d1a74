/** The receive side of the UART: its FIFO (one byte deep when disabled), errors that travel with bytes, and trigger. */
import { type StructView, struct } from '../../base/struct.ts';

export const serialSchema = struct('serial', 2, {
  /** Divisor latch. */
  divisor: 'u16',
  interruptEnable: 'u8',
  lineControl: 'u8',
  modemControl: 'u8',
  scratch: 'u8',
  /** FIFOs enabled. */
  fifo: 'u8',
  /** Receive trigger, as in bits 7-6 of the FIFO control register. */
  trigger: 'u8',
  /** Overrun and, once its byte is the next to be read, break: the line status bits that a read clears. */
  errors: 'u8',
  /** Changes of the modem inputs since the last read: low half of the modem status register. */
  modemChanges: 'u8',
  /** The transmitter-empty interrupt waits for an acknowledgement. */
  transmitEmpty: 'u8',
  /** The back end offered bytes for which there was no room. */
  refused: 'u8',
  /** Looks at the line status in vain since something was sent, up to 255. */
  polls: 'u8',
  head: 'u8',
  count: 'u8',
  bytes: ['u8', 16],
  /** Line status error bits of each byte. */
  byteErrors: ['u8', 16],
  /** When a byte last came in or was read, in nanoseconds of machine time. */
  lastActivity: 'f64',
});

export type SerialState = StructView<(typeof serialSchema)['fields']>;

export const FIFO_SIZE = 16;

/** Line status register. */
export const LSR = {
  dataReady: 0x01,
  overrun: 0x02,
  breakInterrupt: 0x10,
  transmitHoldingEmpty: 0x20,
  transmitterEmpty: 0x40,
  fifoError: 0x80,
} as const;

const TRIGGERS = [1, 4, 8, 14] as const;

export function room(s: SerialState): number {
  return (s.fifo !== 0 ? FIFO_SIZE : 1) - s.count;
}

/** Bytes that raise the received-data interrupt. */
export function triggerLevel(s: SerialState): number {
  return s.fifo !== 0 ? TRIGGERS[s.trigger & 3] : 1;
}

/** Takes the errors of the byte that has become the next to be read. */
function exposeErrors(s: SerialState): void {
  if (s.count === 0) return;
  s.errors |= s.byteErrors[s.head];
  s.byteErrors[s.head] = 0;
}

/** A byte from the line. Without room it is lost: a FIFO keeps the old bytes, the single register takes the new one. */
export function push(s: SerialState, byte: number, errors: number): void {
  if (room(s) <= 0) {
    s.errors |= LSR.overrun;
    if (s.fifo === 0) s.bytes[s.head] = byte;
    return;
  }
  const at = (s.head + s.count) % FIFO_SIZE;
  s.bytes[at] = byte;
  s.byteErrors[at] = errors;
  s.count++;
  if (s.count === 1) exposeErrors(s);
}

/** The next byte; an empty receiver gives its last one again. */
export function pop(s: SerialState): number {
  const byte = s.bytes[s.head];
  if (s.count === 0) return byte;
  s.count--;
  if (s.count > 0) {
    s.head = (s.head + 1) % FIFO_SIZE;
    exposeErrors(s);
  }
  return byte;
}

export function clearReceiver(s: SerialState): void {
  s.head = 0;
  s.count = 0;
  s.bytes.fill(0);
  s.byteErrors.fill(0);
}

/** Whether a byte behind the next one came with an error: bit 7 of the line status, in FIFO mode. */
export function hasQueuedError(s: SerialState): boolean {
  return s.fifo !== 0 && s.byteErrors.some((errors) => errors !== 0);
}
