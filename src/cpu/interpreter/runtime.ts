/**
 * The runtime module: the routines that handlers and translated code call, and `run`, which goes from block to block
 * until something needs the engine.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value, Variable } from '../../ir/node.ts';
import { ModuleBuilder } from '../../ir/wasm/module.ts';
import { type Helper, helper, routine } from '../../isa/helpers.ts';
import { VCPU } from '../../isa/state.ts';
import { HANDLER } from './builder.ts';
import { EXIT, RESOLVED } from './exits.ts';
import { SPECIAL_INDEX } from './handlers.ts';
import { RECORD } from './record.ts';

/**
 * The jump cache: where the block for an address is, direct-mapped. An entry is i64 address, i64 key (mode and
 * generation), i32 record, i32 times entered, i64 `ipBase`.
 */
export const JUMP_CACHE = {
  address: 0,
  key: 8,
  record: 16,
  heat: 20,
  ipBase: 24,
  entrySize: 32,
  entries: 8192,
} as const;

/**
 * A link is a jump cache of one entry that belongs to one place in a region. One of no generation never fits.
 */
export const NO_GENERATION = -1n;

export const JUMP_CACHE_BYTES = JUMP_CACHE.entries * JUMP_CACHE.entrySize;
const JUMP_MASK = JUMP_CACHE_BYTES - JUMP_CACHE.entrySize;

/** Byte offset in the jump cache of the entry for an address. */
export function jumpCacheOffset(address: bigint): number {
  const low = Number(BigInt.asUintN(32, address ^ (address >> 12n)));
  return (low << 5) & JUMP_MASK;
}

function jumpCacheEntry(b: Builder, cpu: Value, address: Value): Value {
  const hash = b.wrap(b.xor(address, b.shrU(address, b.i64(12))));
  const place = b.and(b.shl(hash, b.i32(5)), b.i32(JUMP_MASK));
  return b.add(place, b.loadHost('i32.load', cpu, VCPU.offsets.jumpCache));
}

/**
 * `dispatch` (cpu, ignored): goes to the code at `rip` in its own place. Comes back with `EXIT.poll`, `lookup` or `hot`, or
 * with what that code does. `threshold`: how often a block is entered before it is asked to be translated; 0: never.
 */
const dispatch = (threshold: number): Helper =>
  routine('dispatch', ['i32'], 'i32', (b, cpu) => {
    const offsets = VCPU.offsets;
    const spent = b.leS(b.loadHost('i32.load', cpu, offsets.budget), b.i32(0));
    b.if(b.or(spent, b.loadHost('i32.load', cpu, offsets.poll)), () => b.return(b.i32(EXIT.poll)));
    const address = b.loadHost('i64.load', cpu, offsets.rip);
    const entry = jumpCacheEntry(b, cpu, address);
    const known = b.eq(b.loadHost('i64.load', entry, JUMP_CACHE.address), address);
    // `modeKey` and `jumpGeneration` lie side by side and are compared as one.
    const current = b.eq(b.loadHost('i64.load', entry, JUMP_CACHE.key), b.loadHost('i64.load', cpu, offsets.modeKey));
    b.if(b.eqz(b.and(known, current)), () => b.return(b.i32(EXIT.lookup)));
    if (threshold > 0) {
      const heat = b.add(b.loadHost('i32.load', entry, JUMP_CACHE.heat), b.i32(1));
      b.storeHost('i32.store', entry, heat, JUMP_CACHE.heat);
      b.if(b.eq(heat, b.i32(threshold)), () => b.return(b.i32(EXIT.hot)));
    }
    b.storeHost('i64.store', cpu, b.loadHost('i64.load', entry, JUMP_CACHE.ipBase), offsets.ipBase);
    const record = b.loadHost('i32.load', entry, JUMP_CACHE.record);
    b.jumpTable(HANDLER, b.loadHost('i32.load16_u', record, RECORD.handler), cpu, record);
  });

