/**
 * The legacy region of FXSAVE and XSAVE in memory (SDM vol. 1 10.5.1, 13.4.1), part by part. Whoever calls these has
 * probed the whole area: the parts themselves do not fault.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../access.ts';
import { fieldAt } from '../fields.ts';
import { routine } from '../helpers.ts';
import { FPR_STRIDE, fprOffset, VCPU, VECTOR, xmmOffset } from '../state.ts';

/** Byte offsets in the area. */
const AREA = { control: 0, ip: 8, data: 16, mxcsr: 24, registers: 32, xmm: 160 } as const;

/** MXCSR bits that exist. */
const MXCSR_MASK = 0xffff;
const FCW_INIT = 0x37f;
const FCW_WRITABLE = 0x1f3f;
/** Always set in the control word. */
const FCW_FIXED = 0x40;
/** Exception flags of the status word, and the two bits that follow from them. */
const FSW_EXCEPTIONS = 0x3f;
const FSW_SUMMARY_BUSY = 0x8080;
const TOP_SHIFT = 11;
const TOP = 7 << TOP_SHIFT;

type Field = 'fcw' | 'fsw' | 'fpTop' | 'ftw' | 'fip' | 'fdp' | 'fop' | 'fcs' | 'fds' | 'mxcsr';

/** A field as i64. */
function get(b: Builder, cpu: Value, name: Field): Value {
  const [type, offset] = fieldAt(name, 0);
  const load = type === 'u64' ? 'i64.load' : type === 'u16' ? 'i64.load16_u' : 'i64.load32_u';
  return b.loadHost(load, cpu, offset);
}

function set(b: Builder, cpu: Value, name: Field, value: Value): void {
  const [type, offset] = fieldAt(name, 0);
  const store = type === 'u64' ? 'i64.store' : type === 'u16' ? 'i64.store16' : 'i64.store32';
  b.storeHost(store, cpu, value, offset);
}

const at = (b: Builder, linear: Value, offset: number): Value => b.add(linear, b.i64(offset));

/** Stores 8 bytes. */
const put = routine('saveAreaPut', ['i64', 'i64'], undefined, (b, cpu, linear, value) => {
  const host = b.call('translate', cpu, linear, b.i32(8 | MEMORY_ACCESS.write));
  b.storeHost('i64.store', host, value);
  b.if(b.loadHost('i32.load', cpu, VCPU.offsets.pendingKind), () => {
    b.call('finishWrite', cpu);
  });
});

/** Loads 8 bytes. */
const take = routine('saveAreaTake', ['i64'], 'i64', (b, cpu, linear) => {
  b.return(b.loadHost('i64.load', b.call('translate', cpu, linear, b.i32(8))));
});

/**
 * Whether `bytes` bytes can be read or written: touches both ends, which lie in at most two pages. 1 or 0; at 0 the
 * fault fields are set.
 */
const probe = routine('saveAreaProbe', ['i64', 'i32', 'i32'], 'i32', (b, cpu, linear, bytes, flags) => {
  const reach = (address: Value) => {
    b.if(b.eqz(b.call('translate', cpu, address, b.or(flags, b.i32(1)))), () => b.return(b.i32(0)));
    b.storeHost('i32.store', cpu, b.i32(0), VCPU.offsets.pendingKind);
  };
  reach(linear);
  reach(b.add(linear, b.extendU(b.sub(bytes, b.i32(1)))));
  b.return(b.i32(1));
});

/** Host address, less the offset in the state block, of what ST(`i`) is now. */
function stackRegister(b: Builder, cpu: Value, i: number): Value {
  const top = b.loadHost('i32.load', cpu, VCPU.offsets.fpTop);
  const number = b.and(b.add(top, b.i32(i)), b.i32(7));
  return b.add(cpu, b.mul(number, b.i32(FPR_STRIDE)));
}

const FPR = fprOffset(0);

