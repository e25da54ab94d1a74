/** A machine that runs benchmarks: a guest's console or a shell on the host, driven through marks. */
import { type Child, type Command, startChild } from './child.ts';
import { createMarkReader, type Mark, type Measurement, measure } from './marks.ts';

/** How one run of a benchmark ended. */
export type Outcome =
  | { readonly status: 'done'; readonly measurement: Measurement }
  | { readonly status: 'failed'; readonly reason: string };

export interface Machine {
  /** Runs the benchmark `name` by a shell command. After a failure the machine is of no more use. */
  run(name: string, command: string, limit: number): Promise<Outcome>;
  /** What the process behind it wrote on standard error. */
  log(): string;
  readonly pid: number | undefined;
  end(): Promise<void>;
}

/** Lines of the console that are shown when something fails. */
const SHOWN_LINES = 6;
const PANIC = /Kernel panic|Attempted to kill init/;

/** Waits for one event of the machine. */
interface Waiter {
  done(marks: readonly Mark[]): void;
  failed(reason: string): void;
}

/** Everything that came since the last command. */
interface Console {
  marks: Mark[];
  lines: string[];
  waiter: Waiter | undefined;
  /** Why the machine is of no more use. */
  dead: string | undefined;
}

function fail(console: Console, reason: string): void {
  const shown = console.lines.slice(-SHOWN_LINES).map((line) => line.trimEnd());
  console.dead ??= [reason, ...shown].join('\n    ');
  const { waiter } = console;
  console.waiter = undefined;
  waiter?.failed(console.dead);
}

function readConsole(child: Child, console: Console): void {
  const read = createMarkReader((mark) => {
    console.marks.push(mark);
    if (mark.name !== 'runner') return;
    const { waiter } = console;
    console.waiter = undefined;
    waiter?.done(console.marks);
  });
  child.process.stdout.on('data', (chunk: Buffer) => {
    for (const line of read(chunk.toString('latin1'), performance.now())) {
      console.lines = [...console.lines.slice(1 - SHOWN_LINES), line];
      if (PANIC.test(line)) fail(console, 'The guest’s kernel panicked.');
    }
  });
  child.process.on('error', () => fail(console, child.log().trim()));
  child.process.on('exit', (code, signal) => {
    const log = child.log().trim();
    fail(console, `The machine ended (${signal ?? `status ${code}`}).${log === '' ? '' : ` ${log}`}`);
  });
}

/** Waits for the next mark of the runner. */
async function next(console: Console, limit: number): Promise<readonly Mark[]> {
  if (console.dead !== undefined) throw new Error(console.dead);
  const timer = setTimeout(() => fail(console, `Nothing came for ${limit} s.`), limit * 1000);
  try {
    return await new Promise<readonly Mark[]>((resolve, reject) => {
      console.waiter = { done: resolve, failed: (reason) => reject(new Error(reason)) };
    });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Starts a machine and waits until its runner is ready.
 * @param limit seconds for the start.
 * @param signal ends the machine when it is aborted.
 * @throws Error with what went wrong.
 */
export async function startMachine(command: Command, limit: number, signal: AbortSignal): Promise<Machine> {
  const child = startChild(command, signal);
  const console: Console = { marks: [], lines: [], waiter: undefined, dead: undefined };
  readConsole(child, console);
  try {
    await next(console, limit);
  } catch (error) {
    await child.end();
    throw error;
  }
  return {
    async run(name, text, seconds) {
      console.marks = [];
      console.lines = [];
      try {
        const answer = next(console, seconds);
        child.process.stdin.write(`${text}\n`);
        const marks = await answer;
        const status = marks.at(-1)!.text;
        const measurement = measure(marks, name);
        if (status === '0' && measurement !== undefined) return { status: 'done', measurement };
        const reason = status === '0' ? 'Its marks are not complete.' : `It ended with status ${status}.`;
        return { status: 'failed', reason: [reason, ...console.lines].join('\n    ') };
      } catch (error) {
        return { status: 'failed', reason: (error as Error).message };
      }
    },
    log: child.log,
    pid: child.process.pid,
    end: child.end,
  };
}
