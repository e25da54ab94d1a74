/** A 16550A UART (National Semiconductor PC16550D datasheet), as a PC wires it. */
import type { TimerService } from '../../base/clock.ts';
import { byteRegion } from '../byte-region.ts';
import { allAtMost, checkState } from '../check-state.ts';
import type { Device, Line, Place } from '../device.ts';
import {
  clearReceiver,
  FIFO_SIZE,
  hasQueuedError,
  LSR,
  pop,
  push,
  room,
  type SerialState,
  serialSchema,
  triggerLevel,
} from './receiver.ts';

/** Interrupt enable register. */
const IER = { received: 1, transmitEmpty: 2, lineStatus: 4, modemStatus: 8 } as const;

/** Interrupt identification register; FIFOs enabled adds 0xc0. */
const IIR = { none: 1, modemStatus: 0, transmitEmpty: 2, received: 4, lineStatus: 6, timeout: 0x0c } as const;
const IIR_FIFOS = 0xc0;

/** FIFO control register. */
const FCR = { enable: 1, clearReceiver: 2 } as const;

/** The bits of the line status register that a read clears. */
const LSR_ERRORS = LSR.overrun | LSR.breakInterrupt;

const LCR_DLAB = 0x80;

/** Modem control register. */
const MCR = { dtr: 1, rts: 2, out1: 4, out2: 8, loop: 0x10 } as const;

/** Modem status register. */
const MSR = { cts: 0x10, dsr: 0x20, ri: 0x40, dcd: 0x80 } as const;

/** Looks at the line status without sending that show a guest which waits for input. */
const POLLING = 64;

/** The baud clock: 1.8432 MHz, of which a bit takes 16 times the divisor. */
const CRYSTAL_HZ = 1_843_200;

/** Where the bytes that the guest sends go. */
export interface SerialBackend {
  /** One byte, 0 to 255. It must not throw and must not wait. */
  write(byte: number): void;
}

export interface SerialOptions {
  /** Unique in the machine, e.g. `serial0`. */
  readonly name: string;
  readonly place: Place;
  readonly timers: TimerService;
  readonly irq: Line;
  readonly backend: SerialBackend;
  /**
   * After `receive` took less than it was offered: the guest has read everything, so there is room again. It may call
   * `receive` at once.
   */
  onRoom?(): void;
}

export interface Serial extends Device<(typeof serialSchema)['fields']> {
  /**
   * Whether the guest wants to receive: it enabled the interrupt for it, or looks at the line status again and again. What
   * arrives earlier is lost where a driver clears the receiver as it starts.
   */
  listening(): boolean;
  /** Bytes from the line; returns how many were taken, as many as the receiver has room for. */
  receive(bytes: Uint8Array): number;
  /** A break condition on the line, e.g. for a console's magic keys; `false` if there was no room for it. */
  receiveBreak(): boolean;
}

/** The modem inputs: a peer that is always there, or in loopback the UART's own outputs. */
function modemInputs(s: SerialState): number {
  const mcr = s.modemControl;
  if ((mcr & MCR.loop) === 0) return MSR.cts | MSR.dsr | MSR.dcd;
  return (
    (mcr & MCR.rts ? MSR.cts : 0) |
    (mcr & MCR.dtr ? MSR.dsr : 0) |
    (mcr & MCR.out1 ? MSR.ri : 0) |
    (mcr & MCR.out2 ? MSR.dcd : 0)
  );
}

/** Nanoseconds of silence, four characters, after which bytes below the trigger level interrupt too. */
function timeoutNs(s: SerialState): number {
  const [dataBits, parity, stopBits] = [
    5 + (s.lineControl & 3),
    (s.lineControl >> 3) & 1,
    1 + ((s.lineControl >> 2) & 1),
  ];
  const bits = 1 + dataBits + parity + stopBits;
  return Math.ceil((4 * bits * 16 * Math.max(1, s.divisor) * 1e9) / CRYSTAL_HZ);
}

