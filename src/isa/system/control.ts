/** Control and debug registers, interrupt and access flags, HLT, translations. */
import type { Value } from '../../ir/node.ts';
import { type Definition, define } from '../definition.ts';
import { helper } from '../helpers.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { CR0, CR4, EFLAGS, GPR, VECTOR } from '../state.ts';
import { hasCr4, privileged, resumeInNewMode, userModeProtected } from './leave.ts';

export const controlHelpers = [
  helper('readControlRegister', ['i32'], 'i64', true),
  helper('writeControlRegister', ['i32', 'i64'], undefined, true),
  helper('readDebugRegister', ['i32'], 'i64', true),
  helper('writeDebugRegister', ['i32', 'i64'], undefined, true),
  helper('loadMachineStatusWord', ['i32'], undefined, true),
  /** (linear address) */
  helper('invalidatePage', ['i64']),
  /** (type, PCID, linear address) */
  helper('invalidatePcid', ['i64', 'i64', 'i64'], undefined, true),
];

/** Numbers of registers that exist, a bit each. */
const CONTROL_REGISTERS = 0b1_0001_1101;
const DEBUG_REGISTERS = 0xff;

/** #UD for a register that does not exist, whatever the privilege level. */
function existing(b: InstructionBuilder, index: Value, registers: number): void {
  b.leaveIf(b.eqz(b.and(b.shrU(b.i32(registers), index), b.i32(1))), () => b.raise(VECTOR.ud));
}

/** MOV from a control or debug register. */
function moveFrom(encoding: string, helperName: string, registers: number): Definition {
  return {
    name: 'mov',
    encodings: [encoding],
    semantics(b, dst, src) {
      existing(b, src.index(), registers);
      privileged(b);
      dst.write(b.helper(helperName, src.index()));
    },
  };
}

function moveTo(encoding: string, helperName: string, registers: number): Definition {
  return {
    name: 'mov',
    encodings: [encoding],
    ends: true,
    fences: true,
    semantics(b, dst, src) {
      existing(b, dst.index(), registers);
      privileged(b);
      b.perform(helperName, dst.index(), src.read());
      b.resume();
    },
  };
}

/** #GP(0) where the program may not change IF. In virtual-8086 mode the level is 3, so that IOPL must be. */
function checkIopl(b: InstructionBuilder): void {
  const iopl = b.and(b.shrU(b.field('eflags'), b.i32(12)), b.i32(3));
  b.leaveIf(b.gtU(b.field('cpl'), iopl), () => b.raise(VECTOR.gp, b.i32(0)));
}

/** STI: where IF was clear, interrupts wait for the end of the next instruction. */
function enableInterrupts(b: InstructionBuilder): void {
  checkIopl(b);
  const before = b.field('eflags');
  b.if(b.eqz(b.and(before, b.i32(EFLAGS.if))), () => {
    b.setField('interruptShadow', b.i32(1));
    b.setSystemFlags(b.or(before, b.i32(EFLAGS.if)));
  });
  b.resume();
}

/** CLAC and STAC: at privilege level 0 alone, else #UD. */
function accessFlag(name: string, modRm: string, value: boolean): Definition {
  return {
    name,
    encodings: [`np 0f 01 ${modRm}`],
    feature: 'smap',
    ends: true,
    semantics(b) {
      b.leaveIf(b.field('cpl'), () => b.raise(VECTOR.ud));
      const flags = b.field('eflags');
      b.setSystemFlags(value ? b.or(flags, b.i32(EFLAGS.ac)) : b.and(flags, b.i32(~EFLAGS.ac)));
      b.resume();
    },
  };
}

/** INVPCID: the descriptor has the PCID in its first eight bytes, the address in the next. */
function invalidatePcid(b: InstructionBuilder, type: Operand, descriptor: Operand): void {
  privileged(b);
  const pcid = b.load(descriptor.linear(8, 'read'), 8);
  const address = b.load(descriptor.linear(8, 'read', 8), 8);
  b.perform('invalidatePcid', type.read(), pcid, address);
  b.resume();
}

