/** The kernel inside a bzImage (Linux, Documentation/arch/x86/boot.rst), where LZ4 compresses it. */
import assert from 'node:assert/strict';

/** Offsets in the setup header. */
const HEADER = { setupSectors: 0x1f1, payloadOffset: 0x248, payloadLength: 0x24c } as const;
const SECTOR = 512;
/** LZ4's legacy frame: this word, then blocks with their length before them. */
const LZ4_LEGACY = 0x184c2102;

/** Takes a length as LZ4 writes it: 15 in the token says that bytes follow, the last of which is not 255. */
function takeLength(input: Uint8Array, at: number, start: number): [length: number, next: number] {
  if (start < 15) return [start, at];
  let length = start;
  for (let next = at; ; next++) {
    length += input[next];
    if (input[next] !== 255) return [length, next + 1];
  }
}

/** Decompresses a block to `out` from `to` on; returns where it ended. */
function lz4Block(input: Uint8Array, out: Uint8Array, to: number): number {
  let at = 0;
  let end = to;
  while (at < input.length) {
    const token = input[at++];
    const [literals, from] = takeLength(input, at, token >> 4);
    out.set(input.subarray(from, from + literals), end);
    end += literals;
    at = from + literals;
    if (at >= input.length) break;
    const distance = input[at] | (input[at + 1] << 8);
    const [length, next] = takeLength(input, at + 2, token & 15);
    at = next;
    // A match may reach into what it writes itself.
    for (const stop = end + length + 4; end < stop; end++) out[end] = out[end - distance];
  }
  return end;
}

/** The ELF file in a bzImage. */
export function vmlinux(image: Uint8Array): Uint8Array {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const payload = (view.getUint8(HEADER.setupSectors) + 1) * SECTOR + view.getUint32(HEADER.payloadOffset, true);
  // The length of the uncompressed kernel is its last word.
  const end = payload + view.getUint32(HEADER.payloadLength, true) - 4;
  assert.equal(view.getUint32(payload, true), LZ4_LEGACY, 'the kernel is not compressed with LZ4');
  const out = new Uint8Array(view.getUint32(end, true));
  let length = 0;
  for (let at = payload + 4; at < end; ) {
    const size = view.getUint32(at, true);
    length = lz4Block(image.subarray(at + 4, at + 4 + size), out, length);
    at += 4 + size;
  }
  assert.equal(length, out.length);
  return out;
}
