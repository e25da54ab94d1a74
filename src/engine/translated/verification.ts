/**
 * Checks translated code against the interpreter while a guest runs. A region runs first, other regions that it calls or
 * goes on to included; what it did is taken back, accessed and dirty bits and what it brought into the TLB as well; the
 * interpreter runs as many instructions; then registers, flags and memory are compared, and the fault if there was one. The
 * guest goes on from what the interpreter did.
 *
 * Regions reach RAM in place and nothing else: devices, ports and clocks are met by the interpreter alone, the time-stamp
 * counter too where regions are verified. What stays of a
 * region's run cannot be seen: frames behind pages that it stored to, and that blocks went into whose code it meant to store.
 */
import { VirtsError } from '../../base/errors.ts';
import { EXIT } from '../../cpu/interpreter/exits.ts';
import { JUMP_CACHE_BYTES } from '../../cpu/interpreter/jump-cache.ts';
import { RECORD } from '../../cpu/interpreter/record.ts';
import { LOG } from '../../cpu/interpreter/store-log.ts';
import { CELL } from '../../cpu/translator/cell.ts';
import { NO_FAULT, VCPU, type VcpuState, VECTOR } from '../../isa/state.ts';
import type { Arena } from '../../memory/arena.ts';
import { PAGE_SIZE } from '../../memory/layout.ts';
import { createStateCopy, restoreState, sameState, stateDifferences } from './state-comparison.ts';
import { createStoreJournal } from './store-journal.ts';
import type { VerifiedCode } from './verified-code.ts';

/** Instructions after which a region that could go on is compared. */
const MOST = 2000;
/** A budget that is left after no STI. */
const NO_STI = 0x7fff_ffff;
/** Differences that a message tells of, and instructions before them. */
const SHOWN = { differences: 8, instructions: 24 } as const;

/** What verification needs of the vCPU. */
export interface VerifiedVcpu {
  readonly cpu: number;
  readonly state: VcpuState;
  readonly table: WebAssembly.Table;
  /** Runs the block at `rip`. */
  dispatch(cpu: number, ignored: number): number;
  /** Whether blocks are of one instruction: no region is among them. */
  setSingle(value: boolean): void;
  /** Puts the TLB's table for the state's rights to use. */
  selectTlb(): void;
  interpretNext(): { readonly handler: number; readonly record: number } | undefined;
  /** The instruction at `rip`, for messages. */
  nextInstruction(): string;
  /** Guest-physical page with the frame at a host address, or -1. */
  pageOf(host: number): number;
}

export interface Verification {
  /**
   * After `EXIT.verify`: compares. Returns the exit at which the interpreter leaves the guest: `dispatch`, `fault`, or
   * `exception` where it must run the next instruction.
   * @throws VirtsError `internal` where the two differ.
   */
  check(): number;
  stats(): Record<string, number>;
}

