/** Decodes guest code into the records of blocks. */
import { type Decoder, MAX_LENGTH } from '../../isa/decoder.ts';
import type { FormReader } from '../../isa/form.ts';
import type { Instruction } from '../../isa/instruction.ts';
import { PAGE_SIZE } from '../../memory/layout.ts';
import type { PhysicalMap } from '../../memory/physical-map.ts';
import { keyUnitFault, MODE } from '../mode.ts';
import { isComputedJump } from './builder.ts';
import type { Handlers } from './handlers.ts';
import { BLOCK_LIMIT, HANDLER_INDICES, JUMP_TARGETS_BYTES, RECORD, RECORD_SIZE } from './record.ts';
import { createRecordTemplates, type RecordTemplates, type Template } from './record-templates.ts';
import { createRecordWriter } from './record-writer.ts';
import { type ShapeMode, shapeOf } from './shape.ts';
import type { Special } from './special-handlers.ts';

/** Mode bit beside those of `cpu/mode.ts`: blocks of one instruction. */
export const MODE_SINGLE = 1 << 20;
/** Another: no other thread reaches guest memory meanwhile. */
export const MODE_ALONE = 1 << 21;

/** Where a block starts and how it is to be read. */
export interface CodePosition {
  /** Guest-physical page and offset in it. */
  readonly page: number;
  readonly offset: number;
  readonly modeKey: number;
  /** Instruction pointer, and limit of CS. */
  readonly ip: number;
  readonly limit: number;
  /** Page after this one in the linear address space; -1 with the fault fields set. Asked for only when needed. */
  nextPage(): number;
}

/** What is known of an instruction without a look at all of its operands. */
export interface KnownInstruction {
  /** The instruction, or another of the same form: displacements, immediates and relative targets may be others. */
  readonly instruction: Instruction;
  readonly offset: number;
  /** Offset that a relative jump or call leads to; `undefined` for other instructions. */
  readonly target: number | undefined;
  /** How often a relative jump was taken, as its record has it; 0 for other instructions. */
  readonly taken: number;
}

/** A block's records, as they stand in memory. */
export interface WrittenBlock {
  /** Address of the first record. */
  readonly record: number;
  readonly records: number;
  /** Offset in its page past the last byte that was looked at. */
  readonly end: number;
  /** Page that the last instruction continues in, or -1. */
  readonly nextPage: number;
}

export interface BlockWriterOptions {
  readonly buffer: ArrayBufferLike;
  /** Memory for records. */
  readonly area: { readonly base: number; readonly size: number };
  readonly map: PhysicalMap;
  readonly decode: Decoder;
  readonly formLength: FormReader;
  readonly handlers: Handlers;
  /** Whether other threads reach guest memory while code runs; not under `MODE_ALONE`. */
  readonly shared?: boolean;
  /** Whether the instruction at an offset in its page must begin a block that nothing links to. */
  separates(offset: number): boolean;
}

export interface BlockWriterParts extends BlockWriterOptions {
  /** Record of the block that begins at an offset of the page at hand, if one like that at `position` may go on there; or 0. */
  recordAt(position: CodePosition, offset: number): number;
  /** Called before bytes of a page are decoded: writes to it must be seen from then on. */
  reads(page: number): void;
}

export interface BlockWriter {
  /** Whether there is room for another block, whatever its size: `clear` first if not. */
  hasRoom(): boolean;
  /** Writes the block at a position; `undefined`: the fetch of its first instruction faults (the fault fields are set). */
  write(position: CodePosition, mode: ShapeMode): WrittenBlock | undefined;
  /**
   * The instruction at `at` of some bytes of code, which has a record, its offsets moved by `origin`; `undefined` where there
   * is none.
   */
  know(code: Uint8Array, at: number, record: number, mode: ShapeMode, origin: number): KnownInstruction | undefined;
  /** The bytes of an instruction that starts at `offset` of a page and ends in the page `nextPage`, and more. */
  joinPages(page: number, offset: number, nextPage: number): Uint8Array;
  /** No record is used any more. */
  clear(): void;
  /** How many records name each handler. */
  countHandlers(): Uint32Array;
  /** Handlers have other numbers from here on: those of `numbers` at their former ones. */
  renumber(numbers: Uint16Array): void;
  /** No handler is what it was. */
  forgetHandlers(): void;
  /** Instructions written so far. */
  readonly instructions: number;
}

interface Draft {
  readonly position: CodePosition;
  readonly mode: ShapeMode;
  at: number;
  offset: number;
  count: number;
  nextPage: number;
  /** Offset past the last byte that was looked at and did not become an instruction. */
  looked: number;
}

