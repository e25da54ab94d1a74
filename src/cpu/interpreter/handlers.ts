/** Makes handlers as their shapes turn up, a module for each batch, and puts them into the shared function table. */

import type { Builder } from '../../ir/builder.ts';
import type { Signature } from '../../ir/node.ts';
import { IMPORTS } from '../../ir/wasm/module.ts';
import type { Helper } from '../../isa/helpers.ts';
import { InterpreterBuilder } from './builder.ts';
import { CoreBuilder, type CoreCase } from './core.ts';
import { CORE_END, CORE_START, createCorePlaces } from './core-places.ts';
import { type EncodedModule, encodeModule, type LinkedNumbers } from './function-module.ts';
import { BLOCK_LIMIT } from './record.ts';
import type { Shape } from './shape.ts';
import {
  emptyShape,
  fillSpecial,
  isRuntime,
  RUNTIME,
  SPECIAL,
  SPECIAL_INDEX,
  type Special,
} from './special-handlers.ts';

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
  /**
   * Makes a core of the handlers that `counts` has most of, by index, in the place of the one before. From then on all have
   * the indices that it gives at their former ones. `undefined`: there can be no core.
   */
  gather(counts: Uint32Array): Uint16Array | undefined;
  /** Index of a function that does what the handler at an index does, whatever handler the record names. */
  alone(index: number): number;
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

/** Most bytes of the core's module: V8 takes some 500 times as much memory to optimise it. */
const CORE_BYTES = 96 * 1024;
/** Records name handlers by 16 bits; some are kept for shapes that turn up late. */
const LAST_INDEX = 0xffff;
const RESERVED = 16384;

export function createHandlers(linkage: HandlerLinkage): Handlers {
  const { memory, table, functions, helpers, threshold = 0, aside = (work) => work() } = linkage;
  const begin = linkage.begin ?? ((...args) => new InterpreterBuilder(...args));
  const indices = new Map<string, number>();
  const places = createCorePlaces();
  const shapes = new Map<number, Shape>();
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
  type Entry = { readonly index: number; readonly builder: () => Builder };
  const encode = (entries: readonly Entry[]): EncodedModule =>
    encodeModule(
      entries.map(({ index, builder }) => ({ index, builder: builder() })),
      signatureOf,
    );
  function compile(entries: readonly Entry[], { bytes, imports } = encode(entries)): void {
    grow(Math.max(...entries.map((e) => e.index)) + 1);
    link(new WebAssembly.Module(bytes), imports);
    stats.modules++;
    stats.handlers += entries.length;
  }

  /** The core with handlers of some shapes beside the special ones. */
  function buildCore(chosen: readonly Shape[]): CoreBuilder {
    const cases: (CoreCase | undefined)[] = [
      ...SPECIAL.map((name) =>
        isRuntime(name) ? undefined : { shape: emptyShape(), fill: (b: InterpreterBuilder) => fillSpecial(b, name) },
      ),
      ...chosen.map((shape) => ({ shape, fill: (b: InterpreterBuilder) => b.fill() })),
    ];
    const core = new CoreBuilder(signatureOf, helperOf, emptyShape(), threshold);
    core.write(SPECIAL_INDEX.end, cases);
    return core;
  }

  /** Makes a core of the handlers at some indices, or of as many of the first as may be one function. */
  function placeCore(handlers: readonly number[]): Uint16Array {
    const chosen = handlers.map((index) => shapes.get(index) as Shape);
    const entry = { index: CORE_START, builder: () => buildCore(chosen) };
    let encoded = encode([entry]);
    while (encoded.bytes.length > CORE_BYTES) {
      chosen.length >>= 1;
      encoded = encode([entry]);
    }
    compile([entry], encoded);
    for (const i of chosen.keys()) table.set(CORE_START + i, table.get(CORE_START));
    return places.fill(handlers.slice(0, chosen.length));
  }

  const special = SPECIAL_INDEX;
  let next = CORE_END;
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
      next = CORE_END;
      free.length = 0;
      generation++;
      indices.clear();
      shapes.clear();
      places.clear();
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
      if (known !== undefined) return places.named(known);
      const index = next++;
      if (index > LAST_INDEX) throw new RangeError('more handlers than a record can name');
      indices.set(shape.key, index);
      shapes.set(index, shape);
      waiting.push({ shape, index });
      return index;
    },
    alone: places.alone,
    gather(counts) {
      // What a vCPU that verifies its translations stores, it logs.
      if (linkage.begin !== undefined) return undefined;
      return aside(() => placeCore(places.rank(counts, (index) => shapes.has(index))));
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
