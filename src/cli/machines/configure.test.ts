import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { configurationOf } from './configure.ts';

const directory = mkdtempSync(join(tmpdir(), 'virts-test-'));
after(() => rmSync(directory, { recursive: true }));

const ADDRESS = 'https://server.example/a/debian.qcow2?v=1';
const disk = (path: string) => ({ path, readOnly: false, snapshot: true, anyBacking: false });
const paths = ({ disks }: ReturnType<typeof configurationOf>) => disks.map(({ path }) => path);

test('disks of a command line count from the working directory; one on a web server is where it is', () => {
  const configuration = configurationOf({ settings: { disk: [disk('a.qcow2'), disk(ADDRESS)] } });
  assert.deepEqual(paths(configuration), [resolve('a.qcow2'), ADDRESS]);
});

test('disks of a file count from its directory; one on a web server is where it is', () => {
  const file = join(directory, 'machine.yaml');
  writeFileSync(file, JSON.stringify({ disks: [disk('a.qcow2'), disk(ADDRESS)] }));
  assert.deepEqual(paths(configurationOf({ settings: {}, file })), [join(directory, 'a.qcow2'), ADDRESS]);
});
