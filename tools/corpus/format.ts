/**
 * The corpus files, `test/differential/corpus/<group>.bin.zst`: one zstd frame that holds
 *
 *     "VCORPUS" and the version (8 bytes), u32 length of the head, the head as JSON (`Head`), then for each of
 *     STREAM_NAMES a u32 length and the stream.
 *
 * Inputs are not stored: they follow from a form's id, the seed and the case's number through `setup.ts`. Each form carries
 * a hash of its inputs, so that a changed generator is noticed instead of comparing against the wrong expectation.
 */

import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { Approximate, Undefined } from './forms.ts';
import { IMAGE, type Mode, TEST } from './layout.ts';
import {
  type Outcome,
  type Readers,
  readOutcome,
  STREAM_NAMES,
  type StreamName,
  type Writers,
  writeOutcome,
} from './outcome.ts';
import { createRandom, hashText, hashWords } from './prng.ts';
import { type Setup, writeInput } from './setup.ts';
import { createReader, createWriter } from './streams.ts';

/** Raised when the layout, the coding, the random numbers or the meaning of a `Setup` change. */
export const CORPUS_VERSION = 1;
const MAGIC = 'VCORPUS';

/** A file that is damaged, of another version, or whose inputs are no longer made the same way. */
export class CorpusError extends Error {
  override readonly name = 'CorpusError';
}

export interface StoredEncoding {
  /** Hexadecimal. */
  readonly bytes: string;
  readonly setup: Setup;
  readonly cases: number;
}

export interface StoredForm {
  readonly id: string;
  readonly text: string;
  readonly mode: Mode;
  readonly approximate?: Approximate;
  readonly encodings: readonly StoredEncoding[];
  /** Of all its inputs, in order. */
  readonly hash: number;
}

interface Head {
  readonly seed: number;
  readonly forms: readonly StoredForm[];
  /** What cases refer to by number; entry 0 is `{}`. */
  readonly undefined: readonly Undefined[];
}

/** One case. All views are reused by the next one. */
export interface CorpusCase {
  readonly form: StoredForm;
  /** Of the form; together with its id it names the case in messages. */
  readonly number: number;
  readonly bytes: Uint8Array;
  readonly setup: Setup;
  /** TEST.size bytes: mode, code, image, window. */
  readonly input: DataView;
  readonly expected: Outcome;
  /** What of `expected` must not be compared; there it holds the input. */
  readonly undefined: Undefined;
}

/** Writes the input of case `number` of a form into `view`, TEST.size bytes. */
export function makeInput(
  form: { id: string; mode: Mode },
  seed: number,
  number: number,
  code: Uint8Array,
  setup: Setup,
  view: DataView,
): void {
  random.reseed(hashText(form.id), seed, number);
  writeInput(random, view, form.mode, code, setup);
}

const random = createRandom(0, 0, 0);

export interface CorpusWriter {
  startForm(form: { id: string; text: string; mode: Mode; approximate?: Approximate }): void;
  startEncoding(bytes: Uint8Array, setup: Setup): void;
  /** Cases of a form are numbered in increasing order; numbers may be left out. */
  add(number: number, input: DataView, outcome: Outcome, undefinedParts: Undefined): void;
  /** The compressed file. */
  finish(level?: number): Uint8Array;
}

type FormInProgress = Omit<StoredForm, 'encodings' | 'hash'> & {
  encodings: { bytes: string; setup: Setup; cases: number }[];
  hash: number;
};

