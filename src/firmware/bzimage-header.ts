/** The setup header of a Linux/x86 kernel image (Linux documentation, "The Linux/x86 Boot Protocol"). */
import { VirtsError } from '../base/errors.ts';

export interface BzImageHeader {
  /** Major in the high byte, minor in the low one: 0x020f is 2.15. */
  readonly version: number;
  /** The header as it goes into the zero page, from offset 0x1f1. */
  readonly setupHeader: Uint8Array;
  /** What goes to the load address. */
  readonly protectedModeCode: Uint8Array;
  /** There is an entry point for 64-bit mode. */
  readonly entry64: boolean;
  readonly relocatable: boolean;
  readonly alignment: number;
  /** Where the kernel prefers to run; the load address of one that is not relocatable. */
  readonly preferredAddress: number;
  /** Bytes that it needs from there while it unpacks itself. */
  readonly initSize: number;
  /** First address past the highest byte that the initrd may take. */
  readonly initrdCeiling: number;
  /** Longest command line in bytes, without the NUL. */
  readonly commandLineLimit: number;
}

const SECTOR = 512;
export const SETUP_HEADER_AT = 0x1f1;
const MAGIC_AT = 0x202;
/** Last byte of the fields below; older headers are shorter, but the code after them is there in any case. */
const FIELDS_END = 0x264;
/** In the zero page other data begins here. */
const SETUP_HEADER_LIMIT = 0x290;

const LOADED_HIGH = 1 << 0;
const XLF_KERNEL_64 = 1 << 0;

/** Whether the file has a Linux setup header: boot sector signature and "HdrS". */
export function hasSetupHeader(bytes: Uint8Array): boolean {
  if (bytes.length < MAGIC_AT + 4) return false;
  const signature = bytes[0x1fe] === 0x55 && bytes[0x1ff] === 0xaa;
  return signature && String.fromCharCode(...bytes.subarray(MAGIC_AT, MAGIC_AT + 4)) === 'HdrS';
}

/**
 * Reads and checks the header. Throws 'bad-input' for an image that is truncated or contradicts itself, 'unsupported'
 * for one that loads low (zImage) or speaks a protocol before 2.02.
 */
export function parseBzImage(bytes: Uint8Array): BzImageHeader {
  if (!hasSetupHeader(bytes) || bytes.length < FIELDS_END) throw truncated(bytes.length, FIELDS_END);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const version = view.getUint16(0x206, true);
  /** A field that a later version of the protocol brought. */
  const since = (minimum: number, value: number, otherwise: number) => (version >= minimum ? value : otherwise);
  if (version < 0x202 || (bytes[0x211] & LOADED_HIGH) === 0) {
    throw new VirtsError(
      'unsupported',
      'The kernel is an old zImage, which loads below 1 MiB; Virts boots bzImage kernels (boot protocol 2.02 or newer).',
      { version },
    );
  }
  const relocatable = since(0x205, view.getUint8(0x234), 0) !== 0;
  const alignment = relocatable ? view.getUint32(0x230, true) : 1;
  const preferredAddress = since(0x20a, Number(view.getBigUint64(0x258, true)), 0x100000);
  if (
    alignment === 0 ||
    (alignment & (alignment - 1)) !== 0 ||
    preferredAddress < 0x100000 ||
    preferredAddress >= 2 ** 32
  ) {
    throw new VirtsError('bad-input', 'The kernel image is damaged: its header asks for an impossible load address.', {
      alignment,
      preferredAddress,
    });
  }
  const protectedModeCode = payload(bytes, view, version);
  return {
    version,
    setupHeader: bytes.slice(SETUP_HEADER_AT, Math.min(MAGIC_AT + bytes[0x201], SETUP_HEADER_LIMIT)),
    protectedModeCode,
    entry64: version >= 0x20c && (view.getUint16(0x236, true) & XLF_KERNEL_64) !== 0,
    relocatable,
    alignment,
    preferredAddress,
    // Before 2.10 the header does not say. No kernel of that time was compressed to less than a quarter.
    initSize: Math.max(
      since(0x20a, view.getUint32(0x260, true), protectedModeCode.length * 4),
      protectedModeCode.length,
    ),
    initrdCeiling: since(0x203, view.getUint32(0x22c, true), 0x37ffffff) + 1,
    commandLineLimit: since(0x206, view.getUint32(0x238, true), 255),
  };
}

function payload(bytes: Uint8Array, view: DataView, version: number): Uint8Array {
  // 0 stands for 4, from the time when the setup code had a fixed size.
  const start = ((bytes[SETUP_HEADER_AT] || 4) + 1) * SECTOR;
  // Two bytes before 2.04, when a bzImage's upper half lay in a field that nobody set.
  const paragraphs = version >= 0x204 ? view.getUint32(0x1f4, true) : Math.ceil((bytes.length - start) / 16);
  const end = start + paragraphs * 16;
  // Kernels before 2.08 are not filled up to the last 16 bytes.
  const slack = version >= 0x208 ? 0 : 15;
  if (paragraphs <= 0 || bytes.length + slack < end) throw truncated(bytes.length, Math.max(end, start + 16));
  return bytes.subarray(start, end);
}

function truncated(length: number, expected: number): VirtsError {
  return new VirtsError(
    'bad-input',
    `The kernel image is truncated: the file has ${length} bytes, but its header says at least ${expected}.`,
    { length, expected },
  );
}
