/** Instructions of the system level that may be part of a region, and how code goes on behind them. */
import type { Definition } from '../../isa/definition.ts';

/** They change fields of the state block that no region keeps anywhere else, and never what code or an access means. */
const PLAIN = /^(swapgs|cli|rdtsc|rdtscp|rdpid|xgetbv|clflush|clflushopt|clwb)$/;
const READS_CONTROL_REGISTER = /^0f 20 /;
/** After them an interrupt may be due, or other rights count. */
const RESUMING = /^(sti|clac|stac)$/;
/** They take everything from the state block and leave it there, and go on in another mode. */
const TRANSFERS = /^(syscall|sysret|iret)$/;

export const resumes = ({ name }: Definition): boolean => RESUMING.test(name);
export const transfers = ({ name }: Definition): boolean => TRANSFERS.test(name);

/** Whether a definition of the system level can be part of a region. */
export function inRegions(definition: Definition): boolean {
  const reads = definition.encodings.some((encoding) => READS_CONTROL_REGISTER.test(encoding));
  return PLAIN.test(definition.name) || reads || resumes(definition) || transfers(definition);
}
