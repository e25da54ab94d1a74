/**
 * Records the corpus again: `npx node tools/corpus/generate.ts [--cases N] [--seed N] [--out FOLDER] [FAMILY…]`, where N
 * is the number of cases of a form of weight 1, and without families all are recorded.
 *
 * Needs an x86-64 Linux host with gcc; the tests that read the corpus need neither. The seed and the forms decide the
 * cases, so the same tables on the same processor give the same files.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { listForms } from './all-forms.ts';
import { createCorpusWriter } from './format.ts';
import type { CorpusForm } from './forms.ts';
import { type Oracle, startOracle } from './oracle.ts';
import { checkOracle, recordForm } from './record.ts';

const ENCODINGS = 8;

async function recordGroup(
  oracle: Oracle,
  group: string,
  forms: readonly CorpusForm[],
  seed: number,
  cases: number,
  folder: string,
) {
  const writer = createCorpusWriter(seed);
  let recorded = 0;
  for (const form of forms) recorded += await recordForm(oracle, writer, form, seed, { encodings: ENCODINGS, cases });
  const file = writer.finish();
  writeFileSync(join(folder, `${group}.bin.zst`), file);
  console.log(`${group}: ${forms.length} forms, ${recorded} cases, ${file.length} bytes`);
  return { recorded, bytes: file.length };
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      cases: { type: 'string', default: '100' },
      seed: { type: 'string', default: '1' },
      out: { type: 'string', default: join(import.meta.dirname, '../../test/differential/corpus') },
    },
  });
  const forms = listForms(positionals);
  if (new Set(forms.map((form) => form.id)).size !== forms.length) throw new Error('two forms have the same id');
  mkdirSync(values.out, { recursive: true });
  const oracle = startOracle();
  let recorded = 0;
  let bytes = 0;
  try {
    await checkOracle(oracle);
    for (const [group, members] of Map.groupBy(forms, (form) => form.group)) {
      const done = await recordGroup(oracle, group, members, Number(values.seed), Number(values.cases), values.out);
      recorded += done.recorded;
      bytes += done.bytes;
    }
  } finally {
    await oracle.close();
  }
  console.log(`${recorded} cases, ${(bytes / 1e6).toFixed(2)} MB, ${(bytes / recorded).toFixed(1)} bytes a case`);
}

await main();
