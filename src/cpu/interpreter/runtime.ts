/**
 * The runtime module: the routines that handlers and translated code call, and `run`, which goes from block to block
 * until something needs the engine.
 */
import type { Builder } from '../../ir/builder.ts';
import { ModuleBuilder } from '../../ir/wasm/module.ts';
import type { Helper } from '../../isa/helpers.ts';
import { VCPU } from '../../isa/state.ts';
import { HANDLER } from './builder.ts';
import { EXIT } from './exits.ts';
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

export const JUMP_CACHE_BYTES = JUMP_CACHE.entries * JUMP_CACHE.entrySize;
const JUMP_MASK = JUMP_CACHE_BYTES - JUMP_CACHE.entrySize;

/** Byte offset in the jump cache of the entry for an address. */
export function jumpCacheOffset(address: bigint): number {
  const low = Number(BigInt.asUintN(32, address ^ (address >> 12n)));
  return (low << 5) & JUMP_MASK;
}

function fillRun(b: Builder, threshold: number): void {
  const cpu = b.param(0);
  const offsets = VCPU.offsets;
  b.loop((again) => {
    const spent = b.leS(b.loadHost('i32.load', cpu, offsets.budget), b.i32(0));
    b.if(b.or(spent, b.loadHost('i32.load', cpu, offsets.poll)), () => b.return(b.i32(EXIT.poll)));
    const address = b.loadHost('i64.load', cpu, offsets.rip);
    const hash = b.wrap(b.xor(address, b.shrU(address, b.i64(12))));
    const entry = b.add(b.and(b.shl(hash, b.i32(5)), b.i32(JUMP_MASK)), b.loadHost('i32.load', cpu, offsets.jumpCache));
    const known = b.eq(b.loadHost('i64.load', entry, JUMP_CACHE.address), address);
    // `modeKey` and `jumpGeneration` lie side by side and are compared as one.
    const current = b.eq(b.loadHost('i64.load', entry, JUMP_CACHE.key), b.loadHost('i64.load', cpu, offsets.modeKey));
    b.if(b.eqz(b.and(known, current)), () => b.return(b.i32(EXIT.lookup)));
    b.storeHost('i64.store', cpu, b.loadHost('i64.load', entry, JUMP_CACHE.ipBase), offsets.ipBase);
    const record = b.loadHost('i32.load', entry, JUMP_CACHE.record);
    if (threshold > 0) {
      const heat = b.add(b.loadHost('i32.load', entry, JUMP_CACHE.heat), b.i32(1));
      b.storeHost('i32.store', entry, heat, JUMP_CACHE.heat);
      b.if(b.eq(heat, b.i32(threshold)), () => b.return(b.i32(EXIT.hot)));
    }
    const exit = b.callTable(HANDLER, b.loadHost('i32.load16_u', record, RECORD.handler), cpu, record);
    b.branchIf(again, b.eqz(exit));
    b.return(exit);
  });
  b.unreachable();
}

/**
 * Adds imports, routines and `run` to a module; every routine is exported, for handler modules to import. `threshold`: how
 * often a block is entered before it is asked to be translated; 0: never.
 */
export function buildRuntime(helpers: readonly Helper[], threshold = 0): Uint8Array {
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
  module.define('run', { params: ['i32'], result: 'i32' }, (b) => fillRun(b, threshold), { exported: true });
  return module.encode();
}

if (VCPU.offsets.jumpGeneration !== VCPU.offsets.modeKey + 4)
  throw new RangeError('modeKey and jumpGeneration must be neighbours');
