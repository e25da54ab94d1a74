/** Guests whose second vCPU ends the machine. */
import { GUESTS } from '../../src/vm/tiny-kernel.test-helper.ts';
import { exit, LAPIC, type SeveralGuest, AT as SHARED } from './several.ts';

const bytes = (code: readonly number[]) => `db ${code.join(', ')}`;

/** Counts starts; memory outlives a reset. */
const STARTS = SHARED.words + 64 * 8;

/** What the second vCPU does, while the first is busy or, with `idle`, halted for good. */
export const endBySecond = (others: string, idle = false): SeveralGuest => ({
  first: idle ? 'cli; hlt' : 'busy: pause; jmp busy',
  others,
});

export const POWER_OFF = bytes(GUESTS.powerOff);
export const RESET = bytes(GUESTS.reset);
/** An empty IDT, then an undefined opcode. */
export const TRIPLE_FAULT = `
  lidt [nothing]
  ud2
  nothing: dq 0`;

/** Ends with `way` at the first two starts, and by the debug-exit port at the third: value 5. */
export const restartBySecond = (way: string): SeveralGuest =>
  endBySecond(`inc dword [${STARTS}]
    cmp dword [${STARTS}], 3
    jne again
    ${exit(5)}
    again: ${way}`);

/** Where the first vCPU's handler is for what is not there at the reset vector: an undefined opcode, in real mode. */
const FROM_RESET = 0x7000;
/**
 * The second vCPU sends the first an INIT: it starts at the reset vector. The handler is `mov al, 5; out 0xf4, al; hlt`, which ends
 * the run by the debug-exit port.
 */
export const INIT_OF_FIRST: SeveralGuest = {
  first: 'stay0: pause; jmp stay0',
  others: `
    mov dword [${4 * 6}], ${FROM_RESET}
    mov dword [${FROM_RESET}], 0xf4e605b0
    mov byte [${FROM_RESET + 4}], 0xf4
    mov dword [${LAPIC.commandHigh}], 0
    mov dword [${LAPIC.commandLow}], 0x4500
    wait1: pause
    jmp wait1`,
};

/** What the second vCPU does, its text, and how the machine ends by it. */
export const ENDS = [
  ['switches the machine off', POWER_OFF, 'power-off'],
  ['resets it', RESET, 'reset'],
  ['triple-faults', TRIPLE_FAULT, 'triple-fault'],
  ['halts for good, as the first', 'cli; hlt', 'halted'],
] as const;
