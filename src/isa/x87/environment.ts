/** FLDENV, FNSTENV, FRSTOR, FNSAVE: the unit's environment in its four layouts (SDM vol. 1 figures 8-9 to 8-12). */
import type { Value } from '../../ir/node.ts';
import { define, type Semantics } from '../definition.ts';
import type { Helper } from '../helpers.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { VCPU } from '../state.ts';
import { finishStores, reach, x87Definition } from './common.ts';
import { setControl, statusWord } from './control.ts';
import { checkPendingX87 } from './mmx-state.ts';
import { x87Routine } from './routines.ts';
import { STATUS } from './unit.ts';

/** The eight registers, from ST(0), ten bytes each. */
const REGISTER_BYTES = 80;

const EMPTY = 3;
const SPECIAL = 2;
const ZERO = 1;

/** `x87_tags`: the full tag word, two bits for each physical register. */
const tags = x87Routine('x87_tags', [], 'i32', (u) => {
  const { b } = u;
  const word = b.variable('i32', b.i32(0));
  const index = b.variable('i32', b.i32(7));
  b.loop((again) => {
    const number = b.get(index);
    const significand = u.significand(number);
    const exponent = b.and(u.signExponent(number), b.i32(0x7fff));
    const normal = b.and(b.ltU(b.sub(exponent, b.i32(1)), b.i32(0x7ffe)), b.op('i64.lt_s', significand, b.i64(0)));
    const zero = b.eqz(b.or(significand, b.extendU(exponent)));
    const content = b.select(normal, b.i32(0), b.select(zero, b.i32(ZERO), b.i32(SPECIAL)));
    const tag = b.select(u.used(number), content, b.i32(EMPTY));
    b.set(word, b.or(b.shl(b.get(word), b.i32(2)), tag));
    b.set(index, b.sub(number, b.i32(1)));
    b.branchIf(again, b.geS(b.get(index), b.i32(0)));
  });
  b.return(b.get(word));
});

/** `x87_restore (control, status, tags)`: the three words as an environment in memory has them. */
const restore = x87Routine('x87_restore', ['i32', 'i32', 'i32'], undefined, (u, controlWord, status, tagWord) => {
  const { b } = u;
  u.setField('fsw', b.and(status, b.i32(~STATUS.top)));
  u.setField('fpTop', b.and(b.shrU(status, b.i32(STATUS.topShift)), b.i32(7)));
  setControl(u, controlWord);
  // Both bits of a tag set: empty.
  const full = b.xor(b.and(tagWord, b.shrU(tagWord, b.i32(1))), b.i32(0x5555));
  const used = b.variable('i32', b.i32(0));
  for (let i = 0; i < 8; i++) {
    const bit = b.and(b.shrU(full, b.i32(i)), b.i32(1 << i));
    b.set(used, b.or(b.get(used), bit));
  }
  u.setField('ftw', b.get(used));
});

/** `x87_mask_all`: what FNSTENV does after it has stored. */
const maskAll = x87Routine('x87_mask_all', [], undefined, (u) => setControl(u, u.b.or(u.control, u.b.i32(0x3f))));

/** `x87_save_registers (address)`, `x87_load_registers (address)`: ST(0)–ST(7) at a host address. */
const saveRegisters = x87Routine('x87_save_registers', ['i32'], undefined, (u, address) => {
  const { b } = u;
  for (let i = 0; i < 8; i++) {
    const number = u.physical(i);
    b.storeHost('i64.store', address, u.significand(number), 10 * i);
    b.storeHost('i32.store16', address, u.signExponent(number), 10 * i + 8);
  }
});

const loadRegisters = x87Routine('x87_load_registers', ['i32'], undefined, (u, address) => {
  const { b, cpu } = u;
  for (let i = 0; i < 8; i++) {
    const at = b.add(cpu, b.shl(u.physical(i), b.i32(4)));
    b.storeHost('i64.store', at, b.loadHost('i64.load', address, 10 * i), VCPU.offsets.fpr);
    b.storeHost('i32.store16', at, b.loadHost('i32.load16_u', address, 10 * i + 8), VCPU.offsets.fpr + 8);
  }
});

/** Bytes of each of the seven fields. */
function fieldSize(b: InstructionBuilder): 2 | 4 {
  return b.operandSize === 2 ? 2 : 4;
}

