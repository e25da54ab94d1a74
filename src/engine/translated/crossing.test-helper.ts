/** Guests whose instructions lie across two pages, in ways that once kept the engine searching for ever. */
import { createRig, PAGE } from './rig.test-helper.ts';
import type { Translation } from './vcpu-interface.ts';

const COUNT = 20_000;

export interface Outcome {
  readonly result: string;
  /** Times round the loop. */
  readonly rounds: number;
  readonly wrong: bigint;
  readonly exceptions: readonly string[];
}

/** One page at two linear addresses, with other pages behind it: so the same bytes begin two instructions. */
export function aliases(translation: Translation | undefined): Outcome {
  const rig = createRig({ translation });
  rig.paging(32);
  for (const [linear, next] of [
    [0x10_0000, 0x1_1000],
    [0x30_0000, 0x1_2000],
  ]) {
    rig.mapPage(linear, 0x1_0000n | PAGE.all);
    rig.mapPage(linear + 0x1000, BigInt(next) | PAGE.all);
  }
  rig.write(0x1_0ffd, [0xb8, 1, 2]); // mov eax, 0x....0201
  rig.write(0x1_1000, [3, 4, 0xc3]); // ret
  rig.write(0x1_2000, [5, 6, 0xc3]);
  rig.write(0x1000, [
    ...[0xbb, 0xfd, 0x0f, 0x10, 0], // mov ebx, 0x100ffd
    ...[0xb9, 0xfd, 0x0f, 0x30, 0], // mov ecx, 0x300ffd
    ...[0xff, 0xd3], // again: call ebx
    ...[0x2d, 1, 2, 3, 4], // sub eax, 0x04030201
    ...[9, 0xc7], // or edi, eax
    ...[0x46], // inc esi
    ...[0xff, 0xd1], // call ecx
    ...[0x2d, 1, 2, 5, 6], // sub eax, 0x06050201
    ...[9, 0xc7], // or edi, eax
    ...[0xeb, 0xeb], // jmp again
  ]);
  const result = rig.run(0x1000, COUNT);
  return { result, rounds: Number(rig.state.gpr[6]), wrong: rig.state.gpr[7], exceptions: rig.exceptions };
}

/**
 * Code in a page table: fetching the rest of the instruction sets the accessed bit in the entry that ends the page, which
 * is `behind` bytes before the instruction or, for 0, its first byte.
 */
export function accessedBit(translation: Translation | undefined, behind: 0 | 1): Outcome {
  const rig = createRig({ translation });
  rig.paging(32);
  const table = rig.entryAddress(0n);
  rig.mapPage(0x3f_e000, BigInt(table) | PAGE.all);
  // As an instruction: ADD EAX, which an accessed bit makes AND EAX; or from its second byte on MOV EAX.
  const low = behind === 0 ? 0x05 : 0x07;
  const put = () => rig.mapPage(0x3f_f000, 0x10_b800 | low);
  put();
  rig.write(0x10_b000, behind === 0 ? [1, 0xff, 0xe3] : [1, 2, 0xff, 0xe3]); // jmp ebx
  const at = 0xfc + behind;
  rig.write(0x1000, [
    ...[0xb9, at, 0xef, 0x3f, 0], // mov ecx, 0x3feffc + behind
    ...[0xbb, 0x0a, 0x10, 0, 0], // mov ebx, again
    ...[0x46], // again: inc esi
    ...[0xc6, 5, 0xfc, 0xef, 0x3f, 0, low], // mov byte [0x3feffc], low
    ...[0x0f, 1, 0x3d, 0, 0xf0, 0x3f, 0], // invlpg [0x3ff000]
    ...[0xff, 0xe1], // jmp ecx
  ]);
  const result = rig.run(0x1000, COUNT);
  const wrong = behind === 0 ? 0n : rig.state.gpr[0] ^ 0x0201_0010n;
  return { result, rounds: Number(rig.state.gpr[6]), wrong, exceptions: rig.exceptions };
}