/** XGETBV and XSETBV: #UD unless CR4.OSXSAVE; only register 0 exists. */
function checkExtended(b: InstructionBuilder): void {
  b.leaveIf(b.eqz(hasCr4(b, CR4.osxsave)), () => b.raise(VECTOR.ud));
}
function checkRegister(b: InstructionBuilder): void {
  b.leaveIf(b.ne(b.gpr(GPR.rcx, 4), b.i64(0)), () => b.raise(VECTOR.gp, b.i32(0)));
}

/** XCR0 always has x87 and may have SSE. */
function setExtended(b: InstructionBuilder): void {
  checkExtended(b);
  privileged(b);
  checkRegister(b);
  const value = b.or(b.gpr(GPR.rax, 4), b.shl(b.gpr(GPR.rdx, 4), b.i64(32)));
  const bad = b.ne(b.or(value, b.i64(2)), b.i64(3));
  b.leaveIf(bad, () => b.raise(VECTOR.gp, b.i32(0)));
  b.setField('xcr0', value);
  b.resume();
}

function invalidateCaches(name: string, opcode: string): Definition {
  return { name, encodings: [`0f ${opcode}`], fences: true, semantics: privileged };
}

export const control = define([
  moveFrom('0f 20 /r f64 Ry,Cy', 'readControlRegister', CONTROL_REGISTERS),
  moveTo('0f 22 /r f64 Cy,Ry', 'writeControlRegister', CONTROL_REGISTERS),
  moveFrom('0f 21 /r f64 Ry,Dy', 'readDebugRegister', DEBUG_REGISTERS),
  moveTo('0f 23 /r f64 Dy,Ry', 'writeDebugRegister', DEBUG_REGISTERS),
  {
    name: 'clts',
    encodings: ['0f 06'],
    ends: true,
    semantics(b) {
      privileged(b);
      b.setField('cr0', b.and(b.field('cr0'), b.i64(~CR0.ts)));
      resumeInNewMode(b);
    },
  },
  {
    name: 'smsw',
    encodings: ['0f 01 /4 Ev/Mw'],
    semantics(b, dst) {
      userModeProtected(b);
      dst.write(b.field('cr0'));
    },
  },
  {
    name: 'lmsw',
    encodings: ['0f 01 /6 Ew'],
    ends: true,
    semantics(b, src) {
      privileged(b);
      b.perform('loadMachineStatusWord', b.wrap(src.read()));
      b.resume();
    },
  },
  {
    name: 'cli',
    encodings: ['fa'],
    semantics(b) {
      checkIopl(b);
      b.setField('eflags', b.and(b.field('eflags'), b.i32(~EFLAGS.if)));
    },
  },
  { name: 'sti', encodings: ['fb'], ends: true, semantics: enableInterrupts },
  {
    name: 'hlt',
    encodings: ['f4'],
    ends: true,
    semantics(b) {
      privileged(b);
      b.setField('activity', b.i32(1));
      b.setField('poll', b.i32(1));
      b.resume();
    },
  },
  accessFlag('clac', 'ca', false),
  accessFlag('stac', 'cb', true),
  {
    name: 'invlpg',
    encodings: ['0f 01 /7 M'],
    ends: true,
    fences: true,
    semantics(b, src) {
      privileged(b);
      const address = src.linear(1, 'read');
      b.helper('invalidatePage', address);
      b.resume();
    },
  },
  {
    name: 'invpcid',
    encodings: ['66 0f 38 82 /r f64 Gy,M'],
    feature: 'invpcid',
    ends: true,
    fences: true,
    semantics: invalidatePcid,
  },
  {
    name: 'xgetbv',
    encodings: ['np 0f 01 d0'],
    feature: 'xsave',
    unrecorded: true,
    semantics(b) {
      checkExtended(b);
      checkRegister(b);
      const value = b.field('xcr0');
      b.setGpr(GPR.rax, value, 4);
      b.setGpr(GPR.rdx, b.shrU(value, b.i64(32)), 4);
    },
  },
  { name: 'xsetbv', encodings: ['np 0f 01 d1'], feature: 'xsave', ends: true, semantics: setExtended },
  invalidateCaches('invd', '08'),
  invalidateCaches('wbinvd', '09'),
]);
