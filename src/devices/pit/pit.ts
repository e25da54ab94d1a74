/** The PC's interval timer: an 8254, whose channel 0 is IRQ 0 and whose channel 2 is the speaker, with port 0x61. */
import type { TimerService } from '../../base/clock.ts';
import { byteRegion } from '../byte-region.ts';
import { allAtMost, allTimes, checkState } from '../check-state.ts';
import type { Device, Line, Place } from '../device.ts';
import { ticksAt, ticksToNs } from '../ticks.ts';
import {
  beginCount,
  counterValue,
  isNullCount,
  nextRise,
  output,
  type PitState,
  pitSchema,
  setGate,
  setMode,
  settle,
  writeCount,
} from './counter.ts';

/** The oscillator's frequency. */
export const PIT_HZ = 1_193_182;

/** Channel 1 of a PC asks for a memory refresh every 18 ticks; bit 4 of port 0x61 toggles with each. */
const REFRESH_TICKS = 18;

/** About 10 µs: faster rises of channel 0 are merged, so that no count floods the host with timer events. */
const MIN_RISE_TICKS = 12;

/** IRQ 0, which the HPET may take over. */
export interface ReplaceableLine extends Line {
  /** What is said of the line reaches nobody. */
  readonly replaced: boolean;
}

export interface PitOptions {
  readonly place: Place;
  readonly timers: TimerService;
  /**
   * Channel 0's output, to IRQ 0. Edges are what counts there: between two rises of a periodic mode it stays high, and
   * falls only just before the next rise.
   */
  readonly irq: ReplaceableLine;
}

export interface Pit extends Device<(typeof pitSchema)['fields']> {
  /** To be called when the HPET has taken over the line, or given it back. */
  replacedOrBack(): void;
}

