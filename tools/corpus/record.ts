/** Records forms: makes their inputs, runs them on the oracle, appends the outcomes to a corpus file. */

import { type CorpusWriter, makeInput } from './format.ts';
import { type CorpusForm, checkEncoding, inputOver } from './forms.ts';
import { IMAGE, startOf, TEST } from './layout.ts';
import { maskUndefined } from './mask.ts';
import { checkUsable, type Oracle } from './oracle.ts';
import { createRandom, hashText } from './prng.ts';
import type { Setup } from './setup.ts';

export interface Amount {
  /** Calls of a form's `encode`; equal ones are recorded once. */
  readonly encodings: number;
  /** Of each form, over all its encodings. */
  readonly cases: number;
}

/** The distinct encodings of a form, in a reproducible order. */
function encodingsOf(form: CorpusForm, seed: number, count: number) {
  const random = createRandom(hashText(form.id), seed, -1);
  const found = new Map<string, ReturnType<CorpusForm['encode']>>();
  for (let i = 0; i < count; i++) {
    const encoding = form.encode(random);
    checkEncoding(form, encoding);
    const key = JSON.stringify([Buffer.from(encoding.bytes).toString('hex'), encoding.setup]);
    if (!found.has(key)) found.set(key, encoding);
  }
  return [...found.values()];
}

const ALL_STATE: Setup = { vector: 'f32', fpu: 'f80', memory: 'f80' };
const NOP = Uint8Array.of(0x90);

/** Throws unless an instruction without effect leaves every part of the state alone, in every mode. */
export async function checkOracle(oracle: Oracle): Promise<void> {
  for (const mode of [16, 32, 64] as const) {
    const form = { id: 'self-test', mode };
    const tests = new Uint8Array(200 * TEST.size);
    const views = Array.from({ length: 200 }, (_, i) => new DataView(tests.buffer, i * TEST.size, TEST.size));
    views.forEach((view, number) => {
      makeInput(form, 0, number, NOP, ALL_STATE, view);
    });
    const outcomes = await oracle.run(tests);
    outcomes.forEach((outcome, i) => {
      maskUndefined(views[i]!, outcome, {});
      const after = Buffer.from(outcome.image.buffer).subarray(IMAGE.rflags);
      const before = Buffer.from(
        tests.subarray(i * TEST.size + TEST.image + IMAGE.rflags, i * TEST.size + TEST.window),
      );
      const next = outcome.image.getBigUint64(IMAGE.rip, true) === startOf(mode) + 1n;
      if (outcome.fault !== undefined || outcome.memory.length > 0 || !next || !after.equals(before)) {
        throw new Error(`the oracle does not hold its state in ${mode}-bit mode (case ${i})`);
      }
    });
  }
}

/** Returns the number of cases recorded. Throws `UnusableCase` when one never ends or calls the kernel. */
export async function recordForm(
  oracle: Oracle,
  writer: CorpusWriter,
  form: CorpusForm,
  seed: number,
  amount: Amount,
): Promise<number> {
  const { id, text, mode, approximate } = form;
  writer.startForm({ id, text, mode, ...(approximate && { approximate }) });
  const encodings = encodingsOf(form, seed, amount.encodings);
  const cases = Math.ceil((amount.cases * (form.weight ?? 1)) / encodings.length);
  let number = 0;
  let recorded = 0;
  for (const encoding of encodings) {
    const { bytes, setup } = encoding;
    writer.startEncoding(bytes, setup);
    const tests = new Uint8Array(cases * TEST.size);
    const numbers: number[] = [];
    for (let i = 0; i < cases; i++, number++) {
      const view = new DataView(tests.buffer, numbers.length * TEST.size, TEST.size);
      makeInput(form, seed, number, bytes, setup, view);
      if (form.accept?.(inputOver(view), encoding) ?? true) numbers.push(number);
    }
    const outcomes = await oracle.run(tests.subarray(0, numbers.length * TEST.size));
    for (let i = 0; i < outcomes.length; i++) {
      const view = new DataView(tests.buffer, i * TEST.size, TEST.size);
      const outcome = outcomes[i]!;
      checkUsable(outcome, `${id} (${Buffer.from(bytes).toString('hex')})`);
      const parts = form.undefinedOf?.(inputOver(view), encoding) ?? {};
      maskUndefined(view, outcome, parts);
      writer.add(numbers[i]!, view, outcome, parts);
    }
    recorded += outcomes.length;
  }
  return recorded;
}