/** Goes from block to block, `exit` being what the last one came back with, until `arrived` or something else is to do. */
function runOn(b: Builder, cpu: Value, exit: Variable, arrived: () => Value): void {
  b.loop((again) => {
    b.if(
      b.get(exit),
      () => {
        const [first, last] = RESOLVED;
        const resolved = b.leU(b.sub(b.get(exit), b.i32(first)), b.i32(last - first));
        b.if(b.eqz(resolved), () => b.return(b.get(exit)));
        b.set(exit, b.call('resolve', cpu, b.get(exit)));
        b.branchIf(again, b.get(exit));
      },
      () => b.if(arrived(), () => b.return(b.i32(EXIT.dispatch))),
    );
    b.set(exit, b.call('dispatch', cpu, b.i32(0)));
    b.branch(again);
  });
}

/**
 * `continueGuest` (cpu, address, exit): after `exit`, runs the code at `rip` until the guest arrives at an address. Comes
 * back with 0, or an exit that the engine must see.
 */
const continueGuest = routine('continueGuest', ['i64', 'i32'], 'i32', (b, cpu, expected, before) => {
  const exit = b.variable('i32', before);
  runOn(b, cpu, exit, () => b.eq(b.loadHost('i64.load', cpu, VCPU.offsets.rip), expected));
});

/**
 * `dispatchFrom` (cpu, link): as `dispatch`; the link gets what the jump cache has for `rip`, if it is of another generation
 * and the code there is hot enough that it need not be counted any more.
 */
const dispatchFrom = (threshold: number): Helper =>
  routine('dispatchFrom', ['i32'], 'i32', (b, cpu, link) => {
    const { offsets } = VCPU;
    const address = b.loadHost('i64.load', cpu, offsets.rip);
    const entry = jumpCacheEntry(b, cpu, address);
    const key = b.loadHost('i64.load', cpu, offsets.modeKey);
    const known = b.eq(b.loadHost('i64.load', entry, JUMP_CACHE.address), address);
    const current = b.eq(b.loadHost('i64.load', entry, JUMP_CACHE.key), key);
    const hot = b.geU(b.loadHost('i32.load', entry, JUMP_CACHE.heat), b.i32(threshold));
    const old = b.ne(b.loadHost('i64.load', link, JUMP_CACHE.key), key);
    b.if(b.and(b.and(known, current), b.and(hot, old)), () => b.copyHost(link, entry, b.i32(JUMP_CACHE.entrySize)));
    b.jumpTable(HANDLER, b.i32(SPECIAL_INDEX.dispatch), cpu, b.i32(0));
  });

/** `run` (cpu, handler, record): runs a handler, or with 0 for it the code at `rip`, and goes on until there is something to do. */
const run = routine('run', ['i32', 'i32'], 'i32', (b, cpu, handler, record) => {
  const exit = b.variable('i32', b.i32(EXIT.dispatch));
  b.if(handler, () => b.set(exit, b.callTable(HANDLER, handler, cpu, record)));
  runOn(b, cpu, exit, () => b.i32(0));
});

/** What the run loop asks the engine. */
const engineHelpers: readonly Helper[] = [
  /** Finds, links or translates the code at `rip` after one of the exits of `RESOLVED`; 0, or an exit that the engine must see. */
  helper('resolve', ['i32'], 'i32'),
  /** Whether the pages of the region with a cell at an address are where it expects them. */
  helper('regionValid', ['i32'], 'i32'),
];

/** All that regions and the run loop call besides the helpers of instructions and memory. */
export const runtimeHelpers = (threshold: number): readonly Helper[] => [
  ...engineHelpers,
  dispatch(threshold),
  dispatchFrom(threshold),
  continueGuest,
  run,
];

/** A module of routines, every one exported for handler modules to import; helpers without a body are imported. */
export function buildRuntime(helpers: readonly Helper[]): Uint8Array {
  const module = new ModuleBuilder();
  for (const h of helpers) if (h.body === undefined) module.import(h.name, h.signature);
  for (const h of helpers) {
    const { body } = h;
    if (body === undefined) continue;
    const fill = (b: Builder) => {
      body(b, ...b.params.map((_, i) => b.param(i)));
      if (h.signature.result !== undefined) b.unreachable();
    };
    module.define(h.name, h.signature, fill, { exported: true });
  }
  return module.encode();
}

if (VCPU.offsets.jumpGeneration !== VCPU.offsets.modeKey + 4)
  throw new RangeError('modeKey and jumpGeneration must be neighbours');
