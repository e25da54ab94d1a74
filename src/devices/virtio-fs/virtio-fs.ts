/**
 * The file system device (virtio 1.2 5.11): carries messages between a driver and the server of a shared folder, and reads none of
 * them. What the guest holds of the folder is the server's, and cannot be saved: so a machine is saved while its guest holds nothing.
 */
import { VirtsError } from '../../base/errors.ts';
import type { IoPort } from '../../memory/io-link.ts';
import { checkState } from '../check-state.ts';
import { FOLDER_IN_USE, FOLDER_OPERATION } from '../folder-port.ts';
import type { VirtioHandlers, VirtioModel, VirtioPort } from '../virtio/model.ts';
import { createVirtioPci, type VirtioDevice, type VirtioPciOptions } from '../virtio/pci-transport.ts';
import { POSTED_FIELDS, postedRequests } from '../virtio/posted-requests.ts';

const TYPE_FILE_SYSTEM = 26;
/** One for what must not wait, one for all else (5.11.2). Linux takes at most as many pages a request as a queue has entries. */
const QUEUES = [{ size: 64 }, { size: 512 }];
/** The longest request and the longest reply: data of 1 MiB, and what is around it. */
const MOST_BYTES = 2 * (1024 + 64) * 1024;
/** Bytes of the tag in the configuration structure (5.11.4), which has the number of request queues behind it. */
export const TAG_LENGTH = 36;
const CONFIG_SIZE = 44;
/** A tag that is no request's. */
const NO_REQUEST = 0xffff_ffff;

const FIELDS = {
  ...POSTED_FIELDS,
  /** 1: the guest holds the folder. */
  inUse: 'u8',
} as const;

export interface VirtioFsOptions extends VirtioPciOptions {
  /** By which the driver knows the folder: 1 to `TAG_LENGTH` bytes of printable ASCII. */
  readonly tag: string;
  /** To the folder's server (`folder-port.ts`). */
  readonly port: IoPort;
}

function behaviour({ name, port, tag }: VirtioFsOptions, device: VirtioPort<typeof FIELDS>): VirtioHandlers {
  const { config, state, queues } = device;
  const { start, ...posted } = postedRequests({
    port,
    device,
    begin(_queue, request) {
      const { readableBytes, writableBytes } = request;
      if (readableBytes === 0) {
        device.fault('a request has nothing to read');
        return undefined;
      }
      const segments = request.segments('read', 0, readableBytes);
      const reply = request.segments('write', 0, writableBytes);
      if (segments === undefined || reply === undefined) return undefined;
      return { operation: FOLDER_OPERATION.message, position: 0, count: 0, segments, access: 'read', reply };
    },
    finish(queue, request, result) {
      queues[queue]!.push(request, (result & ~FOLDER_IN_USE) >>> 0);
    },
    answered(_operation, result) {
      state.inUse = result >>> 31;
    },
  });

  function configure(): void {
    config.fill(0);
    config.set(new TextEncoder().encode(tag));
    new DataView(config.buffer, config.byteOffset).setUint32(TAG_LENGTH, QUEUES.length - 1, true);
  }

  return {
    ...posted,
    reset() {
      if (state.inUse !== 0) {
        const { reset: operation } = FOLDER_OPERATION;
        port.post({ operation, tag: NO_REQUEST, id: 0, position: 0, count: 0, segments: [], access: 'read' });
      }
      state.blocked = 0;
      state.inUse = 0;
      configure();
    },
    restored() {
      const saved = config.slice();
      configure();
      const isSame = saved.every((byte, i) => byte === config[i]);
      checkState(name, { deviceConfig: isSame, blocked: state.blocked <= 1, inUse: state.inUse === 0 });
    },
    resumed(queue, request) {
      if (!start(queue, request)) queues[queue]!.push(request, 0);
    },
    unsavable() {
      if (state.inUse === 0) return undefined;
      return `The guest has the shared folder ${tag} mounted, which a saved machine could not have; unmount it in the guest first.`;
    },
  };
}

/** Makes a shared folder's device. Throws 'internal' for a tag that cannot be. */
export function createVirtioFs(options: VirtioFsOptions): VirtioDevice {
  if (!/^[\x21-\x7e]{1,36}$/.test(options.tag)) {
    throw new VirtsError('internal', `${options.name} has an impossible tag.`, { tag: options.tag });
  }
  const model: VirtioModel<typeof FIELDS> = {
    name: 'virtio-fs',
    version: 1,
    type: TYPE_FILE_SYSTEM,
    classCode: 0x01_8000,
    features: 0n,
    queues: QUEUES.map((queue) => ({ ...queue, maxBytes: MOST_BYTES })),
    configSize: CONFIG_SIZE,
    fields: FIELDS,
    attach: (device) => behaviour(options, device),
  };
  return createVirtioPci(options, model);
}
