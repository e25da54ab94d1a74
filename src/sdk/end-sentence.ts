/** How a machine ended, for people. */
import type { EndReason } from './machine-host.ts';

const SENTENCES: Readonly<Record<EndReason, string>> = {
  'power-off': 'The guest has switched itself off.',
  reset: 'The guest has reset the machine, which ended it.',
  'triple-fault': 'The guest ended by a triple fault: an exception that it could not handle reset its processor.',
  'debug-exit': 'The guest has ended the machine.',
  halted: 'The guest halted with interrupts disabled, so that nothing can wake it.',
  killed: 'The machine was killed.',
};

export const endSentence = (reason: EndReason): string => SENTENCES[reason];
