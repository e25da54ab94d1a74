/**
 * A split virtqueue, device side (virtio 1.2 2.7). All of its state is in the device's struct; what is in guest memory
 * is never trusted.
 */
import type { GuestMemory, Span } from '../../memory/guest-memory.ts';
import { FEATURE } from './constants.ts';
import { type DescriptorChain, type Segment, walkChain } from './descriptor-chain.ts';
import { fence, readBytes, readU16, writeBytes, writeU16 } from './ring-access.ts';
import { pair, type VirtioState } from './state.ts';

/** One buffer that the driver made available. Its memory is looked up at each use, as the pages behind it may change. */
export interface VirtqueueRequest {
  /** The descriptor the chain starts at. */
  readonly head: number;
  /** A 32-bit number, not 0, unlike that of any other request of the device. */
  readonly id: number;
  /** Bytes that the device may read, and bytes that it may write after them. */
  readonly readableBytes: number;
  readonly writableBytes: number;
  /**
   * Views of `length` bytes from `offset` in the readable (or writable) part, to be used at once. `undefined` if that is
   * out of range, if the request is stale because the device was reset, or if it is not RAM, which is a fault.
   */
  readSpans(offset: number, length: number): Span[] | undefined;
  writeSpans(offset: number, length: number): Span[] | undefined;
  /** Where `length` bytes from `offset` in that part lie in guest memory, for a transfer that goes on; `undefined` as above. */
  segments(part: 'read' | 'write', offset: number, length: number): Segment[] | undefined;
  /** Copies bytes out of the readable part; `undefined` as above. */
  read(offset: number, length: number): Uint8Array | undefined;
  /** Copies bytes into the writable part; `false` as above. */
  write(offset: number, bytes: Uint8Array): boolean;
}

export interface Virtqueue {
  readonly index: number;
  /** Takes the next available buffer. When there is none, asks the driver to notify of the next. */
  pop(): VirtqueueRequest | undefined;
  /** Undoes the last `pop`: the buffer is the next to be taken again. */
  putBack(request: VirtqueueRequest): void;
  /** Returns a buffer of which the first `written` writable bytes were filled. A stale request is ignored. */
  push(request: VirtqueueRequest, written: number): void;
  /** Interrupts the driver if it wants to hear of what was pushed. */
  notify(): void;
  /** `push` and `notify`, for a back end that answers later. */
  complete(request: VirtqueueRequest, written: number): void;
  /**
   * The buffer in flight that starts at descriptor `head`, read again from the ring: for an answer that says which buffer it is
   * for, in whatever thread. `undefined` if there is none, or none of that `id` where that is given; a malformed one is a fault.
   */
  inFlight(head: number, id?: number): VirtqueueRequest | undefined;
}

/** What a queue needs of the device it belongs to. */
export interface QueueHost {
  readonly state: VirtioState;
  readonly memory: GuestMemory;
  /** Words of one queue's in-flight bitmap. */
  readonly words: number;
  readonly maxBytes: number;
  /** Whether the queue may be worked on now. */
  ready(): boolean;
  negotiated(bit: number): boolean;
  fault(reason: string): void;
  /** Sends the queue's interrupt. */
  interrupt(): void;
  /** Called when a burst ends before the queue was empty. */
  defer(): void;
  /** This queue's part of `RequestsState.issued`, and a new number for a request. */
  readonly issued: Uint32Array;
  issue(): number;
}

/** A queue and what only the device around it uses. */
export interface OwnedVirtqueue extends Virtqueue {
  /** Runs `work`, which may take at most four queues' worth of buffers: other vCPUs may refill the ring for ever. */
  burst(work: () => void): void;
  /** The heads of all buffers in flight. */
  inFlightHeads(): number[];
}

/** Offsets in the available ring (2.7.6) and the used ring (2.7.8). */
const RING_FLAGS = 0;
const RING_INDEX = 2;
const RING_ENTRIES = 4;
const NO_INTERRUPT = 1;

const BURST_QUEUES = 4;

