/** The example programs, as they stand. `hello` is run by `package.test.ts`, out of the package. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { importAgentImage } from '../boot/agent-image.ts';
import { runExample } from './run-example.ts';

describe('the examples', { concurrency: false }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'virts-examples-'));
  const data = process.env.XDG_DATA_HOME;

  before(async () => {
    process.env.XDG_DATA_HOME = join(directory, 'data');
    await importAgentImage(directory);
  });
  after(() => {
    if (data === undefined) delete process.env.XDG_DATA_HOME;
    else process.env.XDG_DATA_HOME = data;
    rmSync(directory, { recursive: true, force: true });
  });

  test('serve', async () => {
    assert.equal(await runExample('serve'), '200 <h1>A page of the guest</h1>\n\n');
  });

  test('network', async () => {
    assert.equal(await runExample('network'), 'a page for my neighbours\n');
  });

  test('test-in-debian', async () => {
    const said = await runExample('test-in-debian');
    assert.match(said, /^ok: files can be written\n/m);
    assert.match(said, /^not ok: the answer is 42: 'test \$\(\(6 \* 9\)\) = 42' in the guest ended with status 1\.\n/m);
    assert.match(said, /^ok: it is safe to break things\n1 failed\n$/m);
  });

  test('build', async () => {
    assert.equal(
      await runExample('build'),
      'greeting the world\ngreeting the moon\nThe build ended with 0\nHello, world!\nHello, moon!\n',
    );
  });
});
