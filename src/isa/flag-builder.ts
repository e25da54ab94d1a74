/** Flags, as instruction meanings read and write them; the status flags are kept in the form of `flag-image.ts`. */
import type { Value } from '../ir/node.ts';
import { comparisonImage, type FlagImage, flagImage } from './flag-image.ts';
import type { Width } from './operand.ts';
import { EFLAGS, STATUS_FLAGS } from './state.ts';
import { StateBuilder } from './state-builder.ts';

/** Flags that engines look at: a change of one has to be told. */
const WATCHED_FLAGS = EFLAGS.tf | EFLAGS.if | EFLAGS.rf | EFLAGS.vm | EFLAGS.ac;

/** Condition codes in the order of their encoding (SDM vol. 2D appendix B.1.4.7). */
export const CONDITIONS = [
  'o',
  'no',
  'b',
  'ae',
  'e',
  'ne',
  'be',
  'a',
  's',
  'ns',
  'p',
  'np',
  'l',
  'ge',
  'le',
  'g',
] as const;

export abstract class FlagBuilder extends StateBuilder {
  /**
   * Status flags of UCOMISS and the like: CF less, ZF equal, PF unordered, all three where unordered; the others clear.
   * Both operands are f32 or f64.
   */
  flagsOfComparison(x: Value, y: Value): void {
    this.#setImage(comparisonImage(this, x, y));
  }

