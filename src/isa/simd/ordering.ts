/**
 * Fences and MOVNTI. Loads are in order among themselves and stores too, non-temporal ones included, which are like any others
 * here: only MFENCE has something to do.
 */
import type { Definition } from '../definition.ts';

/** All eight register forms: ModRM.rm is ignored (SDM vol. 2, LFENCE). */
function fence(name: string, firstModRm: number, feature: string, fences = false): Definition {
  const encodings = Array.from({ length: 8 }, (_, i) => `np 0f ae ${(firstModRm + i).toString(16)}`);
  return { name, encodings, feature, fences, semantics: () => {} };
}

export const ordering: readonly Definition[] = [
  fence('lfence', 0xe8, 'sse2'),
  fence('mfence', 0xf0, 'sse2', true),
  fence('sfence', 0xf8, 'sse'),
  {
    name: 'movnti',
    encodings: ['np 0f c3 /r My,Gy'],
    feature: 'sse2',
    semantics: (_b, dst, src) => dst.write(src.read()),
  },
];
