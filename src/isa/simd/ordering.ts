/** Fences and MOVNTI. One thread's accesses are in order as it is, so that fences have nothing to do. */
import type { Definition } from '../definition.ts';

/** All eight register forms: ModRM.rm is ignored (SDM vol. 2, LFENCE). */
function fence(name: string, firstModRm: number, feature: string): Definition {
  const encodings = Array.from({ length: 8 }, (_, i) => `np 0f ae ${(firstModRm + i).toString(16)}`);
  return { name, encodings, feature, semantics: () => {} };
}

export const ordering: readonly Definition[] = [
  fence('lfence', 0xe8, 'sse2'),
  fence('mfence', 0xf0, 'sse2'),
  fence('sfence', 0xf8, 'sse'),
  {
    name: 'movnti',
    encodings: ['np 0f c3 /r My,Gy'],
    feature: 'sse2',
    semantics: (_b, dst, src) => dst.write(src.read()),
  },
];