  /** Sets all six status flags from a result and explicit CF, OF, AF (i32, 0 or 1). */
  setFlags(size: Width, result: Value, cf: Value, of: Value, af: Value = this.i32(0)): void {
    const c = this.extendU(cf);
    const carries = this.or(this.shl(c, this.i64(63)), this.shl(this.extendU(this.xor(cf, of)), this.i64(62)));
    this.setFlagState(this.signExtend(result, size), this.or(carries, this.shl(this.extendU(af), this.i64(3))));
  }
  /** Status flags of `a + b (+ carry) = result`, all of `size` bytes. */
  flagsOfAdd(size: Width, a: Value, b: Value, result: Value, _carry?: Value): void {
    this.#setImage(flagImage(this, 'add', size, a, b, result));
  }
  /** Status flags of `a - b (- borrow) = result`. */
  flagsOfSub(size: Width, a: Value, b: Value, result: Value, _borrow?: Value): void {
    this.#setImage(flagImage(this, 'sub', size, a, b, result));
  }
  /** Status flags of a logical operation: CF, OF and AF clear. */
  flagsOfLogic(size: Width, result: Value): void {
    this.#setImage(flagImage(this, 'logic', size, result, result, result));
  }
  #setImage({ result, aux }: FlagImage): void {
    this.setFlagState(result, aux);
  }
  /** Replaces CF; the other flags stay. */
  setCarry(cf: Value): void {
    const aux = this.field('flagAux');
    const change = this.xor(this.shrU(aux, this.i64(63)), this.extendU(cf));
    this.setFlagState(undefined, this.xor(aux, this.mul(change, this.i64(0b11n << 62n))));
  }
  /** Replaces CF and OF; the other flags stay. */
  setCarryOverflow(cf: Value, of: Value): void {
    const aux = this.and(this.field('flagAux'), this.i64((1n << 62n) - 1n));
    const c = this.shl(this.extendU(cf), this.i64(63));
    this.setFlagState(undefined, this.or(aux, this.or(c, this.shl(this.extendU(this.xor(cf, of)), this.i64(62)))));
  }
  /** Sets the status flags from bits at their places in EFLAGS (i32). */
  setStatusFlags(bits: Value): void {
    // ZF from a result of 0 or 0x100; SF, PF through their correction bits.
    const bit = (flag: number, to: number) =>
      this.shl(this.extendU(this.op('i32.ne', this.and(bits, this.i32(flag)), this.i32(0))), this.i64(to));
    const zero = this.and(bits, this.i32(EFLAGS.zf));
    const result = this.select(zero, this.i64(0), this.i64(0x100));
    const notParity = this.shl(this.extendU(this.eqz(this.and(bits, this.i32(EFLAGS.pf)))), this.i64(8));
    const cf = this.extendU(this.and(bits, this.i32(1)));
    const of = this.and(this.shrU(this.extendU(bits), this.i64(11)), this.i64(1));
    const carries = this.or(this.shl(cf, this.i64(63)), this.shl(this.xor(cf, of), this.i64(62)));
    this.setFlagState(result, this.or(this.or(carries, bit(EFLAGS.af, 3)), this.or(bit(EFLAGS.sf, 0), notParity)));
  }
  /** Sets the stored form of the status flags; `result` undefined leaves ZF, SF and PF. */
  protected setFlagState(result: Value | undefined, aux: Value): void {
    if (result !== undefined) this.setField('flagResult', result);
    this.setField('flagAux', aux);
  }

  /** One status flag as i32, 0 or 1. */
  flag(name: 'cf' | 'pf' | 'af' | 'zf' | 'sf' | 'of'): Value {
    const aux = () => this.field('flagAux');
    const result = () => this.field('flagResult');
    switch (name) {
      case 'cf':
        return this.wrap(this.shrU(aux(), this.i64(63)));
      case 'of': {
        const a = aux();
        return this.wrap(this.shrU(this.xor(a, this.shl(a, this.i64(1))), this.i64(63)));
      }
      case 'af':
        return this.and(this.wrap(this.shrU(aux(), this.i64(3))), this.i32(1));
      case 'zf':
        return this.eqz(result());
      case 'sf':
        return this.and(this.xor(this.wrap(this.shrU(result(), this.i64(63))), this.wrap(aux())), this.i32(1));
      case 'pf': {
        const byte = this.and(this.wrap(this.xor(result(), this.shrU(aux(), this.i64(8)))), this.i32(0xff));
        return this.eqz(this.and(this.popcnt(byte), this.i32(1)));
      }
    }
  }
  /** The six status flags at their places in EFLAGS, as i32. */
  statusFlags(): Value {
    const at = (flag: 'cf' | 'pf' | 'af' | 'zf' | 'sf' | 'of', bit: number) => this.shl(this.flag(flag), this.i32(bit));
    const low = this.or(this.or(this.flag('cf'), at('pf', 2)), this.or(at('af', 4), at('zf', 6)));
    return this.or(low, this.or(at('sf', 7), at('of', 11)));
  }
  /** RFLAGS as PUSHF sees it, without RF and VM, as i32: status flags, system flags, bit 1 set. */
  flagsRegister(): Value {
    const system = this.and(this.field('eflags'), this.i32(~(STATUS_FLAGS | EFLAGS.rf | EFLAGS.vm)));
    return this.or(this.or(this.statusFlags(), system), this.i32(2));
  }
  /** Replaces RFLAGS without the status flags; whatever depends on TF, IF, RF, VM or AC follows. */
  setSystemFlags(value: Value): void {
    const before = this.field('eflags');
    const changed = this.and(this.xor(before, value), this.i32(WATCHED_FLAGS));
    this.setField('eflags', value);
    this.if(changed, () => {
      this.noteCurrent();
      this.call('flagsChanged', this.cpu, before);
    });
  }
  /** Condition code 0–15 as i32, not 0 where it holds. */
  condition(code: number): Value {
    const yes = this.#evenCondition(code & ~1);
    return code & 1 ? this.eqz(yes) : yes;
  }
  #evenCondition(code: number): Value {
    switch (code) {
      case 0:
        return this.flag('of');
      case 2:
        return this.flag('cf');
      case 4:
        return this.flag('zf');
      case 6:
        return this.or(this.flag('cf'), this.flag('zf'));
      case 8:
        return this.flag('sf');
      case 10:
        return this.flag('pf');
      case 12:
        return this.xor(this.flag('sf'), this.flag('of'));
      default:
        return this.or(this.xor(this.flag('sf'), this.flag('of')), this.flag('zf'));
    }
  }
}
