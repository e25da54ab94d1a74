/** All forms to record: those of the instruction tables, and those written by hand. */

import { FAMILIES } from './families.ts';
import type { CorpusForm } from './forms.ts';
import { SAMPLE_FORMS } from './sample-forms.ts';
import { tableForms } from './table-forms.ts';

const SAMPLE_GROUPS: readonly string[] = [...new Set(SAMPLE_FORMS.map((form) => form.group))];

/** The forms of the groups named, or all. RangeError for a name that no group has. */
export function listForms(names: readonly string[]): readonly CorpusForm[] {
  const known = [...Object.keys(FAMILIES), ...SAMPLE_GROUPS];
  const wanted = names.length === 0 ? known : names;
  const unknown = wanted.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new RangeError(`no forms are called ${unknown.join(', ')}`);
  const samples = SAMPLE_FORMS.filter((form) => wanted.includes(form.group));
  return [...tableForms(wanted.filter((name) => name in FAMILIES)), ...samples];
}
