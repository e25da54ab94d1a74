/**
 * Checks the rules of imports (`docs/decisions/0001-order-of-floors.md`): each floor of `src/` imports only floors below
 * it, the floors that a browser runs import nothing that a browser lacks, and no file imports itself through others.
 */
import { isBuiltin } from 'node:module';
import { resolve } from 'node:path';
import { argv, exit, stderr, stdout } from 'node:process';
import { type Import, readSourceImports, type SourceImports } from './source-imports.ts';

/** The folders of `src/`, lowest first. A floor may import itself and what stands before it. */
export const FLOORS = [
  'base',
  'ir',
  'isa',
  'memory',
  'cpu',
  'devices',
  'firmware',
  'machine',
  'storage',
  'network',
  'sharing',
  'engine',
  'snapshot',
  'vm',
  'images',
  'sdk',
  'cli',
  'daemon',
  'browser',
  'console',
];

/** What runs in a browser as it stands, and what in it does not; `tsconfig.core.json` has the same lists. */
export const PORTABLE = [
  ...FLOORS.slice(0, FLOORS.indexOf('storage')),
  ...['network', 'sharing', 'engine/translated', 'snapshot', 'vm', 'sdk'],
];
export const NOT_PORTABLE = ['network/node', 'sharing/node', 'sdk/node'];

/** Packages that run in a browser as they do in Node. */
export const PORTABLE_PACKAGES = ['zod'];

/** What only a browser runs: it may use packages and the DOM, and `tsconfig.browser.json` compiles it. */
const BROWSER = 'browser';

/** What only tests use; it is not published. */
const TEST_ONLY = /(\.test|\.test-helper|\/fake-timers)\.ts$/;

const floorOf = (path: string) => path.split('/')[1] ?? '';
const isIn = (path: string, folders: readonly string[]) => folders.some((folder) => path.startsWith(`src/${folder}/`));
const isPortable = (path: string) => isIn(path, PORTABLE) && !isIn(path, NOT_PORTABLE);

function checkTarget(path: string, target: string): string | undefined {
  if (!target.startsWith('src/')) return 'is outside src/';
  if (TEST_ONLY.test(target)) return 'is for tests only';
  if (FLOORS.indexOf(floorOf(target)) > FLOORS.indexOf(floorOf(path))) {
    return `is on the floor '${floorOf(target)}', which is above '${floorOf(path)}'`;
  }
  const inBrowser = isPortable(path) || floorOf(path) === BROWSER;
  if (inBrowser && !isPortable(target) && floorOf(target) !== BROWSER) return 'does not run in a browser';
  return undefined;
}

function checkImport(path: string, { target, specifier }: Import): string | undefined {
  if (target !== undefined) return checkTarget(path, target);
  if (isPortable(path) && PORTABLE_PACKAGES.includes(specifier)) return undefined;
  if (isPortable(path) || (floorOf(path) === BROWSER && isBuiltin(specifier))) return 'is not to be had in a browser';
  return undefined;
}

function checkFile(file: SourceImports): string[] {
  const { path } = file;
  if (!FLOORS.includes(floorOf(path))) return [`${path}: '${floorOf(path)}' is not a floor`];
  const findings: string[] = [];
  for (const found of file.imports) {
    const problem = checkImport(path, found);
    if (problem !== undefined) findings.push(`${path}:${found.line}: '${found.specifier}' ${problem}`);
  }
  for (const line of isPortable(path) ? file.references : []) {
    findings.push(`${path}:${line}: a reference directive brings in types that a browser may lack`);
  }
  return findings;
}

/**
 * The cycles of a graph, each as the list of its nodes in order of their names: Tarjan's strongly connected components
 * with more than one node, or with an edge to itself.
 */
export function findCycles(edges: ReadonlyMap<string, readonly string[]>): string[][] {
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const cycles: string[][] = [];

  function visit(node: string): void {
    const index = order.size;
    order.set(node, index);
    low.set(node, index);
    stack.push(node);
    for (const next of edges.get(node) ?? []) {
      if (!order.has(next)) visit(next);
      if (stack.includes(next)) low.set(node, Math.min(low.get(node)!, low.get(next)!));
    }
    if (low.get(node) !== index) return;
    const component = stack.splice(stack.indexOf(node));
    if (component.length > 1 || edges.get(node)?.includes(node)) cycles.push(component.sort());
  }

  for (const node of edges.keys()) if (!order.has(node)) visit(node);
  return cycles;
}

/** Cycles among files. Imports of types count only where `types` is set: nothing of them is left at run time. */
export function fileCycles(files: readonly SourceImports[], types: boolean): string[][] {
  const edges = files.map(({ path, imports }): [string, string[]] => [
    path,
    imports.flatMap(({ target, typeOnly }) => (target === undefined || (typeOnly && !types) ? [] : [target])),
  ]);
  return findCycles(new Map(edges));
}

/** All that breaks a rule in the project at `root`, a sentence each. */
export function checkImports(root: string): { files: number; findings: string[] } {
  const files = readSourceImports(root).filter(({ path }) => path.startsWith('src/') && !TEST_ONLY.test(path));
  const cycles = fileCycles(files, false).map((cycle) => `${cycle[0]}: a cycle of imports: ${cycle.join(', ')}`);
  return { files: files.length, findings: [...files.flatMap(checkFile), ...cycles] };
}

if (import.meta.main) {
  const { files, findings } = checkImports(resolve(argv[2] ?? '.'));
  for (const finding of findings) stderr.write(`${finding}\n`);
  stdout.write(`Imports of ${files} files checked: ${findings.length} findings\n`);
  exit(findings.length === 0 ? 0 : 1);
}
