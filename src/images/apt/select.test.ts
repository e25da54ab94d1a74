import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mirrorPockets, selectPockets } from './select.ts';
import type { Source } from './sources.ts';

const source = (uri: string, suite: string, components = ['main']): Source => ({
  uri,
  suite,
  components,
  checkValidUntil: true,
});

const shown = (pockets: ReturnType<typeof selectPockets>): string[] =>
  pockets.map(({ suite, sources }) => `${suite}: ${sources.map(({ uri }) => uri).join(' ')}`);

test('a bookworm host serves with its own archives', () => {
  const pockets = selectPockets(
    [
      source('http://other.example.invalid/apt', 'nodistro'),
      source('http://a.example.invalid/debian', 'bookworm'),
      source('http://a.example.invalid/debian', 'bookworm-updates'),
      source('http://s.example.invalid/debian-security', 'bookworm-security'),
    ],
    'bookworm',
  );
  assert.deepEqual(shown(pockets), [
    'bookworm: http://a.example.invalid/debian',
    'bookworm-updates: http://a.example.invalid/debian',
    'bookworm-security: http://s.example.invalid/debian-security',
  ]);
  assert.deepEqual(
    pockets.map(({ required }) => required),
    [true, false, false],
  );
});

test('a host of another Debian release serves too, an exact suite first', () => {
  const pockets = selectPockets(
    [source('http://t.example.invalid/debian', 'trixie'), source('http://b.example.invalid/debian', 'bookworm')],
    'bookworm',
  );
  assert.equal(shown(pockets)[0], 'bookworm: http://b.example.invalid/debian http://t.example.invalid/debian');
  assert.ok(pockets[0]!.sources.every(({ suite }) => suite === 'bookworm'));
});

test('without a Debian archive the user is asked for a mirror', () => {
  const others = [
    source('http://u.example.invalid/ubuntu', 'noble'),
    source('tor+http://t.invalid/debian', 'bookworm'),
  ];
  for (const sources of [[], others]) {
    assert.throws(() => selectPockets(sources, 'bookworm'), { kind: 'usage', message: /--mirror URL/ });
  }
});

test('a mirror has the release, its updates, and security updates beside it', () => {
  assert.deepEqual(shown(mirrorPockets('http://m.example.invalid/debian/', 'bookworm')), [
    'bookworm: http://m.example.invalid/debian',
    'bookworm-updates: http://m.example.invalid/debian',
    'bookworm-security: http://m.example.invalid/debian-security',
  ]);
  assert.throws(() => mirrorPockets('ftp://m.example.invalid/', 'bookworm'), { kind: 'usage' });
  assert.throws(() => mirrorPockets('nonsense', 'bookworm'), { kind: 'usage' });
});
