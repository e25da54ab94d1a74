/**
 * What building and encoding a region costs: `node bench/ir.ts`. The nodes are those that the translator makes most: register
 * arithmetic, addresses, look-ups in the TLB, comparisons and exits.
 * Times are of this thread's work, so that a busy machine does not disturb them.
 */
import type { Builder } from '../src/ir/builder.ts';
import type { Label, Signature, Value, Variable } from '../src/ir/node.ts';
import { ModuleBuilder } from '../src/ir/wasm/module.ts';
import { median } from './statistics.ts';

const HANDLER: Signature = { params: ['i32', 'i32'], result: 'i32' };
const TRANSLATE: Signature = { params: ['i32', 'i64', 'i32'], result: 'i32' };

const REGIONS = 400;
const ROUNDS = 5;
/** Guest instructions of a region. */
const INSTRUCTIONS = 48;

/** Host address of guest memory at `linear`. */
function translate(b: Builder, cpu: Value, linear: Value, fault: Label): Value {
  const entry = b.add(
    b.and(b.wrap(b.shrU(linear, b.i64(7))), b.loadHost('i32.load', cpu, 64)),
    b.loadHost('i32.load', cpu, 68),
  );
  const page = b.and(b.add(linear, b.i64(7)), b.i64(-4096));
  const host = b.variable('i32');
  b.if(
    b.eq(b.loadHost('i64.load', entry, 8), page),
    () => b.set(host, b.add(b.wrap(linear), b.loadHost('i32.load', entry, 24))),
    () => {
      b.storeHost('i32.store', cpu, b.i32(0x12345), 72);
      b.set(host, b.call('translate', cpu, linear, b.i32(8)));
      b.if(b.eqz(b.get(host)), () => b.branch(fault));
    },
  );
  return b.get(host);
}

function instruction(b: Builder, cpu: Value, registers: readonly Variable[], fault: Label, number: number): void {
  const register = (i: number) => registers[(number + i) % registers.length];
  const operand = b.zeroExtend(b.get(register(0)), 4);
  switch (number % 4) {
    case 0: {
      const result = b.zeroExtend(b.add(operand, b.zeroExtend(b.get(register(1)), 4)), 4);
      b.set(register(0), result);
      break;
    }
    case 1: {
      const address = b.add(b.add(b.get(register(2)), b.shl(operand, b.i64(3))), b.i64(16));
      b.set(register(1), b.loadHost('i64.load', translate(b, cpu, address, fault)));
      break;
    }
    case 2: {
      const host = translate(b, cpu, b.sub(b.get(register(3)), b.i64(8)), fault);
      b.storeHost('i64.store', host, operand);
      break;
    }
    default: {
      const below = b.ltU(b.shl(operand, b.i64(32)), b.shl(b.get(register(1)), b.i64(32)));
      b.if(b.eqz(below), () => {
        b.storeHost('i64.store', cpu, b.add(b.loadHost('i64.load', cpu, 32), b.i64(number)), 40);
        b.return(b.i32(1));
      });
    }
  }
}

function region(b: Builder): void {
  const cpu = b.param(0);
  const registers = Array.from({ length: 8 }, (_, i) => b.variable('i64', b.loadHost('i64.load', cpu, 128 + 8 * i)));
  b.block((fault) => {
    b.loop((again) => {
      for (let i = 0; i < INSTRUCTIONS; i++) instruction(b, cpu, registers, fault, i);
      b.branchIf(again, b.eqz(b.loadHost('i32.load', cpu, 60)));
    });
  });
  registers.forEach((register, i) => {
    b.storeHost('i64.store', cpu, b.get(register), 128 + 8 * i);
  });
  b.return(b.i32(0));
}

/** Milliseconds of work that this thread has done. */
function worked(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Milliseconds for a region, built and encoded, and what became of the last one. */
function round(): { built: number; encoded: number; module: Uint8Array } {
  let built = 0;
  let encoded = 0;
  let bytes: Uint8Array = new Uint8Array();
  for (let i = 0; i < REGIONS; i++) {
    const module = new ModuleBuilder();
    module.import('translate', TRANSLATE);
    const started = worked();
    let finished = started;
    const fill = (b: Builder) => {
      region(b);
      finished = worked();
    };
    module.define(`h${i}`, HANDLER, fill, { table: i, exported: i === REGIONS - 1 });
    bytes = module.encode();
    built += finished - started;
    encoded += worked() - finished;
  }
  return { built: built / REGIONS, encoded: encoded / REGIONS, module: bytes };
}

const rounds = Array.from({ length: ROUNDS }, round);
const first = rounds[0];
console.log(`first ${REGIONS} regions: ${(first.built + first.encoded).toFixed(3)} ms each`);
console.log(`build:  ${median(rounds.map((r) => r.built)).toFixed(3)} ms for a region of ${INSTRUCTIONS} instructions`);
console.log(`encode: ${median(rounds.map((r) => r.encoded)).toFixed(3)} ms`);
console.log(`module: ${first.module.length} bytes`);
new WebAssembly.Module(first.module as Uint8Array<ArrayBuffer>);