/** x87 state; `wide`: 64-bit instruction and data pointers instead of 32-bit ones with selectors. */
const saveX87 = routine('saveX87', ['i64', 'i32'], undefined, (b, cpu, linear, wide) => {
  const shifted = (name: Field, bits: number) => b.shl(get(b, cpu, name), b.i64(bits));
  const status = b.shl(b.or(get(b, cpu, 'fsw'), shifted('fpTop', TOP_SHIFT)), b.i64(16));
  const tags = b.shl(b.and(get(b, cpu, 'ftw'), b.i64(0xff)), b.i64(32));
  const opcode = b.shl(b.and(get(b, cpu, 'fop'), b.i64(0x7ff)), b.i64(48));
  b.call('saveAreaPut', cpu, linear, b.or(b.or(get(b, cpu, 'fcw'), status), b.or(tags, opcode)));
  const pointer = (offset: Field, selector: Field) => {
    const narrow = b.or(b.zeroExtend(get(b, cpu, offset), 4), shifted(selector, 32));
    return b.select(wide, get(b, cpu, offset), narrow);
  };
  b.call('saveAreaPut', cpu, at(b, linear, AREA.ip), pointer('fip', 'fcs'));
  b.call('saveAreaPut', cpu, at(b, linear, AREA.data), pointer('fdp', 'fds'));
  for (let i = 0; i < 8; i++) {
    const register = stackRegister(b, cpu, i);
    const place = at(b, linear, AREA.registers + i * 16);
    b.call('saveAreaPut', cpu, place, b.loadHost('i64.load', register, FPR));
    b.call('saveAreaPut', cpu, at(b, place, 8), b.loadHost('i64.load16_u', register, FPR + 8));
  }
});

const saveMxcsr = routine('saveMxcsr', ['i64'], undefined, (b, cpu, linear) => {
  const mask = b.i64(BigInt(MXCSR_MASK) << 32n);
  b.call('saveAreaPut', cpu, at(b, linear, AREA.mxcsr), b.or(get(b, cpu, 'mxcsr'), mask));
});

/** Visits 8 XMM registers, or 16 where `long` (i32) is set; the visitor gets the first byte's place in the block. */
function eachXmm(b: Builder, long: Value, visit: (register: number) => void): void {
  for (let i = 0; i < 8; i++) visit(i);
  b.if(long, () => {
    for (let i = 8; i < 16; i++) visit(i);
  });
}

const saveSse = routine('saveSse', ['i64', 'i32'], undefined, (b, cpu, linear, long) => {
  eachXmm(b, long, (i) => {
    const place = at(b, linear, AREA.xmm + i * 16);
    b.call('saveAreaPut', cpu, place, b.loadHost('i64.load', cpu, xmmOffset(i)));
    b.call('saveAreaPut', cpu, at(b, place, 8), b.loadHost('i64.load', cpu, xmmOffset(i) + 8));
  });
});

