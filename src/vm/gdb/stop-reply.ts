/** Stop replies: why the guest stands still (GDB manual, appendix E.3). */
import { is64Bit } from '../../cpu/mode.ts';
import { SEGMENT, type VcpuState } from '../../isa/state.ts';
import type { BreakpointTable } from './breakpoint-table.ts';
import type { DebugTarget, DebugVcpu, StopEvent } from './target.ts';

/** Signals by the numbers of the protocol. */
const SIGNAL = { int: 2, trap: 5, segv: 11 } as const;

/** A stop that the debugger asked for, beside those that the machine tells of. */
export type Stop = StopEvent | { readonly reason: 'interrupted' | 'attached'; readonly vcpu: DebugVcpu };

/** Kinds of watchpoint as the reply names them. */
const WATCH = { write: 'watch', read: 'rwatch', access: 'awatch' } as const;

export const hexByte = (value: number) => (value & 0xff).toString(16).padStart(2, '0');

/** Thread id of a vCPU. */
export function threadId(target: DebugTarget, vcpu: DebugVcpu): string {
  return (target.vcpus.indexOf(vcpu) + 1).toString(16).padStart(2, '0');
}

/** Linear address of the next instruction. */
export function linearInstructionPointer(state: VcpuState): bigint {
  return is64Bit(state) ? state.rip : BigInt.asUintN(32, state.rip + state.segmentBase[SEGMENT.cs]!);
}

export interface StopReplyContext {
  readonly target: DebugTarget;
  readonly breakpoints: BreakpointTable;
  /** What the debugger announced: it understands that a stop was at a breakpoint of that kind. */
  readonly knows: { readonly software: boolean; readonly hardware: boolean };
}

/** A breakpoint's kind is told so that the debugger does not look for it one byte back, where INT3 would leave it. */
function breakpointNote({ breakpoints, knows }: StopReplyContext, vcpu: DebugVcpu): string {
  const kind = breakpoints.at(linearInstructionPointer(vcpu.state));
  if (kind === 'software' && knows.software) return 'swbreak:;';
  return kind === 'hardware' && knows.hardware ? 'hwbreak:;' : '';
}

export function stopReply(context: StopReplyContext, stop: Stop): string {
  if (stop.reason === 'ended') return `W${hexByte(stop.status)}`;
  const thread = `thread:${threadId(context.target, stop.vcpu)};`;
  const reply = (signal: number, note = '') => `T${hexByte(signal)}${note}${thread}`;
  switch (stop.reason) {
    case 'breakpoint':
      return reply(SIGNAL.trap, breakpointNote(context, stop.vcpu));
    case 'watchpoint':
      return reply(SIGNAL.trap, `${WATCH[stop.kind]}:${stop.address.toString(16)};`);
    case 'interrupted':
      return reply(SIGNAL.int);
    case 'shutdown':
      return reply(SIGNAL.segv);
    default:
      return reply(SIGNAL.trap);
  }
}
