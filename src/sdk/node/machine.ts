/** Machines as programs have them, in threads of this process. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { VirtsError } from '../../base/errors.ts';
import { openImage, type Image as StoredImage } from '../../images/store.ts';
import { backingOf } from '../../images/users.ts';
import { parseForward } from '../../network/forward-text.ts';
import type { BlockDevice } from '../../storage/block-device.ts';
import type { DialAgent } from '../../vm/agent/session.ts';
import { type Configuration, readConfiguration } from '../../vm/configuration.ts';
import { formatMemory } from '../../vm/memory-size.ts';
import { createLife, startNew } from '../lifecycle.ts';
import { type Command, commandText, type ExecOptions, execIn, spawnIn } from '../program.ts';
import { copyToGuest, copyToHost } from './copy/copy.ts';
import { openConfigured } from './disks.ts';
import { storedImage } from './image.ts';
import { layeredDisk, layOverImage, passingDisk } from './image-disk.ts';
import { startLive } from './live-machine.ts';
import type { Machine as MachineApi, MachineCopyOptions, ReadyOptions } from './machine-api.ts';
import type { MachineOptions } from './machine-options.ts';
import { addForward, agentAnswers, type NodeRun, READY_MS, runOf } from './node-run.ts';
import { placeOf } from './private-network.ts';
import { callbackProgress } from './progress.ts';
import { openOrPull, type PullHost } from './pull.ts';
import { startMachine } from './start-machine.ts';

/** What stands for an image or a file in memory where a configuration has text. */
const nameOf = (value: { readonly name: string } | string | undefined): string | undefined =>
  typeof value === 'object' && value !== null ? value.name : value;

/** The settings as a configuration has them, and where the network is that it joins. */
function configurationOf(options: MachineOptions): {
  readonly configuration: Configuration;
  readonly networks?: string;
} {
  const { image, kernel, initrd, memory, network, pull, overlay, signal, onProgress, onDebugLog, ...same } = options;
  const { join, publish, ...rest } = network ?? {};
  const place = join === undefined || typeof join === 'string' ? { join } : placeOf(join);
  const written = {
    ...{ ...same, image: nameOf(image), kernel: nameOf(kernel), initrd: nameOf(initrd) },
    memory: typeof memory === 'number' ? formatMemory(memory) : memory,
    network: { ...rest, join: place.join, publish: publish?.map(String) },
  };
  return { ...place, configuration: readConfiguration(withoutAbsent(written), 'The machine') };
}

/** What is `undefined` counts as left out, at every depth. */
function withoutAbsent(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutAbsent);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(entries.map(([name, each]) => [name, withoutAbsent(each)]));
}

/** The machine's own disk: a layer over that of the image. @throws VirtsError as `openDisk`; `usage` for a layer over another image. */
async function openOwnDisk(image: StoredImage, overlay: string | undefined): Promise<BlockDevice> {
  if (overlay === undefined) return openConfigured(passingDisk(image));
  if (!existsSync(overlay)) await layOverImage(image, overlay);
  else if ((await backingOf(overlay)) !== resolve(image.disk)) {
    const message = `${overlay} is not a layer over the image ${image.record.name} as it is now; name another file, and a new one is made.`;
    throw new VirtsError('usage', message, { path: overlay });
  }
  return openConfigured(layeredDisk(overlay));
}

/** The image that a machine is to have. */
async function imageOf({ image, pull = 'missing' }: MachineOptions, host: PullHost): Promise<StoredImage | undefined> {
  if (image === undefined) return undefined;
  if (typeof image !== 'string') return storedImage(image);
  return pull === 'missing' ? openOrPull(image, host) : openImage(image, host.env);
}

/** Something with the properties of both, those that are computed included. */
const extended = <A extends object, B extends object>(base: A, more: B): A & B =>
  Object.defineProperties(base, Object.getOwnPropertyDescriptors(more)) as A & B;

