/** FXSAVE and XSAVE with their counterparts, LDMXCSR, STMXCSR (SDM vol. 1 10.5, 13.7–13.9). */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../access.ts';
import { type Definition, define } from '../definition.ts';
import { routine } from '../helpers.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { CR0, CR4, GPR, VCPU, VECTOR } from '../state.ts';
import { hasCr4 } from './leave.ts';
import { saveAreaRoutines } from './save-area.ts';

const FXSAVE_BYTES = 512;
const XSAVE_BYTES = 576;
/** XSTATE_BV in the XSAVE header, and the doubleword after it that must be 0 in the standard form. */
const STATE_BITS = 512;
const COMPACT_BITS = 520;
const RESERVED_BITS = 528;
const X87 = 1;
const SSE = 2;

/** Leaves the routine where an i32 is 0; the fault fields are set then. */
const unless = (b: Builder, value: Value) => b.if(b.eqz(value), () => b.return());
const place = (b: Builder, linear: Value, offset: number) => b.add(linear, b.i64(offset));
const bit = (b: Builder, mask: Value, value: number) => b.ne(b.and(mask, b.i32(value)), b.i32(0));

/** (linear, wide, long): `wide` as REX.W, `long` in 64-bit mode, with 16 XMM registers. */
const fxsave = routine(
  'fxsave',
  ['i64', 'i32', 'i32'],
  undefined,
  (b, cpu, linear, wide, long) => {
    unless(b, b.call('saveAreaProbe', cpu, linear, b.i32(FXSAVE_BYTES), b.i32(MEMORY_ACCESS.write)));
    b.call('saveX87', cpu, linear, wide);
    b.call('saveMxcsr', cpu, linear);
    b.call('saveSse', cpu, linear, long);
  },
  true,
);

const fxrstor = routine(
  'fxrstor',
  ['i64', 'i32', 'i32'],
  undefined,
  (b, cpu, linear, wide, long) => {
    unless(b, b.call('saveAreaProbe', cpu, linear, b.i32(FXSAVE_BYTES), b.i32(0)));
    unless(b, b.call('checkMxcsr', cpu, linear));
    b.call('restoreX87', cpu, linear, wide);
    b.call('restoreMxcsr', cpu, linear);
    b.call('restoreSse', cpu, linear, long);
  },
  true,
);

/** (linear, components, wide, long). All components count as in use. */
const xsave = routine(
  'xsave',
  ['i64', 'i32', 'i32', 'i32'],
  undefined,
  (b, cpu, linear, mask, wide, long) => {
    unless(b, b.call('saveAreaProbe', cpu, linear, b.i32(XSAVE_BYTES), b.i32(MEMORY_ACCESS.write)));
    b.if(bit(b, mask, X87), () => b.call('saveX87', cpu, linear, wide));
    b.if(bit(b, mask, SSE), () => {
      b.call('saveMxcsr', cpu, linear);
      b.call('saveSse', cpu, linear, long);
    });
    const header = place(b, linear, STATE_BITS);
    const old = b.call('saveAreaTake', cpu, header);
    b.call('saveAreaPut', cpu, header, b.or(old, b.extendU(mask)));
  },
  true,
);

