/** Single flags. CLI and STI, which depend on privilege, are with the system instructions. */
import { define } from '../definition.ts';
import { EFLAGS } from '../state.ts';

export const flags = define([
  { name: 'cmc', encodings: ['f5'], reads: 'c', writes: 'c', semantics: (b) => b.setCarry(b.eqz(b.flag('cf'))) },
  { name: 'clc', encodings: ['f8'], writes: 'c', semantics: (b) => b.setCarry(b.i32(0)) },
  { name: 'stc', encodings: ['f9'], writes: 'c', semantics: (b) => b.setCarry(b.i32(1)) },
  {
    name: 'cld',
    encodings: ['fc'],
    semantics: (b) => b.setField('eflags', b.and(b.field('eflags'), b.i32(~EFLAGS.df))),
  },
  {
    name: 'std',
    encodings: ['fd'],
    semantics: (b) => b.setField('eflags', b.or(b.field('eflags'), b.i32(EFLAGS.df))),
  },
]);
