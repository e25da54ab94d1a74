/** What packets that resume the guest ask for: `c`, `s`, `C`, `S` and `vCont`. */
import { parseAddress, parseNumber } from './hex.ts';

export interface StepRange {
  /** Values of the instruction pointer, `end` not included. */
  readonly start: bigint;
  readonly end: bigint;
}

/** Run everything, or execute instructions of one vCPU: one, or on until it leaves a range. `vcpu` counts from 0. */
export type Resumption =
  | { readonly action: 'continue' }
  | { readonly action: 'step'; readonly vcpu: number; readonly range?: StepRange };

/** A thread id: the number of a vCPU plus one, 0 for any, -1 for all; `undefined` if it is neither. */
export function parseThread(text: string | undefined): number | undefined {
  return text === '-1' ? -1 : parseNumber(text);
}

interface Action {
  readonly step: boolean;
  readonly range?: StepRange;
  /** -1: every thread that has no action yet. */
  readonly thread: number;
}

function parseAction(text: string): Action | undefined {
  const [what, threadText] = text.split(':') as [string, string | undefined];
  const thread = threadText === undefined ? -1 : parseThread(threadText);
  if (thread === undefined) return undefined;
  if (/^(?:c|C[0-9a-f]{2})$/i.test(what)) return { step: false, thread };
  if (/^(?:s|S[0-9a-f]{2})$/i.test(what)) return { step: true, thread };
  const [start, end] = what.startsWith('r') ? what.slice(1).split(',').map(parseAddress) : [];
  return start === undefined || end === undefined ? undefined : { step: true, range: { start, end }, thread };
}

/**
 * Reads the actions of a `vCont` packet for `count` vCPUs; `undefined` if it is malformed. Where a vCPU is to step, the
 * others stand still for that instruction, even those that may run. `preferred` steps when no thread is named.
 */
export function parseContinue(data: string, count: number, preferred: number): Resumption | undefined {
  const actions = data.split(';').map(parseAction);
  if (actions.length === 0 || actions.includes(undefined)) return undefined;
  const order = [preferred, ...Array.from({ length: count }, (_, index) => index)];
  for (const vcpu of order) {
    // The leftmost action that names a thread is its action.
    const action = (actions as Action[]).find(({ thread }) => thread <= 0 || thread === vcpu + 1);
    if (action?.step === true) {
      return { action: 'step', vcpu, ...(action.range === undefined ? {} : { range: action.range }) };
    }
  }
  return { action: 'continue' };
}