/** Region `port`: 8 ports. Transmission takes no time: the holding register is empty again at once. */
export function createSerial(options: SerialOptions): Serial {
  const { name, timers, backend } = options;
  const state: SerialState = options.place(serialSchema);
  const timer = timers.timer(() => update());

  const awaitsTimeout = () =>
    state.fifo !== 0 && state.count > 0 && state.count < triggerLevel(state) && (state.interruptEnable & 1) !== 0;

  /** The pending interrupt of highest priority. */
  function identify(): number {
    const enabled = state.interruptEnable;
    if (enabled & IER.lineStatus && state.errors !== 0) return IIR.lineStatus;
    if (enabled & IER.received) {
      if (state.count >= triggerLevel(state)) return IIR.received;
      if (awaitsTimeout() && timers.now() >= state.lastActivity + timeoutNs(state)) return IIR.timeout;
    }
    if (enabled & IER.transmitEmpty && state.transmitEmpty !== 0) return IIR.transmitEmpty;
    if (enabled & IER.modemStatus && state.modemChanges !== 0) return IIR.modemStatus;
    return IIR.none;
  }

  function update(): void {
    // A PC gates the interrupt with OUT2, which is inactive in loopback.
    const gate = (state.modemControl & (MCR.out2 | MCR.loop)) === MCR.out2;
    options.irq.set(gate && identify() !== IIR.none);
    const deadline = awaitsTimeout() ? state.lastActivity + timeoutNs(state) : 0;
    if (deadline > timers.now()) timer.arm(deadline);
    else timer.cancel();
  }

  /** Tells a back end that was refused that it may offer again. Called last: it may come back with `receive`. */
  function offerRoom(): void {
    if (state.refused === 0 || state.count > 0 || (state.modemControl & MCR.loop) !== 0) return;
    state.refused = 0;
    options.onRoom?.();
  }

  function transmit(byte: number): void {
    state.polls = 0;
    if (state.modemControl & MCR.loop) {
      push(state, byte, 0);
      state.lastActivity = timers.now();
    } else {
      backend.write(byte);
    }
    state.transmitEmpty = 1;
  }

  function readIir(): number {
    const pending = identify();
    // Only the read that reports the transmitter's interrupt acknowledges it.
    if (pending === IIR.transmitEmpty) state.transmitEmpty = 0;
    return pending | (state.fifo !== 0 ? IIR_FIFOS : 0);
  }

  function readLineStatus(): number {
    if (state.count === 0 && state.polls < 255) state.polls++;
    const status =
      LSR.transmitHoldingEmpty |
      LSR.transmitterEmpty |
      (state.count > 0 ? LSR.dataReady : 0) |
      (hasQueuedError(state) ? LSR.fifoError : 0) |
      state.errors;
    state.errors = 0;
    return status;
  }

  function readModemStatus(): number {
    const status = modemInputs(state) | state.modemChanges;
    state.modemChanges = 0;
    return status;
  }

  function readData(): number {
    state.lastActivity = timers.now();
    return pop(state);
  }

  function writeModemControl(value: number): void {
    const before = modemInputs(state);
    state.modemControl = value & 0x1f;
    const after = modemInputs(state);
    // Ring counts when it ends, the others whenever they change.
    const changed = ((before ^ after) & (MSR.cts | MSR.dsr | MSR.dcd)) | (before & ~after & MSR.ri);
    state.modemChanges |= changed >> 4;
  }

  function writeInterruptEnable(value: number): void {
    // Enabling the transmitter's interrupt while it is empty requests it; drivers probe for that.
    if (value & ~state.interruptEnable & IER.transmitEmpty) state.transmitEmpty = 1;
    state.interruptEnable = value & 0x0f;
  }

  function writeFifoControl(value: number): void {
    const enable = value & FCR.enable;
    if (enable !== state.fifo || value & FCR.clearReceiver) clearReceiver(state);
    state.fifo = enable;
    state.trigger = enable ? value >> 6 : 0;
  }

  function read(offset: number): number {
    const latch = (state.lineControl & LCR_DLAB) !== 0;
    switch (offset) {
      case 0:
        return latch ? state.divisor & 0xff : readData();
      case 1:
        return latch ? state.divisor >> 8 : state.interruptEnable;
      case 2:
        return readIir();
      case 3:
        return state.lineControl;
      case 4:
        return state.modemControl;
      case 5:
        return readLineStatus();
      case 6:
        return readModemStatus();
      default:
        return state.scratch;
    }
  }

  function write(offset: number, value: number): void {
    const latch = (state.lineControl & LCR_DLAB) !== 0;
    switch (offset) {
      case 0:
        if (latch) state.divisor = (state.divisor & 0xff00) | value;
        else transmit(value);
        break;
      case 1:
        if (latch) state.divisor = (state.divisor & 0xff) | (value << 8);
        else writeInterruptEnable(value);
        break;
      case 2:
        writeFifoControl(value);
        break;
      case 3:
        state.lineControl = value;
        break;
      case 4:
        writeModemControl(value);
        break;
      case 7:
        state.scratch = value;
        break;
    }
  }

  function receive(bytes: Uint8Array): number {
    const looped = (state.modemControl & MCR.loop) !== 0;
    const taken = looped ? 0 : Math.min(bytes.length, room(state));
    for (let i = 0; i < taken; i++) push(state, bytes[i], 0);
    if (taken < bytes.length) state.refused = 1;
    if (taken > 0) state.lastActivity = timers.now();
    update();
    return taken;
  }

  function receiveBreak(): boolean {
    if ((state.modemControl & MCR.loop) !== 0 || room(state) === 0) return false;
    push(state, 0, LSR.breakInterrupt);
    state.lastActivity = timers.now();
    update();
    return true;
  }

  return {
    name,
    schema: serialSchema,
    state,
    regions: {
      port: byteRegion(
        8,
        (offset) => {
          const value = read(offset);
          update();
          offerRoom();
          return value;
        },
        (offset, value) => {
          write(offset, value);
          update();
          offerRoom();
        },
      ),
    },
    listening: () => (state.interruptEnable & IER.received) !== 0 || state.polls >= POLLING,
    receive,
    receiveBreak,
    reset() {
      clearReceiver(state);
      // 9600 baud, as a PC's firmware leaves it.
      state.divisor = 12;
      state.interruptEnable = 0;
      state.lineControl = 0;
      state.modemControl = 0;
      state.scratch = 0;
      state.polls = 0;
      state.fifo = 0;
      state.trigger = 0;
      state.errors = 0;
      state.modemChanges = 0;
      state.transmitEmpty = 0;
      state.lastActivity = 0;
      update();
      offerRoom();
    },
    restored() {
      checkSerial(name, state);
      update();
      offerRoom();
    },
  };
}

function checkSerial(name: string, s: SerialState): void {
  checkState(name, {
    interruptEnable: s.interruptEnable <= 0x0f,
    modemControl: s.modemControl <= 0x1f,
    flags: allAtMost([s.fifo, s.transmitEmpty, s.refused], 1),
    trigger: s.trigger <= 3,
    errors: s.errors === (s.errors & LSR_ERRORS),
    byteErrors: s.byteErrors.every((errors) => errors === (errors & LSR_ERRORS)),
    modemChanges: s.modemChanges <= 0x0f,
    head: s.head < FIFO_SIZE,
    count: s.count <= (s.fifo !== 0 ? FIFO_SIZE : 1),
    lastActivity: Number.isFinite(s.lastActivity) && s.lastActivity >= 0,
  });
}
