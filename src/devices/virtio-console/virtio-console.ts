/**
 * The console device (virtio 1.2 5.3): one port, or many with names for guest agents and further terminals.
 */
import { VirtsError } from '../../base/errors.ts';
import { checkState } from '../check-state.ts';
import type { VirtioModel, VirtioPort } from '../virtio/model.ts';
import { createVirtioPci, type VirtioDevice, type VirtioPciOptions } from '../virtio/pci-transport.ts';
import type { Virtqueue } from '../virtio/virtqueue.ts';
import { type Control, createControl, portFields, soundPorts } from './control.ts';

const TYPE_CONSOLE = 3;
const FEATURE = { size: 0, multiport: 1, emergencyWrite: 2 } as const;

/** Offsets in the device configuration structure (5.3.4). */
const CONFIG = { columns: 0, rows: 2, maxPorts: 4, emergencyWrite: 8, size: 12 } as const;

const CONTROL_QUEUES = { toDriver: 2, fromDriver: 3 } as const;
const MAX_PORTS = 16;

/** The most bytes one transmit buffer may hold, and how many of them the back end is handed at a time. */
const MAX_TRANSMIT = 1024 * 1024;
const CHUNK = 64 * 1024;

/** The host's end of a port. */
export interface ConsoleBackend {
  /** Takes what the guest wrote. The array is the back end's to keep. */
  write(bytes: Uint8Array): void;
  /** The guest can take input: it opened the port, or gave buffers. Not called while `receive` takes all it is given. */
  ready?(): void;
}

export interface ConsolePortOptions {
  readonly backend: ConsoleBackend;
  /** By which the guest finds the port (`/dev/virtio-ports/NAME`); printable ASCII, up to 64 characters. */
  readonly name?: string;
  /** Whether the guest offers a terminal (`/dev/hvcN`) there; true for port 0 unless told. */
  readonly console?: boolean;
}

export interface VirtioConsoleOptions extends VirtioPciOptions {
  /** 1 to 16 ports. One without a name makes the plain device of one port. */
  readonly ports: readonly ConsolePortOptions[];
  /** Size of the terminal in characters, 0 while unknown. */
  readonly columns?: number;
  readonly rows?: number;
}

/** The host's handle on a port. */
export interface ConsolePort {
  /** Gives input to the guest. Returns how many bytes it took; offer the others again when the back end is `ready`. */
  receive(bytes: Uint8Array): number;
}

export interface VirtioConsole {
  readonly device: VirtioDevice;
  readonly ports: readonly ConsolePort[];
  /** The terminal now has this size, in characters (0 to 65535). */
  resize(columns: number, rows: number): void;
}

type PortFields = ReturnType<typeof portFields>;

/** A port's receive queue (to the driver); its transmit queue is the next. Queues 2 and 3 are the control channel's. */
function receiveQueue(port: number): number {
  return port === 0 ? 0 : 2 + 2 * port;
}

/** The port whose data a queue carries. */
function portOfQueue(queue: number): number {
  return queue < 2 ? 0 : (queue - 2) >> 1;
}

function checkPorts(name: string, ports: readonly ConsolePortOptions[]): void {
  const named = ports.every((port) => port.name === undefined || /^[\x21-\x7e]{1,64}$/.test(port.name));
  if (ports.length >= 1 && ports.length <= MAX_PORTS && named) return;
  throw new VirtsError('usage', `Give ${name} 1 to ${MAX_PORTS} ports, with names of up to 64 printable characters.`);
}

function configView(config: Uint8Array): DataView {
  return new DataView(config.buffer, config.byteOffset, config.length);
}

