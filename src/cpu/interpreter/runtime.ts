/**
 * The runtime module: the routines that handlers and translated code call, and `run`, which goes from block to block
 * until something needs the engine.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { ModuleBuilder } from '../../ir/wasm/module.ts';
import { readField, writeField } from '../../isa/fields.ts';
import type { Helper } from '../../isa/helpers.ts';
import { VCPU } from '../../isa/state.ts';
import { MODE } from '../mode.ts';
import { HANDLER } from './builder.ts';
import { EXIT } from './exits.ts';
import { JUMP_CACHE, jumpCacheEntry } from './jump-cache.ts';
import { RECORD } from './record.ts';

interface RunOptions {
  readonly threshold: number;
  /** Whether exceptions are delivered here. */
  readonly deliver: boolean;
  /** Whether entries of the jump cache that became doubtful are looked at here. */
  readonly refresh: boolean;
}

/** Puts `rip` at the instruction in `current`, which faulted, and counts it and those before it. */
function backToCurrent(b: Builder, cpu: Value): void {
  const record = b.variable('i32', readField(b, cpu, 'current'));
  const ip = b.add(readField(b, cpu, 'ipBase'), b.loadHost('i64.load16_u', b.get(record), RECORD.offset));
  const size = b.and(readField(b, cpu, 'modeKey'), b.i32(3 << MODE.codeShift));
  const bits = b.select(b.eqz(size), b.i64(0xffff), b.i64(0xffff_ffff));
  const mask = b.select(b.eq(size, b.i32(2)), b.i64(-1), bits);
  writeField(b, cpu, 'rip', b.and(ip, mask));
  const count = b.loadHost('i32.load16_u', b.get(record), RECORD.count);
  writeField(b, cpu, 'budget', b.sub(readField(b, cpu, 'budget'), count));
  writeField(b, cpu, 'pendingKind', b.i32(0));
  writeField(b, cpu, 'current', b.i32(0));
}

function fillRun(b: Builder, { threshold, deliver, refresh }: RunOptions): void {
  const cpu = b.param(0);
  const offsets = VCPU.offsets;
  b.loop((again) => {
    const spent = b.leS(b.loadHost('i32.load', cpu, offsets.budget), b.i32(0));
    b.if(b.or(spent, b.loadHost('i32.load', cpu, offsets.poll)), () => b.return(b.i32(EXIT.poll)));
    const address = b.loadHost('i64.load', cpu, offsets.rip);
    const entry = jumpCacheEntry(b, cpu, address);
    const known = b.eq(b.loadHost('i64.load', entry, JUMP_CACHE.address), address);
    // `modeKey` and `jumpGeneration` lie side by side and are compared as one.
    const current = b.eq(b.loadHost('i64.load', entry, JUMP_CACHE.key), b.loadHost('i64.load', cpu, offsets.modeKey));
    b.if(b.eqz(b.and(known, current)), () => {
      const sameMode = b.eq(
        b.loadHost('i32.load', entry, JUMP_CACHE.key),
        b.loadHost('i32.load', cpu, offsets.modeKey),
      );
      b.if(b.eqz(b.and(known, sameMode)), () => b.return(b.i32(EXIT.lookup)));
      const fresh = refresh ? b.call('refreshJump', cpu, entry) : b.i32(0);
      b.if(b.eqz(fresh), () => b.return(b.i32(EXIT.lookup)));
    });
    b.storeHost('i64.store', cpu, b.loadHost('i64.load', entry, JUMP_CACHE.ipBase), offsets.ipBase);
    const record = b.loadHost('i32.load', entry, JUMP_CACHE.record);
    if (threshold > 0) {
      const heat = b.add(b.loadHost('i32.load', entry, JUMP_CACHE.heat), b.i32(1));
      b.storeHost('i32.store', entry, heat, JUMP_CACHE.heat);
      b.if(b.eq(heat, b.i32(threshold)), () => b.return(b.i32(EXIT.hot)));
    }
    const exit = b.callTable(HANDLER, b.loadHost('i32.load16_u', record, RECORD.handler), cpu, record);
    b.branchIf(again, b.eqz(exit));
    if (deliver) {
      b.if(b.eq(exit, b.i32(EXIT.fault)), () => {
        backToCurrent(b, cpu);
        b.branchIf(again, b.call('enterException', cpu));
        b.return(b.i32(EXIT.exception));
      });
    }
    b.return(exit);
  });
  b.unreachable();
}

/**
 * Adds imports, routines and `run` to a module; every routine is exported, for handler modules to import. `threshold`: how
 * often a block is entered before it is asked to be translated; 0: never. With `deliver`, exceptions of 64-bit code are
 * delivered without leaving `run` where that is possible.
 */
export function buildRuntime(helpers: readonly Helper[], threshold = 0, deliver = false): Uint8Array {
  const has = (name: string) => helpers.some((h) => h.name === name);
  const options = { threshold, deliver: deliver && has('enterException'), refresh: has('refreshJump') };
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
  module.define('run', { params: ['i32'], result: 'i32' }, (b) => fillRun(b, options), { exported: true });
  return module.encode();
}
