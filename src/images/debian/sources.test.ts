import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Source } from '../apt/sources.ts';
import { guestProxy, guestSources } from './sources.ts';

const source = (uri: string, suite: string, signedBy?: Source['signedBy']): Source => ({
  ...{ uri, suite, components: ['main', 'contrib'], checkValidUntil: true },
  ...(signedBy && { signedBy }),
});

async function told(sources: readonly Source[], keyring?: string, aptDirectory = '/nowhere') {
  const warnings: string[] = [];
  const found = await guestSources({ sources, keyring, aptDirectory, warn: (text) => warnings.push(text) });
  return { found, warnings };
}

test('the suites of one archive are one stanza, signed by the keyring that the system brings', async () => {
  const debian = { files: ['/usr/share/keyrings/debian-archive-keyring.gpg'], fingerprints: [] };
  const { found, warnings } = await told([
    source('http://mirror.example/debian', 'bookworm'),
    source('http://mirror.example/debian', 'bookworm-updates', debian),
    source('http://mirror.example/debian-security', 'bookworm-security'),
  ]);
  assert.deepEqual(
    found.map(({ uri, suites, components, signedBy, keyring }) => [
      uri,
      suites.join(' '),
      ...components,
      signedBy,
      keyring,
    ]),
    [
      ['http://mirror.example/debian', 'bookworm bookworm-updates', 'main', debian.files[0], undefined],
      ['http://mirror.example/debian-security', 'bookworm-security', 'main', debian.files[0], undefined],
    ],
  );
  assert.deepEqual(warnings, []);
});

test('keys that the system does not bring come along', async (context: TestContext) => {
  const directory = mkdtempSync(join(tmpdir(), 'virts-test-'));
  context.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'keys.gpg');
  writeFileSync(path, Uint8Array.of(1, 2, 255));
  for (const { found } of [
    await told([source('http://m.example', 'bookworm')], path),
    await told([source('http://m.example', 'bookworm', { files: [path], fingerprints: [] })]),
  ]) {
    assert.equal(found[0]!.signedBy, '/etc/apt/keyrings/archive-0.gpg');
    assert.deepEqual(found[0]!.keyring, { path: found[0]!.signedBy, mode: 0o644, content: Buffer.of(1, 2, 255) });
  }
});

test('no password gets into an image, and no address that means another host there', async () => {
  const { found, warnings } = await told([
    source('https://name:secret@mirror.example/debian', 'bookworm'),
    source('file:///srv/debian', 'bookworm-updates'),
    source('http://127.0.0.1:3142/debian', 'bookworm-security'),
  ]);
  assert.deepEqual(
    found.map(({ uri }) => uri),
    ['https://mirror.example/debian'],
  );
  assert.equal(warnings.length, 2);
});

test('a proxy is the one that APT would use, if a machine can reach it', () => {
  const sources = [
    { uri: 'http://m.example/debian', suites: ['bookworm'], components: ['main'], signedBy: '/k', keyring: undefined },
  ];
  const proxy = (address: string) => guestProxy(sources, new Map([['acquire::http::proxy', address]]), {});
  assert.equal(proxy('http://cache.example:3128/'), 'http://cache.example:3128');
  assert.equal(proxy('http://name:secret@cache.example:3128'), 'http://cache.example:3128');
  assert.equal(proxy('http://localhost:3128'), undefined);
  assert.equal(proxy('DIRECT'), undefined);
  assert.equal(guestProxy(sources, new Map(), {}), undefined);
});
