/** One virtio device as two threads have it: twice, over the same memory. */
import type { FakeTimers } from '../../base/fake-timers.ts';
import { createStructMemory } from '../../machine/struct-memory.ts';
import { smallArena } from '../../memory/arena.test-helper.ts';
import type { Region } from '../device.ts';
import type { MapBar } from '../pci/bar.ts';
import { createEcho, type Echo } from './echo.test-helper.ts';
import type { VirtioDevice, VirtioPciOptions } from './pci-transport.ts';

/** Options for each of two threads; the timers in `options` must be fake ones. */
export function optionsOfThreads(options: VirtioPciOptions): readonly [VirtioPciOptions, VirtioPciOptions] {
  const { buffer } = smallArena();
  const place = (thread: number) => createStructMemory(smallArena(buffer, thread)).place;
  const further = (options.timers as FakeTimers).further();
  return [
    { ...options, place: place(0) },
    { ...options, place: place(1), timers: further },
  ];
}

/** Echo devices that answer late, what waits for an answer being common to them. */
export function echoesOfThreads(options: VirtioPciOptions): readonly [Echo, Echo] {
  const [first, second] = optionsOfThreads({ ...options, mapBar: mapTurns(options.mapBar) });
  const echo = createEcho(first, true);
  return [echo, createEcho(second, true, undefined, echo.waiting)];
}

const turns = new WeakMap<Region, Region>();

/** Reports the region that takes turns instead of the one thread's. */
function mapTurns(mapBar: MapBar): MapBar {
  return (fn, bar, address) => mapBar(fn, { ...bar, region: turns.get(bar.region) ?? bar.region }, address);
}

/** A device whose accesses go to that of the thread which `turn` names. */
export function takingTurns(devices: readonly VirtioDevice[], turn: () => number): VirtioDevice {
  const [first] = devices;
  const device = () => devices[turn()]!;
  const regions = Object.fromEntries(
    Object.entries(first!.regions).map(([name, { size }]): [string, Region] => {
      const region: Region = {
        size,
        read: (offset, width) => device().regions[name]!.read(offset, width),
        write: (offset, width, value) => device().regions[name]!.write(offset, width, value),
      };
      for (const { regions: own } of devices) turns.set(own[name]!, region);
      return [name, region];
    }),
  );
  const pci = {
    ...first!.pci,
    readConfig: (offset: number, size: 1 | 2 | 4) => device().pci.readConfig(offset, size),
    writeConfig: (offset: number, size: 1 | 2 | 4, value: number) => device().pci.writeConfig(offset, size, value),
  };
  return { ...first!, regions, pci, reset: () => device().reset(), restored: () => device().restored() };
}
