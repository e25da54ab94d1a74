/**
 * The counting element of one 8254 channel as a function of time (Intel 8254 datasheet, order 231164, "Mode
 * definitions"). Nothing is stepped: what a counter holds and drives follows from the tick at which it was loaded.
 */
import type { StructView } from '../../base/struct.ts';
import { struct } from '../../base/struct.ts';

/** Arrays hold one element a channel. Times are ticks of the 1.193182 MHz oscillator since the machine's time 0. */
export const pitSchema = struct('pit', 1, {
  mode: ['u8', 3],
  bcd: ['u8', 3],
  /** 1 low byte, 2 high byte, 3 low byte then high byte. */
  access: ['u8', 3],
  /** The low byte was written, the high byte is next. */
  writeHigh: ['u8', 3],
  writtenLow: ['u8', 3],
  /** The low byte was read, the high byte is next. */
  readHigh: ['u8', 3],
  latch: ['u16', 3],
  /** Bytes of `latch` still to be read. */
  latchBytes: ['u8', 3],
  status: ['u8', 3],
  statusLatched: ['u8', 3],
  gate: ['u8', 3],
  /** A count was written since the control word. */
  written: ['u8', 3],
  /** The counting element was loaded since the control word. */
  loaded: ['u8', 3],
  /** `reload` waits for the trigger, or for `switchAt` where that is not 0. */
  pending: ['u8', 3],
  /** The count register, 1 to 65536. */
  reload: ['u32', 3],
  /** The count of the running period, 1 to 65536. */
  count: ['u32', 3],
  /** When the counting element was, or will be, loaded. */
  start: ['f64', 3],
  switchAt: ['f64', 3],
  /** When the gate stopped the counter, in the modes where it does. */
  pausedAt: ['f64', 3],
  /** Bits 0-3 of port 0x61. */
  port61: 'u8',
  irqLevel: 'u8',
  /** When channel 0's output next rises; 0 for never. */
  nextRise: 'f64',
});

export type PitState = StructView<(typeof pitSchema)['fields']>;

/** Modes in which the gate starts the counter and does not stop it. */
function isTriggered(mode: number): boolean {
  return mode === 1 || mode === 5;
}

function isPeriodic(mode: number): boolean {
  return mode === 2 || mode === 3;
}

function isPaused(s: PitState, ch: number): boolean {
  return s.gate[ch] === 0 && !isTriggered(s.mode[ch]);
}

/** The count that a written 16-bit value stands for. A period of 1 is illegal and runs as 2. */
function decodeCount(s: PitState, ch: number, raw: number): number {
  let count = raw;
  if (s.bcd[ch] !== 0) {
    count = (raw & 15) + 10 * ((raw >> 4) & 15) + 100 * ((raw >> 8) & 15) + 1000 * (raw >> 12);
    if (count === 0) count = 10_000;
  } else if (raw === 0) {
    count = 65_536;
  }
  return isPeriodic(s.mode[ch]) ? Math.max(2, count) : count;
}

/** Ticks of the high half of a square wave; the odd one belongs to it. */
function highTicks(count: number): number {
  return Math.ceil(count / 2);
}

function elapsed(s: PitState, ch: number, now: number): number {
  return Math.max(0, (isPaused(s, ch) ? s.pausedAt[ch] : now) - s.start[ch]);
}

/** The first tick after `now` at which a new count may take over: the end of the period, or of the half-cycle. */
function nextBoundary(s: PitState, ch: number, now: number): number {
  const count = s.count[ch];
  const periodStart = now - (elapsed(s, ch, now) % count);
  const half = periodStart + highTicks(count);
  return s.mode[ch] === 3 && half > now ? half : periodStart + count;
}

/** The tick that the period has as its first once `reload` has taken over at `switchAt`. */
function startAfterSwitch(s: PitState, ch: number): number {
  const endsPeriod = (s.switchAt[ch] - s.start[ch]) % s.count[ch] === 0;
  return endsPeriod ? s.switchAt[ch] : s.switchAt[ch] - highTicks(s.reload[ch]);
}

/** Brings a periodic channel past the point where a new count took over. */
export function settle(s: PitState, ch: number, now: number): void {
  if (s.pending[ch] === 0 || s.switchAt[ch] === 0 || now < s.switchAt[ch]) return;
  s.start[ch] = startAfterSwitch(s, ch);
  s.count[ch] = s.reload[ch];
  s.pending[ch] = 0;
  s.switchAt[ch] = 0;
}