/** Regions `counters`, 4 ports (0x40), and `control`, 1 port (0x61). */
export function createPit({ place, timers, irq }: PitOptions): Pit {
  const state: PitState = place(pitSchema);
  const timer = timers.timer(fire);
  const now = () => ticksAt(timers.now(), PIT_HZ);

  function setIrq(level: boolean): void {
    state.irqLevel = level ? 1 : 0;
    irq.set(level);
  }

  function schedule(tick: number, earliest: number): void {
    const rise = nextRise(state, 0, tick);
    state.nextRise = rise === undefined ? 0 : Math.max(rise, earliest);
    arm();
  }

  function arm(): void {
    // An idle host is not to wake up for rises that nobody sees.
    if (state.nextRise === 0 || irq.replaced) timer.cancel();
    else timer.arm(ticksToNs(state.nextRise, PIT_HZ));
  }

  /** Delivers a rise of channel 0 that is due. Rises that the host was too late for are one. */
  function catchUp(tick: number): void {
    if (state.nextRise === 0 || tick < state.nextRise) return;
    setIrq(false);
    setIrq(true);
    settle(state, 0, tick);
    schedule(tick, tick + MIN_RISE_TICKS);
  }

  function fire(): void {
    if (!irq.replaced) catchUp(now());
    arm();
  }

  /** After a write to channel 0: its level, and its next rise. */
  function reprogrammed(tick: number): void {
    const risesOnce = state.mode[0] <= 1;
    setIrq(!risesOnce || output(state, 0, tick));
    schedule(tick, tick);
  }

  function latchCount(ch: number, tick: number): void {
    if (state.latchBytes[ch] !== 0) return;
    state.latch[ch] = counterValue(state, ch, tick);
    state.latchBytes[ch] = state.access[ch] === 3 ? 2 : 1;
  }

  function latchStatus(ch: number, tick: number): void {
    if (state.statusLatched[ch] !== 0) return;
    const out = output(state, ch, tick) ? 0x80 : 0;
    const empty = isNullCount(state, ch, tick) ? 0x40 : 0;
    state.status[ch] = out | empty | (state.access[ch] << 4) | (state.mode[ch] << 1) | state.bcd[ch];
    state.statusLatched[ch] = 1;
  }

  function readBack(command: number, tick: number): void {
    for (let ch = 0; ch < 3; ch++) {
      if ((command & (2 << ch)) === 0) continue;
      settle(state, ch, tick);
      if ((command & 0x20) === 0) latchCount(ch, tick);
      if ((command & 0x10) === 0) latchStatus(ch, tick);
    }
  }

  function writeControlWord(value: number): void {
    const [ch, tick] = [value >> 6, now()];
    if (ch === 3) {
      readBack(value, tick);
    } else if ((value & 0x30) === 0) {
      settle(state, ch, tick);
      latchCount(ch, tick);
    } else {
      program(ch, value, tick);
    }
  }

  function program(ch: number, value: number, tick: number): void {
    if (ch === 0) catchUp(tick);
    const mode = (value >> 1) & 7;
    state.access[ch] = (value >> 4) & 3;
    state.bcd[ch] = value & 1;
    state.writeHigh[ch] = 0;
    state.readHigh[ch] = 0;
    state.latchBytes[ch] = 0;
    state.statusLatched[ch] = 0;
    // Modes 6 and 7 are other names of 2 and 3: bit 2 does not count there.
    setMode(state, ch, mode > 5 ? mode & 3 : mode, tick);
    if (ch === 0) reprogrammed(tick);
  }

  function writeCounter(ch: number, value: number): void {
    const tick = now();
    if (ch === 0) catchUp(tick);
    if (state.access[ch] === 3 && state.writeHigh[ch] === 0) {
      state.writtenLow[ch] = value;
      state.writeHigh[ch] = 1;
      beginCount(state, ch);
    } else {
      const raw = state.access[ch] === 1 ? value : (value << 8) | (state.access[ch] === 3 ? state.writtenLow[ch] : 0);
      state.writeHigh[ch] = 0;
      writeCount(state, ch, raw, tick);
    }
    if (ch === 0) reprogrammed(tick);
  }

  function readCounter(ch: number): number {
    if (state.statusLatched[ch] !== 0) {
      state.statusLatched[ch] = 0;
      return state.status[ch];
    }
    const tick = now();
    settle(state, ch, tick);
    const value = state.latchBytes[ch] !== 0 ? state.latch[ch] : counterValue(state, ch, tick);
    if (state.latchBytes[ch] !== 0) state.latchBytes[ch]--;
    const high = state.access[ch] === 2 || (state.access[ch] === 3 && state.readHigh[ch] !== 0);
    if (state.access[ch] === 3) state.readHigh[ch] ^= 1;
    return high ? value >> 8 : value & 0xff;
  }

  function readPort61(): number {
    const tick = now();
    settle(state, 2, tick);
    const refresh = Math.floor(tick / REFRESH_TICKS) & 1;
    return state.port61 | (refresh << 4) | (output(state, 2, tick) ? 0x20 : 0);
  }

  function writePort61(value: number): void {
    state.port61 = value & 0x0f;
    setGate(state, 2, (value & 1) !== 0, now());
  }

  return {
    name: 'pit',
    schema: pitSchema,
    state,
    regions: {
      counters: byteRegion(
        4,
        // The control word cannot be read: nothing drives the bus.
        (offset) => (offset === 3 ? 0xff : readCounter(offset)),
        (offset, value) => (offset === 3 ? writeControlWord(value) : writeCounter(offset, value)),
      ),
      control: byteRegion(1, readPort61, (_offset, value) => writePort61(value)),
    },
    replacedOrBack: fire,
    reset() {
      for (const value of Object.values(state)) if (typeof value !== 'number') value.fill(0);
      state.access.fill(3);
      state.count.fill(65_536);
      state.reload.fill(65_536);
      state.gate.set([1, 1, 0]);
      state.port61 = 0;
      state.nextRise = 0;
      timer.cancel();
      setIrq(false);
    },
    restored() {
      checkPit(state);
      irq.set(state.irqLevel !== 0);
      arm();
    },
  };
}

function checkPit(s: PitState): void {
  const flags = [s.bcd, s.writeHigh, s.readHigh, s.statusLatched, s.gate, s.written, s.loaded, s.pending];
  const isCount = (count: number) => count >= 1 && count <= 65_536;
  checkState('pit', {
    mode: allAtMost(s.mode, 5),
    access: s.access.every((access) => access >= 1 && access <= 3),
    flags: flags.every((field) => allAtMost(field, 1)),
    gate: s.gate[0] === 1 && s.gate[1] === 1,
    latchBytes: allAtMost(s.latchBytes, 2),
    reload: s.reload.every(isCount),
    count: s.count.every(isCount),
    start: allTimes(s.start),
    switchAt: allTimes(s.switchAt),
    pausedAt: allTimes(s.pausedAt),
    port61: s.port61 <= 15,
    irqLevel: s.irqLevel <= 1,
    nextRise: allTimes([s.nextRise]) && s.nextRise >= 0,
  });
}
