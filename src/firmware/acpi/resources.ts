/** Resource descriptors (ACPI 6.5 6.4) and the template that holds them. */
import { concat, u8, u16, u32 } from '../bytes.ts';
import { type Aml, buffer } from './aml.ts';

/** `ResourceTemplate () { ... }`. A zero checksum means "not checked", which the specification allows. */
export function resourceTemplate(...descriptors: readonly Uint8Array[]): Aml {
  return buffer(concat(...descriptors, u8(0x79, 0)));
}

/** `IO (Decode16, port, port, 1, size)`: fixed ports, `size` up to 255. */
export function io(port: number, size: number): Uint8Array {
  return concat(u8(0x47, 1), u16(port, port), u8(1, size));
}

/** `IRQNoFlags () { irq }`: an ISA interrupt, edge-triggered, active high. */
export function irq(number: number): Uint8Array {
  return concat(u8(0x22), u16(1 << number));
}

/** `Memory32Fixed (ReadWrite, base, size)`. */
export function memory32Fixed(base: number, size: number): Uint8Array {
  return concat(u8(0x86), u16(9), u8(1), u32(base, size));
}

const MINIMUM_AND_MAXIMUM_FIXED = 0x0c;
const TYPE_MEMORY = 0;
const TYPE_IO = 1;
const TYPE_BUS = 2;
/** Read-write, non-cacheable. */
const MEMORY_FLAGS = 0x01;
/** Both ISA and non-ISA ranges. */
const IO_FLAGS = 0x03;

function wordSpace(type: number, flags: number, first: number, last: number): Uint8Array {
  const fields = u16(0, first, last, 0, last - first + 1);
  return concat(u8(0x88), u16(3 + fields.length), u8(type, MINIMUM_AND_MAXIMUM_FIXED, flags), fields);
}

/** `WordBusNumber`: the buses behind a bridge. At most 65,535 of them. */
export function busNumbers(first: number, last: number): Uint8Array {
  return wordSpace(TYPE_BUS, 0, first, last);
}

/** `WordIO`, positively decoded: ports that a bridge passes on. */
export function ioWindow(first: number, last: number): Uint8Array {
  return wordSpace(TYPE_IO, IO_FLAGS, first, last);
}

/** `DWordMemory`: physical addresses that a bridge passes on. */
export function memoryWindow(first: number, last: number): Uint8Array {
  const fields = u32(0, first, last, 0, last - first + 1);
  return concat(u8(0x87), u16(3 + fields.length), u8(TYPE_MEMORY, MINIMUM_AND_MAXIMUM_FIXED, MEMORY_FLAGS), fields);
}
