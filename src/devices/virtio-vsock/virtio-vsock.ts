/**
 * The socket device (virtio 1.2 5.10): packets of streams between guest and host. It carries them and checks their form; the
 * connections are at the other end of its port, in another thread. So a restored device tells the driver that all
 * connections are gone (5.10.6.7), and the other end likewise.
 */
import { VirtsError } from '../../base/errors.ts';
import { struct } from '../../base/struct.ts';
import { decodePacket, encodePacket, MOST_TO_GUEST, PACKET_HEADER, type VsockPacket } from '../../base/vsock-packet.ts';
import { checkState } from '../check-state.ts';
import type { VirtioHandlers, VirtioModel, VirtioPort } from '../virtio/model.ts';
import { createVirtioPci, type VirtioDevice, type VirtioPciOptions } from '../virtio/pci-transport.ts';
import { TRANSMIT_FIELDS, transmitWaiting } from '../virtio/transmit.ts';
import type { VirtqueueRequest } from '../virtio/virtqueue.ts';
import { HOST_CID, readHeader, VSOCK_HEADER, writeHeader } from './header.ts';

const TYPE_SOCKET = 19;
/** VIRTIO_VSOCK_F_STREAM. */
const FEATURES = 1n;
const CONFIG_SIZE = 8;

const QUEUE = { receive: 0, transmit: 1, event: 2 } as const;
const QUEUE_SIZE = 128;
/** A driver sends up to 64 KiB and a header; a chain that is longer by more than its alignment is malformed. */
const MAX_BYTES = 256 * 1024;
const MAX_EVENT = 4096;
/** Packets for the guest at a time. */
const MOST_PACKETS = 512;
/** More packets than wait at any time. */
const MOST_WAITING = 32_768;
const EVENT_TRANSPORT_RESET = 0;

/** The device's end of the way to whoever serves the connections. That may be in another thread; nothing here waits for it. */
export interface VsockPort {
  /** Whether a packet with so many bytes may be sent now. If not, the machine's thread is woken when there is room. */
  room(bytes: number): boolean;
  /** Sends a packet for which there is room. */
  send(packet: VsockPacket): void;
  /** Whether a packet waits, and the next one, which is thereby taken. It has at most `MOST_TO_GUEST` bytes. */
  waits(): boolean;
  take(): VsockPacket;
  /** Says that the guest knows of no connection any more. */
  restarted(): void;
}

export interface VirtioVsockOptions extends VirtioPciOptions {
  readonly port: VsockPort;
  /** The guest's context ID, 3 to 2^32 - 2. */
  readonly cid: number;
}

const FIELDS = {
  ...TRANSMIT_FIELDS,
} as const;

/**
 * For all threads of the machine, and not saved: after a restore there are no connections. The packet for the guest of which
 * only a part had room in its buffer, its length (0: there is none) and how many bytes of its payload are given.
 */
const UNSAVED = struct('virtio-vsock-unsaved', 1, {
  length: 'u32',
  given: 'u32',
  /** 1: the driver is to be told that all connections are gone. */
  transportReset: 'u8',
  record: ['u8', PACKET_HEADER + MOST_TO_GUEST],
});

type Port = VirtioPort<typeof FIELDS>;

function check({ name, cid }: VirtioVsockOptions): void {
  if (Number.isInteger(cid) && cid > HOST_CID && cid < 0xffff_ffff) return;
  throw new VirtsError('usage', `Give ${name} a context ID from 3 to ${0xffff_fffe}.`, { cid });
}