export function createVerification(arena: Arena, code: VerifiedCode, vcpu: VerifiedVcpu): Verification {
  const { cpu, state, table } = vcpu;
  const data = new DataView(arena.buffer);
  const words = new Int32Array(arena.buffer, cpu, VCPU.size / 4);
  const poll = VCPU.offsets.poll / 4;
  const journal = createStoreJournal(arena.buffer, code.log, vcpu.pageOf);
  const before = createStateCopy();
  const after = createStateCopy();
  /** Blocks of one instruction would take the places of others in the vCPU's own. */
  const jumpCache = arena.allocate(JUMP_CACHE_BYTES, PAGE_SIZE);
  const stats = { regions: 0, entries: 0, instructions: 0 };

  function call(handler: number, record: number): number {
    return (table.get(handler) as (cpu: number, record: number) => number)(cpu, record);
  }

  /** Runs the interpreter for `count` instructions, told of each before; how it ended otherwise, or 0. */
  function replay(count: number, visit?: () => void): number {
    state.budget = count;
    let polled = Atomics.exchange(words, poll, 0);
    let ended = 0;
    while (ended === 0 && state.budget > 0) {
      visit?.();
      const exit = vcpu.dispatch(cpu, 0);
      if (exit === EXIT.poll) polled |= Atomics.exchange(words, poll, 0);
      else if (exit === EXIT.fault || exit === EXIT.exception) ended = exit;
      else if (exit === EXIT.lookup && journal.unlogged(vcpu.interpretNext) === undefined) ended = exit;
    }
    if (polled !== 0) Atomics.store(words, poll, 1);
    return ended;
  }

  /** Lets the interpreter run the instruction that faulted in the region. What differs, in words. */
  function faultDifferences(): string[] {
    const next = journal.unlogged(vcpu.interpretNext);
    const exit = next === undefined ? EXIT.exception : call(next.handler, next.record);
    const described = ({ faultVector, faultHasError, faultError, faultAddress }: VcpuState) => {
      const error = faultHasError === 0 ? '' : `:${faultError.toString(16)}`;
      return `${faultVector}${error}${faultVector === VECTOR.pf ? ` at ${faultAddress.toString(16)}` : ''}`;
    };
    if (exit !== EXIT.fault) return [`exception ${described(after.view)}, not none`];
    const [region, interpreter] = [after.view, state].map(described);
    return region === interpreter ? [] : [`exception ${region}, not ${interpreter}`];
  }

  /** The last instructions that were run, in words: runs them once more. */
  function lastInstructions(count: number): string {
    journal.takeBackInterpreter();
    restoreState(words, before);
    vcpu.selectTlb();
    vcpu.setSingle(true);
    let last: string[] = [];
    const visit = () => {
      const line = `${state.rip.toString(16)} ${vcpu.nextInstruction()}`;
      if (line !== last.at(-1)) last = [...last, line].slice(-SHOWN.instructions);
    };
    replay(count, visit);
    visit();
    vcpu.setSingle(false);
    return last.join(', ');
  }

  function fail(count: number, differences: readonly string[]): never {
    const rip = before.view.rip.toString(16);
    const shown = differences.slice(0, SHOWN.differences).join('; ');
    const more = differences.length > SHOWN.differences ? `; and ${differences.length - SHOWN.differences} more` : '';
    const last = lastInstructions(count);
    throw new VirtsError(
      'internal',
      `Translated code differs from the interpreter, a defect in Virts: entered at ${rip}, after ${count} instructions it has ${shown}${more}. It came by ${last}.`,
      { rip, count, differences },
    );
  }

  return {
    check() {
      const { current: record, exitInfo: cell, budget, jumpCache: own } = state;
      state.current = 0;
      before.words.set(words);
      const most = Math.min(budget, MOST);
      state.budget = most;
      const exit = journal.region(() => call(data.getUint16(record + RECORD.handler, true), record));
      const count = most - state.budget;
      after.words.set(words);
      journal.takeBack(after.view.epoch !== before.view.epoch);
      restoreState(words, before);
      vcpu.selectTlb();
      const faulted = after.view.faultVector !== NO_FAULT;
      if (data.getUint32(cell + CELL.entries, true) === 1) stats.regions++;
      stats.entries++;
      stats.instructions += count;

      const differences: string[] = [];
      vcpu.setSingle(true);
      state.shadowBudget = NO_STI;
      state.jumpCache = jumpCache;
      journal.interpreter(() => {
        const ended = replay(count);
        const done = count - state.budget;
        if (ended !== 0 || done !== count)
          differences.push(`run on, not ended after ${done} instructions (exit ${ended}, vector ${state.faultVector})`);
        state.current = 0;
        if (!sameState(words, state, after)) differences.push(...stateDifferences(state, after));
        if (faulted && differences.length === 0) differences.push(...faultDifferences());
      });
      differences.push(...journal.differences(exit === EXIT.exception && !faulted));
      vcpu.setSingle(false);
      state.jumpCache = own;
      state.budget = budget - count;
      const { shadowBudget } = state;
      state.shadowBudget = shadowBudget === NO_STI ? before.view.shadowBudget : shadowBudget + state.budget;
      if (differences.length > 0) fail(count, differences);
      if (faulted) return EXIT.fault;
      // A region that came back at once would be entered again.
      return exit === EXIT.exception || count === 0 ? EXIT.exception : EXIT.dispatch;
    },
    stats: () => ({
      'regions verified': stats.regions,
      'entries verified': stats.entries,
      'instructions verified': stats.instructions,
      'entries passed over': Number(data.getBigUint64(code.log + LOG.passedOver, true)),
    }),
  };
}
