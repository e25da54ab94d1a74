/**
 * A log of stores to guest memory and of what fills the TLB: where, and what stood there before. It lets the engine take
 * back what a region did, so that the interpreter can do the same once more and both can be compared
 * (`engine/translated/verification.ts`).
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../../isa/access.ts';
import { readField } from '../../isa/fields.ts';
import { type Helper, routine } from '../../isa/helpers.ts';
import { TLB_ENTRY } from '../../memory/tlb.ts';
import { InterpreterBuilder } from './builder.ts';

/** Byte offsets in the area of a log. */
export const LOG = {
  /** i32: not 0 while a region runs whose doing is to be compared. */
  regionRuns: 0,
  /** i32: not 0 while the stores of the interpreter are logged. */
  interpreterLogs: 4,
  /** u32 each: address of the next entry, and past the last. */
  next: 8,
  end: 12,
  /** i64: times that the interpreter took the place of a region that was not to be compared. */
  passedOver: 16,
  /** A byte for each index of the function table, 1 for those of regions. */
  regions: 64,
  entries: 64 + 0x1_0000,
} as const;

/** An entry: u32 host address, u32 bytes (at most 16) and a bit of `LOG_KIND`, and those bytes. */
export const LOG_ENTRY = { host: 0, size: 4, before: 16, bytes: 32 } as const;
/** Not a store of an instruction: it fills the TLB, or sets accessed and dirty bits. */
export const LOG_KIND = { tlb: 0x100, marks: 0x200 } as const;
const PIECE = LOG_ENTRY.bytes - LOG_ENTRY.before;

/** Most entries for a region, which is left before it needs as many; the interpreter has room for one more. */
export const LOG_LIMIT = 32_768;
export const LOG_BYTES = LOG.entries + (2 * LOG_LIMIT + 1) * LOG_ENTRY.bytes;

/** `logStore` (cpu, host address, bytes and kind) -> 0 where there is no room any more. */
export const logStore = (log: number): Helper =>
  routine('logStore', ['i32', 'i32'], 'i32', (b, _cpu, host, bytes) => {
    const entry = b.variable('i32', b.loadHost('i32.load', b.i32(log), LOG.next));
    b.if(b.geU(b.get(entry), b.loadHost('i32.load', b.i32(log), LOG.end)), () => b.return(b.i32(0)));
    b.storeHost('i32.store', b.get(entry), host, LOG_ENTRY.host);
    b.storeHost('i32.store', b.get(entry), bytes, LOG_ENTRY.size);
    b.copyHost(b.add(b.get(entry), b.i32(LOG_ENTRY.before)), host, b.and(bytes, b.i32(0xff)));
    b.storeHost('i32.store', b.i32(log), b.add(b.get(entry), b.i32(LOG_ENTRY.bytes)), LOG.next);
    b.return(b.i32(1));
  });

/** Logs a store of `bytes` bytes to a host address; 0 (i32) where there was no room for it. */
export function callLogStore(b: Builder, cpu: Value, host: Value, bytes: number): Value {
  let logged = b.i32(1);
  for (let at = 0; at < bytes; at += PIECE) {
    const piece = b.call('logStore', cpu, b.add(host, b.i32(at)), b.i32(Math.min(PIECE, bytes - at)));
    logged = at === 0 ? piece : b.and(logged, piece);
  }
  return logged;
}

/** Routines of the page walk that change memory, with what they are about to change logged where anything is. */
export function loggedWalk(log: number, helper: Helper): Helper {
  const { body, name } = helper;
  const change = body && LOGGED_WALK[name];
  if (change === undefined) return helper;
  const logged = (b: Builder, ...args: Value[]) => {
    change(b, b.i32(log), args);
    body?.(b, ...args);
  };
  return { ...helper, body: logged };
}

const LOGGED_WALK: Readonly<Record<string, (b: Builder, log: Value, args: readonly Value[]) => void>> = {
  setEntryBits(b, log, [cpu, physical, entry, bits]) {
    const anyone = b.loadHost('i64.load', log, LOG.regionRuns);
    const changes = b.ne(b.and(entry, bits), bits);
    b.if(b.and(b.op('i64.ne', anyone, b.i64(0)), changes), () => {
      const host = b.variable('i32', b.call('entryHost', cpu, physical, b.i32(1)));
      b.if(b.get(host), () => void b.call('logStore', cpu, b.get(host), b.i32(1 | LOG_KIND.marks)));
    });
  },
  fillTlb(b, log, [cpu, linear]) {
    b.if(b.loadHost('i32.load', log, LOG.regionRuns), () => {
      const slot = b.and(b.wrap(b.shrU(linear, b.i64(7))), readField(b, cpu, 'tlbMask'));
      const entry = b.add(slot, readField(b, cpu, 'tlbBase'));
      for (let at = 0; at < TLB_ENTRY.size; at += PIECE)
        b.call('logStore', cpu, b.add(entry, b.i32(at)), b.i32(PIECE | LOG_KIND.tlb));
    });
  },
};

/** Handlers that log what they store while the log says so. */
export class LoggedInterpreterBuilder extends InterpreterBuilder {
  readonly #log: number;

  constructor(log: number, ...args: ConstructorParameters<typeof InterpreterBuilder>) {
    super(...args);
    this.#log = log;
  }

  override translate(linear: Value, bytes: number, flags: number): Value {
    const host = super.translate(linear, bytes, flags);
    if ((flags & MEMORY_ACCESS.write) === 0) return host;
    this.if(this.loadHost('i32.load', this.i32(this.#log), LOG.interpreterLogs), () => {
      callLogStore(this, this.cpu, host, bytes);
    });
    return host;
  }
}
