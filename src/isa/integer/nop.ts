/** What does nothing, and what does nothing but raise #UD. */
import { type Definition, define } from '../definition.ts';

/** Hints take a ModRM operand and do not touch it. */
const nothing = () => {};

function hint(name: string, ...encodings: string[]): Definition {
  return { name, encodings, semantics: nothing };
}

function undefinedOpcode(name: string, encoding: string): Definition {
  return { name, encodings: [encoding], ends: true, semantics: (b) => b.raise(6) };
}

export const nop = define([
  hint('pause', 'f3 90'),
  hint('nop', '90', '0f 1f /r E'),
  hint('prefetch', '0f 0d /0 M'),
  hint('prefetchw', '0f 0d /1 M'),
  hint('prefetchwt1', '0f 0d /2 M'),
  hint('prefetchnta', '0f 18 /0 M'),
  hint('prefetcht0', '0f 18 /1 M'),
  hint('prefetcht1', '0f 18 /2 M'),
  hint('prefetcht2', '0f 18 /3 M'),
  hint('endbr64', 'f3 0f 1e fa'),
  hint('endbr32', 'f3 0f 1e fb'),
  // Reserved for hints: no operation on processors that give them no meaning.
  hint('nop', '0f 0d /r E', ...['18', '19', '1a', '1b', '1c', '1d', '1e'].map((opcode) => `0f ${opcode} /r E`)),
  undefinedOpcode('ud0', '0f ff /r Gd,Ed'),
  undefinedOpcode('ud1', '0f b9 /r Gd,Ed'),
  undefinedOpcode('ud2', '0f 0b'),
]);