const xrstor = routine(
  'xrstor',
  ['i64', 'i32', 'i32', 'i32'],
  undefined,
  (b, cpu, linear, mask, wide, long) => {
    unless(b, b.call('saveAreaProbe', cpu, linear, b.i32(XSAVE_BYTES), b.i32(0)));
    const saved = b.variable('i64', b.call('saveAreaTake', cpu, place(b, linear, STATE_BITS)));
    const compact = b.call('saveAreaTake', cpu, place(b, linear, COMPACT_BITS));
    const reserved = b.call('saveAreaTake', cpu, place(b, linear, RESERVED_BITS));
    const unknown = b.and(b.get(saved), b.not(b.loadHost('i64.load', cpu, VCPU.offsets.xcr0)));
    b.if(b.ne(b.or(b.or(compact, reserved), unknown), b.i64(0)), () => {
      b.call('refuseSaveArea', cpu);
      b.return();
    });
    b.if(bit(b, mask, SSE), () => unless(b, b.call('checkMxcsr', cpu, linear)));
    const present = (component: number) => bit(b, b.wrap(b.get(saved)), component);
    b.if(bit(b, mask, X87), () => {
      b.if(
        present(X87),
        () => b.call('restoreX87', cpu, linear, wide),
        () => b.call('initX87', cpu),
      );
    });
    b.if(bit(b, mask, SSE), () => {
      b.call('restoreMxcsr', cpu, linear);
      b.if(
        present(SSE),
        () => b.call('restoreSse', cpu, linear, long),
        () => b.call('initSse', cpu, long),
      );
    });
  },
  true,
);

export const saveHelpers = [...saveAreaRoutines, fxsave, fxrstor, xsave, xrstor];

/** The linear address of an area that must be aligned, its segment checked at both ends. */
function area(b: InstructionBuilder, operand: Operand, bytes: number, align: number, access: 'read' | 'write'): Value {
  const linear = operand.linear(16, access);
  operand.linear(16, access, bytes - 16);
  b.leaveIf(b.and(b.wrap(linear), b.i32(align - 1)), () => b.raise(VECTOR.gp, b.i32(0)));
  return linear;
}

const wide = (b: InstructionBuilder): Value => b.i32(b.operandSize === 8 ? 1 : 0);
const long = (b: InstructionBuilder): Value => b.i32(b.mode.codeSize === 8 ? 1 : 0);

function legacy(name: 'fxsave' | 'fxrstor', extension: number, access: 'read' | 'write'): Definition {
  return {
    name,
    encodings: [`np 0f ae /${extension} M`],
    feature: 'fxsr',
    unit: 'x87',
    uses: ['mode'],
    semantics(b, operand) {
      b.perform(name, area(b, operand, FXSAVE_BYTES, 16, access), wide(b), long(b));
    },
  };
}

/** EDX:EAX say which of the components in XCR0 are meant. */
function extended(name: string, routineName: string, extension: number, access: 'read' | 'write'): Definition {
  return {
    name,
    encodings: [`np 0f ae /${extension} M`],
    feature: 'xsave',
    uses: ['mode'],
    semantics(b, operand) {
      b.leaveIf(b.eqz(hasCr4(b, CR4.osxsave)), () => b.raise(VECTOR.ud));
      b.leaveIf(b.and(b.wrap(b.field('cr0')), b.i32(CR0.ts)), () => b.raise(VECTOR.nm));
      const linear = area(b, operand, XSAVE_BYTES, 64, access);
      const components = b.wrap(b.and(b.gpr(GPR.rax, 4), b.field('xcr0')));
      b.perform(routineName, linear, components, wide(b), long(b));
    },
  };
}

/** LDMXCSR: #GP(0) for bits that do not exist. */
function loadMxcsr(b: InstructionBuilder, src: Operand): void {
  const value = b.wrap(src.read());
  b.leaveIf(b.shrU(value, b.i32(16)), () => b.raise(VECTOR.gp, b.i32(0)));
  b.setField('mxcsr', value);
}

export const save = define([
  legacy('fxsave', 0, 'write'),
  legacy('fxrstor', 1, 'read'),
  { name: 'ldmxcsr', encodings: ['np 0f ae /2 Md'], feature: 'sse', unit: 'sse', semantics: loadMxcsr },
  {
    name: 'stmxcsr',
    encodings: ['np 0f ae /3 Md'],
    feature: 'sse',
    unit: 'sse',
    semantics: (b, dst) => dst.write(b.extendU(b.field('mxcsr'))),
  },
  extended('xsave', 'xsave', 4, 'write'),
  extended('xrstor', 'xrstor', 5, 'read'),
  extended('xsaveopt', 'xsave', 6, 'write'),
]);
