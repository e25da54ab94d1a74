/** One debugger's connection to a machine: packets in, replies out, and the stops of the machine between them. */
import { createBreakpointTable } from './breakpoint-table.ts';
import { type CommandContext, ERROR, execute } from './commands.ts';
import { targetDescription } from './description.ts';
import { parseAddress } from './hex.ts';
import { createPacketReader, encodeAck, encodePacket, type Received } from './packet.ts';
import { type GdbArchitecture, registerFeatures } from './registers.ts';
import { parseContinue, type Resumption, type StepRange } from './resume.ts';
import { linearInstructionPointer, type Stop, stopReply } from './stop-reply.ts';
import type { DebugTarget, StopEvent } from './target.ts';

export interface GdbTransport {
  send(bytes: Uint8Array): void;
  /** Ends the connection after what was sent. */
  close(): void;
}

export interface GdbOptions {
  /**
   * What the target description says the processor is. `i386:x86-64`, where nothing is given, serves every guest: its
   * registers hold all that there is, and the debugger cannot change the description when the guest changes mode. GDB
   * then disassembles and unwinds as for 64-bit code; for a guest of 32 bits alone, `i386` is right.
   */
  readonly architecture?: GdbArchitecture;
}

export interface GdbSession {
  /** Takes bytes from the debugger. */
  receive(bytes: Uint8Array): void;
  /** The connection is gone. The machine stays as it is, running or not, without breakpoints. */
  closed(): void;
}

/** What the guest does, as the debugger was told. */
type Phase = 'stopped' | 'running' | 'ended';

/** Packets that need the guest to stand still. */
const STOPPED_ONLY = /^(?:[gGpPmMXcCsS]|vCont;)/;

/**
 * Serves a debugger. The machine stops at its first packet, as debuggers expect; a connection that says nothing leaves it
 * alone.
 *
 * Breakpoints and memory go by linear addresses; the instruction pointer is shown as it is, so that the two differ where
 * CS has a base other than 0.
 */
