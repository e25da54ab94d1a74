/** A machine for tests of the debugger: it knows NOP and short JMP, in 64-bit mode without paging. */
import { allocate } from '../../base/struct.ts';
import { CR0, CR4, EFER, SEGMENT, VCPU } from '../../isa/state.ts';
import { flatMemory } from '../../memory/guest-memory.ts';
import { createDebugMemory } from './debug-memory.ts';
import type { DebugTarget, DebugVcpu, StepOptions, StopEvent } from './target.ts';

export const MEMORY_SIZE = 0x10000;
/** Where the code starts: four NOPs and a jump back to the first. */
export const CODE = 0x1000n;
const NOP = 0x90;
const LOOP = [NOP, NOP, NOP, NOP, 0xeb, 0xfa];

export interface FakeTarget extends DebugTarget {
  readonly bytes: Uint8Array;
  /** Calls in order, for those whose effect is not seen otherwise. */
  readonly calls: string[];
  /** Tells the listeners of a stop, as the run loop would. */
  tell(event: StopEvent): void;
  isRunning(): boolean;
}

function createVcpu(memory: ReturnType<typeof flatMemory>, calls: string[]): DebugVcpu {
  const state = allocate(VCPU);
  state.rip = CODE;
  state.efer = BigInt(EFER.lme | EFER.lma);
  state.cr0 = BigInt(CR0.pe);
  state.cr4 = BigInt(CR4.pae);
  state.eflags = 2;
  state.flagResult = 1n;
  state.segmentSelector[SEGMENT.cs] = 0x10;
  // Present 64-bit code segment.
  state.segmentAttributes[SEGMENT.cs] = 0xa09b;
  return {
    state,
    ...createDebugMemory(state, memory),
    registersChanged: () => void calls.push('registersChanged'),
  };
}

export function createFakeTarget(count = 1): FakeTarget {
  const memory = flatMemory(MEMORY_SIZE);
  memory.bytes.set(LOOP, Number(CODE));
  const calls: string[] = [];
  const vcpus = Array.from({ length: count }, () => createVcpu(memory, calls));
  const listeners = new Set<(event: StopEvent) => void>();
  let breakpoints: ReadonlySet<bigint> = new Set();
  let running = false;

  function execute({ state }: DebugVcpu): void {
    const at = Number(state.rip);
    const jump = memory.bytes[at] === 0xeb;
    state.rip += jump ? 2n + BigInt.asIntN(8, BigInt(memory.bytes[at + 1]!)) : 1n;
    state.instructions += 1n;
  }
  function tell(event: StopEvent): void {
    running = false;
    for (const listener of listeners) listener(event);
  }
  function slice(): void {
    for (let i = 0; i < 100 && running; i++) {
      for (const vcpu of vcpus) {
        if (breakpoints.has(vcpu.state.rip)) {
          tell({ reason: 'breakpoint', vcpu });
          return;
        }
        execute(vcpu);
      }
    }
    if (running) setImmediate(slice);
  }
  return {
    vcpus,
    bytes: memory.bytes,
    calls,
    tell,
    isRunning: () => running,
    async stop() {
      running = false;
    },
    resume() {
      running = true;
      setImmediate(slice);
    },
    step(vcpu: DebugVcpu, options: StepOptions) {
      calls.push(`step ${vcpus.indexOf(vcpu)} interrupts ${options.interrupts}`);
      running = true;
      setImmediate(() => {
        if (!running) return;
        execute(vcpu);
        tell({ reason: 'step', vcpu });
      });
    },
    setBreakpoints(addresses) {
      breakpoints = addresses;
    },
    onStop(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    reset() {
      for (const { state } of vcpus) state.rip = 0xfff0n;
    },
    kill() {
      calls.push('kill');
      running = false;
    },
  };
}