/** Whether a block ends with an instruction: it goes on behind conditional jumps, whose handlers may go on at the next record. */
function isLast({ encoding: { definition, operands } }: Instruction): boolean {
  const { name, ends } = definition;
  const conditional = operands.length === 1 && /^(j|loop)/.test(name) && name !== 'jmp' && name !== 'jmpf';
  return ends === true && !conditional;
}

export function createBlockWriter(options: BlockWriterParts): BlockWriter {
  const { buffer, area, map, decode, formLength, handlers, separates, recordAt, reads } = options;
  const data = new DataView(buffer);
  const bytes = new Uint8Array(buffer);
  const writer = createRecordWriter(data);
  const templates = new Map<ShapeMode, RecordTemplates>();
  /** Records grow upwards, notes of jump targets downwards. */
  let next = area.base;
  let notes = area.base + area.size;
  let instructions = 0;

  function templatesOf(mode: ShapeMode): RecordTemplates {
    let known = templates.get(mode);
    if (known === undefined) {
      known = createRecordTemplates(buffer, formLength, mode.codeSize);
      templates.set(mode, known);
    }
    return known;
  }

  const heatOf = (record: number): number => data.getUint16(record + RECORD.heat, true);

  function special(d: Draft, name: Special, length: number, count = d.count): void {
    writer.special(d.at, handlers.special[name], d.offset, d.offset + length, count);
    d.at += RECORD_SIZE;
  }

  /** Gives the record of a computed jump a place where its targets are noted. */
  function noteTargetsOf(record: number): void {
    notes -= JUMP_TARGETS_BYTES;
    bytes.fill(0, notes, notes + JUMP_TARGETS_BYTES);
    data.setUint32(record + RECORD.targets, notes, true);
  }

  function advance(d: Draft, length: number): void {
    d.at += RECORD_SIZE;
    d.offset += length;
    instructions++;
  }

  /** Writes one instruction's record. `code`: the page that it lies in, if it lies in one. */
  function emit(d: Draft, instruction: Instruction, code?: Uint8Array): void {
    const { encoding, length } = instruction;
    const { unit } = encoding.definition;
    const fault = unit === undefined ? undefined : keyUnitFault(d.position.modeKey, unit);
    d.count++;
    if (fault !== undefined) {
      writer.special(
        d.at,
        handlers.special[fault === 6 ? 'undefined' : 'deviceMissing'],
        d.offset,
        d.offset + length,
        d.count,
      );
      advance(d, length);
      return;
    }
    const shape = shapeOf(instruction, d.mode);
    bytes.fill(0, d.at, d.at + RECORD_SIZE);
    writer.instruction(d.at, handlers.index(shape), instruction, shape, d.offset, d.count);
    if (code !== undefined) templatesOf(d.mode).learn(code, d.offset, d.at, instruction, shape, isLast(instruction));
    if (isComputedJump(encoding)) noteTargetsOf(d.at);
    advance(d, length);
  }

  function emitKnown(d: Draft, template: Template, known: RecordTemplates, code: Uint8Array): void {
    d.count++;
    known.write(template, d.at, code, d.offset, d.count);
    if (template.computedJump) noteTargetsOf(d.at);
    advance(d, template.length);
  }

  /** The bytes of an instruction that starts at `offset` of a page and ends in the page `nextPage`, and more. */
  function joinPages(page: number, offset: number, nextPage: number): Uint8Array {
    const joined = new Uint8Array(32);
    const tail = PAGE_SIZE - offset;
    const host = map.readable(page);
    joined.set(bytes.subarray(host + offset, host + PAGE_SIZE));
    const nextHost = map.readable(nextPage);
    if (nextHost === 0) joined.fill(0xff, tail);
    else joined.set(bytes.subarray(nextHost, nextHost + 32 - tail), tail);
    return joined;
  }

  /** Decodes the first instruction when it does not fit its page. `false`: the fetch faults. */
  function emitCrossing(d: Draft): boolean {
    d.nextPage = d.position.nextPage();
    if (d.nextPage < 0) return false;
    // The look at it may have set an accessed bit in this page, and so dropped all that was known of it.
    reads(d.position.page);
    reads(d.nextPage);
    const joined = joinPages(d.position.page, d.offset, d.nextPage);
    const result = decode(joined, 0, d.mode);
    if (typeof result !== 'string' && !passesLimit(d, result.length)) emit(d, result);
    else {
      emitFault(d, result === 'undefined' ? 'undefined' : 'tooLong', 1);
      d.looked = d.offset + MAX_LENGTH;
    }
    return true;
  }

  /** Whether the next instruction passes the limit of CS. */
  const passesLimit = ({ position, offset }: Draft, length: number): boolean =>
    position.ip + (offset - position.offset) + length - 1 > position.limit;

  /** Writes what cannot be executed and ends the block. */
  function emitFault(d: Draft, name: 'undefined' | 'tooLong', length: number): void {
    d.count++;
    special(d, name, length);
  }

  /** Decodes up to the end of the block; `false`: the fetch of its first instruction faults. */
  function fill(d: Draft): boolean {
    reads(d.position.page);
    const host = map.readable(d.position.page);
    const code = bytes.subarray(host, host + PAGE_SIZE);
    const limit = (d.position.modeKey & (MODE_SINGLE | MODE.debug)) !== 0 ? 1 : BLOCK_LIMIT;
    const forms = templatesOf(d.mode);
    while (d.count < limit && d.offset < PAGE_SIZE) {
      if (d.count > 0) {
        if (separates(d.offset)) break;
        const known = recordAt(d.position, d.offset);
        if (known !== 0) {
          data.setUint32(d.at + RECORD.link, known, true);
          special(d, 'continue', 0, d.count + 1);
          return true;
        }
      }
      const template = forms.find(code, d.offset);
      if (template !== undefined && !passesLimit(d, template.length)) {
        emitKnown(d, template, forms, code);
        if (template.last) return true;
        continue;
      }
      const result = decode(code, d.offset, d.mode);
      if (result === 'short') {
        if (d.count > 0) break;
        if (!emitCrossing(d)) return false;
        break;
      }
      if (result === 'undefined' || result === 'long') {
        emitFault(d, result === 'long' ? 'tooLong' : 'undefined', 1);
        d.looked = Math.min(d.offset + MAX_LENGTH, PAGE_SIZE);
        return true;
      }
      // An instruction past the limit of CS faults by itself, as the first of its block.
      if (passesLimit(d, result.length)) {
        if (d.count > 0) break;
        emitFault(d, 'tooLong', result.length);
        return true;
      }
      emit(d, result, code);
      if (isLast(result)) return true;
    }
    // It stands for the next instruction, which it does not run, and may itself turn stale.
    special(d, 'end', 0, d.count + 1);
    return true;
  }

  return {
    hasRoom: () => next + (BLOCK_LIMIT + 2) * RECORD_SIZE + JUMP_TARGETS_BYTES <= notes,
    write(position, mode) {
      const draft: Draft = { position, mode, at: next, offset: position.offset, count: 0, nextPage: -1, looked: 0 };
      const record = next;
      if (!fill(draft)) return undefined;
      next = draft.at;
      const records = (draft.at - record) / RECORD_SIZE;
      return { record, records, end: Math.max(draft.offset, draft.looked), nextPage: draft.nextPage };
    },
    know(code, at, record, mode, origin) {
      const offset = origin + at;
      const forms = templatesOf(mode);
      const template = code.length < PAGE_SIZE ? undefined : forms.find(code, at);
      if (template !== undefined) {
        template.instruction ??= decode(code, at, mode) as Instruction;
        const { instruction, length, links } = template;
        const target = links === undefined ? undefined : offset + length + forms.relative(template, code, at);
        return { instruction, offset, target, taken: target === undefined ? 0 : heatOf(record) };
      }
      const instruction = decode(code, at, mode);
      if (typeof instruction === 'string') return undefined;
      const operand = instruction.operands[0];
      const target = operand?.kind === 'relative' ? offset + instruction.length + operand.value : undefined;
      return { instruction, offset, target, taken: target === undefined ? 0 : heatOf(record) };
    },
    joinPages,
    clear() {
      next = area.base;
      notes = area.base + area.size;
    },
    countHandlers() {
      const counts = new Uint32Array(HANDLER_INDICES);
      const halves = new Uint16Array(buffer);
      for (let at = area.base; at < next; at += RECORD_SIZE) counts[halves[(at + RECORD.handler) / 2]]++;
      return counts;
    },
    renumber(numbers) {
      const halves = new Uint16Array(buffer);
      for (let at = area.base; at < next; at += RECORD_SIZE) {
        const half = (at + RECORD.handler) / 2;
        halves[half] = numbers[halves[half]];
      }
      for (const forms of templates.values()) forms.renumber(numbers);
    },
    forgetHandlers: () => templates.clear(),
    get instructions() {
      return instructions;
    },
  };
}
