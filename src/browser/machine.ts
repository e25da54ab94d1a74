/** Machines as programs in a page have them: what they share with those of Node (`sdk/lifecycle.ts`). */
import { defaultThreshold } from '../engine/translated/vcpu-interface.ts';
import { createLife, type MachineLife, startNew } from '../sdk/lifecycle.ts';
import type { BootFile, NamedBytes } from '../sdk/machine-host.ts';
import { DEFAULT_MEMORY, parseMemory } from '../vm/memory-size.ts';
import { fetchBootFile } from './fetch-file.ts';
import { startMachine } from './start-machine.ts';

/** What a machine is to be: as in Node, of what a page has. */
export interface MachineOptions {
  /** A bzImage, PVH or multiboot kernel: its address, or what a program has in memory. */
  readonly kernel: string | URL | NamedBytes;
  /** Initial RAM disk. */
  readonly initrd?: string | URL | NamedBytes | undefined;
  /** The kernel's command line; empty unless told. */
  readonly append?: string | undefined;
  /** Guest RAM: bytes, a multiple of 4096, or text such as `512M` or `1G`; 1 MiB to 3.5 GiB. `512M` unless told. */
  readonly memory?: number | string | undefined;
  /** vCPUs, 1 to 8; 1 unless told. Each has a thread of its own in a page that is isolated from other origins. */
  readonly cpus?: number | undefined;
  /** Whether a reset or a triple fault starts the guest again; `true` unless told. If not, it ends the run. */
  readonly reboot?: boolean | undefined;
  /** How often code runs before it is translated, or `off`: all is interpreted. Absent: 20,000; 60,000 where the vCPUs leave the host no processor. */
  readonly translate?: number | 'off' | undefined;
  /** Takes what the guest did that was unexpected, a line a call. */
  readonly onDebugLog?: ((line: string) => void) | undefined;
  /** Told how far the fetching of a file is, in bytes; `total` is undefined where the server does not tell. */
  readonly onProgress?:
    | ((progress: { readonly step: string; readonly done: number; readonly total: number | undefined }) => void)
    | undefined;
  /** Ends the preparations of `Machine.start`, which then rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** A machine in workers of a page. */
export type Machine = MachineLife;

async function create(options: MachineOptions): Promise<Machine> {
  const { memory = DEFAULT_MEMORY, cpus = 1, append = '', reboot = true, onDebugLog, onProgress } = options;
  const { translate = defaultThreshold(cpus, navigator.hardwareConcurrency) } = options;
  const bytes = typeof memory === 'number' ? memory : parseMemory(memory);
  /** Files are fetched once: a machine that starts again has them. */
  const files = new Map<'kernel' | 'initrd', BootFile>();

  async function file(what: 'kernel' | 'initrd', signal: AbortSignal): Promise<BootFile | undefined> {
    const source = options[what];
    const known = files.get(what);
    if (known !== undefined || source === undefined) return known;
    const progress = (done: number, total: number | undefined) => onProgress?.({ step: String(source), done, total });
    const isAddress = typeof source === 'string' || source instanceof URL;
    const found = isAddress ? await fetchBootFile(source, { signal, progress }) : source;
    files.set(what, found);
    return found;
  }

  const life = createLife({
    async open(signal) {
      const [kernel, initrd] = await Promise.all([file('kernel', signal), file('initrd', signal)]);
      const running = await startMachine({
        ...{ kernel: kernel!, append, memory: bytes, cpus, reboot },
        ...(initrd !== undefined && { initrd }),
        ...(translate !== 'off' && { translation: { threshold: translate } }),
        ...(onDebugLog !== undefined && { debugLog: onDebugLog }),
      });
      return {
        ended: running.ended,
        input: running.input,
        onOutput: running.onOutput,
        pause: running.pause,
        resume: running.resume,
        askToShutDown: running.pressPowerButton,
        close: running.stop,
      };
    },
    async close() {
      files.clear();
    },
    after(ms, callback) {
      const timer = setTimeout(callback, ms);
      return () => clearTimeout(timer);
    },
  });
  return life.machine;
}

export const Machine = {
  /** Makes a machine, which is then to be started. Listeners and consoles that it gets before that miss nothing. @throws VirtsError `usage`. */
  create,

  /** Makes a machine and starts it. @throws VirtsError as `machine.start`; `unsupported` where the browser lacks something. */
  async start(options: MachineOptions): Promise<Machine> {
    return startNew(await create(options), options.signal);
  },
};
