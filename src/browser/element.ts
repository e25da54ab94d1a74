/**
 * `<virts-machine>`: a machine on a terminal. It starts when it is put into a document, and ends when it is taken out of it.
 *
 * Attributes: `kernel` and `initrd`, addresses of the files to boot; `append`, the kernel's command line; `memory`, such as
 * `512M`; `cpus`; `reboot`, whether a reset starts the machine again; `manual`, to leave the start to `start()`.
 * Events: `started`; `ended` with a `MachineEnd` as its detail; `failed` with the error as its detail.
 */
import { VirtsError } from '../base/errors.ts';
import { defaultThreshold } from '../engine/translated/vcpu-interface.ts';
import { endSentence } from '../sdk/end-sentence.ts';
import type { MachineEnd, RunningMachine } from '../sdk/machine-host.ts';
import { DEFAULT_MEMORY, parseMemory } from '../vm/memory-size.ts';
import { limitedFeatures, missingFeatures } from './features.ts';
import { type FetchOptions, fetchBootFile } from './fetch-file.ts';
import type { BrowserMachineOptions } from './machine-options.ts';
import { startMachine } from './start-machine.ts';
import { createView, type View } from './view.ts';

/** What the attributes ask for. */
interface Request extends Omit<BrowserMachineOptions, 'kernel' | 'initrd'> {
  readonly kernel: string;
  readonly initrd: string | undefined;
}

function attribute<T>(element: Element, name: string, otherwise: T, read: (text: string) => T): T {
  const text = element.getAttribute(name);
  if (text === null) return otherwise;
  try {
    return read(text);
  } catch (error) {
    const message = `The attribute ${name} of <virts-machine> is wrong: ${(error as Error).message}`;
    throw new VirtsError('usage', message, { [name]: text }, error);
  }
}

function readCount(text: string): number {
  if (/^\d{1,3}$/.test(text)) return Number(text);
  throw new VirtsError('usage', 'It takes a number.');
}

function readAttributes(element: Element): Request {
  const address = (text: string) => new URL(text, element.baseURI).href;
  const kernel = attribute<string | undefined>(element, 'kernel', undefined, address);
  if (kernel === undefined) {
    throw new VirtsError('usage', 'The element <virts-machine> needs the attribute kernel, the address of a kernel.');
  }
  const cpus = attribute(element, 'cpus', 1, readCount);
  return {
    kernel,
    initrd: attribute<string | undefined>(element, 'initrd', undefined, address),
    append: element.getAttribute('append') ?? '',
    memory: attribute(element, 'memory', DEFAULT_MEMORY, parseMemory),
    cpus,
    reboot: element.hasAttribute('reboot'),
    translation: { threshold: defaultThreshold(cpus, navigator.hardwareConcurrency) },
  };
}

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);

/** Shows how far several files are, as one. */
function fetchProgress(view: View, count: number): NonNullable<FetchOptions['progress']>[] {
  const files = Array.from({ length: count }, () => ({ done: 0, total: undefined as number | undefined }));
  function show(): void {
    const done = files.reduce((sum, file) => sum + file.done, 0);
    const total = files.reduce<number | undefined>(
      (sum, file) => (sum === undefined || file.total === undefined ? undefined : sum + file.total),
      0,
    );
    if (total === undefined || total === 0) view.status(`Fetching the guest: ${megabytes(done)} MB`);
    else view.status(`Fetching the guest: ${megabytes(done)} of ${megabytes(total)} MB`, done / total);
  }
  return files.map((file) => (done, total) => {
    Object.assign(file, { done, total });
    show();
  });
}

/** Fetches what a request names. */
async function prepare({ kernel, initrd, ...rest }: Request, view: View, signal: AbortSignal) {
  const addresses = initrd === undefined ? [kernel] : [kernel, initrd];
  const progress = fetchProgress(view, addresses.length);
  // The first that fails ends the others.
  const failed = new AbortController();
  const both = AbortSignal.any([signal, failed.signal]);
  const fetched = addresses.map((url, i) => fetchBootFile(url, { signal: both, progress: progress[i] }));
  try {
    const [kernelFile, initrdFile] = await Promise.all(fetched);
    return { ...rest, kernel: kernelFile!, ...(initrdFile === undefined ? {} : { initrd: initrdFile }) };
  } catch (error) {
    failed.abort(error);
    await Promise.allSettled(fetched);
    throw error;
  }
}

