import assert from 'node:assert/strict';
import { test } from 'node:test';
import { analyse, analyseReducible } from './structure.ts';

test('a loop with a branch inside: header, merge, dominator tree', () => {
  // 0 -> 1 -> {2, 3} -> 4 -> {1, 5}
  const s = analyse({ successors: [[1], [2, 3], [4], [4], [1, 5], []] });
  assert.deepEqual(s.irreducible, []);
  assert.deepEqual(s.isHeader, [false, true, false, false, false, false]);
  assert.deepEqual(s.isMerge, [false, false, false, false, true, false]);
  assert.deepEqual([...s.children[1]].sort(), [2, 3, 4]);
  assert.deepEqual(s.children[4], [5]);
});

test('a loop with two entries is not reducible', () => {
  const s = analyse({ successors: [[1, 2], [2], [1]] });
  assert.deepEqual(s.irreducible, [[2, 1]]);
});

test('without the edges that spoil it a graph is reducible', () => {
  const { graph, structure } = analyseReducible({ successors: [[1, 2], [2], [1]] });
  assert.deepEqual(graph.successors, [[1, 2], [2], []]);
  assert.deepEqual(structure.irreducible, []);
});

test('nodes that cannot be reached have no position', () => {
  const s = analyse({ successors: [[2], [2], []] });
  assert.deepEqual(s.position, [0, -1, 1]);
});
