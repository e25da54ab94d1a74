/**
 * The network device (virtio 1.2 5.1): one queue pair, mergeable receive buffers, checksums and TCP segmentation left to the
 * other side where both agree, and a control queue.
 */
import { VirtsError } from '../../base/errors.ts';
import { type Frame, MAX_FRAME, NO_OFFLOADS, type Offloads } from '../../base/frame.ts';
import { checkState } from '../check-state.ts';
import type { VirtioHandlers, VirtioModel, VirtioPort } from '../virtio/model.ts';
import { createVirtioPci, type VirtioDevice, type VirtioPciOptions } from '../virtio/pci-transport.ts';
import { TRANSMIT_FIELDS, transmitWaiting } from '../virtio/transmit.ts';
import type { VirtqueueRequest } from '../virtio/virtqueue.ts';
import { FEATURE, NET_HEADER, readFrame, segmentsFeature, writeHeader } from './header.ts';

const TYPE_NETWORK = 1;

/** Offsets in the device configuration structure (5.1.4). */
const CONFIG = { mac: 0, status: 6, mtu: 10, size: 12 } as const;
const LINK_UP = 1;

const QUEUE = { receive: 0, transmit: 1, control: 2 } as const;
const QUEUE_SIZE = 256;
/** The most bytes of one chain: a driver that gathers a frame of 64 KiB from pages stays below. */
const MAX_BYTES = 128 * 1024;
const MAX_CONTROL = 64 * 1024;
/** Frames for the guest at a time. */
const MOST_FRAMES = 1024;

/** Control commands (5.1.6.5): receive modes, MAC filter, offloads. */
const CLASS = { receive: 0, mac: 1, offloads: 5 } as const;
const SET_OFFLOADS = 0;
const ANSWER = { ok: 0, error: 1 } as const;

/** What the driver may switch on and off (5.1.6.5.6). */
const SWITCHED = [FEATURE.guestChecksum, FEATURE.guestSegments4, FEATURE.guestSegments6];
const ALL_SWITCHED = SWITCHED.reduce((bits, bit) => bits | (1 << bit), 0);

/** The device's end of the wire. The network at the other end may be in another thread; nothing here waits for it. */
export interface NetPort {
  /** Whether a frame of so many bytes may be sent now. If not, the machine's thread is woken when there is room. */
  room(bytes: number): boolean;
  /** Sends a frame for which there is room. Its bytes are the port's to keep. */
  send(frame: Frame): void;
  /** Bytes of the frame that comes next, 0 where none waits. */
  next(): number;
  /** Takes that frame. */
  take(): Frame;
  /** Says what the guest's driver accepts from now on. */
  accept(offloads: Offloads): void;
}

export interface VirtioNetOptions extends VirtioPciOptions {
  readonly port: NetPort;
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** The most bytes of an IP packet, 68 to 65,535. */
  readonly mtu: number;
}

/** The host's handle on the device. */
export interface VirtioNet {
  readonly device: VirtioDevice;
  /** Puts the cable in or pulls it out. */
  setLink(up: boolean): void;
}

const FIELDS = {
  /** The guest offloads that are on, as bits by feature number. */
  guestOffloads: 'u32',
  /** The cable is out. */
  unplugged: 'u8',
  ...TRANSMIT_FIELDS,
} as const;

type NetFields = typeof FIELDS;

function check({ name, mac, mtu }: VirtioNetOptions): void {
  const fits = mac.length === 6 && (mac[0]! & 1) === 0 && Number.isInteger(mtu) && mtu >= 68 && mtu <= 65_535;
  if (!fits) throw new VirtsError('usage', `Give ${name} a MAC address of one card and an MTU from 68 to 65535.`);
}

/** Takes the buffers for `size` bytes off the receive queue; `undefined`, with none taken, if they do not suffice. */
function takeBuffers({ queues }: VirtioPort<NetFields>, size: number): VirtqueueRequest[] | undefined {
  const queue = queues[QUEUE.receive]!;
  const taken: VirtqueueRequest[] = [];
  for (let room = 0; room < size; ) {
    const request = queue.pop();
    if (request === undefined) {
      for (const one of taken.toReversed()) queue.putBack(one);
      return undefined;
    }
    taken.push(request);
    room += request.writableBytes;
  }
  return taken;
}

