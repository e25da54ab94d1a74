import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../../base/errors.ts';
import { type Dependent, dependencyClosure, type Lookup, parseDependencies } from './dependencies.ts';
import { openIndex } from './packages.ts';

type Needs = Readonly<Record<string, string | readonly [preDepends: string, depends: string]>>;

function lookupIn(packages: Needs, provided: Readonly<Record<string, readonly string[]>> = {}): Lookup<Dependent> {
  return {
    find(name) {
      const needs = packages[name];
      if (needs === undefined) return undefined;
      const [preDepends, depends] = typeof needs === 'string' ? ['', needs] : needs;
      return { name, depends, preDepends };
    },
    providers: (name) => provided[name] ?? [],
    unknown: (name) => new VirtsError('not-found', `no ${name}`),
  };
}

const closure = (names: string[], packages: Needs, without: string[] = [], provided = {}): string[] =>
  dependencyClosure(names, new Set(without), lookupIn(packages, provided)).map(({ name }) => name);

test('a field without its versions, architectures and build profiles', () => {
  assert.deepEqual(parseDependencies('libc6 (>= 2.36), debconf (>= 0.5) | debconf-2.0, python3:any,\n perl [amd64]'), [
    ['libc6'],
    ['debconf', 'debconf-2.0'],
    ['python3'],
    ['perl'],
  ]);
  assert.deepEqual(parseDependencies(''), []);
});

test('Depends and Pre-Depends are followed, circles included', () => {
  const packages: Needs = { a: ['b', 'c'], b: 'd', c: '', d: 'a', unrelated: '' };
  assert.deepEqual(closure(['a'], packages), ['a', 'b', 'c', 'd']);
});

test('of alternatives the one that is taken anyway, else the first that exists', () => {
  const packages: Needs = { a: 'nothing | c | b', b: '', c: '' };
  assert.deepEqual(closure(['a'], packages), ['a', 'c']);
  assert.deepEqual(closure(['b', 'a'], packages), ['a', 'b']);
});

test('a virtual package stands for one that provides it', () => {
  const packages: Needs = { a: 'v', p: '', q: '' };
  assert.deepEqual(closure(['a'], packages, [], { v: ['p', 'q'] }), ['a', 'p']);
  assert.deepEqual(closure(['q', 'a'], packages, [], { v: ['p', 'q'] }), ['a', 'q']);
});

test('what is done without takes along what only it needs', () => {
  const packages: Needs = { a: 'b, c', b: 'only-b', c: '', 'only-b': '' };
  assert.deepEqual(closure(['a'], packages, ['b']), ['a', 'c']);
});

test('a package that there is not', () => {
  assert.throws(() => closure(['a'], { a: 'b' }), { kind: 'not-found', message: 'no b' });
});

test('providers in an index', () => {
  const index = Buffer.from(
    'Package: one\nProvides: v (= 1), w\nVersion: 1\n\nPackage: two\nVersion: 1\nProvides: x, v\n\nPackage: v-more\nProvides: v-more-still\n',
  );
  assert.deepEqual(openIndex(index).providers('v'), ['one', 'two']);
  assert.deepEqual(openIndex(index).providers('w'), ['one']);
  assert.deepEqual(openIndex(index).providers('none'), []);
});
