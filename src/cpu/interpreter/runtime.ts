/**
 * The runtime module: the routines that handlers and translated code call, and `run`, which goes from block to block
 * until something needs the engine.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Label, Value, Variable } from '../../ir/node.ts';
import { ModuleBuilder } from '../../ir/wasm/module.ts';
import { count } from '../../isa/counters.ts';
import { readField, writeField } from '../../isa/fields.ts';
import { type Helper, helper, routine } from '../../isa/helpers.ts';
import { NO_FAULT, VCPU } from '../../isa/state.ts';
import { MODE } from '../mode.ts';
import { HANDLER } from './builder.ts';
import { findCode } from './code-index.ts';
import { EXIT, RESOLVED } from './exits.ts';
import { entryIpBase, JUMP_CACHE, jumpCacheEntry } from './jump-cache.ts';
import { RECORD } from './record.ts';
import { SPECIAL_INDEX } from './special-handlers.ts';

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
    b.if(b.eqz(b.and(known, current)), () => {
      const sameMode = b.eq(
        b.loadHost('i32.load', entry, JUMP_CACHE.key),
        b.loadHost('i32.load', cpu, offsets.modeKey),
      );
      const good = b.choose(
        b.and(known, sameMode),
        () => b.call('refreshJump', cpu, entry),
        () => b.i32(0),
      );
      b.if(b.eqz(good), () => {
        b.if(b.eqz(b.call('findCode', cpu, entry)), () => b.return(b.i32(EXIT.lookup)));
      });
    });
    if (threshold > 0) {
      const heat = b.add(b.loadHost('i32.load', entry, JUMP_CACHE.heat), b.i32(1));
      b.storeHost('i32.store', entry, heat, JUMP_CACHE.heat);
      b.if(b.eq(heat, b.i32(threshold)), () => b.return(b.i32(EXIT.hot)));
    }
    enterRecord(b, cpu, entry);
  });

/** Goes to the code of an entry of the jump cache. */
function enterRecord(b: Builder, cpu: Value, entry: Value): void {
  b.storeHost('i64.store', cpu, entryIpBase(b, entry), VCPU.offsets.ipBase);
  const record = b.loadHost('i32.load', entry, JUMP_CACHE.record);
  b.jumpTable(HANDLER, b.loadHost('i32.load16_u', record, RECORD.handler), cpu, record);
}

/**
 * Goes from block to block, `exit` being what the last one came back with, until `arrived` or something else is to do.
 * `recover` may make another exit of one.
 */
