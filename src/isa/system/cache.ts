/** Cache lines: nothing is cached, but the address is checked as for a load. */
import { type Definition, define } from '../definition.ts';

function line(name: string, encoding: string): Definition {
  return {
    name,
    encodings: [encoding],
    feature: name,
    semantics(b, src) {
      b.load(src.linear(1, 'read'), 1, src.accessFlags);
    },
  };
}

export const cache = define([
  line('clflush', 'np 0f ae /7 M'),
  line('clflushopt', '66 0f ae /7 M'),
  line('clwb', '66 0f ae /6 M'),
]);
