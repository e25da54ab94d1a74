import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCompiledRegions } from './compiled-regions.ts';
import type { RegionRequest } from './compiler.ts';

const MODE = {
  codeSize: 8,
  stackSize: 8,
  protected: true,
  flatSegments: [true, true, true, true, true, true],
} as const;

const request = (id: number, code: readonly number[], other: Partial<RegionRequest> = {}): RegionRequest => ({
  id,
  mode: MODE,
  blocks: [{ offset: 0x100, length: code.length, ending: 'dynamic', successors: [], seldom: false }],
  code: Uint8Array.from(code),
  checked: false,
  ...other,
});
const made = (length: number) => ({ imports: ['regionCheck'], bytes: new Uint8Array(length), cells: 3 });

test('who asks for the same gets the same, whoever it was made for', () => {
  const regions = createCompiledRegions();
  const first = made(10);
  regions.put(request(1, [0xc3]), first);
  assert.deepEqual(regions.get(request(2, [0xc3])), first);
  for (const other of [
    request(2, [0x90, 0xc3]),
    request(2, [0xcb]),
    request(2, [0xc3], { checked: true }),
    request(2, [0xc3], { mode: { ...MODE, shared: true } }),
    request(2, [0xc3], { blocks: [{ offset: 0x100, length: 1, ending: 'leaves', successors: [], seldom: false }] }),
    request(2, [0xc3], { numbers: { place: 20, cell: 0x1000 } }),
  ])
    assert.equal(regions.get(other), undefined);
});

test('what is for one place only is not kept', () => {
  const regions = createCompiledRegions();
  const own = request(1, [0xc3], { numbers: { place: 20, cell: 0x1000 } });
  regions.put(own, made(10));
  assert.equal(regions.get(own), undefined);
  assert.equal(regions.get(request(1, [0xc3])), undefined);
});

test('the ones asked for longest ago go where there are too many', () => {
  const regions = createCompiledRegions(4000);
  for (const code of [1, 2, 3]) regions.put(request(code, [code]), made(1000));
  assert.ok(regions.get(request(9, [1])));
  regions.put(request(4, [4]), made(1000));
  const there = [1, 2, 3, 4].filter((code) => regions.get(request(9, [code])) !== undefined);
  assert.deepEqual(there, [1, 3, 4]);
});
