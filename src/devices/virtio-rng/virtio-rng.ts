/** The entropy device (virtio 1.2 5.4): fills the driver's buffers with random bytes. */

import type { VirtioModel } from '../virtio/model.ts';
import { createVirtioPci, type VirtioDevice, type VirtioPciOptions } from '../virtio/pci-transport.ts';

const TYPE_ENTROPY = 4;

/** The most bytes given for one buffer. The device may fill less than the buffer (5.4.6.2), which bounds its work. */
const MAX_BYTES = 4096;

export interface VirtioRngOptions extends VirtioPciOptions {
  /** Fills `bytes` with random numbers fit for keys. Not deterministic unless the machine is to be. */
  readonly random: (bytes: Uint8Array) => void;
}

function model(random: (bytes: Uint8Array) => void): VirtioModel<Record<never, never>> {
  return {
    name: 'virtio-rng',
    version: 1,
    type: TYPE_ENTROPY,
    classCode: 0xff_0000,
    features: 0n,
    queues: [{ size: 64 }],
    configSize: 0,
    fields: {},
    attach: ({ queues: [queue] }) => ({
      reset() {},
      notified() {
        for (let request = queue!.pop(); request !== undefined; request = queue!.pop()) {
          const bytes = new Uint8Array(Math.min(request.writableBytes, MAX_BYTES));
          random(bytes);
          if (!request.write(0, bytes)) break;
          queue!.push(request, bytes.length);
        }
        queue!.notify();
      },
    }),
  };
}

/** Makes an entropy source. */
export function createVirtioRng(options: VirtioRngOptions): VirtioDevice {
  return createVirtioPci(options, model(options.random));
}
