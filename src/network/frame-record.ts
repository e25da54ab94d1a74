/** A frame as it goes through a stream of bytes: a header with its length and what is to be done to it, then its bytes. */
import type { Frame } from '../base/frame.ts';
import { getU16, getU32, setU16, setU32 } from './wire.ts';

/** Bytes of the header. */
export const RECORD_HEADER = 12;

export function writeRecordHeader(
  header: Uint8Array,
  { bytes, segmentSize, checksumStart, checksumOffset }: Frame,
): void {
  setU32(header, 0, bytes.length);
  setU16(header, 4, segmentSize);
  setU16(header, 6, checksumStart);
  setU16(header, 8, checksumOffset);
}

/** Bytes of the frame whose header begins at `at`; four bytes of it suffice. */
export const recordLength = (bytes: Uint8Array, at: number): number => getU32(bytes, at);

/** The frame whose header begins at `at`, all of which is there: a view. */
export function frameOf(record: Uint8Array, at: number): Frame {
  const from = at + RECORD_HEADER;
  return {
    bytes: record.subarray(from, from + recordLength(record, at)),
    segmentSize: getU16(record, at + 4),
    checksumStart: getU16(record, at + 6),
    checksumOffset: getU16(record, at + 8),
  };
}