function behaviour(options: VirtioVsockOptions, device: Port): VirtioHandlers {
  const { port, cid, place } = options;
  const { state, config, queues } = device;
  const unsaved = place(UNSAVED);
  const receiveQueue = queues[QUEUE.receive]!;
  const transmitQueue = queues[QUEUE.transmit]!;
  const eventQueue = queues[QUEUE.event]!;
  const header = new Uint8Array(VSOCK_HEADER);
  const ownConfig = new Uint8Array(CONFIG_SIZE);
  new DataView(ownConfig.buffer).setUint32(0, cid, true);
  const said = new Set<string>();

  function complain(reason: string): void {
    if (said.has(reason)) return;
    said.add(reason);
    device.log(`${options.name}: ${reason}`);
  }

  /** The packet that is the next for the guest, which is taken; what is given of it already stays so. */
  function front(): VsockPacket | undefined {
    if (unsaved.length > 0) return decodePacket(unsaved.record.slice(0, unsaved.length));
    return port.waits() ? port.take() : undefined;
  }

  /** Keeps what a buffer had no room for, for the next. */
  function keep(packet: VsockPacket, given: number): void {
    if (given < packet.bytes.length && unsaved.length === 0) {
      const record = encodePacket(packet);
      unsaved.record.set(record);
      unsaved.length = record.length;
    } else if (given >= packet.bytes.length) unsaved.length = 0;
    unsaved.given = given < packet.bytes.length ? given : 0;
  }

  /** Fills a buffer with the next packet, or a part of it; `false` if there is none. */
  function fill(request: VirtqueueRequest): boolean {
    const room = request.writableBytes - VSOCK_HEADER;
    if (room < 1) {
      device.fault('a receive buffer is too small for a packet');
      return false;
    }
    const packet = front();
    if (packet === undefined) return false;
    const part = packet.bytes.subarray(unsaved.given, unsaved.given + room);
    const given = unsaved.given + part.length;
    writeHeader(header, packet, part.length, cid);
    if (!request.write(0, header) || !request.write(VSOCK_HEADER, part)) return false;
    receiveQueue.push(request, VSOCK_HEADER + part.length);
    keep(packet, given);
    return true;
  }

  function receive(): void {
    // As many as one look can bring: the other end may send for ever.
    for (let left = MOST_PACKETS; left > 0 && (unsaved.length > 0 || port.waits()); left--) {
      const request = receiveQueue.pop();
      if (request === undefined || !fill(request)) break;
    }
    receiveQueue.notify();
  }

  /** Sends a packet of the driver's; `false` where there is no room for it. */
  function transmitOne(request: VirtqueueRequest): boolean {
    const available = request.readableBytes - VSOCK_HEADER;
    const head = available < 0 ? undefined : request.read(0, VSOCK_HEADER);
    const packet = head && readHeader(head, available, cid);
    if (packet === undefined) {
      complain('a packet has no header, or is not from this guest to the host');
      return true;
    }
    if (!port.room(packet.length)) return false;
    const bytes = request.read(VSOCK_HEADER, packet.length);
    if (bytes !== undefined) port.send({ ...packet, bytes });
    return true;
  }

  const transmit = () => transmitWaiting(transmitQueue, state, transmitOne);

  /** Tells the driver that its connections are gone, once it has a buffer for that. */
  function tellReset(): void {
    const request = eventQueue.pop();
    if (request === undefined) return;
    unsaved.transportReset = 0;
    const event = Uint8Array.of(EVENT_TRANSPORT_RESET, 0, 0, 0);
    if (request.writableBytes < event.length) device.fault('an event buffer is too small');
    else if (request.write(0, event)) eventQueue.complete(request, event.length);
  }

  /** Nothing is left of any connection. */
  function forget(): void {
    unsaved.length = 0;
    unsaved.given = 0;
    // Whatever comes later than this is for connections that the guest does not know, and it says so.
    for (let left = MOST_WAITING; left > 0 && port.waits(); left--) port.take();
    port.restarted();
  }

  return {
    notified(queue) {
      if (queue === QUEUE.receive) receive();
      else if (queue === QUEUE.transmit) transmit();
      else if (unsaved.transportReset !== 0) tellReset();
    },
    poll() {
      if (unsaved.transportReset !== 0) tellReset();
      if (unsaved.length > 0 || port.waits()) receive();
      if (state.transmitWaits !== 0) transmit();
    },
    reset() {
      state.transmitWaits = 0;
      config.set(ownConfig);
      unsaved.transportReset = 0;
      forget();
    },
    restored() {
      checkState(options.name, {
        deviceConfig: config.every((byte, i) => byte === ownConfig[i]),
        transmitWaits: state.transmitWaits <= 1,
      });
      unsaved.transportReset = 1;
      forget();
    },
  };
}

/** Makes a socket device. Throws 'usage' for a context ID that cannot be. */
export function createVirtioVsock(options: VirtioVsockOptions): VirtioDevice {
  check(options);
  const model: VirtioModel<typeof FIELDS> = {
    name: 'virtio-vsock',
    version: 1,
    type: TYPE_SOCKET,
    classCode: 0x07_8000,
    features: FEATURES,
    queues: [
      { size: QUEUE_SIZE, maxBytes: MAX_BYTES },
      { size: QUEUE_SIZE, maxBytes: MAX_BYTES },
      { size: 16, maxBytes: MAX_EVENT },
    ],
    configSize: CONFIG_SIZE,
    fields: FIELDS,
    attach: (port) => behaviour(options, port),
  };
  return createVirtioPci(options, model);
}