async function create(options: MachineOptions = {}): Promise<MachineApi> {
  const { configuration, networks } = configurationOf(options);
  const { overlay, kernel, initrd, signal = new AbortController().signal } = options;
  const { env } = process;
  signal.throwIfAborted();
  const warn = (sentence: string): void => life.events.emit('warning', sentence);
  const progress = callbackProgress(options.onProgress, warn);
  let disk: BlockDevice | undefined;

  const life = createLife<NodeRun>({
    async open(ending) {
      if (image !== undefined) disk ??= await openOwnDisk(image, overlay);
      const live = await startLive({
        ...{ configuration, kernel, initrd, networks, env, progress, startMachine },
        imageFiles: image,
        // It stays open when the run is over.
        disk: disk && { ...disk, close: disk.flush },
        sockets: configuration.vsock === undefined ? [] : [configuration.vsock],
        vsock: true,
        signal: ending,
        report: warn,
        debugLog: options.onDebugLog,
      });
      return runOf(live, configuration);
    },
    async close() {
      await disk?.close();
    },
    after(ms, callback) {
      const timer = setTimeout(callback, ms);
      return () => clearTimeout(timer);
    },
  });
  const image = await imageOf(options, { env, progress, signal, startMachine });
  if (image === undefined && overlay !== undefined) {
    throw new VirtsError('usage', 'overlay is for what a guest writes to the disk of an image; name an image, too.');
  }

  /** The default guest is known to have no agent. */
  function checkAgent(): void {
    if (image !== undefined || kernel !== undefined || initrd !== undefined) return;
    throw new VirtsError('unsupported', 'The default guest has no agent; use its console, or an image such as debian.');
  }
  /** Does something with the guest's agent, which is waited for. */
  const withAgent = <T>(what: string, work: (dial: DialAgent) => Promise<T>): Promise<T> =>
    life.during(what, async (run) => {
      checkAgent();
      return work(run.dial(READY_MS));
    });
  /** A copy asks several things of the agent, none of which a signal ends: so it begins when that answers. */
  const copying = (from: string, how: MachineCopyOptions, work: (dial: DialAgent) => Promise<void>): Promise<void> =>
    life.during(`${from} was copied`, async (run) => {
      checkAgent();
      await agentAnswers(run, { signal: how.signal });
      await work(run.dial(READY_MS, how.signal));
    });
  const copyOptions = ({ owners = false, follow = false, signal: ending }: MachineCopyOptions) => ({
    ...{ owners, follow, warn, signal: ending },
  });

  return extended(life.machine, {
    name: configuration.name,
    ready: (how: ReadyOptions = {}) =>
      life.during('its agent answered', async (run) => {
        checkAgent();
        await agentAnswers(run, how);
      }),
    exec: ((command: Command, how: ExecOptions = {}) =>
      withAgent(`${commandText(command)} had`, (dial) => execIn(dial, command, how))) as MachineApi['exec'],
    spawn(command, how = {}) {
      const text = `${commandText(command)} had`;
      return withAgent(text, (dial) => spawnIn(dial, command, how, (work) => life.during(text, () => work)));
    },
    copyIn: (from, to, how = {}) => copying(from, how, (dial) => copyToGuest(dial, from, to, copyOptions(how))),
    copyOut: (from, to, how = {}) => copying(from, how, (dial) => copyToHost(dial, from, to, copyOptions(how))),
    forward: (ports) =>
      life.during('the port was forwarded', async ({ live, forwards }) => {
        if (live.network === undefined)
          throw new VirtsError('usage', 'The machine has no network to forward ports to.');
        const request = parseForward(String(ports));
        return addForward(await live.network.forward(request), request.protocol, forwards);
      }),
    get forwards() {
      return [...(life.run()?.forwards ?? [])];
    },
    figures: () => life.during('its figures were there', ({ live }) => live.figures()),
  } satisfies Omit<MachineApi, keyof typeof life.machine>);
}

export type Machine = MachineApi;

export const Machine = {
  /**
   * Makes a machine, which is then to be started. Listeners and consoles that it gets before that miss nothing.
   * @throws VirtsError `usage` for settings that make no sense; as `Image.open` and `Image.pull`.
   */
  create,

  /** Makes a machine and starts it. @throws VirtsError as `create` and `machine.start`; nothing is left open then. */
  async start(options: MachineOptions = {}): Promise<Machine> {
    return startNew(await create(options), options.signal);
  },
};
