/** The files of recorded cases. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CorpusCase } from '../../tools/corpus/format.ts';

const FOLDER = join(import.meta.dirname, 'corpus');
const SUFFIX = '.bin.zst';

/** Names of the groups of forms, a file each. */
export const groups: readonly string[] = readdirSync(FOLDER)
  .filter((name) => name.endsWith(SUFFIX))
  .map((name) => name.slice(0, -SUFFIX.length));

export const readGroup = (group: string): Uint8Array => readFileSync(join(FOLDER, `${group}${SUFFIX}`));

/** Differences that are shown before a file is given up. */
export const MOST_SHOWN = 10;

/** Whether a case is of a locked instruction, XCHG with and without a prefix among them. */
export const isLocked = ({ bytes, form }: CorpusCase): boolean =>
  bytes.subarray(0, 3).includes(0xf0) || form.id.includes('xchg');
