/** Handlers that no instruction has. */
import type { InterpreterBuilder } from './builder.ts';
import { EXIT } from './exits.ts';
import { JUMP_CACHE, jumpCacheEntry } from './jump-cache.ts';
import { RECORD } from './record.ts';
import type { Shape } from './shape.ts';

export const SPECIAL = [
  'end',
  'continue',
  'leave',
  'stale',
  'undefined',
  'deviceMissing',
  'tooLong',
  'dispatch',
  'dispatchFrom',
] as const;
export type Special = (typeof SPECIAL)[number];
/** Those that are routines of the runtime. */
export const RUNTIME = ['dispatch', 'dispatchFrom'] as const;
type Runtime = (typeof RUNTIME)[number];
export const isRuntime = (name: Special): name is Runtime => RUNTIME.some((other) => other === name);
/** Their places in the function table. */
export const SPECIAL_INDEX = Object.fromEntries(SPECIAL.map((name, i) => [name, i + 1])) as Record<Special, number>;

/** The shape of what is no instruction. */
export function emptyShape(): Shape {
  return {
    key: '',
    encoding: undefined as never,
    operandSize: 4,
    addressSize: 8,
    mode: { codeSize: 8, stackSize: 8, protected: true },
    repeat: 0,
    locked: false,
    dataSegment: 3,
    flat: false,
    operands: [],
  };
}

/** What was done before this record is counted, and `rip` is at its instruction. */
function stopBefore(b: InterpreterBuilder): void {
  b.spendBefore();
  b.setField('rip', b.currentIp());
}

/** Leaves the block at this record: the instruction there is looked up like any other. */
function fillLeave(b: InterpreterBuilder): void {
  stopBefore(b);
  b.goOn();
}

/**
 * Only a search finds what stands in the place of a record that went, unless there was one already: a link to the record
 * outlives it.
 */
function fillStale(b: InterpreterBuilder): void {
  const entry = jumpCacheEntry(b, b.cpu, b.currentIp());
  const sameAddress = b.eq(b.loadHost('i64.load', entry, JUMP_CACHE.address), b.currentIp());
  const other = b.ne(b.loadHost('i32.load', entry, JUMP_CACHE.record), b.record);
  b.leaveIf(b.and(sameAddress, other), () => fillLeave(b));
  stopBefore(b);
  b.return(b.i32(EXIT.lookup));
}

/** Goes on in another block, which begins here. Blocks after one another must not add up to more than one may overdraw. */
function fillContinue(b: InterpreterBuilder): void {
  b.spendBefore();
  const quiet = b.and(b.gtS(b.field('budget'), b.i32(0)), b.eqz(b.field('poll')));
  b.leaveIf(quiet, () => b.continueWith(b.loadHost('i32.load', b.record, RECORD.link)));
  b.setField('rip', b.currentIp());
  b.goOn();
}

/** Writes a special handler. */
export function fillSpecial(b: InterpreterBuilder, special: Exclude<Special, Runtime>): void {
  switch (special) {
    case 'end':
    case 'leave':
      fillLeave(b);
      break;
    case 'continue':
      fillContinue(b);
      break;
    case 'stale':
      fillStale(b);
      break;
    case 'undefined':
      b.raise(6);
      break;
    case 'deviceMissing':
      b.raise(7);
      break;
    case 'tooLong':
      b.raise(13, b.i32(0));
      break;
  }
}
