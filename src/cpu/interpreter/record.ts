/**
 * Pre-decoded instructions. A block is a run of records in shared memory; each handler ends by jumping to the handler of
 * the record after it.
 *
 * Offsets inside a code page stand for addresses: the same physical page may be mapped at several linear addresses. The
 * vCPU's `ipBase` is what the instruction pointer would be at the start of the current page, so `ipBase + offset` is an
 * instruction's address.
 */

/** Most instructions in a block. */
export const BLOCK_LIMIT = 64;

/** Bytes of a record. */
export const RECORD_SIZE = 32;

/** Handlers that a record can name. */
export const HANDLER_INDICES = 0x10000;

/** Byte offsets inside a record. */
export const RECORD = {
  /** u16: index of the handler in the function table. */
  handler: 0,
  /** u16: offset of the instruction in its page. */
  offset: 2,
  /** u16: offset of the next instruction; may pass the end of the page. */
  next: 4,
  /** u16: instructions from the start of the block up to and including this one. */
  count: 6,
  /** u16 each: where operands 0–2 live in the vCPU's state block, or a register number. */
  slots: 8,
  /** u8: log2 of the index factor. */
  scale: 14,
  /** u8: number of the segment. */
  segment: 15,
  /** u16: where the base register lives. */
  base: 16,
  /** u16: where the index register lives. */
  index: 18,
  /** u16: where the segment base lives. */
  segmentBase: 20,
  /** u16, jumps: how often it was taken, wrapping. */
  heat: 22,
  /** i32: displacement; i64 for an absolute offset or a wide immediate. */
  displacement: 24,
  /** i32: immediate. */
  immediate: 28,
  /** u32, jumps: record of the target in this page, 0 not yet known, 1 outside this page; ends: record to go on at. */
  link: 28,
  /** u32, jumps to an address that is computed: where its last targets are noted, or 0. */
  targets: 28,
} as const;

/**
 * Targets that a computed jump went to: low halves of instruction pointers, each at a place that follows from it, so that
 * different ones mostly lie side by side. Number of places, and bytes of all.
 */
export const JUMP_TARGETS = 32;
export const JUMP_TARGETS_BYTES = JUMP_TARGETS * 4;

/** Value of `link` for a target that is reached through the run loop. */
export const LINK_OUTSIDE = 1;

/** Largest number of times that a jump is taken, or a block entered, before it counts as hot. */
export const MOST_HEAT = 0xffff;
