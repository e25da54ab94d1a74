/**
 * The recorded cases again, with every encoding translated the first time it runs.
 *
 * What an encoding costs is its translation, about a millisecond; a case costs some microseconds. So all forms are here,
 * each with up to `MOST_ENCODINGS` of its encodings and all the cases of these, chosen by the form's id. With
 * VIRTS_CORPUS=all every encoding is run.
 */
import assert from 'node:assert/strict';
import { env } from 'node:process';
import { test } from 'node:test';
import { readCorpus, type StoredForm } from '../../tools/corpus/format.ts';
import { hashText } from '../../tools/corpus/prng.ts';
import { groups, isLocked, MOST_SHOWN, readGroup } from './corpus-files.ts';
import { createReplay } from './replay.ts';

const MOST_ENCODINGS = env.VIRTS_CORPUS === 'all' ? Number.POSITIVE_INFINITY : 3;

/** Groups of instructions that regions leave to the interpreter. */
const INTERPRETED = /^(mmx|string|system|x87.*)$/;
/** Of the others, the least share of encodings in 32-bit and 64-bit code that must run translated. */
const LEAST_SHARE = 0.5;

/** The encodings of a form that are replayed, by number: spread over all of them from a place that differs by form. */
function chosen(form: StoredForm): ReadonlySet<number> {
  const { length } = form.encodings;
  const count = Math.min(length, MOST_ENCODINGS);
  const first = hashText(form.id) % length;
  return new Set(Array.from({ length: count }, (_, i) => (first + Math.floor((i * length) / count)) % length));
}

const replay = createReplay({ threshold: 1 });
const shared = createReplay({ threshold: 1 }, true);
const regions = () => replay.stats().regions ?? 0;

for (const group of groups) {
  test(`${group}: translated code does what the hardware did`, () => {
    const differences: string[] = [];
    const forms = new Map<string, ReadonlySet<number>>();
    const run = { forms: new Set<string>(), encodings: 0, translated: 0 };
    let number = -1;
    let bytes: Uint8Array | undefined;
    for (const recorded of readCorpus(readGroup(group))) {
      const { form } = recorded;
      let choice = forms.get(form.id);
      if (choice === undefined) {
        choice = chosen(form);
        forms.set(form.id, choice);
        number = -1;
      }
      const another = recorded.bytes !== bytes;
      if (another) number++;
      bytes = recorded.bytes;
      if (!choice.has(number) || differences.length === MOST_SHOWN) continue;
      const before = regions();
      const found = replay.run(recorded);
      if (isLocked(recorded)) found.push(...shared.run(recorded));
      run.forms.add(form.id);
      if (another && form.mode !== 16) {
        run.encodings++;
        if (regions() > before) run.translated++;
      }
      if (found.length === 0) continue;
      const text = Buffer.from(recorded.bytes).toString('hex');
      differences.push(`${form.id}, case ${recorded.number}, ${text}\n  ${found.join('\n  ')}`);
    }
    assert.deepEqual(differences, []);
    assert.equal(run.forms.size, forms.size, 'forms');
    if (INTERPRETED.test(group)) return;
    const share = run.translated / run.encodings;
    assert.ok(share >= LEAST_SHARE, `${run.translated} of ${run.encodings} encodings ran translated`);
  });
}
