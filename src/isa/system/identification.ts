/** What the processor tells about itself: CPUID, MSRs, time-stamp counter; and hypercalls. */
import type { Value } from '../../ir/node.ts';
import { define } from '../definition.ts';
import { helper } from '../helpers.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { CR4, GPR, VECTOR } from '../state.ts';
import { hasCr4, privileged } from './leave.ts';

export const identificationHelpers = [
  /** EAX and ECX select; EAX, EBX, ECX and EDX answer. */
  helper('cpuid', []),
  helper('readMsr', ['i32'], 'i64', true),
  helper('writeMsr', ['i32', 'i64'], undefined, true),
  helper('readTsc', [], 'i64'),
  /** Number and arguments in RAX, RBX, RCX, RDX, RSI -> RAX */
  helper('hypercall', [], 'i64'),
];

/** A 64-bit value in EDX:EAX. */
function setPair(b: InstructionBuilder, value: Value): void {
  b.setGpr(GPR.rax, value, 4);
  b.setGpr(GPR.rdx, b.shrU(value, b.i64(32)), 4);
}

/** RDTSC and RDTSCP: #GP(0) above level 0 while CR4.TSD is set. */
function checkTimeStamp(b: InstructionBuilder): void {
  const refused = b.and(b.ne(hasCr4(b, CR4.tsd), b.i32(0)), b.ne(b.field('cpl'), b.i32(0)));
  b.leaveIf(refused, () => b.raise(VECTOR.gp, b.i32(0)));
}

export const identification = define([
  {
    name: 'cpuid',
    encodings: ['0f a2'],
    fences: true,
    unrecorded: true,
    semantics(b) {
      b.perform('cpuid');
    },
  },
  {
    name: 'rdmsr',
    encodings: ['0f 32'],
    semantics(b) {
      privileged(b);
      setPair(b, b.helper('readMsr', b.wrap(b.gpr(GPR.rcx, 4))));
    },
  },
  {
    name: 'wrmsr',
    encodings: ['0f 30'],
    ends: true,
    fences: true,
    semantics(b) {
      privileged(b);
      const value = b.or(b.gpr(GPR.rax, 4), b.shl(b.gpr(GPR.rdx, 4), b.i64(32)));
      b.perform('writeMsr', b.wrap(b.gpr(GPR.rcx, 4)), value);
      b.resume();
    },
  },
  {
    name: 'rdtsc',
    encodings: ['0f 31'],
    unrecorded: true,
    semantics(b) {
      checkTimeStamp(b);
      setPair(b, b.helper('readTsc'));
    },
  },
  {
    name: 'rdtscp',
    encodings: ['0f 01 f9'],
    feature: 'rdtscp',
    unrecorded: true,
    semantics(b) {
      checkTimeStamp(b);
      setPair(b, b.helper('readTsc'));
      b.setGpr(GPR.rcx, b.field('tscAux'), 4);
    },
  },
  {
    name: 'rdpid',
    encodings: ['f3 0f c7 /7 f64 Ry'],
    feature: 'rdpid',
    unrecorded: true,
    semantics: (b, dst) => dst.write(b.field('tscAux')),
  },
  // There are no performance counters: every number of one is wrong.
  { name: 'rdpmc', encodings: ['0f 33'], ends: true, semantics: (b) => b.raise(VECTOR.gp, b.i32(0)) },
  // KVM takes both forms on every processor.
  ...['vmcall', 'vmmcall'].map((name) => ({
    name,
    encodings: [`0f 01 ${name === 'vmcall' ? 'c1' : 'd9'}`],
    unrecorded: true,
    semantics: (b: InstructionBuilder) => b.setGpr(GPR.rax, b.helper('hypercall'), b.mode.codeSize === 8 ? 8 : 4),
  })),
]);