/** Whether an index that moved from `old` to `next` passed `event` (2.7.10). */
function passed(event: number, next: number, old: number): boolean {
  return ((next - event - 1) & 0xffff) < ((next - old) & 0xffff);
}

/** `[offset, offset + length)` of the concatenated segments. */
function slice(segments: readonly Segment[], offset: number, length: number): Segment[] {
  const result: Segment[] = [];
  let skip = offset;
  let left = length;
  for (const segment of segments) {
    if (left === 0) break;
    if (skip >= segment.length) {
      skip -= segment.length;
      continue;
    }
    const take = Math.min(left, segment.length - skip);
    result.push({ address: segment.address + skip, length: take });
    left -= take;
    skip = 0;
  }
  return result;
}

function makeRequest(host: QueueHost, head: number, id: number, chain: DescriptorChain): VirtqueueRequest {
  function segments(part: 'read' | 'write', offset: number, length: number): Segment[] | undefined {
    const total = part === 'read' ? chain.readableBytes : chain.writableBytes;
    if (host.issued[head] !== id || offset < 0 || length < 0 || offset + length > total) return undefined;
    return slice(part === 'read' ? chain.readable : chain.writable, offset, length);
  }
  function spans(offset: number, length: number, access: 'read' | 'write'): Span[] | undefined {
    const result: Span[] = [];
    const found = segments(access, offset, length);
    for (const { address, length: size } of found ?? []) {
      const part = host.memory.spans(address, size, access);
      if (part === undefined) {
        host.fault('a buffer is not in RAM');
        return undefined;
      }
      result.push(...part);
    }
    return found && result;
  }
  return {
    head,
    id,
    readableBytes: chain.readableBytes,
    writableBytes: chain.writableBytes,
    segments,
    readSpans: (offset, length) => spans(offset, length, 'read'),
    writeSpans: (offset, length) => spans(offset, length, 'write'),
    read(offset, length) {
      const pieces = segments('read', offset, length);
      // Headers are in one piece.
      const whole = pieces?.length === 1 ? readBytes(host.memory, pieces[0]!.address, length) : undefined;
      if (whole !== undefined) return whole;
      const found = spans(offset, length, 'read');
      if (found === undefined) return undefined;
      const result = new Uint8Array(length);
      let at = 0;
      for (const span of found) {
        result.set(span, at);
        at += span.length;
      }
      return result;
    },
    write(offset, bytes) {
      const pieces = segments('write', offset, bytes.length);
      if (pieces?.length === 1 && writeBytes(host.memory, pieces[0]!.address, bytes)) return true;
      let at = 0;
      const found = spans(offset, bytes.length, 'write');
      for (const span of found ?? []) {
        span.set(bytes.subarray(at, at + span.length));
        at += span.length;
      }
      return found !== undefined;
    },
  };
}

