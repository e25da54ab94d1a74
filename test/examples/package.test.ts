/** The package: it packs, installs in an empty project without a network, runs there, and its types are those that a user sees. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { examplePath, runProgram } from './run-example.ts';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What the package is built from. */
const SOURCES = ['src', 'types', 'package.json', 'README.md', 'LICENSE', 'CHANGELOG.md'];

const directory = mkdtempSync(join(tmpdir(), 'virts-package-'));
after(() => rmSync(directory, { recursive: true, force: true }));

/** Packs a copy of the sources, so that tests beside this one keep what was built. */
async function pack(): Promise<string> {
  const copy = join(directory, 'sources');
  mkdirSync(copy);
  const configurations = readdirSync(ROOT).filter((name) => /^(tsconfig|vite)\..*(json|ts)$/.test(name));
  for (const name of [...SOURCES, ...configurations]) cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', directory], { cwd: copy });
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as [{ filename: string; files: { path: string }[] }];
  assert.ok(packed.files.every(({ path }) => !/\.test(-helper)?\./.test(path)));
  return join(directory, packed.filename);
}

/** An empty project with the package, whose dependencies are those of this repository. */
async function install(archive: string): Promise<string> {
  const project = join(directory, 'project');
  mkdirSync(project);
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { dependencies: object };
  const local = Object.keys(dependencies).map((name) => [name, `file:${join(ROOT, 'node_modules', name)}`]);
  const manifest = {
    name: 'project',
    private: true,
    type: 'module',
    dependencies: { ...Object.fromEntries(local), virts: `file:${archive}` },
  };
  writeFileSync(join(project, 'package.json'), JSON.stringify(manifest));
  await run('npm', ['install', '--offline', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: project });
  return project;
}

test('the package installs in an empty project and works there', async () => {
  const project = await install(await pack());
  cpSync(examplePath('hello'), join(project, 'hello.ts'));
  const said = await runProgram(['hello.ts'], { cwd: project });
  assert.match(said, /^Linux \S+ x86_64\nThe machine ended: power-off\n$/);

  const version = await run(join(project, 'node_modules', '.bin', 'virts'), ['--version']);
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);

  // The types as a user's compiler finds them, those of the package checked as well.
  for (const name of readdirSync(join(ROOT, 'examples'))) cpSync(join(ROOT, 'examples', name), join(project, name));
  const compilerOptions = {
    ...{ target: 'es2024', lib: ['es2024', 'esnext.disposable'], module: 'nodenext', strict: true, noEmit: true },
    ...{ types: ['node'], typeRoots: [join(ROOT, 'node_modules', '@types')], skipLibCheck: true },
  };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
  await run(join(ROOT, 'node_modules', '.bin', 'tsc'), ['-p', project]).catch((error: { stdout: string }) => {
    assert.fail(error.stdout);
  });
});