export function createCorpusWriter(seed: number): CorpusWriter {
  const streams = Object.fromEntries(STREAM_NAMES.map((name) => [name, createWriter()])) as unknown as Writers;
  const forms: FormInProgress[] = [];
  const undefinedParts: Undefined[] = [];
  const undefinedNumbers = new Map<string, number>();
  const undefinedNumber = (parts: Undefined): number => {
    const key = JSON.stringify(parts);
    let number = undefinedNumbers.get(key);
    if (number === undefined) {
      number = undefinedParts.push(parts) - 1;
      undefinedNumbers.set(key, number);
    }
    return number;
  };
  undefinedNumber({});
  let next = 0;
  return {
    startForm(form) {
      next = 0;
      forms.push({ ...form, encodings: [], hash: 0 });
    },
    startEncoding(bytes, setup) {
      forms.at(-1)!.encodings.push({ bytes: Buffer.from(bytes).toString('hex'), setup, cases: 0 });
    },
    add(number, input, outcome, parts) {
      const form = forms.at(-1)!;
      form.encodings.at(-1)!.cases++;
      form.hash = hashWords(form.hash, new Uint32Array(input.buffer, input.byteOffset, TEST.size / 4));
      streams.shape.varint(number - next);
      next = number + 1;
      streams.flags.varint(undefinedNumber(parts));
      writeOutcome(streams, input, outcome);
    },
    finish(level = 19) {
      const out = createWriter();
      const chunk = (data: Uint8Array): void => {
        const length = new DataView(new ArrayBuffer(4));
        length.setUint32(0, data.length, true);
        out.bytes(new Uint8Array(length.buffer));
        out.bytes(data);
      };
      out.bytes(new TextEncoder().encode(MAGIC));
      out.byte(CORPUS_VERSION);
      chunk(new TextEncoder().encode(JSON.stringify({ seed, forms, undefined: undefinedParts } satisfies Head)));
      for (const name of STREAM_NAMES) chunk(streams[name].take());
      return zstdCompressSync(out.take(), { params: { [constants.ZSTD_c_compressionLevel]: level } });
    },
  };
}

interface Corpus {
  readonly head: Head;
  readonly streams: Readers;
}

function open(file: Uint8Array): Corpus {
  let data: Uint8Array;
  try {
    data = zstdDecompressSync(file);
  } catch (cause) {
    throw new CorpusError('not a corpus file', { cause });
  }
  const magic = new TextDecoder().decode(data.subarray(0, MAGIC.length));
  if (magic !== MAGIC) throw new CorpusError('not a corpus file');
  if (data[MAGIC.length] !== CORPUS_VERSION) {
    throw new CorpusError(`version ${data[MAGIC.length]} of the corpus; this is version ${CORPUS_VERSION}`);
  }
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  let at = MAGIC.length + 1;
  const chunk = (): Uint8Array => {
    const length = view.getUint32(at, true);
    at += 4 + length;
    return data.subarray(at - length, at);
  };
  const head = JSON.parse(new TextDecoder().decode(chunk())) as Head;
  const streams = Object.fromEntries(STREAM_NAMES.map((name): [StreamName, unknown] => [name, createReader(chunk())]));
  return { head, streams: streams as unknown as Readers };
}

/** The forms of a file, without its cases. */
export function readForms(file: Uint8Array): readonly StoredForm[] {
  return open(file).head.forms;
}

/**
 * All cases of a file in order. `CorpusError` when it is damaged, of another version, or recorded with other inputs than
 * this code makes.
 */
export function* readCorpus(file: Uint8Array): Generator<CorpusCase> {
  const { head, streams } = open(file);
  const input = new DataView(new ArrayBuffer(TEST.size));
  const words = new Uint32Array(input.buffer);
  const image = new DataView(new ArrayBuffer(IMAGE.size));
  const expected: Outcome = { image, fault: undefined, memory: [], segments: {} };
  for (const form of head.forms) {
    let hash = 0;
    let next = 0;
    for (const encoding of form.encodings) {
      const bytes = Uint8Array.from(Buffer.from(encoding.bytes, 'hex'));
      const { setup } = encoding;
      for (let i = 0; i < encoding.cases; i++) {
        const number = next + streams.shape.varint();
        next = number + 1;
        makeInput(form, head.seed, number, bytes, setup, input);
        hash = hashWords(hash, words);
        const parts = head.undefined[streams.flags.varint()];
        if (parts === undefined) throw new CorpusError(`${form.id}: damaged`);
        readOutcome(streams, input, expected);
        yield { form, number, bytes, setup, input, expected, undefined: parts };
      }
    }
    if (hash !== form.hash) {
      throw new CorpusError(`${form.id}: the inputs are made differently now; run tools/corpus/generate.ts again`);
    }
  }
  if (!streams.shape.atEnd()) throw new CorpusError('damaged: cases without a form');
}