const restoreX87 = routine('restoreX87', ['i64', 'i32'], undefined, (b, cpu, linear, wide) => {
  const first = b.variable('i64', b.call('saveAreaTake', cpu, linear));
  const bits = (shift: number, mask: number) => b.and(b.shrU(b.get(first), b.i64(shift)), b.i64(mask));
  const control = b.variable('i64', b.or(bits(0, FCW_WRITABLE), b.i64(FCW_FIXED)));
  const status = b.variable('i64', bits(16, 0xffff & ~(TOP | FSW_SUMMARY_BUSY)));
  const unmasked = b.and(b.and(b.get(status), b.not(b.get(control))), b.i64(FSW_EXCEPTIONS));
  const summary = b.select(b.eqz(unmasked), b.i64(0), b.i64(FSW_SUMMARY_BUSY));
  set(b, cpu, 'fcw', b.get(control));
  set(b, cpu, 'fsw', b.or(b.get(status), summary));
  set(b, cpu, 'fpTop', bits(16 + TOP_SHIFT, 7));
  set(b, cpu, 'ftw', bits(32, 0xff));
  set(b, cpu, 'fop', bits(48, 0x7ff));
  const pointer = (place: number, offset: Field, selector: Field) => {
    const value = b.variable('i64', b.call('saveAreaTake', cpu, at(b, linear, place)));
    set(b, cpu, offset, b.select(wide, b.get(value), b.zeroExtend(b.get(value), 4)));
    const code = b.and(b.shrU(b.get(value), b.i64(32)), b.i64(0xffff));
    set(b, cpu, selector, b.select(wide, b.i64(0), code));
  };
  pointer(AREA.ip, 'fip', 'fcs');
  pointer(AREA.data, 'fdp', 'fds');
  for (let i = 0; i < 8; i++) {
    const register = stackRegister(b, cpu, i);
    const place = at(b, linear, AREA.registers + i * 16);
    b.storeHost('i64.store', register, b.call('saveAreaTake', cpu, place), FPR);
    b.storeHost('i64.store16', register, b.call('saveAreaTake', cpu, at(b, place, 8)), FPR + 8);
  }
});

/** As FNINIT, with the registers zero. */
const initX87 = routine('initX87', [], undefined, (b, cpu) => {
  for (const name of ['fsw', 'fpTop', 'ftw', 'fip', 'fdp', 'fop', 'fcs', 'fds'] as const) set(b, cpu, name, b.i64(0));
  set(b, cpu, 'fcw', b.i64(FCW_INIT));
  b.fillHost(b.add(cpu, b.i32(FPR)), b.i32(0), b.i32(8 * FPR_STRIDE));
});

/** #GP(0) where the image of MXCSR has bits that do not exist; returns 0 then. Changes nothing. */
const checkMxcsr = routine('checkMxcsr', ['i64'], 'i32', (b, cpu, linear) => {
  const image = b.zeroExtend(b.call('saveAreaTake', cpu, at(b, linear, AREA.mxcsr)), 4);
  b.if(b.ne(b.shrU(image, b.i64(16)), b.i64(0)), () => b.return(b.call('refuseSaveArea', cpu)));
  b.return(b.i32(1));
});

const restoreMxcsr = routine('restoreMxcsr', ['i64'], undefined, (b, cpu, linear) => {
  set(b, cpu, 'mxcsr', b.call('saveAreaTake', cpu, at(b, linear, AREA.mxcsr)));
});

const restoreSse = routine('restoreSse', ['i64', 'i32'], undefined, (b, cpu, linear, long) => {
  eachXmm(b, long, (i) => {
    const place = at(b, linear, AREA.xmm + i * 16);
    b.storeHost('i64.store', cpu, b.call('saveAreaTake', cpu, place), xmmOffset(i));
    b.storeHost('i64.store', cpu, b.call('saveAreaTake', cpu, at(b, place, 8)), xmmOffset(i) + 8);
  });
});

const initSse = routine('initSse', ['i32'], undefined, (b, cpu, long) => {
  const zero = b.v128(0n, 0n);
  eachXmm(b, long, (i) => b.storeHost('v128.store', cpu, zero, xmmOffset(i)));
});

/** Raises #GP(0); returns 0. */
const refuse = routine('refuseSaveArea', [], 'i32', (b, cpu) => {
  b.storeHost('i32.store', cpu, b.i32(VECTOR.gp), VCPU.offsets.faultVector);
  b.storeHost('i32.store', cpu, b.i32(1), VCPU.offsets.faultHasError);
  b.storeHost('i32.store', cpu, b.i32(0), VCPU.offsets.faultError);
  b.return(b.i32(0));
});

export const saveAreaRoutines = [
  put,
  take,
  probe,
  refuse,
  saveX87,
  saveMxcsr,
  saveSse,
  restoreX87,
  initX87,
  checkMxcsr,
  restoreMxcsr,
  restoreSse,
  initSse,
];
