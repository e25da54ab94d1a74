/**
 * The block device (virtio 1.2 5.2). It checks what the driver asks for and posts it to the disk's back end, which reads and
 * writes the driver's buffers in place. Which requests are under way is in the struct: so a
 * restored device posts again what was in flight, which does the same to disk and memory as doing it once.
 */
import { VirtsError } from '../../base/errors.ts';
import type { IoPort } from '../../memory/io-link.ts';
import { BLOCK_RESULT, type DiskShape } from '../block-port.ts';
import { checkState } from '../check-state.ts';
import type { VirtioHandlers, VirtioModel, VirtioPort } from '../virtio/model.ts';
import { createVirtioPci, type VirtioDevice, type VirtioPciOptions } from '../virtio/pci-transport.ts';
import { POSTED_FIELDS, postedRequests } from '../virtio/posted-requests.ts';
import type { VirtqueueRequest } from '../virtio/virtqueue.ts';
import { CONFIG, FEATURE, initialConfig, offeredFeatures, SECTOR, soundConfig } from './config.ts';
import { isComplete, parseRequest, STATUS } from './request.ts';

const TYPE_BLOCK = 2;
const QUEUE_SIZE = 256;
const MAX_QUEUES = 16;
/** Longest answer to "get ID" (5.2.6). */
const SERIAL_LENGTH = 20;

/** A disk and the way to its back end. */
export interface VirtioBlkOptions extends VirtioPciOptions {
  readonly port: IoPort;
  readonly disk: DiskShape;
  /** Up to 20 printable ASCII characters, by which the guest can tell disks apart. */
  readonly serial?: string | undefined;
  /** 1 to 16; a driver uses one for each of its processors at most. */
  readonly queues?: number | undefined;
}

function check({ name, disk, serial = '', queues = 1 }: VirtioBlkOptions): void {
  if (!/^[\x20-\x7e]{0,20}$/.test(serial)) {
    throw new VirtsError(
      'usage',
      `A disk's serial number has up to ${SERIAL_LENGTH} printable characters, not ${serial}.`,
    );
  }
  if (queues >= 1 && queues <= MAX_QUEUES && Number.isSafeInteger(disk.size) && disk.size % SECTOR === 0) return;
  throw new VirtsError('internal', `${name} has an impossible size or number of queues.`, { disk, queues });
}

function behaviour(options: VirtioBlkOptions, count: number, device: VirtioPort<typeof POSTED_FIELDS>): VirtioHandlers {
  const { port, disk } = options;
  const { config, queues, state } = device;
  const serial = new Uint8Array(SERIAL_LENGTH);
  serial.set(new TextEncoder().encode(options.serial ?? ''));

  /** A driver that cannot flush must not be told of writes that may get lost (5.2.5.2). */
  const writesThrough = () =>
    !device.negotiated(FEATURE.flush) || (device.negotiated(FEATURE.configWriteback) && config[CONFIG.writeback] === 0);
  const rules = { disk, negotiated: device.negotiated, writesThrough };

  /** Returns a request. The status byte ends what was written; drivers look for it there after a failure, too. */
  function finish(queue: number, request: VirtqueueRequest, status: number): void {
    const { writableBytes } = request;
    if (request.write(writableBytes - 1, Uint8Array.of(status))) queues[queue]!.push(request, writableBytes);
  }

  function identify(queue: number, request: VirtqueueRequest): void {
    const bytes = serial.subarray(0, request.writableBytes - 1);
    if (request.write(0, bytes)) finish(queue, request, STATUS.ok);
  }

  function begin(queue: number, request: VirtqueueRequest) {
    if (!isComplete(request)) return void device.fault('a request has no header or no room for its status');
    const parsed = parseRequest(request, rules);
    if (parsed === undefined) return undefined;
    if (parsed === 'identify') return void identify(queue, request);
    if ('status' in parsed) return void finish(queue, request, parsed.status);
    return parsed;
  }

  const { start, ...posted } = postedRequests({
    ...{ port, device, begin },
    finish(queue, request, result) {
      const failure = result === BLOCK_RESULT.unsupported ? STATUS.unsupported : STATUS.ioError;
      finish(queue, request, result === BLOCK_RESULT.ok ? STATUS.ok : failure);
    },
  });

  return {
    ...posted,
    configWritten(offset, size, value) {
      const settable = offset === CONFIG.writeback && size === 1 && device.negotiated(FEATURE.configWriteback);
      if (settable && value <= 1) config[CONFIG.writeback] = value;
    },
    reset() {
      state.blocked = 0;
      config.set(initialConfig(disk, count));
    },
    restored() {
      checkState(options.name, { deviceConfig: soundConfig(config, disk, count), blocked: state.blocked <= 1 });
    },
    resumed(queue, request) {
      // There was room for all that was in flight; a damaged state may say more.
      if (!start(queue, request)) finish(queue, request, STATUS.ioError);
    },
  };
}

/** Makes a disk. Throws 'usage' for a serial number that cannot be. */
export function createVirtioBlk(options: VirtioBlkOptions): VirtioDevice {
  check(options);
  const { disk, queues = 1 } = options;
  const model: VirtioModel<typeof POSTED_FIELDS> = {
    name: 'virtio-blk',
    version: 1,
    type: TYPE_BLOCK,
    classCode: 0x01_8000,
    features: offeredFeatures(disk, queues),
    queues: Array.from({ length: queues }, () => ({ size: QUEUE_SIZE })),
    configSize: CONFIG.size,
    fields: POSTED_FIELDS,
    attach: (device) => behaviour(options, queues, device),
  };
  return createVirtioPci(options, model);
}