function load(s: PitState, ch: number, at: number): void {
  s.start[ch] = at;
  s.count[ch] = s.reload[ch];
  s.loaded[ch] = 1;
  s.pending[ch] = 0;
  s.switchAt[ch] = 0;
}

/** A control word: the channel forgets its count and waits for a new one. */
export function setMode(s: PitState, ch: number, mode: number, now: number): void {
  s.mode[ch] = mode;
  s.written[ch] = 0;
  s.loaded[ch] = 0;
  s.pending[ch] = 0;
  s.switchAt[ch] = 0;
  s.pausedAt[ch] = now;
}

/** The first byte of two stops mode 0 and drives its output low. */
export function beginCount(s: PitState, ch: number): void {
  if (s.mode[ch] === 0) s.loaded[ch] = 0;
}

/** A complete 16-bit count was written. */
export function writeCount(s: PitState, ch: number, raw: number, now: number): void {
  settle(s, ch, now);
  s.reload[ch] = decodeCount(s, ch, raw);
  s.written[ch] = 1;
  if (isTriggered(s.mode[ch])) {
    s.pending[ch] = 1;
  } else if (!isPeriodic(s.mode[ch]) || s.loaded[ch] === 0 || now < s.start[ch]) {
    load(s, ch, now + 1);
    s.pausedAt[ch] = now;
  } else {
    s.pending[ch] = 1;
    s.switchAt[ch] = isPaused(s, ch) ? 0 : nextBoundary(s, ch, now);
  }
}

/** The gate pin: it pauses or triggers, according to the mode. */
export function setGate(s: PitState, ch: number, high: boolean, now: number): void {
  if ((s.gate[ch] !== 0) === high) return;
  settle(s, ch, now);
  const before = elapsed(s, ch, now);
  s.gate[ch] = high ? 1 : 0;
  const mode = s.mode[ch];
  if (!high) {
    s.pausedAt[ch] = now;
    s.switchAt[ch] = 0;
  } else if (isTriggered(mode) || isPeriodic(mode)) {
    if (s.written[ch] !== 0) load(s, ch, now + 1);
  } else if (s.start[ch] <= now) {
    s.start[ch] = now - before;
  }
}

/** Whether a written count has not reached the counting element: the read-back status's bit 6. */
export function isNullCount(s: PitState, ch: number, now: number): boolean {
  return s.loaded[ch] === 0 || s.pending[ch] !== 0 || now < s.start[ch];
}

/** The 16 bits that a read of the counter gives, in BCD where the channel counts so. */
export function counterValue(s: PitState, ch: number, now: number): number {
  if (s.loaded[ch] === 0) return 0;
  const modulus = s.bcd[ch] !== 0 ? 10_000 : 65_536;
  const [count, ticks] = [s.count[ch], elapsed(s, ch, now)];
  let value = count - (ticks % modulus) + modulus;
  if (s.mode[ch] === 2) value = count - (ticks % count);
  if (s.mode[ch] === 3) {
    const [position, high] = [ticks % count, highTicks(count)];
    value = (count & ~1) - 2 * (position < high ? position : position - high);
  }
  value %= modulus;
  if (s.bcd[ch] === 0) return value;
  const digit = (power: number) => Math.floor(value / power) % 10;
  return digit(1) | (digit(10) << 4) | (digit(100) << 8) | (digit(1000) << 12);
}

/** The output pin. */
export function output(s: PitState, ch: number, now: number): boolean {
  const mode = s.mode[ch];
  if (s.loaded[ch] === 0) return mode !== 0;
  const [count, ticks] = [s.count[ch], elapsed(s, ch, now)];
  if (isPeriodic(mode)) {
    if (isPaused(s, ch)) return true;
    return mode === 2 ? ticks % count !== count - 1 : ticks % count < highTicks(count);
  }
  return mode <= 1 ? ticks >= count : ticks !== count;
}

/** The first tick after `now` at which the output rises by itself, or `undefined`. */
export function nextRise(s: PitState, ch: number, now: number): number | undefined {
  const mode = s.mode[ch];
  if (s.loaded[ch] === 0 || isPaused(s, ch)) return undefined;
  const [count, start] = [s.count[ch], s.start[ch]];
  if (!isPeriodic(mode)) {
    const rise = start + count + (mode >= 4 ? 1 : 0);
    return rise > now ? rise : undefined;
  }
  if (s.pending[ch] !== 0 && s.switchAt[ch] > now) {
    const restart = startAfterSwitch(s, ch);
    return restart === s.switchAt[ch] ? restart : restart + s.reload[ch];
  }
  return now < start ? start + count : start + (Math.floor((now - start) / count) + 1) * count;
}