export function createGdbSession(target: DebugTarget, transport: GdbTransport, options: GdbOptions = {}): GdbSession {
  const architecture = options.architecture ?? 'i386:x86-64';
  const features = registerFeatures(architecture);
  const breakpoints = createBreakpointTable(target);
  const reader = createPacketReader();
  const first = target.vcpus[0]!;
  let phase: Phase = 'running';
  let acknowledges = true;
  let open = true;
  let lastSent: Uint8Array | undefined;
  let lastStop: Stop = { reason: 'attached', vcpu: first };
  let range: StepRange | undefined;
  let quitting = false;
  let attached = false;
  /** Packets are carried out one after the other, whatever each waits for. */
  let queue: Promise<void> = Promise.resolve();

  function send(data: string): void {
    if (!open) return;
    lastSent = encodePacket(data);
    transport.send(lastSent);
  }

  const context: CommandContext = {
    target,
    registers: features.flatMap(({ registers }) => registers),
    description: targetDescription(architecture, features),
    breakpoints,
    vcpu: first,
    stepVcpu: first,
    stepInterrupts: false,
    knows: { software: false, hardware: false },
    send,
    quit() {
      quitting = true;
    },
  };

  function stopped(stop: Stop): void {
    lastStop = stop;
    range = undefined;
    phase = stop.reason === 'ended' ? 'ended' : 'stopped';
    if (stop.reason !== 'ended') {
      context.vcpu = stop.vcpu;
      context.stepVcpu = stop.vcpu;
    }
  }

  /** Whether a step that is done goes on, because it is one of many through a range. */
  function stepsOn(event: StopEvent): boolean {
    if (event.reason !== 'step' || range === undefined) return false;
    const { state } = event.vcpu;
    if (state.rip < range.start || state.rip >= range.end) return false;
    return breakpoints.at(linearInstructionPointer(state)) === undefined;
  }

  const unsubscribe = target.onStop((event) => {
    if (phase !== 'running') {
      // A guest may be ended from elsewhere while it stands still; it is told when the debugger wants to go on.
      if (event.reason === 'ended') stopped(event);
      return;
    }
    if (stepsOn(event) && event.reason === 'step') {
      target.step(event.vcpu, { interrupts: context.stepInterrupts });
      return;
    }
    stopped(event);
    send(stopReply(context, event));
  });

  function enqueue(work: () => void | Promise<void>): void {
    queue = queue.then(work).catch(() => send(ERROR.failed));
  }

  async function attach(): Promise<void> {
    await target.stop();
    if (phase === 'running') stopped({ reason: 'attached', vcpu: first });
  }

  async function interrupt(): Promise<void> {
    if (phase !== 'running') return;
    range = undefined;
    await target.stop();
    // A breakpoint may have come first, and was told already.
    if (phase !== 'running') return;
    const stop: Stop = { reason: 'interrupted', vcpu: context.stepVcpu };
    stopped(stop);
    send(stopReply(context, stop));
  }

  function resume(wanted: Resumption): void {
    if (phase === 'ended') {
      send(stopReply(context, lastStop));
      return;
    }
    if (wanted.action === 'continue') target.resume();
    else {
      range = wanted.range;
      context.stepVcpu = target.vcpus[wanted.vcpu]!;
      target.step(context.stepVcpu, { interrupts: context.stepInterrupts });
    }
    phase = 'running';
  }

  function resumeThreads(data: string): void {
    const preferred = target.vcpus.indexOf(context.stepVcpu);
    const wanted = parseContinue(data.slice('vCont;'.length), target.vcpus.length, preferred);
    if (wanted === undefined) send(ERROR.invalid);
    else resume(wanted);
  }

  /** Sets the instruction pointer of the vCPU that `c` and `s` are about. */
  function jump(text: string): boolean {
    const vcpu = context.stepVcpu;
    const address = parseAddress(text);
    const pointer = context.registers.find(({ type }) => type === 'code_ptr');
    if (address === undefined || pointer?.write?.(vcpu.state, address) !== true) return false;
    vcpu.registersChanged();
    return true;
  }

  /** `c`, `s`, and with a signal `C` and `S`: the signal is for processes and means nothing here. */
  function resumeAt(data: string): void {
    const match = /^(?:([cs])|[CS][0-9a-f]{2};?)([0-9a-f]*)$/i.exec(data);
    if (match === null || (match[2] !== '' && !jump(match[2]!))) {
      send(ERROR.invalid);
      return;
    }
    const step = data[0] === 's' || data[0] === 'S';
    resume(step ? { action: 'step', vcpu: target.vcpus.indexOf(context.stepVcpu) } : { action: 'continue' });
  }

  function detach(): void {
    breakpoints.clear();
    send('OK');
    if (phase === 'stopped') {
      phase = 'running';
      target.resume();
    }
    end();
    transport.close();
  }

  function kill(reply: string | undefined): void {
    if (reply !== undefined) send(reply);
    end();
    transport.close();
    target.kill();
  }

  /** Takes the connection off the machine. */
  function end(): void {
    if (!open) return;
    open = false;
    unsubscribe();
    breakpoints.clear();
  }

  function stopAcknowledging(): void {
    send('OK');
    acknowledges = false;
  }

  async function answer(data: string): Promise<void> {
    send(await execute(context, data));
    if (quitting) kill(undefined);
  }

  /** Packets that are more than a question with an answer; everything else is in `execute`. */
  const special: readonly (readonly [pattern: RegExp, run: (data: string) => void])[] = [
    [/^[csCS]/, resumeAt],
    [/^vCont;/, resumeThreads],
    [/^\?$/, () => send(stopReply(context, lastStop))],
    [/^D(?:;|$)/, detach],
    [/^k$/, () => kill(undefined)],
    [/^vKill(?:;|$)/, () => kill('OK')],
    [/^QStartNoAckMode$/, stopAcknowledging],
  ];

  function packet(data: string): void | Promise<void> {
    if (!open) return;
    if (phase === 'running' && STOPPED_ONLY.test(data)) {
      send(ERROR.invalid);
      return;
    }
    const found = special.find(([pattern]) => pattern.test(data));
    return found === undefined ? answer(data) : found[1](data);
  }

  function take(received: Received): void {
    if (!attached) {
      attached = true;
      enqueue(attach);
    }
    if (received.kind === 'interrupt') enqueue(interrupt);
    else if (received.kind === 'resend') {
      if (acknowledges && lastSent !== undefined) transport.send(lastSent);
    } else {
      if (acknowledges) transport.send(encodeAck(received.intact));
      if (received.intact || !acknowledges) enqueue(() => packet(received.data));
    }
  }

  return {
    receive(bytes) {
      for (const received of reader.push(bytes)) if (open) take(received);
    },
    closed: end,
  };
}
