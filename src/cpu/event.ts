/** An interrupt or exception on its way to its handler. */
import { EFLAGS, type VcpuState, VECTOR } from '../isa/state.ts';
import { readFlags } from './flags.ts';

/** Where an event comes from: decides privilege checks, error codes and RF. */
export type EventKind = 'hardware' | 'exception' | 'software' | 'privileged-software' | 'nmi';

export interface Event {
  readonly vector: number;
  /** `software`: INT n, INT3, INTO, whose gates are checked against CPL. `privileged-software`: INT1, which are not. */
  readonly kind: EventKind;
  readonly error: number | undefined;
  /** Instruction pointer that the handler returns to. */
  readonly returnIp: bigint;
  /** Bit 0 of error codes of faults during the delivery: the program did not ask for the event. */
  readonly ext: 0 | 1;
}

/** Exceptions whose handler finds RF set, so that the instruction restarts past its own breakpoint. SDM 17.3.1.1. */
export const FAULTS =
  (1 << VECTOR.de) |
  (1 << VECTOR.br) |
  (1 << VECTOR.ud) |
  (1 << VECTOR.nm) |
  (1 << VECTOR.ts) |
  (1 << VECTOR.np) |
  (1 << VECTOR.ss) |
  (1 << VECTOR.gp) |
  (1 << VECTOR.pf) |
  (1 << VECTOR.mf) |
  (1 << VECTOR.ac) |
  (1 << VECTOR.xm);

/** RFLAGS as the handler finds them on its stack. */
export function flagsImage(state: VcpuState, event: Event): number {
  const flags = readFlags(state);
  return event.kind === 'exception' && ((FAULTS >>> event.vector) & 1) !== 0 ? flags | EFLAGS.rf : flags;
}

/** Flags that every handler in protected mode starts without; an interrupt gate clears IF as well. */
export const HANDLER_CLEARS = EFLAGS.tf | EFLAGS.nt | EFLAGS.rf | EFLAGS.vm;

/** Error code that names an IDT entry. */
export const idtError = (event: Event): number => (event.vector << 3) | 2 | event.ext;