/** Makes queue `index` of the device that `host` speaks for. */
export function createVirtqueue(index: number, host: QueueHost): OwnedVirtqueue {
  const { state, memory, words, issued } = host;
  const driver = () => pair(state.queueDriver, index);
  const device = () => pair(state.queueDevice, index);
  const size = () => state.queueSize[index]!;
  const flights = state.inFlight.subarray(index * words, (index + 1) * words);
  const flying = (head: number) => ((flights[head >> 5]! >>> (head & 31)) & 1) === 1;
  const used = new Uint8Array(8);
  const usedView = new DataView(used.buffer);
  let allowance = Number.POSITIVE_INFINITY;

  function open(head: number, id: number): VirtqueueRequest | undefined {
    const table = {
      address: pair(state.queueDescriptors, index),
      entries: size(),
      indirect: host.negotiated(FEATURE.indirectDescriptors),
      maxBytes: host.maxBytes,
    };
    const chain = walkChain(memory, table, head);
    if (typeof chain === 'string') {
      host.fault(chain);
      return undefined;
    }
    return makeRequest(host, head, id, chain);
  }

  /** Opens a chain as a new request. */
  function issue(head: number): VirtqueueRequest | undefined {
    const request = open(head, host.issue());
    if (request !== undefined) issued[head] = request.id;
    return request;
  }

  /** Buffers that are available; `undefined` after a fault. */
  function available(): number | undefined {
    const next = readU16(memory, driver() + RING_INDEX);
    const count = next === undefined ? 0x1_0000 : (next - state.nextAvailable[index]!) & 0xffff;
    if (count <= size()) return count;
    host.fault(next === undefined ? 'an available ring is not in RAM' : 'an available index is out of range');
    return undefined;
  }

  /** As `available`, but if there are none the driver will notify of the next one. */
  function availableOrAsk(): number | undefined {
    const count = available();
    if (count !== 0 || !host.negotiated(FEATURE.eventIndex)) return count;
    if (!writeU16(memory, device() + RING_ENTRIES + 8 * size(), state.nextAvailable[index]!)) {
      host.fault('a used ring is not in RAM');
      return undefined;
    }
    fence();
    return available();
  }

  function pop(): VirtqueueRequest | undefined {
    if (!host.ready()) return undefined;
    const count = availableOrAsk();
    if (count === undefined || count === 0) return undefined;
    if (allowance <= 0) {
      host.defer();
      return undefined;
    }
    allowance--;
    const next = state.nextAvailable[index]!;
    const head = readU16(memory, driver() + RING_ENTRIES + 2 * (next & (size() - 1)));
    if (head === undefined || head >= size() || flying(head)) {
      host.fault(head === undefined ? 'an available ring is not in RAM' : 'an available ring holds a wrong descriptor');
      return undefined;
    }
    const request = issue(head);
    if (request === undefined) return undefined;
    state.nextAvailable[index] = next + 1;
    flights[head >> 5]! |= 1 << (head & 31);
    return request;
  }

  /** Takes a request off the list of those in flight; `false` if it is stale or was returned before. */
  function land(request: VirtqueueRequest): boolean {
    if (issued[request.head] !== request.id || !flying(request.head)) return false;
    issued[request.head] = 0;
    flights[request.head >> 5]! &= ~(1 << (request.head & 31));
    return true;
  }

  function push(request: VirtqueueRequest, written: number): void {
    if (!land(request) || !host.ready()) return;
    const next = state.nextUsed[index]!;
    usedView.setUint32(0, request.head, true);
    usedView.setUint32(4, Math.min(written, request.writableBytes), true);
    if (!writeBytes(memory, device() + RING_ENTRIES + 8 * (next & (size() - 1)), used)) {
      host.fault('a used ring is not in RAM');
      return;
    }
    fence();
    state.nextUsed[index] = next + 1;
    if (!writeU16(memory, device() + RING_INDEX, (next + 1) & 0xffff)) host.fault('a used ring is not in RAM');
  }

  function wantsInterrupt(old: number, next: number): boolean {
    fence();
    if (host.negotiated(FEATURE.eventIndex)) {
      const event = readU16(memory, driver() + RING_ENTRIES + 2 * size());
      return event !== undefined && passed(event, next, old);
    }
    const flags = readU16(memory, driver() + RING_FLAGS);
    return flags !== undefined && (flags & NO_INTERRUPT) === 0;
  }

  function notify(): void {
    const next = state.nextUsed[index]!;
    const old = state.signalledUsed[index]!;
    if (next === old || !host.ready()) return;
    state.signalledUsed[index] = next;
    if (wantsInterrupt(old, next)) host.interrupt();
  }

  return {
    index,
    pop,
    putBack(request) {
      if (land(request)) state.nextAvailable[index] = state.nextAvailable[index]! - 1;
    },
    push,
    notify,
    complete(request, written) {
      push(request, written);
      notify();
    },
    burst(work) {
      allowance = BURST_QUEUES * size();
      work();
      allowance = Number.POSITIVE_INFINITY;
    },
    inFlight(head, id = issued[head]) {
      if (head >= size() || !flying(head) || !host.ready() || issued[head] !== id) return undefined;
      // After a restore nobody has had it yet.
      return id === 0 ? issue(head) : open(head, id);
    },
    inFlightHeads: () => Array.from({ length: size() }, (_, head) => head).filter(flying),
  };
}
