/** Guests of a few instructions: multiboot kernels of 32-bit machine code, for tests of a whole machine. */
import { concat, u32 } from '../firmware/bytes.ts';
import { writeElf } from '../firmware/elf-writer.ts';
import { createMachine, type Machine, type MachineOptions } from './machine.ts';

const MULTIBOOT_MAGIC = 0x1badb002;
const LOAD_ADDRESS = 0x100000;
/** Address of the first instruction. */
export const ENTRY = LOAD_ADDRESS + 12;
/** An address that no boot writes to, in a machine of 4 MiB or more. */
export const SCRATCH = 0x200000;

/** A multiboot kernel that starts with `code`, in protected mode without paging. */
export function tinyKernel(code: readonly number[]): Uint8Array {
  const header = u32(MULTIBOOT_MAGIC, 0, 2 ** 32 - MULTIBOOT_MAGIC);
  const bytes = concat(header, Uint8Array.from(code));
  return writeElf({ wordSize: 4, entry: ENTRY, segments: [{ physicalAddress: LOAD_ADDRESS, bytes }] });
}

const word = (value: number) => [...u32(value)];

const HANG = [0xfa, 0xf4]; // cli; hlt

/** Machine code by what it does. */
export const GUESTS = {
  /** Writes `value` to the debug-exit port. */
  debugExit: (value: number) => [0xb0, value, 0xe6, 0xf4, ...HANG], // mov al, value; out 0xf4, al
  /** SLP_TYP 5 and SLP_EN to PM1a control. */
  powerOff: [0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x34, 0x66, 0xef, ...HANG], // out 0x604, 0x3400
  /** Full reset by the reset control register. */
  reset: [0x66, 0xba, 0xf9, 0x0c, 0xb0, 6, 0xee, ...HANG], // out 0xcf9, 6
  /** Pulse on the reset line by the keyboard controller. */
  keyboardReset: [0xb0, 0xfe, 0xe6, 0x64, ...HANG], // out 0x64, 0xfe
  /** An empty IDT, then an undefined opcode. */
  tripleFault: [0x0f, 0x01, 0x1d, ...word(ENTRY + 9), 0x0f, 0x0b, 0, 0, 0, 0, 0, 0], // lidt [zeroes]; ud2
  halt: HANG,
  spin: [0xeb, 0xfe], // jmp $
  /** Writes `!` to the first serial port, then runs for ever. */
  speakAndSpin: [0x66, 0xba, 0xf8, 0x03, 0xb0, 0x21, 0xee, 0xeb, 0xfe], // mov dx, 0x3f8; mov al, '!'; out dx, al; jmp $
  /** Returns what it reads from the first serial port; `q` ends it with 7 at the debug-exit port. */
  echo: [
    ...[0x66, 0xba, 0xfd, 0x03], // again: mov dx, 0x3fd
    ...[0xec, 0x24, 0x21, 0x3c, 0x21, 0x75, 0xf5], // in al, dx; and al, 0x21; cmp al, 0x21; jne again
    ...[0xb2, 0xf8, 0xec, 0x3c, 0x71, 0x74, 0x03], // mov dl, 0xf8; in al, dx; cmp al, 'q'; je end
    ...[0xee, 0xeb, 0xeb], // out dx, al; jmp again
    ...[0xb0, 7, 0xe6, 0xf4, ...HANG], // end: out 0xf4, 7
  ],
  /** Counts in memory how often it was started; the `times`-th start goes on to `last`, the others to `other`. */
  onStart: (times: number, other: readonly number[], last: readonly number[]) => [
    ...[0xff, 0x05, ...word(SCRATCH)], // inc dword [SCRATCH]
    ...[0x83, 0x3d, ...word(SCRATCH), times], // cmp dword [SCRATCH], times
    ...[0x74, other.length, ...other, ...last], // je last
  ],
  /**
   * Counts interrupts of the timer (channel 0, every 55 ms) in ECX: one is there at once, for another it halts; then it
   * hangs.
   */
  timer: [
    ...[0x0f, 0x01, 0x1d, ...word(ENTRY + 0x30)], // lidt [pointer]
    ...[0xbc, ...word(SCRATCH), 0x31, 0xc9], // mov esp, SCRATCH; xor ecx, ecx
    ...[0xb0, 0xfe, 0xe6, 0x21, 0xfb, 0x90, 0x90, 0xf4, ...HANG], // out 0x21, 0xfe; sti; nop; nop; hlt
    ...new Array<number>(8).fill(0x90),
    ...[0x41, 0xb0, 0x20, 0xe6, 0x20, 0xcf], // +0x20: inc ecx; out 0x20, 0x20; iret
    ...new Array<number>(10).fill(0x90),
    ...[9 * 8 - 1, 0, ...word(ENTRY + 0x38), 0, 0], // +0x30: limit, base
    ...new Array<number>(8 * 8).fill(0), // +0x38: the IDT, gate 8 in use
    ...[(ENTRY + 0x20) & 0xff, ((ENTRY + 0x20) >> 8) & 0xff, 0x10, 0, 0, 0x8e, ENTRY >> 16, 0],
  ],
} as const;

export interface TinyMachine {
  readonly machine: Machine;
  /** What the guest wrote to its first serial port. */
  output(): string;
}

/** A machine of 4 MiB with `code` as its kernel, booted. Its counted clock gives each instruction a nanosecond. */
export function bootTiny(code: readonly number[], options: Partial<MachineOptions> = {}): TinyMachine {
  let output = '';
  const machine = createMachine({
    memory: 4 << 20,
    clock: 1,
    hostNow: () => 0,
    epoch: 0,
    random: (bytes) => void bytes.fill(1),
    serial: {
      write: (byte) => {
        output += String.fromCharCode(byte);
      },
    },
    ...options,
  });
  machine.boot({ kernel: tinyKernel(code), commandLine: '' });
  return { machine, output: () => output };
}