/** Writes `header` and `bytes` one after the other into buffers; `false` if the driver broke a rule. */
function fill(
  requests: readonly VirtqueueRequest[],
  header: Uint8Array,
  bytes: Uint8Array,
  lengths: number[],
): boolean {
  let at = 0;
  for (const request of requests) {
    const end = Math.min(at + request.writableBytes, header.length + bytes.length);
    const fromHeader = at < header.length ? header.subarray(at, Math.min(end, header.length)) : undefined;
    const skipped = fromHeader?.length ?? 0;
    if (fromHeader !== undefined && !request.write(0, fromHeader)) return false;
    const part = bytes.subarray(at + skipped - header.length, end - header.length);
    if (end > header.length && !request.write(skipped, part)) return false;
    lengths.push(end - at);
    at = end;
  }
  return true;
}

/** What the driver accepts at present. */
function accepted({ state, negotiated, active }: VirtioPort<NetFields>): Offloads {
  const isOn = (bit: number) => negotiated(bit) && ((state.guestOffloads >>> bit) & 1) === 1;
  if (!active() || state.unplugged !== 0 || !isOn(FEATURE.guestChecksum)) return NO_OFFLOADS;
  return { checksum: true, segments4: isOn(FEATURE.guestSegments4), segments6: isOn(FEATURE.guestSegments6) };
}

