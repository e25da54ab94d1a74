/** A conversation with a guest: waits for what it says, types what it is told. Limits are instructions, never seconds. */
import assert from 'node:assert/strict';
import type { MachineEnd } from '../../src/vm/machine.ts';
import type { SeededMachine } from './guest.ts';

/** What was typed, and when: after so many instructions. */
export interface Input {
  readonly at: number;
  readonly bytes: Uint8Array;
}

export interface GuestSession {
  /** What was typed so far. */
  readonly inputs: readonly Input[];
  /** Runs until what came since the last wait matches; returns it, up to the end of the match. */
  waitFor(pattern: RegExp): string;
  /** Types; what the guest does not take at once follows while it runs on. */
  type(text: string): void;
  /** Waits for the prompt, types a command and returns its output, its lines separated by `\n`. */
  command(line: string): string;
  /** Runs on until the machine ends. */
  end(): MachineEnd;
}

export const PROMPT = /virts# /;

/** Instructions between two looks at the output. */
const STEP = 250_000;
/** Longest wait; a whole boot with the kernel's decompression takes less. */
const LIMIT = 5_000_000_000;
/** Control sequences: busybox asks the terminal for the cursor's place before each prompt. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about.
const CONTROL = /\x1b\[[0-9;?]*[A-Za-z]/g;

/** Serial output without control sequences and carriage returns. */
export function plain(text: string): string {
  return text.replaceAll(CONTROL, '').replaceAll('\r', '');
}

export function guestSession({ machine, output }: SeededMachine): GuestSession {
  const inputs: Input[] = [];
  let waiting = new Uint8Array();
  /** Length of the output that was waited for. */
  let seen = 0;

  function feed(): void {
    if (waiting.length === 0) return;
    const taken = machine.input(waiting);
    if (taken > 0) inputs.push({ at: machine.retired(), bytes: waiting.slice(0, taken) });
    waiting = waiting.slice(taken);
  }

  /** Runs a step; the end of the machine, should it come. */
  function step(): MachineEnd | undefined {
    feed();
    const progress = machine.advanceInstructions(STEP);
    assert.notEqual(progress.kind, 'idle', `nothing will ever wake the guest:\n${output().slice(-2000)}`);
    return progress.kind === 'ended' ? progress.end : undefined;
  }

  /** Runs until `done`, at most the longest wait. */
  function run(what: string, done: (end: MachineEnd | undefined) => boolean): void {
    const limit = machine.retired() + LIMIT;
    for (let end: MachineEnd | undefined; !done(end); ) {
      assert.equal(end, undefined, `the machine ended (${end?.reason}) before ${what}:\n${output().slice(-2000)}`);
      assert.ok(machine.retired() < limit, `${what} did not come:\n${output().slice(-2000)}`);
      end = step();
    }
  }

  function waitFor(pattern: RegExp): string {
    let text = '';
    run(`${pattern}`, () => {
      const match = pattern.exec(output().slice(seen));
      if (match === null) return false;
      const to = seen + match.index + match[0].length;
      text = output().slice(seen, to);
      seen = to;
      return true;
    });
    return text;
  }

  function type(text: string): void {
    waiting = Buffer.concat([waiting, Buffer.from(text, 'latin1')]);
  }

  return {
    inputs,
    waitFor,
    type,
    command(line) {
      type(`${line}\n`);
      const answer = plain(waitFor(PROMPT));
      // The echo comes first, the prompt last.
      return answer.slice(answer.indexOf('\n') + 1, answer.lastIndexOf('virts# ')).trimEnd();
    },
    end() {
      let reached: MachineEnd | undefined;
      run('the end', (end) => {
        reached = end;
        return end !== undefined;
      });
      return reached as MachineEnd;
    },
  };
}
