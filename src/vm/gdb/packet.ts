/**
 * Framing of the GDB remote serial protocol (GDB manual, appendix E.1): `$data#checksum`, acknowledged by `+` or `-`
 * until both sides agree to do without, and the interrupt byte 0x03 between packets. Data are strings whose characters
 * are bytes.
 */

/** Most bytes of data that a packet may have, as announced by `PacketSize`. */
export const PACKET_SIZE = 0x4000;

const ESCAPE = 0x7d;
const ESCAPE_MASK = 0x20;
const START = 0x24;
const END = 0x23;
const INTERRUPT = 0x03;
const NAK = 0x2d;

export type Received =
  /** `intact`: the checksum is right. `data` has its escapes undone. */
  | { readonly kind: 'packet'; readonly data: string; readonly intact: boolean }
  | { readonly kind: 'interrupt' }
  /** The other side wants the last packet again. */
  | { readonly kind: 'resend' };

export interface PacketReader {
  /** Takes bytes as they come; returns what they complete. */
  push(bytes: Uint8Array): Received[];
}

function checksum(bytes: readonly number[]): number {
  return bytes.reduce((sum, byte) => (sum + byte) & 0xff, 0);
}

function withoutEscapes(bytes: readonly number[]): string {
  let data = '';
  for (let i = 0; i < bytes.length; i++) {
    const escaped = bytes[i] === ESCAPE && i + 1 < bytes.length;
    data += String.fromCharCode(escaped ? bytes[++i]! ^ ESCAPE_MASK : bytes[i]!);
  }
  return data;
}

/** Reads a stream of packets. One that is longer than announced counts as an unknown packet, without data. */
export function createPacketReader(): PacketReader {
  let state: 'between' | 'data' | 'checksum' = 'between';
  let raw: number[] = [];
  let digits = '';
  let tooLong = false;

  function begin(): void {
    state = 'data';
    raw = [];
    tooLong = false;
  }
  function finish(): Received {
    state = 'between';
    const intact = tooLong || (/^[0-9a-f]{2}$/i.test(digits) && Number.parseInt(digits, 16) === checksum(raw));
    return { kind: 'packet', data: tooLong ? '' : withoutEscapes(raw), intact };
  }
  function between(byte: number): Received | undefined {
    if (byte === START) begin();
    else if (byte === INTERRUPT) return { kind: 'interrupt' };
    else if (byte === NAK) return { kind: 'resend' };
    return undefined;
  }
  function take(byte: number): Received | undefined {
    if (state === 'between') return between(byte);
    if (state === 'checksum') {
      digits += String.fromCharCode(byte);
      return digits.length === 2 ? finish() : undefined;
    }
    // An unescaped start inside a packet: what came before was cut off.
    if (byte === START) begin();
    else if (byte === END) {
      state = 'checksum';
      digits = '';
    } else if (raw.length < PACKET_SIZE) raw.push(byte);
    else tooLong = true;
    return undefined;
  }
  return {
    push(bytes) {
      const received: Received[] = [];
      for (const byte of bytes) {
        const item = take(byte);
        if (item !== undefined) received.push(item);
      }
      return received;
    },
  };
}

/** A packet with `data`, escaped where the framing or run-length encoding would misread it. */
export function encodePacket(data: string): Uint8Array {
  const raw: number[] = [];
  for (const character of data) {
    const byte = character.charCodeAt(0) & 0xff;
    if ('#$}*'.includes(character)) raw.push(ESCAPE, byte ^ ESCAPE_MASK);
    else raw.push(byte);
  }
  const sum = checksum(raw).toString(16).padStart(2, '0');
  return Uint8Array.of(START, ...raw, END, sum.charCodeAt(0), sum.charCodeAt(1));
}

/** Acknowledgement of a packet, or the request for it to be sent again. */
export function encodeAck(intact: boolean): Uint8Array {
  return Uint8Array.of(intact ? 0x2b : NAK);
}