function behaviour(options: VirtioNetOptions, port: VirtioPort<NetFields>) {
  const { port: wire } = options;
  const { state, config, queues, negotiated } = port;
  const receiveQueue = queues[QUEUE.receive]!;
  const transmitQueue = queues[QUEUE.transmit]!;
  const header = new Uint8Array(NET_HEADER);
  const said = new Set<string>();
  const plugged = () => port.active() && state.unplugged === 0;

  /** What is wrong with a frame is told once; the frame is lost, as with a card that cannot send it. */
  function complain(reason: string): void {
    if (said.has(reason)) return;
    said.add(reason);
    port.log(`${options.name}: ${reason}`);
  }

  function takes(frame: Frame): boolean {
    const { checksum, segments4, segments6 } = accepted(port);
    const segments = segmentsFeature(frame);
    if (segments !== undefined && !(segments === FEATURE.guestSegments6 ? segments6 : segments4)) return false;
    return frame.checksumStart === 0 || checksum;
  }

  /** Takes buffers for a frame of `length` bytes; `undefined` where there are none. */
  function buffersFor(length: number): VirtqueueRequest[] | undefined {
    if (negotiated(FEATURE.mergeable)) return takeBuffers(port, NET_HEADER + length);
    const request = receiveQueue.pop();
    return request && [request];
  }

  /** Gives the guest the next frame; `false` where its buffers do not suffice. */
  function receiveNext(length: number): boolean {
    if (!plugged()) {
      wire.take();
      return true;
    }
    const requests = buffersFor(length);
    if (requests === undefined) return !port.active();
    const frame = wire.take();
    const room = requests.reduce((sum, { writableBytes }) => sum + writableBytes, 0);
    const fits = room >= NET_HEADER + length;
    if (!fits) complain('a receive buffer is too small for a frame');
    if (!fits || !takes(frame)) {
      for (const one of requests.toReversed()) receiveQueue.putBack(one);
      return true;
    }
    writeHeader(header, frame, requests.length);
    const lengths: number[] = [];
    if (!fill(requests, header, frame.bytes, lengths)) return true;
    for (const [i, request] of requests.entries()) receiveQueue.push(request, lengths[i]!);
    return true;
  }

  function receive(): void {
    // As many as one look can bring: the network may send for ever.
    for (let left = MOST_FRAMES; left > 0; left--) {
      const length = wire.next();
      if (length === 0 || !receiveNext(length)) break;
    }
    receiveQueue.notify();
  }

  /** Sends a buffer's frame; `false` where the wire has no room for it. */
  function transmitOne(request: VirtqueueRequest): boolean {
    const length = request.readableBytes - NET_HEADER;
    if (length > 0 && length <= MAX_FRAME && !wire.room(length)) return false;
    const head = length >= 0 ? request.read(0, NET_HEADER) : undefined;
    const bytes = head && request.read(NET_HEADER, Math.min(length, MAX_FRAME + 1));
    if (!port.active()) return true;
    const frame = bytes === undefined ? 'a frame has no header' : readFrame(head!, bytes, negotiated);
    if (typeof frame === 'string') complain(frame);
    else if (plugged()) wire.send(frame);
    return true;
  }

  const transmit = () => transmitWaiting(transmitQueue, state, transmitOne);

  /** A command and its answer. */
  function command(request: VirtqueueRequest): number {
    const [group, what] = request.read(0, Math.min(2, request.readableBytes)) ?? [];
    if (what === undefined) return ANSWER.error;
    // All that arrives is delivered, so that every receive mode holds; filters only ever spare a guest work.
    if (group === CLASS.receive && negotiated(FEATURE.controlReceive)) return ANSWER.ok;
    if (group === CLASS.mac && what === 0 && negotiated(FEATURE.controlReceive)) return ANSWER.ok;
    if (group !== CLASS.offloads || what !== SET_OFFLOADS || !negotiated(FEATURE.controlOffloads)) return ANSWER.error;
    const wanted = request.read(2, Math.min(8, request.readableBytes - 2));
    if (wanted?.length !== 8) return ANSWER.error;
    const [low, high] = new Uint32Array(wanted.slice().buffer);
    if (
      high !== 0 ||
      (low! & ~ALL_SWITCHED) !== 0 ||
      !SWITCHED.every((bit) => !((low! >> bit) & 1) || negotiated(bit))
    ) {
      return ANSWER.error;
    }
    state.guestOffloads = low!;
    wire.accept(accepted(port));
    return ANSWER.ok;
  }

  function control(): void {
    const queue = queues[QUEUE.control]!;
    for (let request = queue.pop(); request !== undefined; request = queue.pop()) {
      const answer = command(request);
      if (!port.active() || (request.writableBytes > 0 && !request.write(0, Uint8Array.of(answer)))) return;
      queue.push(request, Math.min(1, request.writableBytes));
    }
    queue.notify();
  }

  function showLink(): void {
    config[CONFIG.status] = state.unplugged === 0 ? LINK_UP : 0;
  }

  const handlers: VirtioHandlers = {
    notified(queue) {
      wire.accept(accepted(port));
      if (queue === QUEUE.transmit) transmit();
      else if (queue === QUEUE.receive) receive();
      else if (negotiated(FEATURE.control)) control();
    },
    poll() {
      if (wire.next() > 0) receive();
      if (state.transmitWaits !== 0) transmit();
    },
    reset() {
      state.guestOffloads = ALL_SWITCHED;
      state.transmitWaits = 0;
      config.set(options.mac, CONFIG.mac);
      config[CONFIG.mtu] = options.mtu & 0xff;
      config[CONFIG.mtu + 1] = options.mtu >> 8;
      showLink();
      wire.accept(NO_OFFLOADS);
    },
    restored() {
      checkState(options.name, {
        guestOffloads: (state.guestOffloads & ~ALL_SWITCHED) === 0,
        unplugged: state.unplugged <= 1,
        transmitWaits: state.transmitWaits <= 1,
      });
      wire.accept(accepted(port));
    },
  };
  return {
    handlers,
    setLink(up: boolean): void {
      if (state.unplugged === (up ? 0 : 1)) return;
      state.unplugged = up ? 0 : 1;
      showLink();
      wire.accept(accepted(port));
      port.configChanged();
    },
  };
}

/** Makes a network card. Throws 'usage' for a MAC address or an MTU that cannot be. */
export function createVirtioNet(options: VirtioNetOptions): VirtioNet {
  check(options);
  let made: ReturnType<typeof behaviour> | undefined;
  const bits = Object.values(FEATURE).reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
  const model: VirtioModel<NetFields> = {
    name: 'virtio-net',
    version: 1,
    type: TYPE_NETWORK,
    classCode: 0x02_0000,
    features: bits,
    queues: [
      { size: QUEUE_SIZE, maxBytes: MAX_BYTES },
      { size: QUEUE_SIZE, maxBytes: MAX_BYTES },
      { size: 64, maxBytes: MAX_CONTROL },
    ],
    configSize: CONFIG.size,
    fields: FIELDS,
    attach(port) {
      made = behaviour(options, port);
      return made.handlers;
    },
  };
  const device = createVirtioPci(options, model);
  return { device, setLink: made!.setLink };
}
