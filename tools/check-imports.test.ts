import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { checkImports, fileCycles, findCycles, NOT_PORTABLE, PORTABLE } from './check-imports.ts';
import { readSourceImports } from './source-imports.ts';

const TSCONFIG = JSON.stringify({
  compilerOptions: { module: 'nodenext', types: [], allowImportingTsExtensions: true, noEmit: true },
  include: ['src'],
});

/** Writes a project, hands its root to `look`, and removes it. */
function withTree<T>(files: Readonly<Record<string, string>>, look: (root: string) => T): T {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'virts-imports-')));
  try {
    for (const [path, text] of Object.entries({ 'tsconfig.json': TSCONFIG, ...files })) {
      mkdirSync(join(root, dirname(path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return look(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

const findingsOf = (files: Readonly<Record<string, string>>) => withTree(files, (root) => checkImports(root).findings);

const BYTES = 'export const bytes = 1;\nexport interface Bytes {}\n';

test('imports down the floors, on the same floor, and of Node above the portable floors are in order', () => {
  const findings = findingsOf({
    'src/base/bytes.ts': BYTES,
    'src/memory/page.ts': "import { bytes } from '../base/bytes.ts';\nexport const page = bytes;\n",
    'src/memory/map.ts': "import { page } from './page.ts';\nexport const map = page;\n",
    'src/cli/main.ts': "import 'node:fs';\nimport 'commander';\nimport '../memory/map.ts';\n",
  });
  assert.deepEqual(findings, []);
});

test('an import of a higher floor is found in each form it can take', () => {
  const forms = {
    statement: "import { bytes } from '../cpu/bytes.ts';\nexport const x = bytes;",
    effect: "import '../cpu/bytes.ts';",
    type: "import type { Bytes } from '../cpu/bytes.ts';\nexport type X = Bytes;",
    inlineType: "export type X = import('../cpu/bytes.ts').Bytes;",
    dynamic: "export const x = await import('../cpu/bytes.ts');",
    reexport: "export * from '../cpu/bytes.ts';",
  };
  for (const [name, text] of Object.entries(forms)) {
    const findings = findingsOf({ 'src/cpu/bytes.ts': BYTES, 'src/memory/map.ts': `\n${text}\n` });
    const expected = "src/memory/map.ts:2: '../cpu/bytes.ts' is on the floor 'cpu', which is above 'memory'";
    assert.deepEqual(findings, [expected], name);
  }
});

test('text that only looks like an import is none', () => {
  const text = [
    "// import '../cpu/bytes.ts';",
    "/* import '../cpu/bytes.ts'; */",
    'export const a = `import "../cpu/bytes.ts"`;',
    'export const b = "import \'node:fs\'";',
  ];
  assert.deepEqual(findingsOf({ 'src/cpu/bytes.ts': BYTES, 'src/memory/map.ts': text.join('\n') }), []);
});

test('a portable floor imports neither Node nor packages nor extra types', () => {
  const findings = findingsOf({
    'src/devices/a.ts': "import 'node:fs';\nimport 'fs';\nimport type { X } from 'koffi';\nexport type Y = X;\n",
    'src/devices/b.ts': '/// <reference lib="dom" />\n/// <reference types="node" />\nexport {};\n',
    'src/engine/kvm/c.ts': "import 'node:fs';\nimport 'koffi';\n",
    'src/engine/translated/d.ts': "import 'node:worker_threads';\nimport '../kvm/c.ts';\n",
  });
  assert.deepEqual(findings, [
    "src/devices/a.ts:1: 'node:fs' is not to be had in a browser",
    "src/devices/a.ts:2: 'fs' is not to be had in a browser",
    "src/devices/a.ts:3: 'koffi' is not to be had in a browser",
    'src/devices/b.ts:1: a reference directive brings in types that a browser may lack',
    'src/devices/b.ts:2: a reference directive brings in types that a browser may lack',
    "src/engine/translated/d.ts:1: 'node:worker_threads' is not to be had in a browser",
    "src/engine/translated/d.ts:2: '../kvm/c.ts' does not run in a browser",
  ]);
});

test('what only a browser runs imports packages, but neither Node nor what needs it', () => {
  const findings = findingsOf({
    'tsconfig.json': TSCONFIG.replace('"src"]', '"src"],"exclude":["src/browser"]'),
    'tsconfig.browser.json': TSCONFIG.replace('["src"]', '["src/browser"]'),
    'src/base/bytes.ts': BYTES,
    'src/images/a.ts': 'export {};\n',
    'src/browser/a.ts': "import '@xterm/xterm';\nimport './b.ts';\nimport '../base/bytes.ts';\n",
    'src/browser/b.ts': "import 'node:fs';\nimport 'path';\nimport '../images/a.ts';\n",
    'src/cli/c.ts': "import '../browser/a.ts';\n",
  });
  assert.deepEqual(findings.toSorted(), [
    "src/browser/b.ts:1: 'node:fs' is not to be had in a browser",
    "src/browser/b.ts:2: 'path' is not to be had in a browser",
    "src/browser/b.ts:3: '../images/a.ts' does not run in a browser",
    "src/cli/c.ts:1: '../browser/a.ts' is on the floor 'browser', which is above 'cli'",
  ]);
});

test('tests may import anything, but nothing may import them, nor what is outside src', () => {
  const findings = findingsOf({
    'src/base/a.test.ts': "import 'node:test';\nimport '../cli/main.ts';\nimport './b.test-helper.ts';\n",
    'src/base/b.test-helper.ts': "import 'node:assert';\n",
    'src/cli/main.ts': "import '../base/b.test-helper.ts';\nimport '../../tools/x.ts';\n",
    'tools/x.ts': 'export {};\n',
  });
  assert.deepEqual(findings, [
    "src/cli/main.ts:1: '../base/b.test-helper.ts' is for tests only",
    "src/cli/main.ts:2: '../../tools/x.ts' is outside src/",
  ]);
});

test('a folder that is no floor is found', () => {
  assert.deepEqual(findingsOf({ 'src/utils/a.ts': 'export {};\n' }), ["src/utils/a.ts: 'utils' is not a floor"]);
});

test('a cycle of files is found unless one of its imports is of types', () => {
  const tree = (statement: string) => ({
    'src/base/a.ts': "import { b } from './b.ts';\nexport const a = () => b;\n",
    'src/base/b.ts': "import { c } from './c.ts';\nexport const b = () => c;\n",
    'src/base/c.ts': `${statement} from './a.ts';\nexport const c = 1;\nexport type C = typeof a;\n`,
  });
  const cycle = ['src/base/a.ts', 'src/base/b.ts', 'src/base/c.ts'];
  assert.deepEqual(findingsOf(tree('import { a }')), [`src/base/a.ts: a cycle of imports: ${cycle.join(', ')}`]);
  assert.deepEqual(findingsOf(tree('import type { a }')), []);
  const withTypes = withTree(tree('import type { a }'), (root) => fileCycles(readSourceImports(root), true));
  assert.deepEqual(withTypes, [cycle]);
});

test('cycles that share a node are one, and an edge to itself is a cycle', () => {
  const graph = new Map([
    ['a', ['b']],
    ['b', ['a', 'c']],
    ['c', ['b', 'd']],
    ['d', ['e']],
    ['e', ['e', 'f']],
    ['f', []],
  ]);
  assert.deepEqual(findCycles(graph), [['e'], ['a', 'b', 'c']]);
});

test('the compiler watches the same portable floors', () => {
  const config = JSON.parse(readFileSync(new URL('../tsconfig.core.json', import.meta.url), 'utf8')) as {
    include: string[];
    exclude: string[];
  };
  const listed = config.include.filter((path) => path.startsWith('src/'));
  assert.deepEqual(listed.toSorted(), PORTABLE.map((folder) => `src/${folder}`).toSorted());
  const excluded = config.exclude.filter((path) => !path.includes('*'));
  assert.deepEqual(
    excluded,
    NOT_PORTABLE.map((folder) => `src/${folder}`),
  );
});
