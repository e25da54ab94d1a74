/** Makes handlers as their shapes turn up, a module for each batch, and puts them into the shared function table. */

import type { Builder } from '../../ir/builder.ts';
import type { Signature } from '../../ir/node.ts';
import { IMPORTS } from '../../ir/wasm/module.ts';
import type { Helper } from '../../isa/helpers.ts';
import { InterpreterBuilder } from './builder.ts';
import { EXIT } from './exits.ts';
import { encodeModule, type LinkedNumbers } from './function-module.ts';
import { JUMP_CACHE, jumpCacheEntry } from './jump-cache.ts';
import { BLOCK_LIMIT, RECORD } from './record.ts';
import type { Shape } from './shape.ts';

/** Handlers that no instruction has. */
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
const RUNTIME = ['dispatch', 'dispatchFrom'] as const;
type Runtime = (typeof RUNTIME)[number];
const isRuntime = (name: Special): name is Runtime => RUNTIME.some((other) => other === name);
/** Their places in the function table. */
export const SPECIAL_INDEX = Object.fromEntries(SPECIAL.map((name, i) => [name, i + 1])) as Record<Special, number>;

export interface Handlers {
  /** Table index for a shape; the handler exists once `publish` was called. */
  index(shape: Shape): number;
  readonly special: Readonly<Record<Special, number>>;
  /** Whether a block of new shapes might not find room any more: `clear` first. */
  full(): boolean;
  /** Forgets all handlers but the special ones. No code that uses them may be left. */
  clear(): void;
  /** Compiles what `index` was asked for since the last call. */
  publish(): void;
  /** A place in the table for a function that comes later; 0 where records can name no more. */
  reserve(): number;
  /** Links a module whose function puts itself into a reserved place; what it imports, by name. */
  place(numbers: LinkedNumbers, module: WebAssembly.Module, imports: readonly string[]): void;
  /** Gives a reserved place back. */
  release(index: number): void;
  /** Places that were reserved while this had another value are forgotten already. */
  readonly generation: number;
  /** Handlers of instructions made so far, and their modules. */
  readonly stats: { handlers: number; modules: number };
}

export interface HandlerLinkage {
  readonly memory: WebAssembly.Memory;
  readonly table: WebAssembly.Table;
  /** Every helper by name, as a function that WebAssembly can import. */
  readonly functions: Readonly<WebAssembly.ModuleImports>;
  readonly helpers: ReadonlyMap<string, Helper>;
  /** Times that a jump is taken before its target counts as hot; 0 or absent: never. */
  readonly threshold?: number;
  /** Runs what compiles and links, which touches no guest memory, as `VcpuEnvironment.aside`. */
  readonly aside?: <T>(work: () => T) => T;
  /** Begins a handler; absent: an `InterpreterBuilder`. */
  readonly begin?: (...args: ConstructorParameters<typeof InterpreterBuilder>) => InterpreterBuilder;
}

/** Records name handlers by 16 bits; some are kept for shapes that turn up late. */
const LAST_INDEX = 0xffff;
const RESERVED = 16384;

