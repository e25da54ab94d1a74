/**
 * Records of instructions that were decoded before, by their forms: one of a known form gets a copy with its own
 * displacement, immediate and place. Code that is met for the first time is mostly made of known forms.
 */
import type { FormReader } from '../../isa/form.ts';
import type { Instruction } from '../../isa/instruction.ts';
import { PAGE_SIZE } from '../../memory/layout.ts';
import { isComputedJump } from './builder.ts';
import { LINK_OUTSIDE, RECORD, RECORD_SIZE } from './record.ts';
import type { Shape } from './shape.ts';

/** What all instructions of a form have in common. */
export interface Template {
  readonly length: number;
  /** It ends its block. */
  readonly last: boolean;
  /** Its record needs a place where targets are noted. */
  readonly computedJump: boolean;
  /** Where its record is in the images. */
  readonly image: number;
  readonly formBytes: number;
  readonly displacementBytes: number;
  readonly immediateBytes: number;
  /** What the record keeps of a sign-extended immediate. */
  readonly mask: number;
  /** For a jump to a relative target: whether it may be linked to one in its page; else `undefined`. */
  readonly links: boolean | undefined;
  /** An instruction of this form, once one was asked for. */
  instruction: Instruction | undefined;
}

/** The templates of one mode. */
export interface RecordTemplates {
  /** Handlers have other numbers: those of `numbers` at their former ones. */
  renumber(numbers: Uint16Array): void;
  /** The template of the instruction at `at` of a page, all of it there; `undefined`: it has to be decoded. */
  find(code: Uint8Array, at: number): Template | undefined;
  /** Writes the record of an instruction of a known form. Its `count` is that of `RECORD.count`. */
  write(template: Template, record: number, code: Uint8Array, at: number, count: number): void;
  /** Displacement of a relative target of the instruction at `at`, which is of the form of a template with such a one. */
  relative(template: Template, code: Uint8Array, at: number): number;
  /** Learns from a record that was written, to zeroed memory, for the instruction at `at`. `last`: it ends its block. */
  learn(code: Uint8Array, at: number, record: number, instruction: Instruction, shape: Shape, last: boolean): void;
}

/** Bytes of a form that tell it from others. */
const KEY_BYTES = 8;
/** Bytes before the end of a page within which everything is decoded. */
const MARGIN = 16;
/** 32-bit words of a record. */
const WORDS = RECORD_SIZE / 4;
/** Slots at first and at most; the table is at most half full, and forgets all where it would grow further. */
const SLOTS = { first: 1024, most: 65536 } as const;

/** A little-endian integer of 1, 2 or 4 bytes, sign-extended; 0 for none. */
function signed(code: Uint8Array, at: number, bytes: number): number {
  if (bytes === 1) return (code[at] << 24) >> 24;
  if (bytes === 2) return ((code[at] | (code[at + 1] << 8)) << 16) >> 16;
  if (bytes === 4) return code[at] | (code[at + 1] << 8) | (code[at + 2] << 16) | (code[at + 3] << 24);
  return 0;
}

/** What of an instruction's constants the form does not have; `undefined` where a record needs more than templates give. */
function constantsOf(instruction: Instruction, shape: Shape): Pick<Template, 'mask' | 'links'> | undefined {
  let mask = 0;
  let links: boolean | undefined;
  let constants = 0;
  for (const [i, operand] of instruction.operands.entries()) {
    const { letter } = instruction.encoding.operands[i];
    if (letter === 'O' || letter === 'A') return undefined;
    if (operand.kind === 'relative') {
      const { codeSize } = shape.mode;
      links = codeSize !== 2 && instruction.operandSize === codeSize;
      constants++;
    } else if (operand.kind === 'immediate' && letter !== 'fixed') {
      if (shape.operands[i].place !== 'immediate') return undefined;
      mask = operand.size >= 4 ? -1 : (1 << (operand.size * 8)) - 1;
      constants++;
    }
  }
  return constants > 1 || ![0, 1, 2, 4].includes(instruction.immediateBytes) ? undefined : { mask, links };
}