/** The environment as its seven fields, i32 each. */
function environment(b: InstructionBuilder): Value[] {
  const high = fieldSize(b) === 4 ? 0xffff << 16 : 0;
  const word = (value: Value) => b.or(value, b.i32(high));
  const fip = b.wrap(b.field('fip'));
  const fdp = b.wrap(b.field('fdp'));
  const fop = b.field('fop');
  const words = [word(b.field('fcw')), word(b.wrap(statusWord(b))), word(b.helper('x87_tags'))];
  if (b.mode.protected) {
    const selector = b.or(b.field('fcs'), b.shl(fop, b.i32(16)));
    return [...words, fip, selector, fdp, word(b.field('fds'))];
  }
  // Real and virtual-8086 mode: linear addresses, their upper bits beside the opcode.
  const upper = (address: Value) => b.shl(b.shrU(address, b.i32(16)), b.i32(12));
  const low = (address: Value) => word(b.and(address, b.i32(0xffff)));
  return [...words, low(fip), b.or(upper(fip), fop), low(fdp), upper(fdp)];
}

function storeEnvironment(b: InstructionBuilder, host: Value): void {
  const size = fieldSize(b);
  environment(b).forEach((value, i) => {
    b.storeHost(size === 4 ? 'i32.store' : 'i32.store16', host, value, size * i);
  });
}

/** Loads what `storeEnvironment` stores; selectors are not kept. */
function loadEnvironment(b: InstructionBuilder, host: Value): void {
  const size = fieldSize(b);
  const word = (i: number) => b.loadHost('i32.load16_u', host, size * i);
  const field = (i: number) => (size === 4 ? b.loadHost('i32.load', host, 4 * i) : word(i));
  const [control, status, tagWord] = [word(0), word(1), word(2)];
  let [fip, fdp] = [field(3), field(5)];
  let fop: Value;
  if (b.mode.protected) {
    fop = size === 4 ? b.shrU(field(4), b.i32(16)) : b.field('fop');
  } else {
    const upper = (i: number) => b.shl(b.shrU(field(i), b.i32(12)), b.i32(16));
    fop = word(4);
    fip = b.or(word(3), upper(4));
    fdp = b.or(word(5), upper(6));
  }
  b.setField('fip', b.extendU(fip));
  b.setField('fdp', b.extendU(fdp));
  b.setField('fop', b.and(fop, b.i32(0x7ff)));
  b.perform('x87_restore', control, status, tagWord);
}

const storeEnv: Semantics = (b, memory) => {
  const host = reach(b, memory, 7 * fieldSize(b), fieldSize(b), 'write');
  storeEnvironment(b, host);
  finishStores(b);
  b.perform('x87_mask_all');
};

const loadEnv: Semantics = (b, memory) => {
  checkPendingX87(b);
  loadEnvironment(b, reach(b, memory, 7 * fieldSize(b), fieldSize(b), 'read'));
};

const save: Semantics = (b, memory) => {
  const bytes = 7 * fieldSize(b);
  const host = reach(b, memory, bytes + REGISTER_BYTES, fieldSize(b), 'write');
  storeEnvironment(b, host);
  b.helper('x87_save_registers', b.add(host, b.i32(bytes)));
  finishStores(b);
  b.perform('x87_initialise');
};

const restoreAll: Semantics = (b, memory) => {
  checkPendingX87(b);
  const bytes = 7 * fieldSize(b);
  const host = reach(b, memory, bytes + REGISTER_BYTES, fieldSize(b), 'read');
  loadEnvironment(b, host);
  b.perform('x87_load_registers', b.add(host, b.i32(bytes)));
};

export const environmentInstructions = define([
  { ...x87Definition('fldenv', 'd9 /4 M', loadEnv), uses: ['mode'] },
  { ...x87Definition('fnstenv', 'd9 /6 M', storeEnv), uses: ['mode'] },
  { ...x87Definition('frstor', 'dd /4 M', restoreAll), uses: ['mode'] },
  { ...x87Definition('fnsave', 'dd /6 M', save), uses: ['mode'] },
]);

export const environmentHelpers: readonly Helper[] = [tags, restore, maskAll, saveRegisters, loadRegisters];
