import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unpackOrder } from './order.ts';

const order = (packages: Record<string, string>): string[] =>
  unpackOrder(Object.entries(packages).map(([name, preDepends]) => ({ name, preDepends }))).map(({ name }) => name);

test('what a package pre-depends on comes before it, and nothing else moves', () => {
  assert.deepEqual(order({ a: '', b: 'd (>= 1) | x, c', c: 'e', d: '', e: '' }), ['a', 'd', 'e', 'c', 'b']);
});

test('circles, and needs that are not there, end', () => {
  assert.deepEqual(order({ a: 'b', b: 'a', c: 'nowhere' }), ['b', 'a', 'c']);
});
