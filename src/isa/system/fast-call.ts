/** SYSCALL and SYSENTER with their returns, and what their handlers do first: SWAPGS. */
import { type Definition, define } from '../definition.ts';
import { helper } from '../helpers.ts';
import { SEGMENT } from '../state.ts';
import { continueAtRip, privileged } from './leave.ts';

export const fastCallHelpers = [
  /** (address after the instruction) */
  helper('syscall', ['i64'], undefined, true),
  /** (1: back to 64-bit mode) */
  helper('sysret', ['i32'], undefined, true),
  helper('sysenter', [], undefined, true),
  helper('sysexit', ['i32'], undefined, true),
];

/** REX.W says which mode a return goes to. */
function fastReturn(name: 'sysret' | 'sysexit', encoding: string): Definition {
  return {
    name,
    encodings: [encoding],
    ends: true,
    ...(name === 'sysret' ? { writes: 'oszapc' } : {}),
    semantics(b) {
      b.perform(name, b.i32(b.operandSize === 8 ? 1 : 0));
      continueAtRip(b);
    },
  };
}

export const fastCall = define([
  {
    name: 'syscall',
    encodings: ['0f 05'],
    ends: true,
    reads: 'oszapc',
    writes: 'oszapc',
    semantics(b) {
      b.perform('syscall', b.nextIp());
      continueAtRip(b);
    },
  },
  {
    name: 'sysenter',
    encodings: ['0f 34'],
    ends: true,
    semantics(b) {
      b.perform('sysenter');
      continueAtRip(b);
    },
  },
  fastReturn('sysret', '0f 07'),
  fastReturn('sysexit', '0f 35'),
  {
    name: 'swapgs',
    encodings: ['0f 01 f8 o64'],
    semantics(b) {
      privileged(b);
      const outer = b.field('segmentBase', SEGMENT.gs);
      const inner = b.field('kernelGsBase');
      b.setField('segmentBase', inner, SEGMENT.gs);
      b.setField('kernelGsBase', outer);
    },
  },
]);