/** The device's behaviour, once the transport has attached it. */
function behaviour(options: VirtioConsoleOptions, multiport: boolean, port: VirtioPort<PortFields>) {
  const { ports } = options;
  const { config, queues, state } = port;
  const view = configView(config);

  const control: Control | undefined = multiport
    ? createControl({
        state,
        ports: ports.map(({ name, console }, i) => {
          return { ...(name === undefined ? {} : { name }), console: console ?? i === 0 };
        }),
        toDriver: queues[CONTROL_QUEUES.toDriver]!,
        size: () => {
          return { columns: view.getUint16(CONFIG.columns, true), rows: view.getUint16(CONFIG.rows, true) };
        },
        opened: (index) => ports[index]!.backend.ready?.(),
        fault: port.fault,
      })
    : undefined;
  const controlled = () => control !== undefined && port.negotiated(FEATURE.multiport);

  /** Without the control channel there is port 0 only, and it is always open. */
  const usable = (index: number) => port.active() && (controlled() ? control!.isOpen(index) : index === 0);

  function transmit(queue: Virtqueue, index: number): void {
    for (let request = queue.pop(); request !== undefined; request = queue.pop()) {
      for (let at = 0; at < request.readableBytes; at += CHUNK) {
        const bytes = request.read(at, Math.min(CHUNK, request.readableBytes - at));
        if (bytes === undefined) return;
        ports[index]!.backend.write(bytes);
      }
      queue.push(request, 0);
    }
    queue.notify();
  }

  function receive(index: number, bytes: Uint8Array): number {
    const queue = queues[receiveQueue(index)]!;
    let taken = 0;
    while (usable(index) && taken < bytes.length) {
      const request = queue.pop();
      if (request === undefined) break;
      const part = bytes.subarray(taken, taken + request.writableBytes);
      if (part.length === 0) port.fault('a receive buffer is not writable');
      if (part.length === 0 || !request.write(0, part)) break;
      queue.push(request, part.length);
      taken += part.length;
    }
    queue.notify();
    return taken;
  }

  function takeControl(queue: Virtqueue): void {
    for (let request = queue.pop(); request !== undefined; request = queue.pop()) {
      control!.receive(request);
      queue.push(request, 0);
    }
    queue.notify();
  }

  return {
    receive,
    resize(columns: number, rows: number): void {
      view.setUint16(CONFIG.columns, columns, true);
      view.setUint16(CONFIG.rows, rows, true);
      port.configChanged();
      if (controlled()) control!.resized();
    },
    handlers: {
      notified(queue: number): void {
        const index = portOfQueue(queue);
        if (queue === CONTROL_QUEUES.toDriver || queue === CONTROL_QUEUES.fromDriver) {
          if (!controlled()) return;
          if (queue === CONTROL_QUEUES.toDriver) control!.flush();
          else takeControl(queues[queue]!);
        } else if (queue !== receiveQueue(index)) transmit(queues[queue]!, index);
        else if (usable(index)) ports[index]!.backend.ready?.();
      },
      /** Output before there are queues, a byte a write (5.3.5.1). */
      configWritten(offset: number, _size: number, value: number): void {
        if (offset === CONFIG.emergencyWrite) ports[0]!.backend.write(Uint8Array.of(value & 0xff));
      },
      reset(): void {
        control?.reset();
      },
      restored(): void {
        checkState(options.name, { portFlags: soundPorts(state), maxPorts: view.getUint32(4, true) === ports.length });
      },
    },
  };
}

/** Makes a console. Throws 'usage' for ports that cannot be. */
export function createVirtioConsole(options: VirtioConsoleOptions): VirtioConsole {
  const { name, ports } = options;
  checkPorts(name, ports);
  const multiport = ports.length > 1 || ports[0]!.name !== undefined;
  const bit = (feature: number) => 1n << BigInt(feature);
  let made: ReturnType<typeof behaviour> | undefined;
  const model: VirtioModel<PortFields> = {
    name: 'virtio-console',
    version: 1,
    type: TYPE_CONSOLE,
    classCode: 0x07_8000,
    features: bit(FEATURE.size) | bit(FEATURE.emergencyWrite) | (multiport ? bit(FEATURE.multiport) : 0n),
    queues: Array.from({ length: multiport ? 2 + 2 * ports.length : 2 }, () => {
      return { size: 128, maxBytes: MAX_TRANSMIT };
    }),
    configSize: CONFIG.size,
    fields: portFields(ports.length),
    initial(_state, config) {
      const view = configView(config);
      view.setUint16(CONFIG.columns, options.columns ?? 0, true);
      view.setUint16(CONFIG.rows, options.rows ?? 0, true);
      view.setUint32(CONFIG.maxPorts, ports.length, true);
    },
    attach(port) {
      made = behaviour(options, multiport, port);
      return made.handlers;
    },
  };
  const device = createVirtioPci(options, model);
  const { receive, resize } = made!;
  return { device, resize, ports: ports.map((_, i) => ({ receive: (bytes: Uint8Array) => receive(i, bytes) })) };
}
