/** Runs machines that work for the host, such as the one that builds an image. */
import { availableParallelism } from 'node:os';
import { unlessAborted } from '../../base/unless-aborted.ts';
import { defaultThreshold } from '../../engine/translated/vcpu-interface.ts';
import type { RunGuest } from '../../images/run-guest.ts';
import type { StartMachine } from '../machine-host.ts';
import { sharedBytes } from './boot-file.ts';
import { servedDisk } from './disks.ts';

/** @param report takes what disks have to say to the user. */
export function guestRunner(startMachine: StartMachine, report: (message: string) => void): RunGuest {
  return async ({ name, kernel, initrd, append, memory, cpus, disks, output, signal }) => {
    signal.throwIfAborted();
    const machine = await startMachine({
      kernel: { name: `the kernel of ${name}`, bytes: sharedBytes(kernel) },
      initrd: { name: `the initrd of ${name}`, bytes: sharedBytes(initrd) },
      append,
      memory,
      cpus,
      disks: disks.map((disk) => servedDisk(disk, report)),
      translation: { threshold: defaultThreshold(cpus, availableParallelism()) },
      reboot: false,
    });
    try {
      machine.onOutput(output);
      await unlessAborted(signal, machine.ended);
    } finally {
      await machine.stop();
    }
  };
}
