/**
 * A machine as a debugger's target. It stands between the machine and the loop that runs it: the loop calls `advance` from
 * turns of its own event loop, and what the debugger asked for decides what that does.
 */
import { ACTIVITY } from '../../machine/vcpu-reset.ts';
import type { Ended, Machine, MachineEnd, Progress } from '../machine.ts';
import { createDebugMemory } from './debug-memory.ts';
import type { DebugTarget, DebugVcpu, StopEvent } from './target.ts';

/** As of a machine; or it stands still for the debugger until `wake`, or the debugger ended it. */
export type TargetProgress = Progress | { readonly kind: 'stopped' } | { readonly kind: 'killed' };

export interface MachineTarget extends DebugTarget {
  /** As `Machine.advance`. Tells the listeners of a stop, so it must not be called from within one. */
  advance(ns: number): TargetProgress;
  /** Starts the machine over after an end, as it would without a debugger. */
  restart(): void;
  /** As `Machine.input`; while the machine stands still it takes nothing. */
  input(bytes: Uint8Array): number;
  /** Machine time in nanoseconds. */
  now(): number;
}

export interface MachineTargetOptions {
  /** The machine stands still until a debugger says to go on. */
  readonly wait: boolean;
  /** Whether the loop starts the machine over after this end. */
  restarts(end: MachineEnd): boolean;
  /** The exit status that a debugger is told for an end that is final. */
  exitStatus(end: MachineEnd): number;
  /** `advance` is to be called soon. */
  wake(): void;
}

const STOPPED: TargetProgress = { kind: 'stopped' };

type Mode =
  | { readonly kind: 'stopped' | 'running' | 'killed' }
  | { readonly kind: 'stepping'; readonly vcpu: number; readonly interrupts: boolean };

export function createMachineTarget(machine: Machine, options: MachineTargetOptions): MachineTarget {
  const listeners = new Set<(event: StopEvent) => void>();
  const vcpus = machine.vcpus.map(
    (vcpu): DebugVcpu => ({
      state: vcpu.state,
      registersChanged: () => vcpu.stateReplaced(),
      ...createDebugMemory(vcpu.state, machine.memory),
    }),
  );
  let mode: Mode = { kind: 'running' };
  /** The debugger has seen the triple fault that the machine stands at. */
  let shutdownTold = false;

  function hold(): void {
    if (mode.kind === 'killed') return;
    mode = { kind: 'stopped' };
    machine.pause();
  }

  function go(next: Mode): void {
    if (mode.kind === 'killed') return;
    mode = next;
    machine.continue();
    options.wake();
  }

  /** The machine stands still for `event`; a listener may let it go on at once. */
  function stopFor(event: StopEvent): TargetProgress {
    hold();
    for (const listener of [...listeners]) listener(event);
    return STOPPED;
  }

  function endReached(progress: Ended): TargetProgress {
    const { end } = progress;
    if (end.reason === 'triple-fault' && !shutdownTold && listeners.size > 0) {
      shutdownTold = true;
      const shut = vcpus.find(({ state }) => state.activity === ACTIVITY.shutdown);
      return stopFor({ reason: 'shutdown', vcpu: shut ?? vcpus[0] });
    }
    if (!options.restarts(end)) stopFor({ reason: 'ended', status: options.exitStatus(end) });
    return progress;
  }

  function step(number: number, interrupts: boolean): TargetProgress {
    const progress = machine.step(number, interrupts);
    if (progress.kind === 'ended') return endReached(progress);
    return progress.kind === 'idle' ? progress : stopFor({ reason: 'step', vcpu: vcpus[number] });
  }

  function run(ns: number): TargetProgress {
    const progress = machine.advance(ns);
    if (progress.kind === 'ended') return endReached(progress);
    return progress.kind === 'breakpoint' ? stopFor({ reason: 'breakpoint', vcpu: vcpus[progress.vcpu] }) : progress;
  }

  function startOver(): void {
    shutdownTold = false;
    machine.reset();
  }

  if (options.wait) hold();
  return {
    vcpus,
    now: () => machine.now(),
    advance(ns) {
      if (mode.kind === 'stepping') return step(mode.vcpu, mode.interrupts);
      return mode.kind === 'running' ? run(ns) : { kind: mode.kind };
    },
    restart() {
      startOver();
      // The instruction that was stepped reset the machine.
      if (mode.kind === 'stepping') stopFor({ reason: 'step', vcpu: vcpus[mode.vcpu] });
    },
    input: (bytes) => (mode.kind === 'stopped' ? 0 : machine.input(bytes)),
    // Whoever calls this runs between two calls of `advance`, when the vCPU is at an instruction boundary.
    async stop() {
      hold();
    },
    resume: () => go({ kind: 'running' }),
    step: (vcpu, { interrupts }) => go({ kind: 'stepping', vcpu: vcpus.indexOf(vcpu), interrupts }),
    setBreakpoints(addresses) {
      for (const vcpu of machine.vcpus) vcpu.setBreakpoints(addresses);
    },
    onStop(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    reset() {
      hold();
      startOver();
    },
    kill() {
      mode = { kind: 'killed' };
      options.wake();
    },
  };
}
