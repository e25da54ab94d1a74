/** What the tests do in a page. Each scenario returns plain data, which the tests judge. */
import {
  fetchBootFile,
  limitedFeatures,
  Machine,
  missingFeatures,
  type RunningMachine,
  type VirtsMachineElement,
} from '../../../src/browser/index.ts';
import { startMachine } from '../../../src/browser/start-machine.ts';
import { DEFAULT_TRANSLATION } from '../../../src/engine/translated/vcpu-interface.ts';

const MEBIBYTE = 2 ** 20;

/** A machine with what it has said. */
interface Talk {
  readonly machine: RunningMachine;
  output(): string;
  /** Resolves once it has said so much. */
  said(length: number): Promise<string>;
}

async function start(kernel: string, megabytes = 8, file?: { name: string; bytes: Uint8Array }): Promise<Talk> {
  const machine = await startMachine({
    kernel: file ?? (await fetchBootFile(`guests/${kernel}`)),
    append: '',
    memory: megabytes * MEBIBYTE,
    cpus: 1,
    reboot: false,
    translation: DEFAULT_TRANSLATION,
  });
  let output = '';
  let heard = () => {};
  machine.onOutput((bytes) => {
    output += new TextDecoder('latin1').decode(bytes);
    heard();
  });
  const said = async (length: number) => {
    while (output.length < length) {
      await new Promise<void>((resolve) => {
        heard = resolve;
      });
    }
    return output;
  };
  return { machine, output: () => output, said };
}

const send = ({ machine }: Talk, text: string) => machine.input(new TextEncoder().encode(text));

/** What kind of error something rejects with, and its sentence. */
async function failure(work: Promise<unknown>): Promise<readonly [kind: unknown, message: string] | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return [(error as { kind?: unknown }).kind, (error as Error).message];
  }
}

/** An element in the document, and the next event of a kind. */
function element(attributes: Readonly<Record<string, string>>) {
  const made = document.createElement('virts-machine');
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  const next = (kind: string) =>
    new Promise<CustomEvent>((resolve) => {
      made.addEventListener(kind, (event) => resolve(event as CustomEvent), { once: true });
    });
  return { made, next };
}

const statusOf = (made: VirtsMachineElement) => made.shadowRoot?.querySelector('.status')?.textContent;

/** Machines that stay between two calls. */
const kept: Talk[] = [];

const scenarios = {
  features: () => ({ isolated: crossOriginIsolated, missing: missingFeatures(), limited: limitedFeatures() }),

  async end() {
    const { machine } = await start('exit');
    const end = await machine.ended;
    await machine.stop();
    return { end, instructions: machine.statistics?.()['instructions retired'] };
  },

  /** A machine as programs have it: paused, talked to, ended, started again. */
  async life() {
    await using machine = await Machine.create({ kernel: 'guests/echo', memory: '8M' });
    const states = [machine.state];
    machine.on('paused', () => states.push(machine.state));
    using first = machine.console();
    await machine.start();
    await machine.pause();
    await machine.resume();
    await first.write('hello');
    const said = await first.waitFor('hello');
    await first.write('q');
    const end = await machine.wait();
    using second = machine.console();
    await machine.start();
    await second.write('again');
    await second.waitFor('again');
    const killed = await machine.kill();
    states.push(machine.state);
    return { states, said, end, killed };
  },

  /** Sends so many characters at once, and returns whether they came back. */
  async echo(count: number) {
    const talk = await start('echo');
    const text = Array.from({ length: count }, (_, i) => String.fromCharCode(97 + (i % 13))).join('');
    await send(talk, text);
    const same = (await talk.said(count)) === text;
    await send(talk, 'q');
    const end = await talk.machine.ended;
    await talk.machine.stop();
    return { same, end };
  },

  async two() {
    const [one, other, spinning] = await Promise.all([start('echo'), start('echo'), start('spin')]);
    await Promise.all([send(one, 'abc'), send(other, 'xyz')]);
    await Promise.all([one.said(3), other.said(3), spinning.said(1)]);
    await spinning.machine.stop();
    await one.machine.stop();
    await send(one, 'lost');
    await send(other, 'lives');
    await other.said(8);
    await other.machine.stop();
    return [one.output(), other.output(), spinning.output()];
  },

  async failures() {
    const bytes = new TextEncoder().encode('#!/bin/sh\necho no kernel, but long enough to be looked at\n');
    return {
      noKernel: await failure(start('', 8, { name: 'a script', bytes })),
      tooLarge: await failure(start('exit', 8192)),
      notThere: await failure(fetchBootFile('guests/none')),
      aborted: await failure(fetchBootFile('guests/exit', { signal: AbortSignal.abort(new Error('enough')) })),
    };
  },

  /** A failure as the page shows it. */
  async shown(attributes: Readonly<Record<string, string>>) {
    const { made, next } = element(attributes);
    const failed = next('failed');
    document.body.append(made);
    const { detail } = await failed;
    await made.stop();
    const status = statusOf(made);
    made.remove();
    return { status, kind: detail.kind };
  },

  /** An element from its start to its guest's end, and what it shows then; and one that is moved, taken away, and put back. */
  async element() {
    const ending = element({ kernel: 'guests/exit', memory: '8M' });
    const ended = ending.next('ended');
    document.body.append(ending.made);
    const { detail } = await ended;
    const notice = ending.made.shadowRoot?.querySelector('.notice')?.textContent;

    const moved = element({ kernel: 'guests/spin', memory: '8M' });
    const started = moved.next('started');
    document.body.append(moved.made);
    await started;
    const { machine } = moved.made;
    document.body.prepend(moved.made);
    await new Promise((resolve) => setTimeout(resolve));
    const survives = moved.made.machine === machine && machine !== undefined;
    while (!moved.made.text.startsWith('!')) await new Promise((resolve) => setTimeout(resolve, 10));
    moved.made.remove();
    await new Promise((resolve) => setTimeout(resolve));
    const gone = moved.made.machine === undefined;
    while (moved.made.shadowRoot?.hasChildNodes()) await new Promise((resolve) => setTimeout(resolve, 10));
    const again = moved.next('started');
    document.body.append(moved.made);
    await again;
    while (!moved.made.text.startsWith('!')) await new Promise((resolve) => setTimeout(resolve, 10));
    moved.made.remove();
    return { detail, notice, status: statusOf(ending.made), survives, gone };
  },

  /** Starts a guest that fills its memory and stays, beside one that echoes. */
  async fill() {
    const [full, beside] = await Promise.all([start('fill', 384), start('echo')]);
    await full.said(1);
    kept.push(full, beside);
  },
  /** Ends the full one. */
  async release() {
    await kept.shift()?.machine.stop();
  },
  /** What the other one says then. */
  async beside() {
    const [beside] = kept.splice(0);
    await send(beside!, 'still here');
    const said = await beside!.said(10);
    await beside!.machine.stop();
    return said;
  },
};

export type Scenarios = typeof scenarios;
Object.assign(globalThis, { scenarios });