function runOn(
  b: Builder,
  cpu: Value,
  exit: Variable,
  arrived: () => Value,
  { arrive = () => {}, recover = () => {} },
): void {
  const answer = (again: Label) => {
    const [first, last] = RESOLVED;
    const resolved = b.leU(b.sub(b.get(exit), b.i32(first)), b.i32(last - first));
    b.if(b.eqz(resolved), () => b.return(b.get(exit)));
    b.set(exit, b.call('resolve', cpu, b.get(exit)));
    b.branchIf(again, b.get(exit));
  };
  b.loop((again) => {
    b.if(
      b.get(exit),
      () => {
        recover();
        b.if(b.get(exit), () => answer(again));
      },
      () =>
        b.if(arrived(), () => {
          arrive();
          b.return(b.i32(EXIT.dispatch));
        }),
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
  const outer = b.variable('i64', readField(b, cpu, 'arrival'));
  writeField(b, cpu, 'arrival', expected);
  const arrived = () => b.eq(b.loadHost('i64.load', cpu, VCPU.offsets.rip), expected);
  runOn(b, cpu, exit, arrived, { arrive: () => writeField(b, cpu, 'arrival', b.get(outer)) });
});

/**
 * A link of another generation gets what the jump cache has for `rip`, if the code there is hot enough that it need not be
 * counted any more. The jump cache's entry, and whether it is of that kind (i32).
 */
function fillLink(b: Builder, cpu: Value, link: Value, threshold: number): { at: Value; hot: Value } {
  const { offsets } = VCPU;
  const address = b.loadHost('i64.load', cpu, offsets.rip);
  const entry = b.variable('i32', jumpCacheEntry(b, cpu, address));
  const key = b.loadHost('i64.load', cpu, offsets.modeKey);
  const known = b.eq(b.loadHost('i64.load', b.get(entry), JUMP_CACHE.address), address);
  const current = b.eq(b.loadHost('i64.load', b.get(entry), JUMP_CACHE.key), key);
  const warm = b.geS(b.loadHost('i32.load', b.get(entry), JUMP_CACHE.heat), b.i32(threshold));
  const hot = b.variable('i32', b.and(b.and(known, current), warm));
  const old = b.ne(b.loadHost('i64.load', link, JUMP_CACHE.key), key);
  b.if(b.and(b.get(hot), old), () => b.copyHost(link, b.get(entry), b.i32(JUMP_CACHE.entrySize)));
  return { at: b.get(entry), hot: b.get(hot) };
}

/** `noteLink` (cpu, link): fills a link. */
const noteLink = (threshold: number): Helper =>
  routine('noteLink', ['i32'], undefined, (b, cpu, link) => void fillLink(b, cpu, link, threshold));

/**
 * `dispatchFrom` (cpu, link): as `dispatch`; fills a link before. A jump or call with several targets comes here each time
 * that its link has another one: so what the jump cache knows, and what is hot already, is gone to at once.
 */
const dispatchFrom = (threshold: number): Helper =>
  routine('dispatchFrom', ['i32'], 'i32', (b, cpu, link) => {
    const { offsets } = VCPU;
    const entry = fillLink(b, cpu, link, threshold);
    const spent = b.leS(b.loadHost('i32.load', cpu, offsets.budget), b.i32(0));
    const quiet = b.eqz(b.or(spent, b.loadHost('i32.load', cpu, offsets.poll)));
    b.if(b.and(entry.hot, quiet), () => enterRecord(b, cpu, entry.at));
    b.jumpTable(HANDLER, b.i32(SPECIAL_INDEX.dispatch), cpu, b.i32(0));
  });

/** No instruction pointer: it is not canonical. */
const NOWHERE = 1n << 63n;

/** Puts `rip` at the instruction in `current`, which faulted, and counts those before it. */
function backToCurrent(b: Builder, cpu: Value): void {
  const record = b.variable('i32', readField(b, cpu, 'current'));
  const ip = b.add(readField(b, cpu, 'ipBase'), b.loadHost('i64.load16_u', b.get(record), RECORD.offset));
  const size = b.and(readField(b, cpu, 'modeKey'), b.i32(3 << MODE.codeShift));
  const bits = b.select(b.eqz(size), b.i64(0xffff), b.i64(0xffff_ffff));
  writeField(b, cpu, 'rip', b.and(ip, b.select(b.eq(size, b.i32(2)), b.i64(-1), bits)));
  const before = b.sub(b.loadHost('i32.load16_u', b.get(record), RECORD.count), b.i32(1));
  count(b, cpu, 'interpreted', b.extendU(before));
  writeField(b, cpu, 'budget', b.sub(readField(b, cpu, 'budget'), before));
}

/**
 * Delivers the exception that `exit` tells of, with all guest calls unwound. Where it is not a usual one, `exit` is
 * `EXIT.exception` afterwards. `depth`: bytes of host stack that guest calls may take.
 */
function deliverException(b: Builder, cpu: Value, exit: Variable, depth: Variable): void {
  const raised = b.ne(readField(b, cpu, 'faultVector'), b.i32(NO_FAULT));
  b.if(
    b.eq(b.get(exit), b.i32(EXIT.fault)),
    () => {
      count(b, cpu, 'faults');
      backToCurrent(b, cpu);
      b.set(exit, b.i32(EXIT.exception));
    },
    () => b.if(b.and(b.eq(b.get(exit), b.i32(EXIT.exception)), raised), () => count(b, cpu, 'exceptions')),
  );
  b.if(b.and(b.eq(b.get(exit), b.i32(EXIT.exception)), raised), () => {
    b.if(b.call('enterException', cpu), () => {
      count(b, cpu, 'interpreted');
      writeField(b, cpu, 'budget', b.sub(readField(b, cpu, 'budget'), b.i32(1)));
      writeField(b, cpu, 'pendingKind', b.i32(0));
      writeField(b, cpu, 'current', b.i32(0));
      writeField(b, cpu, 'depth', b.get(depth));
      b.set(exit, b.i32(EXIT.dispatch));
    });
  });
}

/**
 * `run` (cpu, handler, record): runs a handler, or with 0 for it the code at `rip`, and goes on until there is something to
 * do. With `delivers`, usual exceptions are delivered on the way.
 */
const run = (delivers: boolean): Helper =>
  routine('run', ['i32', 'i32'], 'i32', (b, cpu, handler, record) => {
    const exit = b.variable('i32', b.i32(EXIT.dispatch));
    const depth = b.variable('i32', readField(b, cpu, 'depth'));
    writeField(b, cpu, 'arrival', b.i64(NOWHERE));
    b.if(handler, () => b.set(exit, b.callTable(HANDLER, handler, cpu, record)));
    const recover = () => {
      // Guest calls are unwound.
      writeField(b, cpu, 'arrival', b.i64(NOWHERE));
      if (delivers) deliverException(b, cpu, exit, depth);
    };
    runOn(b, cpu, exit, () => b.i32(0), { recover });
  });

/** What the run loop asks the engine. */
const engineHelpers: readonly Helper[] = [
  /** Finds, links or translates the code at `rip` after one of the exits of `RESOLVED`; 0, or an exit that the engine must see. */
  helper('resolve', ['i32'], 'i32'),
];

/**
 * All that regions and the run loop call besides the helpers of instructions and memory. `delivers`: whether `enterException`
 * is there and may be used.
 */
export const runtimeHelpers = (threshold: number, delivers: boolean): readonly Helper[] => [
  ...engineHelpers,
  findCode(threshold),
  dispatch(threshold),
  noteLink(threshold),
  dispatchFrom(threshold),
  continueGuest,
  run(delivers),
];

/** A module of routines, every one exported for handler modules to import; helpers without a body are imported. */
export function buildRuntime(helpers: readonly Helper[]): Uint8Array<ArrayBuffer> {
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
