/** A conversation with a guest that runs beside the host's event loop, and so beside back ends that live there. */
import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { DEFAULT_TRANSLATION } from '../../src/engine/translated/vcpu-interface.ts';
import { createMachine, type Machine, type MachineOptions } from '../../src/vm/machine.ts';
import { PROMPT, plain } from './guest-session.ts';

/** Longest wait: so many instructions of the guest, and so many milliseconds in which it had nothing to do. */
const MOST_INSTRUCTIONS = 10_000_000_000;
const MOST_IDLE = 120_000;
const SLICE_NS = 1_000_000;

export interface LiveSession {
  readonly machine: Machine;
  /** What the guest wrote so far. */
  output(): string;
  /** Lets the guest run until `done`. */
  run(what: string, done: () => boolean): Promise<void>;
  /** Lets the guest run until a promise is settled, and gives what came of it. */
  runFor<T>(what: string, promise: Promise<T>): Promise<T>;
  /** Runs until what came since the last wait matches; returns it, up to the end of the match. */
  waitFor(pattern: RegExp): Promise<string>;
  /** Types a command and returns what it says. */
  command(line: string): Promise<string>;
}

/** Makes a machine with these devices; it is for the caller to boot. */
export function liveSession(devices: Pick<MachineOptions, 'network' | 'vsock'>): LiveSession {
  let output = '';
  let seen = 0;
  const machine = createMachine({
    ...{ memory: 256 << 20, clock: 'real', hostNow: () => performance.now() * 1e6, epoch: Date.now() },
    translation: DEFAULT_TRANSLATION,
    random: (bytes) => void randomFillSync(bytes),
    ...devices,
    serial: {
      write(byte) {
        output += String.fromCharCode(byte);
      },
    },
  });

  async function run(what: string, done: () => boolean): Promise<void> {
    const limit = machine.retired() + MOST_INSTRUCTIONS;
    let idle = 0;
    while (!done()) {
      const inTime = machine.retired() < limit && idle < MOST_IDLE;
      assert.ok(inTime, `${what} did not come:\n${output.slice(-2000)}`);
      const progress = machine.advance(SLICE_NS);
      assert.notEqual(progress.kind, 'ended', output.slice(-2000));
      if (progress.kind === 'idle') {
        idle++;
        await setTimeout(1);
      } else await setImmediate();
    }
  }

  async function runFor<T>(what: string, promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const settle = () => {
      isSettled = true;
    };
    promise.then(settle, settle);
    await run(what, () => isSettled);
    return promise;
  }

  async function waitFor(pattern: RegExp): Promise<string> {
    let text = '';
    await run(`${pattern}`, () => {
      const match = pattern.exec(output.slice(seen));
      if (match === null) return false;
      text = output.slice(seen, seen + match.index + match[0].length);
      seen += text.length;
      return true;
    });
    return text;
  }

  async function command(line: string): Promise<string> {
    let rest: Uint8Array = Buffer.from(`${line}\n`);
    await run('room for input', () => {
      rest = rest.subarray(machine.input(rest));
      return rest.length === 0;
    });
    const answer = plain(await waitFor(PROMPT));
    return answer.slice(answer.indexOf('\n') + 1, answer.lastIndexOf('virts# ')).trimEnd();
  }

  return { machine, output: () => output, run, runFor, waitFor, command };
}