function emptyShape(): Shape {
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

/** Leaves the block at this record: the instruction there is reached through the run loop. */
function fillLeave(b: InterpreterBuilder, exit: number): void {
  b.spendBefore();
  b.setField('rip', b.currentIp());
  b.return(b.i32(exit));
}

/**
 * Only a search finds what stands in the place of a record that went, unless there was one already: a link to the record
 * outlives it.
 */
function fillStale(b: InterpreterBuilder): void {
  const entry = jumpCacheEntry(b, b.cpu, b.currentIp());
  const sameAddress = b.eq(b.loadHost('i64.load', entry, JUMP_CACHE.address), b.currentIp());
  const other = b.ne(b.loadHost('i32.load', entry, JUMP_CACHE.record), b.record);
  b.leaveIf(b.and(sameAddress, other), () => fillLeave(b, EXIT.dispatch));
  fillLeave(b, EXIT.lookup);
}

/** Goes on in another block, which begins here. Blocks after one another must not add up to more than one may overdraw. */
function fillContinue(b: InterpreterBuilder): void {
  b.spendBefore();
  const quiet = b.and(b.gtS(b.field('budget'), b.i32(0)), b.eqz(b.field('poll')));
  b.leaveIf(quiet, () => b.continueWith(b.loadHost('i32.load', b.record, RECORD.link)));
  b.setField('rip', b.currentIp());
  b.return(b.i32(EXIT.dispatch));
}

function fillSpecial(b: InterpreterBuilder, special: Exclude<Special, Runtime>): void {
  switch (special) {
    case 'end':
    case 'leave':
      fillLeave(b, EXIT.dispatch);
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

export function createHandlers(linkage: HandlerLinkage): Handlers {
  const { memory, table, functions, helpers, threshold = 0, aside = (work) => work() } = linkage;
  const begin = linkage.begin ?? ((...args) => new InterpreterBuilder(...args));
  const indices = new Map<string, number>();
  let waiting: { shape: Shape; index: number }[] = [];
  const stats = { handlers: 0, modules: 0 };
  const signatureOf = (name: string): Signature => {
    const helper = helpers.get(name);
    if (helper === undefined) throw new TypeError(`no helper is called ${name}`);
    return helper.signature;
  };
  const helperOf = (name: string): Helper => {
    const helper = helpers.get(name);
    if (helper === undefined) throw new TypeError(`no helper is called ${name}`);
    return helper;
  };

  function grow(needed: number): void {
    if (table.length < needed) table.grow(Math.max(needed - table.length, 1024));
  }
  function link(module: WebAssembly.Module, names: readonly string[], numbers?: LinkedNumbers): void {
    const env: WebAssembly.ModuleImports = { memory, table, ...numbers };
    for (const name of names) env[name] = functions[name];
    new WebAssembly.Instance(module, { [IMPORTS]: env });
  }
  function compile(entries: readonly { index: number; builder: () => Builder }[]): void {
    const { bytes, imports } = encodeModule(
      entries.map(({ index, builder }) => ({ index, builder: builder() })),
      signatureOf,
    );
    grow(Math.max(...entries.map((e) => e.index)) + 1);
    link(new WebAssembly.Module(bytes), imports);
    stats.modules++;
    stats.handlers += entries.length;
  }

  const special = SPECIAL_INDEX;
  let next = SPECIAL.length + 1;
  let generation = 0;
  const free: number[] = [];
  compile(
    SPECIAL.filter((name) => !isRuntime(name)).map((name) => ({
      index: special[name],
      builder: () => {
        const b = new InterpreterBuilder(signatureOf, helperOf, emptyShape(), threshold);
        fillSpecial(b, name);
        return b;
      },
    })),
  );
  for (const name of RUNTIME) if (functions[name] !== undefined) table.set(special[name], functions[name]);
  return {
    special,
    stats,
    full: () => next > LAST_INDEX - BLOCK_LIMIT,
    clear() {
      const end = Math.min(next, table.length);
      for (let index = SPECIAL.length + 1; index < end; index++) table.set(index, null);
      next = SPECIAL.length + 1;
      free.length = 0;
      generation++;
      indices.clear();
      waiting = [];
    },
    get generation() {
      return generation;
    },
    reserve() {
      if (free.length === 0 && next > LAST_INDEX - RESERVED) return 0;
      const index = free.pop() ?? next++;
      grow(index + 1);
      return index;
    },
    place: (numbers, module, imports) => aside(() => link(module, imports, numbers)),
    release(index) {
      table.set(index, null);
      free.push(index);
    },
    index(shape) {
      const known = indices.get(shape.key);
      if (known !== undefined) return known;
      const index = next++;
      if (index > LAST_INDEX) throw new RangeError('more handlers than a record can name');
      indices.set(shape.key, index);
      waiting.push({ shape, index });
      return index;
    },
    publish() {
      if (waiting.length === 0) return;
      const batch = waiting;
      waiting = [];
      const entries = batch.map(({ shape, index }) => ({
        index,
        builder: () => {
          const b = begin(signatureOf, helperOf, shape, threshold);
          b.fill();
          return b;
        },
      }));
      aside(() => compile(entries));
    },
  };
}
