/**
 * The control channel of a console with many ports (virtio 1.2 5.3.6.2): what the device still has to tell the driver
 * about each port is a set of flags in its state, so it waits for buffers, and is saved, without a queue of its own.
 */
import type { Virtqueue, VirtqueueRequest } from '../virtio/virtqueue.ts';

const EVENT = {
  deviceReady: 0,
  portAdd: 1,
  portReady: 3,
  consolePort: 4,
  resize: 5,
  portOpen: 6,
  portName: 7,
} as const;

/** Messages that wait for a port, as flags; the lowest goes first. */
const PENDING = { add: 1, console: 2, name: 4, resize: 8, open: 16 } as const;

/** What is known of a port, as flags. */
const PORT = { ready: 1, open: 2 } as const;

const HEADER_SIZE = 8;

/** Fields of the console's state that belong to its ports. */
export function portFields(ports: number) {
  return { portFlags: ['u8', ports], portPending: ['u8', ports] } as const;
}

export interface ControlState {
  readonly portFlags: Uint8Array;
  readonly portPending: Uint8Array;
}

export interface PortInfo {
  /** Shown to the guest's udev rules; ASCII. */
  readonly name?: string;
  /** Whether the guest should offer a terminal there. */
  readonly console: boolean;
}

export interface ControlOptions {
  readonly state: ControlState;
  readonly ports: readonly PortInfo[];
  /** Control receive queue: device to driver. */
  readonly toDriver: Virtqueue;
  size(): { readonly columns: number; readonly rows: number };
  /** The guest opened a port. */
  opened(port: number): void;
  fault(reason: string): void;
}

export interface Control {
  /** Whether a guest program has the port open. */
  isOpen(port: number): boolean;
  /** Tells the driver the new size of every terminal. */
  resized(): void;
  /** Sends what waits, as far as there are buffers. */
  flush(): void;
  /** Takes a control message from the driver. */
  receive(request: VirtqueueRequest): void;
  reset(): void;
}

/** Makes the control channel. */
export function createControl(options: ControlOptions): Control {
  const { state, ports, toDriver } = options;

  function message(port: number, flag: number): Uint8Array {
    const { name = '' } = ports[port]!;
    const tail = flag === PENDING.name ? name.length : flag === PENDING.resize ? 4 : 0;
    const bytes = new Uint8Array(HEADER_SIZE + tail);
    const view = new DataView(bytes.buffer);
    const header = (event: number, value: number) => {
      view.setUint32(0, port, true);
      view.setUint16(4, event, true);
      view.setUint16(6, value, true);
    };
    if (flag === PENDING.add) header(EVENT.portAdd, 0);
    else if (flag === PENDING.console) header(EVENT.consolePort, 1);
    else if (flag === PENDING.open) header(EVENT.portOpen, 1);
    else if (flag === PENDING.name) {
      header(EVENT.portName, 1);
      for (let i = 0; i < name.length; i++) bytes[HEADER_SIZE + i] = name.charCodeAt(i) & 0x7f;
    } else {
      header(EVENT.resize, 0);
      const { columns, rows } = options.size();
      view.setUint16(HEADER_SIZE, columns, true);
      view.setUint16(HEADER_SIZE + 2, rows, true);
    }
    return bytes;
  }

  /** Sends a port's first waiting message; `false` if there was no buffer to put it in. */
  function sendFirst(port: number): boolean {
    const flag = state.portPending[port]! & -state.portPending[port]!;
    const bytes = message(port, flag);
    const request = toDriver.pop();
    if (request === undefined) return false;
    if (request.writableBytes < bytes.length) {
      options.fault('a control buffer is too short');
      return false;
    }
    if (!request.write(0, bytes)) return false;
    toDriver.push(request, bytes.length);
    state.portPending[port]! &= ~flag;
    return true;
  }

  function flush(): void {
    for (let port = 0; port < ports.length; port++) {
      while (state.portPending[port] !== 0) {
        if (sendFirst(port)) continue;
        toDriver.notify();
        return;
      }
    }
    toDriver.notify();
  }

  /** A port that the driver has set up learns what it is. */
  function introduce(port: number): void {
    const { name, console } = ports[port]!;
    state.portFlags[port]! |= PORT.ready;
    state.portPending[port]! |=
      (console ? PENDING.console | PENDING.resize : 0) | (name === undefined ? 0 : PENDING.name) | PENDING.open;
  }

  function setOpen(port: number, open: boolean): void {
    if (!open) {
      state.portFlags[port]! &= ~PORT.open;
      return;
    }
    state.portFlags[port]! |= PORT.open;
    options.opened(port);
  }

  return {
    isOpen: (port) => (state.portFlags[port]! & PORT.open) !== 0,
    resized() {
      for (const [port, { console }] of ports.entries()) {
        if (console && (state.portFlags[port]! & PORT.ready) !== 0) state.portPending[port]! |= PENDING.resize;
      }
      flush();
    },
    flush,
    receive(request) {
      const bytes = request.readableBytes < HEADER_SIZE ? undefined : request.read(0, HEADER_SIZE);
      if (bytes === undefined) return;
      const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_SIZE);
      const port = view.getUint32(0, true);
      const event = view.getUint16(4, true);
      const value = view.getUint16(6, true);
      if (event === EVENT.deviceReady) {
        // A driver that could not set itself up says so with 0; there is nobody to tell of ports then.
        if (value === 1) for (let i = 0; i < ports.length; i++) state.portPending[i]! |= PENDING.add;
      } else if (port >= ports.length) return;
      else if (event === EVENT.portReady && value === 1) introduce(port);
      else if (event === EVENT.portOpen) setOpen(port, value === 1);
      flush();
    },
    reset() {
      state.portFlags.fill(0);
      state.portPending.fill(0);
    },
  };
}

/** Whether restored port flags are ones that this code could have set. */
export function soundPorts(state: ControlState): boolean {
  return state.portFlags.every((flags) => flags <= 3) && state.portPending.every((pending) => pending < 32);
}