export function createRecordTemplates(
  buffer: ArrayBufferLike,
  formLength: FormReader,
  codeSize: 2 | 4 | 8,
): RecordTemplates {
  const words = new Uint32Array(buffer);
  const halves = new Uint16Array(buffer);
  let slots: number = SLOTS.first;
  let low = new Int32Array(slots);
  let high = new Int32Array(slots);
  let templates: (Template | undefined)[] = new Array(slots).fill(undefined);
  /** Records of all templates. */
  let images = new Uint32Array((slots / 2) * WORDS);
  let count = 0;
  /** The key of the last form that was looked for. */
  let keyLow = 0;
  let keyHigh = 0;

  /** Reads the form at `at` into the key; its length, or 0. */
  function readKey(code: Uint8Array, at: number): number {
    if (at > PAGE_SIZE - MARGIN) return 0;
    const length = formLength(code, at, codeSize);
    if (length > KEY_BYTES) return 0;
    keyLow = 0;
    keyHigh = 0;
    for (let i = 0; i < length; i++) {
      if (i < 4) keyLow |= code[at + i] << (8 * i);
      else keyHigh |= code[at + i] << (8 * i - 32);
    }
    return length;
  }

  /** The slot of the key, or the free one where it would be. */
  function slotOfKey(): number {
    const mixed = Math.imul(keyLow, 0x9e3779b1) ^ Math.imul(keyHigh ^ (keyLow >>> 15), 0x85ebca77);
    let slot = (mixed ^ (mixed >>> 15)) & (slots - 1);
    while (templates[slot] !== undefined && (low[slot] !== keyLow || high[slot] !== keyHigh))
      slot = (slot + 1) & (slots - 1);
    return slot;
  }

  function insert(template: Template): void {
    const slot = slotOfKey();
    if (templates[slot] === undefined) count++;
    low[slot] = keyLow;
    high[slot] = keyHigh;
    templates[slot] = template;
  }

  function makeRoom(): void {
    const before = { low, high, templates };
    const forgets = slots === SLOTS.most;
    slots = forgets ? SLOTS.first : 2 * slots;
    low = new Int32Array(slots);
    high = new Int32Array(slots);
    templates = new Array(slots).fill(undefined);
    count = 0;
    const known = images;
    images = new Uint32Array((slots / 2) * WORDS);
    if (forgets) return;
    images.set(known);
    before.templates.forEach((template, slot) => {
      if (template === undefined) return;
      keyLow = before.low[slot];
      keyHigh = before.high[slot];
      insert(template);
    });
  }

  return {
    renumber(numbers) {
      const halves = new Uint16Array(images.buffer);
      for (let at = RECORD.handler / 2; at < halves.length; at += RECORD_SIZE / 2) halves[at] = numbers[halves[at]];
    },
    find(code, at) {
      return readKey(code, at) === 0 ? undefined : templates[slotOfKey()];
    },
    write(template, record, code, at, count) {
      const { image, formBytes, displacementBytes, immediateBytes, links } = template;
      const word = record >> 2;
      for (let i = 0; i < WORDS; i++) words[word + i] = images[image + i];
      const half = record >> 1;
      const end = at + template.length;
      halves[half + RECORD.offset / 2] = at;
      halves[half + RECORD.next / 2] = end;
      halves[half + RECORD.count / 2] = count;
      const tail = at + formBytes;
      if (displacementBytes > 0) words[word + RECORD.displacement / 4] = signed(code, tail, displacementBytes);
      if (immediateBytes === 0) return;
      const constant = signed(code, tail + displacementBytes, immediateBytes);
      if (links === undefined) {
        words[word + RECORD.immediate / 4] = constant & template.mask;
        return;
      }
      const target = end + constant;
      words[word + RECORD.displacement / 4] = constant;
      words[word + RECORD.link / 4] = links && target >= 0 && target < PAGE_SIZE ? 0 : LINK_OUTSIDE;
    },
    relative: ({ formBytes, immediateBytes }, code, at) => signed(code, at + formBytes, immediateBytes),
    learn(code, at, record, instruction, shape, last) {
      const { length, displacementBytes, immediateBytes } = instruction;
      const constants = constantsOf(instruction, shape);
      if (constants === undefined) return;
      if (2 * (count + 1) > slots) makeRoom();
      const formBytes = readKey(code, at);
      if (formBytes === 0 || formBytes !== length - displacementBytes - immediateBytes) return;
      const known = templates[slotOfKey()];
      const image = known?.image ?? count * WORDS;
      images.set(words.subarray(record >> 2, (record >> 2) + WORDS), image);
      const computedJump = isComputedJump(instruction.encoding);
      insert({
        length,
        last,
        computedJump,
        image,
        formBytes,
        displacementBytes,
        immediateBytes,
        ...constants,
        instruction: undefined,
      });
    },
  };
}
