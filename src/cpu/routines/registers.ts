/** Reads of the time-stamp counter and of control registers, and INVLPG, inside WebAssembly. */
import { count } from '../../isa/counters.ts';
import { readField } from '../../isa/fields.ts';
import { type Helper, helper, routine } from '../../isa/helpers.ts';

/** The TSC (SDM vol. 3B 17.17). (cpu) -> i64 */
const readTsc = routine('readTsc', [], 'i64', (b, cpu) => {
  const ticks = b.op('i64.trunc_sat_f64_u', b.call('machineTicks', cpu));
  b.return(b.add(ticks, readField(b, cpu, 'tscOffset')));
});

const REGISTERS = [
  [0, 'cr0'],
  [2, 'cr2'],
  [3, 'cr3'],
  [4, 'cr4'],
] as const;

/** MOV from CRn, CPL already checked. (cpu, number) -> i64 */
const readControlRegister = routine(
  'readControlRegister',
  ['i32'],
  'i64',
  (b, cpu, index) => {
    for (const [number, field] of REGISTERS) {
      b.if(b.eq(index, b.i32(number)), () => b.return(readField(b, cpu, field)));
    }
    b.return(b.call('slowReadControlRegister', cpu, index));
  },
  true,
);

/** INVLPG. Global translations are not told apart: forgetting more than asked for is allowed. (cpu, linear address) */
const invalidatePage = routine('invalidatePage', ['i64'], undefined, (b, cpu, address) => {
  count(b, cpu, 'tlbFlushes');
  b.call('forgetJumps', cpu, b.i32(0));
  b.call('tlbInvalidatePage', cpu, b.and(address, b.i64(-4096)));
});

export const registerRoutines: readonly Helper[] = [
  /** Machine time in ticks of the TSC. */
  helper('machineTicks', [], 'f64'),
  helper('slowReadControlRegister', ['i32'], 'i64', true),
  readTsc,
  readControlRegister,
  invalidatePage,
];