/** One start of the machine, until its end. */
interface Run {
  readonly controller: AbortController;
  readonly machine: Promise<RunningMachine>;
}

export class VirtsMachineElement extends HTMLElement {
  #view: View | undefined;
  #run: Run | undefined;
  #machine: RunningMachine | undefined;

  /** The machine while it runs. */
  get machine(): RunningMachine | undefined {
    return this.#machine;
  }

  /** What is on the terminal and above it. */
  get text(): string {
    return this.#view?.text() ?? '';
  }

  connectedCallback(): void {
    // Whoever called `start` has its rejection; of a start by itself the event tells.
    if (!this.hasAttribute('manual')) this.start().catch(() => {});
  }

  disconnectedCallback(): void {
    // An element that is moved is out of the document for a moment.
    queueMicrotask(() => {
      if (!this.isConnected) void this.#leave();
    });
  }

  /** Ends the machine and gives back what shows it. */
  async #leave(): Promise<void> {
    await this.stop();
    if (this.isConnected || this.#run !== undefined) return;
    this.#view?.dispose();
    this.#view = undefined;
  }

  /** Starts the machine, unless it runs. Resolves when guest code runs. @throws VirtsError, as `startMachine`. */
  start(): Promise<RunningMachine> {
    if (this.#run === undefined) {
      const controller = new AbortController();
      const run: Run = { controller, machine: this.#start(controller.signal) };
      this.#run = run;
      run.machine.catch((error: unknown) => this.#failed(run, error));
    }
    return this.#run.machine;
  }

  /** Ends the machine, or its start. Its memory is free then. */
  async stop(): Promise<void> {
    const run = this.#run;
    this.#run = undefined;
    this.#machine = undefined;
    run?.controller.abort(new VirtsError('usage', 'The machine was stopped before it ran.'));
    const machine = await run?.machine.catch(() => undefined);
    await machine?.stop();
    if (this.#run === undefined) this.#view?.status(undefined);
  }

  override focus(): void {
    this.#view?.focus();
  }

  async #start(signal: AbortSignal): Promise<RunningMachine> {
    this.#view ??= createView(this.shadowRoot ?? this.attachShadow({ mode: 'open' }));
    const view = this.#view;
    const missing = missingFeatures();
    if (missing !== undefined) throw new VirtsError('unsupported', missing);
    view.notice(limitedFeatures());
    const options = await prepare(readAttributes(this), view, signal);
    view.status('Starting the machine');
    const machine = await startMachine(options);
    if (signal.aborted) {
      await machine.stop();
      throw signal.reason;
    }
    view.status(undefined);
    const disconnect = view.connect(machine);
    this.#machine = machine;
    this.dispatchEvent(new CustomEvent('started'));
    machine.ended.then(
      (end) => this.#ended(machine, end),
      (error: unknown) => this.#run !== undefined && this.#machine === machine && this.#failed(this.#run, error),
    );
    signal.addEventListener('abort', disconnect);
    return machine;
  }

  #ended(machine: RunningMachine, end: MachineEnd): void {
    if (this.#machine !== machine) return;
    void this.stop().then(() => this.#view?.status(endSentence(end.reason)));
    this.dispatchEvent(new CustomEvent('ended', { detail: end }));
  }

  #failed(run: Run, error: unknown): void {
    if (this.#run !== run) return;
    void this.stop().then(() => this.#view?.failed((error as Error).message));
    this.dispatchEvent(new CustomEvent('failed', { detail: error }));
  }
}

if (customElements.get('virts-machine') === undefined) customElements.define('virts-machine', VirtsMachineElement);

declare global {
  interface HTMLElementTagNameMap {
    'virts-machine': VirtsMachineElement;
  }
}
