/** Delivery of interrupts and exceptions (SDM vol. 3A chapter 6). */
import { CR0, NO_FAULT, SEGMENT, VECTOR } from '../isa/state.ts';
import type { CpuContext } from './context.ts';
import { cancelStep, clearGeneralDetect } from './debug.ts';
import type { Event, EventKind } from './event.ts';
import { enterLong } from './gate-long.ts';
import { enterProtected } from './gate-protected.ts';
import { enterReal } from './gate-real.ts';
import { isLong } from './mode.ts';

export type { EventKind } from './event.ts';

/** `state.activity` after a triple fault. */
export const SHUTDOWN = 3;

/** Exceptions that make a double fault of each other (SDM vol. 3A table 6-4); #PF is a class of its own. */
const CONTRIBUTORY = (1 << VECTOR.de) | (1 << VECTOR.ts) | (1 << VECTOR.np) | (1 << VECTOR.ss) | (1 << VECTOR.gp);

/** Faults of benign classes do not escalate; a guest that makes each raise the next must not hang the monitor. */
const MAX_ATTEMPTS = 8;

function enter(context: CpuContext, event: Event): boolean {
  const { state } = context;
  if ((Number(state.cr0) & CR0.pe) === 0) return enterReal(context, event);
  return isLong(state) ? enterLong(context, event) : enterProtected(context, event);
}

/** What becomes of `second`, met while an event was delivered (SDM vol. 3A table 6-5). */
function escalate(first: Event, second: number): 'serial' | 'double' | 'shutdown' {
  if (first.kind !== 'exception') return 'serial';
  const contributory = ((CONTRIBUTORY >>> second) & 1) !== 0;
  if (first.vector === VECTOR.df) return 'shutdown';
  if (first.vector === VECTOR.pf) return contributory || second === VECTOR.pf ? 'double' : 'serial';
  return ((CONTRIBUTORY >>> first.vector) & 1) !== 0 && contributory ? 'double' : 'serial';
}

/**
 * Delivers an event: the return address is `state.rip`. Faults met on the way become the faults, double faults or
 * shutdown that the manuals say; when it returns the processor stands at the handler's first instruction, or
 * `state.activity` is 3. A page fault's address is taken from `state.faultAddress`.
 */
export function deliver(context: CpuContext, vector: number, kind: EventKind, errorCode?: number): void {
  const { state } = context;
  const ext = kind === 'software' ? 0 : 1;
  let event: Event = { vector, kind, error: protectedError(context, errorCode), returnIp: state.rip, ext };
  state.faultVector = NO_FAULT;
  if (kind === 'nmi') state.nmiBlocked = 1;
  for (let attempt = 0; ; attempt++) {
    if (event.kind === 'exception' && event.vector === VECTOR.pf) state.cr2 = state.faultAddress;
    if (enter(context, event)) break;
    const second = state.faultVector;
    const error = state.faultHasError !== 0 ? state.faultError : undefined;
    state.faultVector = NO_FAULT;
    const outcome = escalate(event, second);
    if (second === VECTOR.pf) state.cr2 = state.faultAddress;
    if (outcome === 'shutdown' || attempt === MAX_ATTEMPTS) {
      state.activity = SHUTDOWN;
      state.poll = 1;
      return;
    }
    event = {
      vector: outcome === 'double' ? VECTOR.df : second,
      kind: 'exception',
      error: protectedError(context, outcome === 'double' ? 0 : error),
      // A task gate may have changed tasks before the fault.
      returnIp: state.rip,
      ext: 1,
    };
  }
  entered(context, event);
}

/** Real mode pushes no error codes. */
function protectedError(context: CpuContext, error: number | undefined): number | undefined {
  return (Number(context.state.cr0) & CR0.pe) === 0 ? undefined : error;
}

function entered(context: CpuContext, event: Event): void {
  const { state } = context;
  if (state.activity === 1) state.activity = 0;
  state.interruptShadow = 0;
  cancelStep(state);
  if (event.vector === VECTOR.db) clearGeneralDetect(state);
  context.modeChanged();
}

/** Delivers the exception in the fault fields and clears them; `state.rip` is at the instruction that met it. */
export function deliverFault(context: CpuContext): void {
  const { state } = context;
  deliver(context, state.faultVector, 'exception', state.faultHasError !== 0 ? state.faultError : undefined);
}

/**
 * INT n, INT3, INTO (`software`) or INT1 (`privileged-software`): returns to `nextIp`. On `false` the fault fields say
 * what the instruction raises, and nothing changed.
 */
export function softwareInterrupt(
  context: CpuContext,
  vector: number,
  kind: 'software' | 'privileged-software',
  nextIp: bigint,
): boolean {
  const event: Event = { vector, kind, error: undefined, returnIp: nextIp, ext: kind === 'software' ? 0 : 1 };
  const task = context.state.segmentSelector[SEGMENT.tr];
  if (enter(context, event)) entered(context, event);
  // A fault in the new task is that task's own.
  else if (context.state.segmentSelector[SEGMENT.tr] !== task) deliverFault(context);
  else return false;
  return true;
}
