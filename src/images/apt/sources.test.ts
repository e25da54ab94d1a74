import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseOneLine, parseSignedBy, parseSourcesFile, readSources } from './sources.ts';

test('one-line entries with and without options', () => {
  const sources = parseOneLine(`
# deb http://commented.example.invalid/debian bookworm main
deb http://a.example.invalid/debian/ bookworm main contrib # trailing
deb-src http://a.example.invalid/debian bookworm main
deb [arch=amd64,i386 signed-by=/usr/share/keyrings/k.gpg check-valid-until=no] https://b.example.invalid/x trixie main
deb http://flat.example.invalid/repo ./
deb http://broken.example.invalid
`);
  assert.deepEqual(sources, [
    {
      uri: 'http://a.example.invalid/debian',
      suite: 'bookworm',
      components: ['main', 'contrib'],
      checkValidUntil: true,
    },
    {
      uri: 'https://b.example.invalid/x',
      suite: 'trixie',
      components: ['main'],
      checkValidUntil: false,
      signedBy: { files: ['/usr/share/keyrings/k.gpg'], fingerprints: [] },
    },
  ]);
});

test('deb822 stanzas give every combination of addresses and suites', () => {
  const sources = parseSourcesFile(`# comment
Types: deb deb-src
URIs: http://a.example.invalid/debian
 http://b.example.invalid/debian/
Suites: bookworm bookworm-updates
# between
Components: main
Signed-By: /k1.gpg, /k2.asc

Types: deb
Enabled: no
URIs: http://off.example.invalid/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://src.example.invalid/debian
Suites: bookworm
Components: main
`);
  assert.deepEqual(
    sources.map(({ uri, suite }) => `${uri} ${suite}`),
    [
      'http://a.example.invalid/debian bookworm',
      'http://b.example.invalid/debian bookworm',
      'http://a.example.invalid/debian bookworm-updates',
      'http://b.example.invalid/debian bookworm-updates',
    ],
  );
  assert.deepEqual(sources[0]!.signedBy?.files, ['/k1.gpg', '/k2.asc']);
});

test('Signed-By holds a key block or fingerprints', () => {
  const [source] = parseSourcesFile(`Types: deb
URIs: http://a.example.invalid/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 AAAA
 -----END PGP PUBLIC KEY BLOCK-----
`);
  const block = '-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----';
  assert.equal(source!.signedBy?.armored, block);
  const fingerprint = '0123456789abcdef0123456789abcdef01234567';
  assert.deepEqual(parseSignedBy(fingerprint).fingerprints, [fingerprint.toUpperCase()]);
});

test('the directory is read in order; without APT there are no sources', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'virts-test-'));
  t.after(() => rm(directory, { recursive: true }));
  assert.deepEqual(await readSources(join(directory, 'nothing')), []);
  await mkdir(join(directory, 'sources.list.d'));
  await writeFile(join(directory, 'sources.list'), 'deb http://0.example.invalid/ bookworm main\n');
  await writeFile(
    join(directory, 'sources.list.d/b.sources'),
    'Types: deb\nURIs: http://2.example.invalid\nSuites: bookworm\n',
  );
  await writeFile(join(directory, 'sources.list.d/a.list'), 'deb http://1.example.invalid/ bookworm main\n');
  await writeFile(join(directory, 'sources.list.d/c.disabled'), 'deb http://3.example.invalid/ bookworm main\n');
  const uris = (await readSources(directory)).map(({ uri }) => uri);
  assert.deepEqual(uris, ['http://0.example.invalid', 'http://1.example.invalid', 'http://2.example.invalid']);
});
